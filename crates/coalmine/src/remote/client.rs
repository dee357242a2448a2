//! Requests to a server, and their answers.

use std::cell::RefCell;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use coalmine_control::api::shapes::Trouble;
use serde::de::DeserializeOwned;
use ureq::http::request::Builder;
use ureq::http::{Method, Request, Response, StatusCode};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use crate::args::Format;
use crate::failure::Failure;
use crate::output::visible;

/// How long one request may take.
const WITHIN: Duration = Duration::from_secs(15);
/// How long events are followed before they are asked for anew.
const HELD: Duration = Duration::from_secs(300);
/// How long a server that is away is asked again.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Most bytes of one answer.
const MAX_ANSWER: u64 = 64 << 20;
/// Where a server listens unless told otherwise.
const SERVER: &str = "http://127.0.0.1:8470";

/// The server of a command that talks to one, and how to print what it says.
#[derive(Args)]
pub(crate) struct ServerArguments {
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// The server
    #[arg(long, env = "COALMINE_SERVER", value_name = "URL", default_value = SERVER, help_heading = "Server")]
    server: String,
    /// A file with the token; without it, the variable COALMINE_TOKEN
    #[arg(long, env = "COALMINE_TOKEN_FILE", value_name = "FILE", help_heading = "Server")]
    token_file: Option<PathBuf>,
    /// Certificates in PEM to trust, rather than those of this system
    #[arg(long, env = "COALMINE_CA", value_name = "FILE", help_heading = "Server")]
    ca: Option<PathBuf>,
    /// A certificate in PEM to show, for a server with clientCa
    #[arg(
        long,
        env = "COALMINE_CERTIFICATE",
        value_name = "FILE",
        requires = "key",
        help_heading = "Server"
    )]
    certificate: Option<PathBuf>,
    /// The key of that, in PEM
    #[arg(long, env = "COALMINE_KEY", value_name = "FILE", help_heading = "Server")]
    key: Option<PathBuf>,
    /// Send the token without TLS to another host
    #[arg(long, help_heading = "Server")]
    insecure: bool,
}

/// A server.
pub(crate) struct Client {
    agent: Agent,
    url: String,
    token: Option<Token>,
}

/// What shows who asks.
struct Token {
    text: RefCell<String>,
    /// Where it stands, and may be exchanged: those of jobs and workloads are good for minutes, and a release takes hours.
    file: Option<PathBuf>,
}

/// An answer: its body, and where the release is that it speaks of.
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) location: Option<String>,
}

// === impl ServerArguments ===

impl ServerArguments {
    /// This server, with everything else as usual.
    pub(crate) fn of(url: &str, format: Format) -> Self {
        let file = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
        Self {
            format,
            server: url.to_owned(),
            token_file: file("COALMINE_TOKEN_FILE"),
            ca: file("COALMINE_CA"),
            certificate: file("COALMINE_CERTIFICATE"),
            key: file("COALMINE_KEY"),
            insecure: false,
        }
    }

    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let url = self.server.trim_end_matches('/').to_owned();
        let is_plain = url.starts_with("http://");
        if !is_plain && !url.starts_with("https://") {
            return Err(Failure::usage(
                format!("{url:?} is no URL of a server"),
                format!("write it as {SERVER}"),
            ));
        }
        let token = self.token()?;
        if token.is_some() && is_plain && !self.insecure && !is_loopback(&url) {
            return Err(Failure::usage(
                format!("{url} would get the token without TLS"),
                "use https://, or --insecure where something else encrypts",
            ));
        }
        let roots = match &self.ca {
            Some(path) => RootCerts::new_with_certs(&certificates(path)?),
            None => RootCerts::PlatformVerifier,
        };
        let shown = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                Some(ClientCert::new_with_certs(&certificates(certificate)?, private_key(key)?))
            }
            _ => None,
        };
        let tls = TlsConfig::builder().root_certs(roots).client_cert(shown);
        let config = Agent::config_builder()
            .timeout_global(Some(WITHIN))
            .http_status_as_error(false)
            .max_redirects(0)
            .tls_config(tls.build());
        Ok(Client { agent: config.build().into(), url, token })
    }

    fn token(&self) -> Result<Option<Token>, Failure> {
        let text = match &self.token_file {
            Some(path) => Some(std::fs::read_to_string(path).map_err(Failure::read(path))?),
            None => std::env::var("COALMINE_TOKEN").ok(),
        };
        let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if text.as_ref().is_some_and(|text| is_odd(text)) {
            return Err(Failure::usage(
                "the token has characters that no token has",
                "is it the right file?",
            ));
        }
        Ok(text.map(|text| Token { text: RefCell::new(text), file: self.token_file.clone() }))
    }
}

fn is_odd(token: &str) -> bool {
    token.chars().any(|it| !it.is_ascii_graphic())
}

// === impl Token ===

impl Token {
    /// The token as it is now; the one before, where whoever writes a new one is in the middle of it.
    fn header(&self) -> String {
        let read = self.file.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        let mut text = self.text.borrow_mut();
        if let Some(newer) = read.as_deref().map(str::trim).filter(|it| !it.is_empty() && !is_odd(it)) {
            newer.clone_into(&mut text);
        }
        format!("Bearer {text}")
    }
}

