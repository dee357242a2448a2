//! A cable between two programs that can be cut.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Hands on what comes, in both directions, until it is cut or dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    whole: watch::Sender<bool>,
    to: watch::Sender<SocketAddr>,
    accepting: JoinHandle<()>,
}

// === impl Relay ===

impl Relay {
    /// Listens on a free port, and hands on to this address.
    pub async fn start(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no free port")?;
        let address = listener.local_addr()?;
        let whole = watch::Sender::new(true);
        let watched = whole.subscribe();
        let (to, target) = watch::channel(to);
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((mut from, _)) = listener.accept().await else { continue };
                let mut watched = watched.clone();
                let to = *target.borrow();
                tokio::spawn(async move {
                    // Dropped where the cable is cut: both sides see the end of their connection.
                    if !*watched.borrow_and_update() {
                        return;
                    }
                    let Ok(mut to) = TcpStream::connect(to).await else { return };
                    let _ = (from.set_nodelay(true), to.set_nodelay(true));
                    tokio::select! {
                        _ = copy_bidirectional(&mut from, &mut to) => {}
                        _ = watched.wait_for(|is_whole| !is_whole) => {}
                    }
                });
            }
        });
        Ok(Self { address, whole, to, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections are handed on to this address.
    pub fn lead_to(&self, to: SocketAddr) {
        self.to.send_replace(to);
    }

    /// Cuts it: connections end, and new ones end at once.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Makes it whole again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
