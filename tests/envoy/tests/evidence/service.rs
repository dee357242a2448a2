//! The service behind the proxy: what it does with a request is in the request's path.
//!
//! | path | what it does |
//! |---|---|
//! | `/status/N` | answers N |
//! | `/cut`, `/reset` | ends the connection without an answer; of HTTP/2 the stream |
//! | `/part/END`, `/chunks/END` | sends headers and half of a body, and ends so when the client says that it has the headers |
//! | `/hang` | never answers |
//! | `/slow/N`, `/late-body/N` | answers after N milliseconds; at once, and the body after N milliseconds |
//! | `/upload` | answers 200 when it has all of the body |
//! | `/early/N` | answers N before it has all of the body |
//! | `/redirect/..`, `/late-redirect/N/..` | sends the client to the rest of the path; after N milliseconds |
//! | `/again/N/..` | does the rest of the path before the try number N, and then answers well |
//! | `/upgrade/END` | switches to WebSocket, and ends so |
//! | `/trailers/N`, `/headers/N`, `/ends` | gRPC: with this status there, or none |
//!
//! What chooses a route of the proxy's stands in front of it: `/timeout`, `/idle`, `/duration`.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::HeaderMap;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::HOST;

/// The header with the number of a request.
pub(super) const NUMBER: &str = "x-number";
/// What Envoy tells about tries.
const TRY: &str = "x-envoy-attempt-count";
/// What an announced body has, and what comes of it where it breaks off.
const LENGTH: usize = 8;
const HALF: &str = "half";

/// Where client and service wait for one another, by the number of the request.
#[derive(Default)]
pub(super) struct Meetings(Mutex<HashMap<u64, Arc<Meeting>>>);

/// What client and service tell each other about one request.
#[derive(Default)]
pub(super) struct Meeting {
    /// The service has the request.
    pub(super) arrived: Notify,
    /// The client has the headers.
    pub(super) answered: Notify,
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

// === impl Meetings ===

impl Meetings {
    /// A meeting about the request that will have this number.
    pub(super) fn arrange(&self, number: u64) -> Arc<Meeting> {
        Arc::clone(self.0.lock().unwrap().entry(number).or_default())
    }

    pub(super) fn forget(&self, number: u64) {
        self.0.lock().unwrap().remove(&number);
    }

    /// The meeting about this request; one that nobody comes to where none was arranged.
    fn find(&self, number: Option<&str>) -> Arc<Meeting> {
        let number = number.and_then(|number| number.parse().ok());
        number.and_then(|number: u64| self.0.lock().unwrap().get(&number).cloned()).unwrap_or_default()
    }
}

/// Starts it on a free port.
pub(super) async fn start(meetings: Arc<Meetings>) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, Arc::clone(&meetings)));
        }
    });
    address
}

async fn serve(socket: TcpStream, meetings: Arc<Meetings>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    if socket.peek(&mut [0; 1]).await? == 0 {
        return Ok(());
    }
    let mut first = [0; 3];
    if socket.peek(&mut first).await? == first.len() && &first == b"PRI" {
        let service = service_fn(|request| answer(request, Arc::clone(&meetings)));
        let server = http2::Builder::new(TokioExecutor::new());
        // The proxy closes its connections as it likes.
        let _ = server.serve_connection(TokioIo::new(socket), service).await;
        return Ok(());
    }
    Http1 { socket, read: Vec::new(), meetings }.serve().await
}

/// What is left of a path to do: without the choice of a route, and behind tries that fail.
fn act(path: &str, tried: Option<&str>) -> String {
    let routes = ["/timeout/", "/idle/", "/duration/"];
    let path = routes.into_iter().find_map(|route| path.strip_prefix(route)).unwrap_or(&path[1..]);
    let Some(rest) = path.strip_prefix("again/") else { return path.to_owned() };
    let (from, failure) = rest.split_once('/').unwrap();
    let number = |text: &str| text.parse::<u32>().unwrap();
    let fails = number(tried.unwrap_or("1")) < number(from);
    // Well is what gRPC and HTTP understand alike.
    if fails { failure.to_owned() } else { "headers/0".to_owned() }
}

/// A number behind this name in a path.
fn number(act: &str, name: &str) -> Option<u64> {
    act.strip_prefix(name)?.strip_prefix('/')?.parse().ok()
}

fn late_redirect(act: &str) -> Option<(u64, &str)> {
    let (delay, path) = act.strip_prefix("late-redirect/")?.split_once('/')?;
    Some((delay.parse().ok()?, path))
}

// === HTTP/1 ===

struct Http1 {
    socket: TcpStream,
    read: Vec<u8>,
    meetings: Arc<Meetings>,
}

