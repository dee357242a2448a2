//! Requests to a server, and their answers.

use std::io::Read;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use coalmine_control::api::shapes::Trouble;
use coalmine_control::kubernetes::NotForwarded;
use serde::de::DeserializeOwned;
use ureq::config::Config;
use ureq::http::request::Builder;
use ureq::http::{Method, Request, Response, StatusCode};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body};

use super::token::Token;
use super::tunnel::{self, Tunnel};
use crate::failure::Failure;
use crate::output::visible;

/// How long one request may take.
const WITHIN: Duration = Duration::from_secs(15);
/// How long events are followed before they are asked for anew.
const HELD: Duration = Duration::from_secs(300);
/// How long a server that is away is asked again.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Most bytes of one answer.
const MAX_ANSWER: u64 = 64 << 20;

/// A server.
pub(crate) struct Client {
    agent: Agent,
    url: String,
    /// What it is called in messages.
    called: String,
    is_in_cluster: bool,
    token: Option<Token>,
}

/// An answer: its body, and where the release is that it speaks of.
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) location: Option<String>,
}

// === impl Client ===

impl Client {
    /// The server at this URL.
    pub(super) fn new(url: String, token: Option<Token>, tls: TlsConfig) -> Self {
        let called = url.clone();
        Self { agent: config(tls).into(), url, called, is_in_cluster: false, token }
    }

    /// The server in a cluster.
    pub(super) fn through(tunnel: Arc<Tunnel>, called: String, token: Option<Token>, tls: TlsConfig) -> Self {
        let url = tunnel.url().to_owned();
        Self { agent: tunnel.agent(config(tls)), url, called, is_in_cluster: true, token }
    }

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
            let is_away = match &response {
                Ok(response) => response.status() == StatusCode::SERVICE_UNAVAILABLE,
                Err(error) => !matches!(not_forwarded(error), Some(NotForwarded::Ever(_))),
            };
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
            Ok(trouble) => Err(self.refused(status, &trouble)),
            Err(_) => Err(self.odd(&format!("HTTP {}", status.as_u16()))),
        }
    }

    /// What the server says against it.
    fn refused(&self, status: StatusCode, trouble: &Trouble) -> Failure {
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
        if self.is_in_cluster && status == StatusCode::UNAUTHORIZED {
            text.push_str(match &self.token {
                None => "\nhint: the kubeconfig has no bearer token to show; give one by --token-file",
                Some(token) if token.is_of_kubeconfig() => {
                    "\nhint: this is the kubeconfig's token; one for another audience comes from `kubectl create token`, for \
                     --token-file"
                }
                Some(_) => "",
            });
        }
        Failure::Problems(text)
    }

    fn away(&self, error: &ureq::Error) -> Failure {
        if let Some(why) = not_forwarded(error) {
            return tunnel::away(why);
        }
        let what = format!("{} does not answer: {}", self.called, visible(&error.to_string()));
        let hint = match self.is_in_cluster {
            true => "does it run, and do its pods name its port `https` where it speaks TLS?",
            false => "is this the URL of a server, and does it run?",
        };
        Failure::usage(what, hint)
    }

    fn odd(&self, what: &str) -> Failure {
        let what = format!("{}: {}", self.called, visible(what));
        let hint = match self.is_in_cluster {
            true => "are its pods those of Coalmine?",
            false => "is this the URL of a server of Coalmine?",
        };
        Failure::usage(what, hint)
    }
}

fn config(tls: TlsConfig) -> Config {
    let config = Agent::config_builder().timeout_global(Some(WITHIN)).http_status_as_error(false);
    config.max_redirects(0).tls_config(tls).build()
}

/// Why there is no way to a server in a cluster, where that is what is wrong.
fn not_forwarded(error: &ureq::Error) -> Option<&NotForwarded> {
    match error {
        ureq::Error::Other(cause) => cause.downcast_ref(),
        _ => None,
    }
}
