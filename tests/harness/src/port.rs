//! A port that stays ours while nobody listens on it.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use tokio::net::TcpSocket;

/// A port of the loopback interface, for one server after another. Between them connections are refused, and the system
/// gives the port to nobody else, neither to a listener nor to an outgoing connection.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    /// Bound and never listening. Who names the port and sets SO_REUSEADDR, as servers do, may listen on it all the same.
    _held: Option<TcpSocket>,
}

// === impl Port ===

impl Port {
    /// Takes a free one.
    pub fn hold() -> Result<Self> {
        let socket = TcpSocket::new_v4().context("no socket")?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).context("no free port")?;
        let address = socket.local_addr()?;
        // Elsewhere SO_REUSEADDR does not let two sockets have the same address.
        let _held = cfg!(target_os = "linux").then_some(socket);
        Ok(Self { address, _held })
    }

    /// Where a server may listen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn it_stays_taken_and_one_server_after_another_does() {
        let port = Port::hold().unwrap();
        for _ in 0..3 {
            let refused = TcpStream::connect(port.address()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            let server = TcpListener::bind(port.address()).unwrap();
            TcpStream::connect(port.address()).unwrap();
            drop(server);
        }
        let socket = TcpSocket::new_v4().unwrap();
        assert_eq!(socket.bind(port.address()).unwrap_err().kind(), ErrorKind::AddrInUse);
    }
}
