//! The keys of an issuer, fetched from it when a request needs them, and kept.
//!
//! Nobody waits under a lock, and all who need the keys at a time wait for one fetch. While an issuer is away its keys stay
//! in force for a day: its pipelines and proxies go on, and a key that it takes back meanwhile counts for that long.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coalmine_document::{Node, json};
use reqwest::{Client, StatusCode, Url};
use tokio::sync::watch;

use super::keys::Keys;
use crate::evidence::answer;
use crate::tls;

/// How long a fetch may take, the description of the issuer and its keys together.
pub(super) const WITHIN: Duration = Duration::from_secs(4);
/// How much longer somebody waits for it, who may have come when it had begun.
const MARGIN: Duration = Duration::from_secs(1);
/// The most bytes of a description, or of a set of keys.
const MAX_BYTES: usize = 256 << 10;
/// Seconds for which keys are taken as they are.
const KEPT: u64 = 10 * 60;
/// Seconds for which they are taken while the issuer is away.
const KEPT_WHILE_AWAY: u64 = 24 * 3_600;
/// Seconds between two fetches, whatever tokens come by: an unknown key may be a new one.
const PAUSE: u64 = 30;
/// The same while there are no keys at all.
const PAUSE_WITHOUT_KEYS: u64 = 5;
/// Where an issuer describes itself.
const DESCRIPTION: &str = "/.well-known/openid-configuration";

/// The keys of an issuer that they are fetched from.
pub(super) struct Fetched {
    issuer: String,
    /// Where its keys are; none where it says that itself.
    keys: Option<Url>,
    client: Client,
    within: Duration,
    held: Mutex<Held>,
    /// Told after each fetch.
    done: watch::Sender<()>,
}

#[derive(Default)]
struct Held {
    /// The keys of the last fetch that was one, and when it began.
    keys: Option<(u64, Arc<Keys>)>,
    /// When the last fetch began, whatever it gave.
    asked: Option<u64>,
    is_asking: bool,
    /// Why the last fetch gave nothing.
    trouble: Option<String>,
}

/// An address that keys may come from: by https, which says whose they are, or from this host.
///
/// # Errors
/// It is none: a sentence that follows the address.
pub(crate) fn address(text: &str) -> Result<Url, &'static str> {
    let url: Url = text.parse().map_err(|_| "is no URL, as https://issuer.example")?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("must be a URL without a user, a password and a fragment");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err("must be a URL with https: without it, others on the way could exchange the keys"),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

// === impl Fetched ===

impl Fetched {
    /// The keys of this issuer, from this address or from where it says; each fetch takes as long at most.
    ///
    /// # Errors
    /// An address is none, or no client can be made: a sentence.
    pub(super) fn new(issuer: &str, keys: Option<&str>, within: Duration) -> Result<Self, String> {
        let is_near = is_loopback(&address(issuer)?);
        let keys = keys.map(address).transpose()?;
        // A fetch is rare: no connection is kept for the next one.
        let mut builder = tls::client(false).timeout(within).pool_max_idle_per_host(0);
        if is_near {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| answer::sentence(&error))?;
        let (held, done) = (Mutex::default(), watch::Sender::new(()));
        Ok(Self { issuer: issuer.to_owned(), keys, client, within, held, done })
    }

    /// The keys as they are at this time, in seconds since 1970. Where they are old, or not `enough`, they are fetched
    /// anew, unless that was just done.
    ///
    /// # Errors
    /// There are none now: a sentence.
    pub(super) async fn keys(
        self: &Arc<Self>,
        now: u64,
        enough: impl Fn(&Keys) -> bool,
    ) -> Result<Arc<Keys>, String> {
        // Before the state is looked at, so that no end of a fetch is missed.
        let mut done = self.done.subscribe();
        let is_awaited = {
            let mut held = self.held();
            if let Some(keys) = held.younger(now, KEPT).filter(|keys| enough(keys)) {
                return Ok(keys);
            }
            if held.may_ask(now) {
                held.is_asking = true;
                held.asked = Some(now);
                tokio::spawn(self.clone().fetch(now));
            }
            held.is_asking
        };
        if is_awaited {
            let _ = tokio::time::timeout(self.within + MARGIN, done.changed()).await;
        }
        let held = self.held();
        held.younger(now, KEPT_WHILE_AWAY)
            .ok_or_else(|| held.trouble.clone().unwrap_or_else(|| "it does not answer in time".to_owned()))
    }

