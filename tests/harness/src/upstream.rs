//! The application behind the proxy: a server that says its name, once as stable and once as canary.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Result;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A server on a free port of the loopback interface, until it is dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

/// The body of an upstream server's answer, with trailers or without.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

// === impl Upstream ===

impl Upstream {
    /// Starts a server on `port`; 0 is any free one. It answers every request with its name and a line end; when the
    /// request still has the route header, with that header's value behind the name, so that a test that expects the
    /// plain name notices.
    pub async fn start(name: &'static str, port: u16) -> Result<Self> {
        Self::answering(port, move |request| Ok(answer(name, &request).map(|body| body.boxed_unsync()))).await
    }

    /// Starts a server on `port` that answers as it is told. Where that fails, the connection ends without an answer.
    pub async fn answering(
        port: u16,
        answer: impl Fn(Request<Incoming>) -> io::Result<Response<Body>> + Send + Sync + 'static,
    ) -> Result<Self> {
        let answer = Arc::new(answer);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(async move {
            // An error of accept is one connection's (or the end of the runtime), never the server's.
            loop {
                let Ok((socket, _)) = listener.accept().await else { continue };
                let _ = socket.set_nodelay(true);
                let answer = Arc::clone(&answer);
                tokio::spawn(async move {
                    let service = service_fn(move |request| std::future::ready(answer(request)));
                    let server = auto::Builder::new(TokioExecutor::new());
                    // The proxy closes its connections as it likes, so how one ends tells nothing.
                    let _ = server.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Ok(Self { address, accepting })
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn answer(name: &'static str, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let body = match request.headers().get(ROUTE_HEADER) {
        None => format!("{name}\n"),
        Some(told) => format!("{name}, and was told {told:?}\n"),
    };
    Response::new(Full::new(Bytes::from(body)))
}

/// The header by which the filter tells the router.
pub(crate) const ROUTE_HEADER: &str = "x-coalmine-variant";
