//! Requests of the server to what the operator names, its gates, notifiers and queries: one JSON each.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::evidence::answer::sentence;
use crate::tls;

/// How long an answer of a gate or a notifier may take.
pub(crate) const WITHIN: Duration = Duration::from_secs(10);
/// The most characters of an answer that are kept, and the most bytes that are read.
const MAX_SAID: usize = 500;
const MAX_BYTES: usize = 16 << 10;

/// A client that posts JSON and follows no redirect.
#[derive(Clone, Debug)]
pub(crate) struct Poster(reqwest::Client);

/// The address of a gate or a notifier.
///
/// # Errors
/// It is no URL: a sentence without it.
pub(crate) fn address(name: &str, url: &str) -> Result<reqwest::Url, String> {
    let url = url.parse::<reqwest::Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| format!("the address of {name} is no URL, as https://hooks.example/.."))
}

// === impl Poster ===

impl Poster {
    /// A client for these addresses, each of which answers within this time.
    ///
    /// # Errors
    /// One of them needs TLS, and this host trusts no authority.
    pub(crate) fn new<'a>(
        mut addresses: impl Iterator<Item = &'a reqwest::Url>,
        within: Duration,
    ) -> Result<Self, String> {
        let is_plain = addresses.all(|url| url.scheme() == "http");
        let client = tls::client(is_plain).timeout(within).build();
        client.map(Self).map_err(|error| sentence(&error))
    }

    /// The status of an answer, and the beginning of its text.
    ///
    /// # Errors
    /// There is no answer: a sentence without the address, which may hold a token.
    pub(crate) async fn post(
        &self,
        url: &reqwest::Url,
        headers: HeaderMap,
        body: String,
    ) -> Result<(u16, String), String> {
        let mut response = self.send(url, headers, body).await?;
        let mut said = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(is_late)? {
            said.extend_from_slice(&bytes);
            if said.len() > MAX_BYTES {
                break;
            }
        }
        let said = String::from_utf8_lossy(&said);
        let said = said.trim().chars().filter(|it| !it.is_control()).take(MAX_SAID).collect();
        Ok((response.status().as_u16(), said))
    }

    /// The answer, of which nothing but its head has been read.
    ///
    /// # Errors
    /// There is none: a sentence without the address.
    pub(crate) async fn send(
        &self,
        url: &reqwest::Url,
        headers: HeaderMap,
        body: String,
    ) -> Result<reqwest::Response, String> {
        let json = HeaderValue::from_static("application/json");
        let request = self.0.post(url.clone()).headers(headers).header(CONTENT_TYPE, json);
        request.body(body).send().await.map_err(is_late)
    }
}

fn is_late(error: reqwest::Error) -> String {
    match error.is_timeout() {
        true => "it does not answer in time".to_owned(),
        false => "it cannot be reached".to_owned(),
    }
}
