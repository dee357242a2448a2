//! A real Envoy, the application behind it, and the connections that clients keep.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use coalmine_harness::access_log::Entry;
use coalmine_harness::{Answer, Body, Connection, Lab, Protocol, Upstream};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use super::requests::RandomRequest;

/// The header of a response that tells which headers the application got.
const SEEN: &str = "x-seen";

/// A running proxy.
pub(crate) struct Proxy {
    lab: Lab,
    clients: Vec<Client>,
    _application: Upstream,
}

/// A connection that stays open, from an address of its own.
struct Client {
    connection: Connection,
    protocol: Protocol,
    address: IpAddr,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The id that the access log has too.
    pub(crate) request_id: String,
    /// The address that the proxy takes it to come from.
    pub(crate) address: IpAddr,
    /// Every `Set-Cookie` of the response.
    pub(crate) set_cookies: Vec<String>,
    /// The headers that the application got.
    pub(crate) seen: Vec<(String, String)>,
}

/// Answers with the headers of the request, in a header: a HEAD has no body.
fn tell(request: Request<Incoming>) -> io::Result<Response<Body>> {
    let seen = request
        .headers()
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect::<Value>();
    let seen = HeaderValue::from_bytes(seen.to_string().as_bytes()).map_err(io::Error::other)?;
    let mut response = Response::new(Empty::new().boxed_unsync());
    response.headers_mut().insert(SEEN, seen);
    Ok(response)
}

// === impl Proxy ===

impl Proxy {
    /// The shipped configuration, without what keeps route headers from the filter and from the application.
    pub(crate) async fn start() -> Result<Self> {
        let application = Upstream::answering(0, tell).await?;
        let lab = Lab::builder()?.workers(2).servers(application.address(), application.address());
        let lab = lab.edit(|bootstrap| {
            let removal = "            request_headers_to_remove: [x-coalmine-variant]\n";
            bootstrap.without_early_removal()?.replace(removal, "")
        })?;
        let lab = lab.start("{}").await?;
        let mut clients = Vec::new();
        for (last, protocol) in [(1, Protocol::Http1), (2, Protocol::Http1), (3, Protocol::Http2)] {
            clients.push(Client::connect(IpAddr::from([127, 0, 0, last]), lab.address(), protocol).await?);
        }
        Ok(Self { lab, clients, _application: application })
    }

    /// How many connections there are.
    pub(crate) fn connections(&self) -> usize {
        self.clients.len()
    }

    /// Puts a policy in force.
    pub(crate) async fn accept(&self, document: &Value) -> Result<()> {
        self.lab.accept_policy(&document.to_string()).await
    }

    /// The file that the proxy has its policy from.
    pub(crate) fn policy_file(&self) -> &Path {
        self.lab.policy_file()
    }

    /// Sends a request over its connection.
    pub(crate) async fn send(&mut self, request: &RandomRequest) -> Result<Outcome> {
        let client = self.clients.get_mut(request.connection).context("no such connection")?;
        let answer = client.connection.send(client.request(request)?).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Outcome::new(&answer, request.forwarded_for.unwrap_or(client.address))
    }

    /// Reads the access log, which has so many requests.
    pub(crate) async fn logged(&self, requests: usize) -> Result<Vec<Entry>> {
        self.lab.logged_requests(requests).await
    }
}

// === impl Client ===

impl Client {
    async fn connect(address: IpAddr, proxy: SocketAddr, protocol: Protocol) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(address, 0))?;
        let socket = socket.connect(proxy).await?;
        socket.set_nodelay(true)?;
        Ok(Self { connection: Connection::over(socket, protocol).await?, protocol, address })
    }

    /// The request in the form of this connection's protocol.
    fn request(&self, request: &RandomRequest) -> Result<Request<Empty<hyper::body::Bytes>>> {
        let RandomRequest { authority, target, .. } = request;
        let is_http2 = self.protocol == Protocol::Http2;
        let uri = if is_http2 || request.is_absolute {
            format!("http://{authority}{target}")
        } else {
            target.clone()
        };
        let uri: Uri = uri.parse().with_context(|| format!("`{uri}`"))?;
        let mut builder = Request::builder().method(request.method).uri(uri);
        if !is_http2 {
            builder = builder.header(HOST, authority);
        }
        let blanks = if is_http2 { "" } else { request.blanks };
        for (name, value) in &request.headers {
            builder =
                builder.header(name, HeaderValue::from_bytes(format!("{blanks}{value}{blanks}").as_bytes())?);
        }
        Ok(builder.body(Empty::new())?)
    }
}

// === impl Outcome ===

impl Outcome {
    fn new(answer: &Answer, address: IpAddr) -> Result<Self> {
        let seen = answer.headers.get(SEEN).context("no application has answered")?;
        let set_cookies = answer.headers.get_all("set-cookie").iter();
        Ok(Self {
            request_id: answer.request_id().context("no request id")?.to_owned(),
            address,
            set_cookies: set_cookies.map(|cookie| Ok(cookie.to_str()?.to_owned())).collect::<Result<_>>()?,
            seen: serde_json::from_slice(seen.as_bytes())?,
        })
    }

    /// The identity that the response gives to the user.
    pub(crate) fn issued(&self) -> Result<Option<&str>> {
        ensure!(self.set_cookies.len() <= 1, "{:?}", self.set_cookies);
        let Some(cookie) = self.set_cookies.first() else { return Ok(None) };
        let value = cookie.split(';').next().and_then(|pair| Some(pair.split_once('=')?.1));
        value.map(Some).with_context(|| format!("`{cookie}` has no value"))
    }
}
