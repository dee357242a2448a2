//! An application that can do more than say its name: it tells what it was sent, speaks gRPC and WebSocket, and can
//! be ended in the middle of it all.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HOST, HeaderValue, LOCATION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tonic::body::Body;

use crate::grpc;

/// The path under which a [`Server`] tells what it was sent.
pub const ECHO: &str = "/echo";
/// What a path begins with for which a [`Server`] answers with a redirect to the rest of the path, at the same host.
pub const REDIRECT: &str = "/redirect";
/// The path for which a [`Server`] answers 503.
pub const UNAVAILABLE: &str = "/unavailable";

/// A server on the loopback interface, over HTTP/1.1 and HTTP/2, until it is ended or dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

/// What is served.
pub(crate) type Answering = dyn Fn(Request<Incoming>) -> Answer + Send + Sync;
pub(crate) type Answer = std::pin::Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

// === impl Server ===

impl Server {
    /// Starts an application on `port`; 0 is any free one. It answers with its name and a line end; under [`ECHO`]
    /// with a JSON list of the headers that it was sent, the first entry its own name; under [`REDIRECT`] and
    /// [`UNAVAILABLE`] as they say; a WebSocket and the methods of [`grpc`] with its name before every message.
    pub async fn start(name: &'static str, port: u16) -> Result<Self> {
        Self::serve(port, Arc::new(move |request| Box::pin(answer(name, request)))).await
    }

    pub(crate) async fn serve(port: u16, answering: Arc<Answering>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.with_context(|| format!("cannot listen on port {port}"))?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(async move {
            // Dropped with this task, and all connections with it.
            let mut connections = JoinSet::new();
            loop {
                let Ok((socket, _)) = listener.accept().await else { continue };
                let _ = socket.set_nodelay(true);
                let answering = Arc::clone(&answering);
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let answer = answering(request);
                        async move { Ok::<_, Infallible>(answer.await) }
                    });
                    let server = auto::Builder::new(TokioExecutor::new());
                    // The proxy closes its connections as it likes, so how one ends tells nothing.
                    let _ = server.serve_connection_with_upgrades(TokioIo::new(socket), service).await;
                });
            }
        });
        Ok(Self { address, accepting })
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the server as a crash would: nobody listens any more, and its connections are closed.
    pub async fn end(mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn answer(name: &'static str, request: Request<Incoming>) -> Response<Body> {
    let starts_with = |header, text: &str| {
        request
            .headers()
            .get(header)
            .is_some_and(|value: &HeaderValue| value.as_bytes().starts_with(text.as_bytes()))
    };
    if starts_with(CONTENT_TYPE, "application/grpc") {
        return grpc::answer(name, request).await;
    }
    if starts_with(UPGRADE, "websocket") {
        return web_socket(name, request);
    }
    if request.uri().path() == ECHO {
        let headers = request
            .headers()
            .iter()
            .map(|(header, value)| json!([header.as_str(), String::from_utf8_lossy(value.as_bytes())]));
        let all: Vec<_> = [json!(["name", name])].into_iter().chain(headers).collect();
        return Response::new(full(serde_json::Value::from(all).to_string()));
    }
    let mut answer = Response::new(full(format!("{name}\n")));
    if request.uri().path() == UNAVAILABLE {
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    if let Some(location) = redirected(&request) {
        *answer.status_mut() = StatusCode::FOUND;
        answer.headers_mut().insert(LOCATION, location);
    }
    answer
}

/// Where a request under [`REDIRECT`] is sent.
fn redirected(request: &Request<Incoming>) -> Option<HeaderValue> {
    let rest = request.uri().path().strip_prefix(REDIRECT)?;
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().host())?;
    format!("http://{host}{rest}").try_into().ok()
}

pub(crate) fn full(text: String) -> Body {
    Body::new(http_body_util::Full::new(hyper::body::Bytes::from(text)))
}

/// Switches to WebSocket, and sends every message back.
fn web_socket(name: &'static str, mut request: Request<Incoming>) -> Response<Body> {
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY).cloned() else {
        let mut refused = Response::new(Body::empty());
        *refused.status_mut() = StatusCode::BAD_REQUEST;
        return refused;
    };
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(&mut request).await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            if socket.send(Message::text(format!("{name}: {text}"))).await.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}
