//! A client that keeps its connection open, over HTTP/1.1 or HTTP/2.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::HeaderMap;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// One request at a time.
    Http1,
    /// Many at a time, in cleartext, without an upgrade.
    Http2,
}

/// An open connection to the proxy. It is never opened again: when the proxy closes it, the next request fails.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

// === impl Connection ===

impl Connection {
    /// Connects to the proxy.
    pub async fn open(address: SocketAddr, protocol: Protocol) -> Result<Self> {
        let socket =
            TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        socket.set_nodelay(true)?;
        Self::over(socket, protocol).await
    }

    /// Speaks over a socket that is connected already: one with TLS, or from another address.
    pub async fn over(
        socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        protocol: Protocol,
    ) -> Result<Self> {
        let socket = TokioIo::new(socket);
        // How the connection ends is seen by the request that it fails.
        let sender = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(socket).await?;
                tokio::spawn(connection);
                Sender::Http1(sender)
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), socket).await?;
                tokio::spawn(connection);
                Sender::Http2(sender)
            }
        };
        Ok(Self { sender })
    }

    /// Sends one request and reads the whole answer.
    pub async fn send(&mut self, request: Request<Empty<Bytes>>) -> Result<Answer> {
        let (parts, body) = self.begin(request).await?.into_parts();
        let collected = body.collect().await?;
        let trailers = collected.trailers().cloned();
        Ok(Answer { status: parts.status, headers: parts.headers, body: collected.to_bytes(), trailers })
    }

    /// Sends one request, and reads the answer's headers. Who drops this before it is done, or the answer, leaves: over
    /// HTTP/1.1 with the connection.
    pub async fn begin(&mut self, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>> {
        Ok(match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        })
    }

    /// Whether a request may still be sent, as far as is known.
    pub fn is_open(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => !sender.is_closed(),
            Sender::Http2(sender) => !sender.is_closed(),
        }
    }

    /// A second handle to the same connection, for a second request at the same time: HTTP/2 only.
    pub fn share(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => Some(Self { sender: Sender::Http2(sender.clone()) }),
        }
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// The headers as the client sees them.
    pub headers: HeaderMap,
    /// The body: the name of the upstream server, unless the proxy itself answered.
    pub body: Bytes,
    /// What came behind the body, when something did.
    pub trailers: Option<HeaderMap>,
}

// === impl Answer ===

impl Answer {
    /// The variant that answered, when one did.
    pub fn variant(&self) -> Option<&'static str> {
        match (self.status, &*self.body) {
            (StatusCode::OK, b"stable\n") => Some("stable"),
            (StatusCode::OK, b"canary\n") => Some("canary"),
            _ => None,
        }
    }

    /// The id that the access log has too.
    pub fn request_id(&self) -> Option<&str> {
        self.headers.get("x-request-id")?.to_str().ok()
    }
}

/// A request for `/` at this host, without any header but the host; one with more is built upon it.
pub fn get(host: &str) -> hyper::http::request::Builder {
    Request::get(format!("http://{host}/")).header("host", host)
}