    async fn fetch(self: Arc<Self>, now: u64) {
        let fetched = tokio::time::timeout(self.within, self.ask()).await;
        let fetched = fetched.unwrap_or_else(|_| Err("it does not answer in time".to_owned()));
        let mut held = self.held();
        match fetched {
            Ok(keys) => {
                tracing::debug!("{} has {} keys", self.issuer, keys.len());
                held.keys = Some((now, Arc::new(keys)));
                held.trouble = None;
            }
            Err(why) => {
                let until = if held.keys.is_some() { "; those before stay in force for a day" } else { "" };
                tracing::warn!("the keys of the issuer {} cannot be fetched: {why}{until}", self.issuer);
                held.trouble = Some(why);
            }
        }
        held.is_asking = false;
        drop(held);
        self.done.send_replace(());
    }

    async fn ask(&self) -> Result<Keys, String> {
        let keys = match &self.keys {
            Some(keys) => keys.clone(),
            None => self.describe().await?,
        };
        Keys::read(&self.get(keys, "set of keys").await?)
    }

    /// Where the issuer says that its keys are.
    async fn describe(&self) -> Result<Url, String> {
        let url = address(&format!("{}{DESCRIPTION}", self.issuer.trim_end_matches('/')))?;
        let is_near = is_loopback(&url);
        let description = self.get(url, "description").await?;
        let description = json::read(&description).map_err(|_| format!("its {DESCRIPTION} is no JSON"))?;
        let text = |name| description.get(name).and_then(Node::text);
        // Whoever answers in its place would say so here, as the standard wants it.
        if text("issuer") != Some(&self.issuer) {
            return Err(format!("its {DESCRIPTION} is that of another issuer"));
        }
        let keys = text("jwks_uri").ok_or_else(|| format!("its {DESCRIPTION} has no \"jwks_uri\""))?;
        let keys = address(keys).map_err(|why| format!("its \"jwks_uri\" {why}"))?;
        if !is_near && is_loopback(&keys) {
            return Err("its \"jwks_uri\" is on this host".to_owned());
        }
        Ok(keys)
    }

    async fn get(&self, url: Url, what: &str) -> Result<Vec<u8>, String> {
        let response = self.client.get(url).send().await.map_err(|error| answer::sentence(&error))?;
        match response.status() {
            StatusCode::OK => answer::bytes(response, MAX_BYTES, what).await,
            status if status.is_redirection() => {
                Err(format!("it answers {status}, and nobody is followed elsewhere"))
            }
            status => Err(format!("it answers {status}")),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched")
            .field("issuer", &self.issuer)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

// === impl Held ===

impl Held {
    fn younger(&self, now: u64, seconds: u64) -> Option<Arc<Keys>> {
        // Of a clock that was put back, what is far ahead is as old as what is far behind.
        let keys = self.keys.as_ref().filter(|(at, _)| now.abs_diff(*at) < seconds);
        keys.map(|(_, keys)| keys.clone())
    }

    fn may_ask(&self, now: u64) -> bool {
        let pause = if self.keys.is_some() { PAUSE } else { PAUSE_WITHOUT_KEYS };
        // A clock that was put back must not stop it.
        let is_paused = |asked: u64| asked <= now && now - asked < pause;
        !self.is_asking && !self.asked.is_some_and(is_paused)
    }
}