impl Http1 {
    async fn serve(mut self) -> io::Result<()> {
        while let Some(head) = self.head().await? {
            let value = |name: &str| {
                let lines = head.lines().filter_map(|line| line.split_once(": "));
                lines.into_iter().find(|(found, _)| *found == name).map(|(_, value)| value)
            };
            let meeting = self.meetings.find(value(NUMBER));
            let act = act(head.split(' ').nth(1).unwrap(), value(TRY));
            let body = value("content-length").map_or(0, |length| length.parse().unwrap());
            if !self.exchange(&act, &meeting, body).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether another request may come.
    async fn exchange(&mut self, act: &str, meeting: &Meeting, body: usize) -> io::Result<bool> {
        if let Some(status) = number(act, "early") {
            self.answer(status, "").await?;
            // The proxy closes a connection on which it has more to say.
            self.closed().await;
            return Ok(false);
        }
        meeting.arrived.notify_one();
        self.body(body).await?;
        if let Some(status) = number(act, "status") {
            self.answer(status, "").await?;
        } else if let Some(delay) = number(act, "slow") {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            self.answer(200, "").await?;
        } else if let Some(delay) = number(act, "late-body") {
            self.write(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", HALF.len())).await?;
            tokio::time::sleep(Duration::from_millis(delay)).await;
            self.write(HALF).await?;
        } else if let Some((delay, path)) = late_redirect(act) {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            self.answer(302, &format!("location: http://{HOST}/{path}\r\n")).await?;
        } else if let Some(path) = act.strip_prefix("redirect") {
            self.answer(302, &format!("location: http://{HOST}{path}\r\n")).await?;
        } else if act == "upload" || act == "headers/0" {
            self.answer(200, "").await?;
        } else {
            self.break_off(act, meeting).await?;
            return Ok(false);
        }
        Ok(true)
    }

    /// All that does not end well.
    async fn break_off(&mut self, act: &str, meeting: &Meeting) -> io::Result<()> {
        let (beginning, end) = act.split_once('/').unwrap_or(("", act));
        match beginning {
            "part" => {
                self.write(&format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n{HALF}")).await?
            }
            "chunks" => {
                self.write(&format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\n{HALF}"))
                    .await?;
            }
            "upgrade" => {
                let upgraded = "HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
                self.write(&format!("{upgraded}{HALF}")).await?;
            }
            _ => {}
        }
        if end == "hang" {
            self.closed().await;
            return Ok(());
        }
        if !beginning.is_empty() {
            meeting.answered.notified().await;
        }
        match end {
            "cut" => Ok(()),
            "reset" => self.socket.set_zero_linger(),
            _ => panic!("the service knows no {act}"),
        }
    }

    /// The head of the next request.
    async fn head(&mut self) -> io::Result<Option<String>> {
        loop {
            let end = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if let Some(end) = end {
                let head = self.read.drain(..end + 4).collect();
                return Ok(String::from_utf8(head).ok());
            }
            if self.socket.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn body(&mut self, length: usize) -> io::Result<()> {
        while self.read.len() < length {
            if self.socket.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.read.drain(..length);
        Ok(())
    }

    async fn closed(&mut self) {
        while self.socket.read_buf(&mut self.read).await.is_ok_and(|count| count > 0) {}
    }

    async fn answer(&mut self, status: u64, headers: &str) -> io::Result<()> {
        let length = if matches!(status, 204 | 304) { "" } else { "content-length: 0\r\n" };
        self.write(&format!("HTTP/1.1 {status} Fine\r\n{headers}{length}\r\n")).await
    }

    async fn write(&mut self, text: &str) -> io::Result<()> {
        self.socket.write_all(text.as_bytes()).await
    }
}

// === HTTP/2 ===

async fn answer(request: Request<Incoming>, meetings: Arc<Meetings>) -> io::Result<Response<Body>> {
    let value = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let meeting = meetings.find(value(NUMBER));
    let act = act(request.uri().path(), value(TRY));
    let answer = Response::builder().header("content-type", value("content-type").unwrap_or("text/plain"));
    meeting.arrived.notify_one();
    let answer = if let Some(status) = number(&act, "status") {
        answer.status(status as u16).body(body([]))
    } else if let Some(status) = number(&act, "headers") {
        answer.header("grpc-status", status).body(body([]))
    } else if let Some(status) = number(&act, "trailers") {
        answer.body(body([data(), trailers(status)]))
    } else if let Some(delay) = number(&act, "slow") {
        tokio::time::sleep(Duration::from_millis(delay)).await;
        answer.body(body([data(), trailers(0)]))
    } else {
        match act.as_str() {
            "ends" => answer.body(body([data()])),
            "hang" => std::future::pending().await,
            "reset" => return Err(io::ErrorKind::Other.into()),
            "part/hang" => {
                answer.body(StreamBody::new(stream::iter([data()]).chain(stream::pending())).boxed_unsync())
            }
            "part/reset" => {
                let broken = stream::once(async move {
                    meeting.answered.notified().await;
                    Err(io::ErrorKind::Other.into())
                });
                answer.body(StreamBody::new(stream::iter([data()]).chain(broken)).boxed_unsync())
            }
            _ => panic!("the service knows no {act} over HTTP/2"),
        }
    };
    answer.map_err(io::Error::other)
}

fn body<const N: usize>(frames: [io::Result<Frame<Bytes>>; N]) -> Body {
    if frames.is_empty() {
        // Known to be none: the headers then end the stream.
        return http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync();
    }
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

fn data() -> io::Result<Frame<Bytes>> {
    // A message of gRPC: not compressed, four bytes.
    Ok(Frame::data(Bytes::from_static(b"\0\0\0\0\x04half")))
}

fn trailers(status: u64) -> io::Result<Frame<Bytes>> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.into());
    Ok(Frame::trailers(trailers))
}
