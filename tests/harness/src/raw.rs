//! Requests that no well-behaved client would send: the bytes go to the proxy as they are.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::wait::PATIENCE;

/// The answer to raw bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawAnswer {
    /// The status code.
    pub status: u16,
    /// Everything behind the headers.
    pub body: String,
}

/// One request over HTTP/1.1, written by hand.
#[derive(Clone, Debug)]
pub struct RawRequest {
    bytes: Vec<u8>,
}

// === impl RawRequest ===

impl RawRequest {
    /// A GET of this path at this host. Both are sent as they are.
    pub fn get(host: &str, path: impl AsRef<[u8]>) -> Self {
        let bytes = [b"GET ", path.as_ref(), b" HTTP/1.1\r\nhost: ", host.as_bytes(), b"\r\n"].concat();
        Self { bytes }
    }

    /// One more header, as it is: name and value are neither checked nor encoded.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        for part in [name.as_bytes(), b": ", value.as_ref(), b"\r\n"] {
            self.bytes.extend_from_slice(part);
        }
        self
    }

    /// Sends it on a connection of its own, and reads until the proxy closes that.
    pub async fn send(self, address: SocketAddr) -> Result<RawAnswer> {
        let bytes = self.header("connection", "close").bytes;
        let exchange = async {
            let mut socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            // The proxy may refuse a request before it has read all of it: what counts is its answer.
            let _ = socket.write_all(&bytes).await;
            let _ = socket.write_all(b"\r\n").await;
            let mut answer = Vec::new();
            let read = socket.read_to_end(&mut answer).await;
            if answer.is_empty() {
                read?;
            }
            anyhow::Ok(answer)
        };
        let answer = timeout(PATIENCE, exchange).await.context("the proxy does not answer")??;
        RawAnswer::parse(&answer)
    }
}

// === impl RawAnswer ===

impl RawAnswer {
    fn parse(answer: &[u8]) -> Result<Self> {
        let text = String::from_utf8_lossy(answer);
        let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("no answer: `{text}`"))?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.with_context(|| format!("no status line: `{head}`"))?;
        Ok(Self { status, body: body.to_owned() })
    }
}