fn is_loopback(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Failure> {
    let text = std::fs::read(path).map_err(Failure::read(path))?;
    let found = parse_pem(&text).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        return Err(Failure::Unfit(path.to_owned(), "holds no certificate in PEM".to_owned()));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKey<'static>, Failure> {
    let text = std::fs::read(path).map_err(Failure::read(path))?;
    // What is wrong with it is not said: the text is a secret.
    PrivateKey::from_pem(&text).map_err(|_| Failure::Unfit(path.to_owned(), "holds no key in PEM".to_owned()))
}

// === impl Client ===

impl Client {
    /// What stands at this path.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.read(&self.send(Method::GET, path, &[], "")?.text)
    }

    /// The value of an answer.
    pub(crate) fn read<T: DeserializeOwned>(&self, text: &str) -> Result<T, Failure> {
        serde_json::from_str(text).map_err(|error| self.odd(&format!("its answer makes no sense: {error}")))
    }

    /// Sends a request, and sends it again for a while where the server is away.
    pub(crate) fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, Failure> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let response = self.send_once(&method, path, headers, body);
            let is_away = response.as_ref().map_or(true, |it| it.status() == StatusCode::SERVICE_UNAVAILABLE);
            if !is_away || began.elapsed() + pause > PATIENCE {
                return self.answer(response.map_err(|error| self.away(&error))?);
            }
            sleep(pause);
            pause *= 2;
        }
    }

    /// Follows what happens from now on, or behind this event, for a while: a connection that is dead is not held for ever.
    pub(crate) fn events(&self, last: Option<&str>) -> Result<impl Read + use<>, Failure> {
        let mut request = self.request(&Method::GET, "/v1/events");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(()).map_err(|error| self.away(&error.into()))?;
        let request = self.agent.configure_request(request).timeout_global(Some(HELD)).build();
        let response = self.agent.run(request).map_err(|error| self.away(&error))?;
        if response.status() != StatusCode::OK {
            return Err(self.odd(&format!("HTTP {}", response.status().as_u16())));
        }
        Ok(response.into_body().into_reader())
    }

    /// A request, as far as all are alike.
    fn request(&self, method: &Method, path: &str) -> Builder {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.url) };
        let request = Request::builder().method(method.clone()).uri(url);
        match &self.token {
            Some(token) => request.header("authorization", token.header()),
            None => request,
        }
    }

    fn send_once(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Response<Body>, ureq::Error> {
        let mut request = self.request(method, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_empty() && *method == Method::GET {
            return self.agent.run(request.body(())?);
        }
        self.agent.run(request.body(body.to_owned())?)
    }

    fn answer(&self, mut response: Response<Body>) -> Result<Answer, Failure> {
        let status = response.status();
        let location = response.headers().get("location").and_then(|value| value.to_str().ok());
        let location = location.map(str::to_owned);
        let text = response.body_mut().with_config().limit(MAX_ANSWER).read_to_string();
        let text = text.map_err(|error| self.odd(&error.to_string()))?;
        if status.is_success() {
            return Ok(Answer { text, location });
        }
        match serde_json::from_str::<Trouble>(&text) {
            Ok(trouble) => Err(refused(&trouble)),
            Err(_) => Err(self.odd(&format!("HTTP {}", status.as_u16()))),
        }
    }

    fn away(&self, error: &ureq::Error) -> Failure {
        Failure::usage(
            format!("{} does not answer: {}", self.url, visible(&error.to_string())),
            "is this the URL of a server, and does it run?",
        )
    }

    fn odd(&self, what: &str) -> Failure {
        Failure::usage(format!("{}: {}", self.url, visible(what)), "is this the URL of a server of Coalmine?")
    }
}

/// What the server says against it.
fn refused(trouble: &Trouble) -> Failure {
    let mut text = visible(&trouble.detail).into_owned();
    for place in &trouble.problems {
        let path = if place.path.is_empty() { String::new() } else { format!("{}: ", place.path) };
        text.push_str(&format!(
            "\n  {}:{}: {}{}",
            place.line,
            place.column,
            visible(&path),
            visible(&place.message)
        ));
    }
    Failure::Problems(text)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn only_this_host_is_loopback() {
        for url in ["http://127.0.0.1:8470", "http://localhost", "http://[::1]:8470/x", "http://127.8.8.8"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "http://10.0.0.1",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "http://[::2]:1",
            "http://",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }

    /// What a server is sent as `authorization`, by request; it answers each with an empty object.
    fn asked() -> (String, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, asked) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let lines = stream.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty());
                let header = lines.filter(|line| line.to_lowercase().starts_with("authorization")).last();
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
                stream.get_mut().write_all(answer).unwrap();
                if sender.send(header.unwrap_or_default()).is_err() {
                    return;
                }
            }
        });
        (url, asked)
    }

    #[test]
    fn a_token_may_be_exchanged_in_its_file_while_somebody_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "first\n").unwrap();
        let (server, asked) = asked();
        let arguments = ServerArguments {
            format: Format::Json,
            server,
            token_file: Some(path.clone()),
            ca: None,
            certificate: None,
            key: None,
            insecure: false,
        };
        let client = arguments.client().unwrap();
        let ask = || {
            client.get::<serde_json::Value>("/v1/rollouts").unwrap();
            asked.recv_timeout(WITHIN).unwrap()
        };
        assert!(ask().ends_with("Bearer first"));
        std::fs::write(&path, "second\n").unwrap();
        assert!(ask().ends_with("Bearer second"));
        for unfinished in ["", "\n", "two words", "\u{1b}"] {
            std::fs::write(&path, unfinished).unwrap();
            assert!(ask().ends_with("Bearer second"), "{unfinished:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(ask().ends_with("Bearer second"));
    }
}
