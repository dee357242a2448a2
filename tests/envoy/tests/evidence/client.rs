//! The clients: each sends one request after another, of any kind, over connections that stay open where they can.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use coalmine_envoy_tests::USER;
use coalmine_harness::wait::PATIENCE;
use coalmine_harness::{Connection, Protocol};
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::HOST;
use super::kinds::{How, Kind};
use super::service::{Meeting, Meetings, NUMBER};
use super::users::User;

/// The header that names the kind of a request, for the access log.
pub(super) const KIND: &str = "x-kind";
/// The header that says what is special about the user, for the access log.
pub(super) const SORT: &str = "x-sort";

/// A client with at most one open connection of each protocol.
pub(super) struct Client {
    address: SocketAddr,
    http1: Option<Connection>,
    http2: Option<Connection>,
    meetings: Arc<Meetings>,
}

// === impl Client ===

impl Client {
    pub(super) fn new(address: SocketAddr, meetings: Arc<Meetings>) -> Self {
        Self { address, http1: None, http2: None, meetings }
    }

    /// Sends a request of this kind and number, and sees it to its end.
    pub(super) async fn ask(&mut self, kind: &Kind, user: &User, number: u64) -> Result<()> {
        let meeting = self.meetings.arrange(number);
        let asked = timeout(PATIENCE, self.exchange(kind, user, number, &meeting)).await;
        self.meetings.forget(number);
        asked
            .context("it does not end")
            .and_then(|asked| asked)
            .with_context(|| format!("{number}, {}", kind.name))
    }

    async fn exchange(&mut self, kind: &Kind, user: &User, number: u64, meeting: &Meeting) -> Result<()> {
        let request = || request(kind, user, number);
        match kind.how {
            How::Whole(protocol) => {
                let mut connection = self.connection(protocol).await?;
                let response = connection.begin(request()?).await?;
                meeting.answered.notify_one();
                // Whether it came whole is for the access log to say.
                if response.into_body().collect().await.is_ok() {
                    self.keep(protocol, connection);
                }
            }
            How::Leaves(protocol, delay) => {
                let mut connection = self.connection(protocol).await?;
                let leave = async {
                    meeting.arrived.notified().await;
                    tokio::time::sleep(delay).await;
                };
                // A timeout may answer first.
                tokio::select! {
                    _ = connection.begin(request()?) => {}
                    () = leave => {}
                }
                self.keep_streams(protocol, connection);
            }
            How::LeavesBody(protocol) => {
                let mut connection = self.connection(protocol).await?;
                drop(connection.begin(request()?).await?);
                self.keep_streams(protocol, connection);
            }
            How::Old => {
                let mut socket = self.write(kind, user, number, "HTTP/1.0", "").await?;
                head(&mut socket).await?;
                meeting.answered.notify_one();
                rest(&mut socket).await;
            }
            How::Upgrade { client_ends } => {
                let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
                let mut socket = self.write(kind, user, number, "HTTP/1.1", upgrade).await?;
                let upgraded = head(&mut socket).await?.starts_with("HTTP/1.1 101");
                meeting.answered.notify_one();
                if upgraded && !client_ends {
                    rest(&mut socket).await;
                }
            }
            How::Half { leaves } => {
                let mut socket = self.write(kind, user, number, "HTTP/1.1", "content-length: 8\r\n").await?;
                socket.write_all(b"half").await?;
                if leaves {
                    meeting.arrived.notified().await;
                } else {
                    head(&mut socket).await?;
                }
            }
            How::Halves(pause) => {
                let more = "content-length: 8\r\nconnection: close\r\n";
                let mut socket = self.write(kind, user, number, "HTTP/1.1", more).await?;
                socket.write_all(b"half").await?;
                tokio::time::sleep(pause).await;
                socket.write_all(b"half").await?;
                rest(&mut socket).await;
            }
        }
        Ok(())
    }

    /// A connection of this protocol, which is no longer kept.
    async fn connection(&mut self, protocol: Protocol) -> Result<Connection> {
        let kept = match protocol {
            Protocol::Http1 => self.http1.take(),
            Protocol::Http2 => self.http2.take(),
        };
        match kept.filter(Connection::is_open) {
            Some(connection) => Ok(connection),
            None => Connection::open(self.address, protocol).await,
        }
    }

    fn keep(&mut self, protocol: Protocol, connection: Connection) {
        match protocol {
            Protocol::Http1 => self.http1 = Some(connection),
            Protocol::Http2 => self.http2 = Some(connection),
        }
    }

    /// Only a stream of HTTP/2 can be left without its connection.
    fn keep_streams(&mut self, protocol: Protocol, connection: Connection) {
        if protocol == Protocol::Http2 {
            self.keep(protocol, connection);
        }
    }

    /// Writes a request's head by hand, on a connection of its own.
    async fn write(
        &self,
        kind: &Kind,
        user: &User,
        number: u64,
        version: &str,
        headers: &str,
    ) -> Result<TcpStream> {
        let mut socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let named: String =
            named(kind, user, number).map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let Kind { method, path, .. } = kind;
        let head = format!("{method} {path} {version}\r\nhost: {HOST}\r\n{named}{headers}\r\n");
        socket.write_all(head.as_bytes()).await?;
        Ok(socket)
    }
}

fn request(kind: &Kind, user: &User, number: u64) -> Result<Request<Empty<Bytes>>> {
    let uri = format!("http://{HOST}{}", kind.path);
    let mut request = Request::builder().method(kind.method).uri(uri).header("host", HOST);
    if let Some(content_type) = kind.content_type {
        request = request.header("content-type", content_type).header("te", "trailers");
    }
    for (name, value) in named(kind, user, number) {
        request = request.header(name, value);
    }
    Ok(request.body(Empty::new())?)
}

/// The headers that say what request it is.
fn named(kind: &Kind, user: &User, number: u64) -> impl Iterator<Item = (&'static str, String)> {
    let always =
        [(KIND, kind.name.clone()), (SORT, user.sort.as_str().to_owned()), (NUMBER, number.to_string())];
    let name = user.name.clone().map(|name| (USER, name));
    let token = user.token.clone().map(|token| (super::OVERRIDE, token));
    always.into_iter().chain(name).chain(token)
}

/// The head of an answer.
async fn head(socket: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        if socket.read_buf(&mut head).await? == 0 {
            anyhow::bail!("no answer: {:?}", String::from_utf8_lossy(&head));
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Whatever comes until the connection ends, well or not.
async fn rest(socket: &mut TcpStream) {
    let _ = socket.read_to_end(&mut Vec::new()).await;
}
