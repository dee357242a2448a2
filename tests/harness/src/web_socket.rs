//! A WebSocket through the proxy.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::header::{HeaderName, HeaderValue};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::wait::PATIENCE;

/// An open WebSocket to a [`crate::Server`].
#[derive(Debug)]
pub struct WebSocket(WebSocketStream<TcpStream>);

// === impl WebSocket ===

impl WebSocket {
    /// Opens it at this host, with one more header.
    pub async fn open(address: SocketAddr, host: &str, header: (&str, &str)) -> Result<Self> {
        let mut request = format!("ws://{host}/").into_client_request()?;
        let name: HeaderName = header.0.parse()?;
        request.headers_mut().insert(name, HeaderValue::from_str(header.1)?);
        let socket = TcpStream::connect(address).await?;
        let opened = timeout(PATIENCE, tokio_tungstenite::client_async(request, socket)).await;
        Ok(Self(opened.context("no answer to the upgrade")??.0))
    }

    /// Sends a message, and waits for the one that comes back.
    pub async fn say(&mut self, text: &str) -> Result<String> {
        self.0.send(Message::text(text)).await?;
        match timeout(PATIENCE, self.0.next()).await.context("no message came back")? {
            Some(Ok(Message::Text(text))) => Ok(text.to_string()),
            other => bail!("not a message: {other:?}"),
        }
    }
}
