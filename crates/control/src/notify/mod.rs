//! People and programs are told what happens, over HTTP, beside the ticks: no move waits for them.
//!
//! | file | what is in it |
//! |---|---|
//! | `shape` | what is posted: JSON for programs, for Slack, for Microsoft Teams |
//! | `signature` | how a receiver knows that it was this server, and now |
//!
//! A notice is tried again until its notifier has taken it, later and later. Addresses are secrets: no message has one.

mod shape;
mod signature;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coalmine_steer::Notice;
use reqwest::header::HeaderMap;
use tokio::time::Instant;

use crate::post::{Poster, WITHIN, address};
use crate::rollout::Name;

pub use shape::Shape;
use signature::Secret;

/// How long a notice waits after the first time that it was not taken, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Somebody who is told, as the operator writes it.
#[derive(Clone, PartialEq, Eq)]
pub struct Notifier {
    /// Its address, a secret.
    pub url: String,
    /// What it reads.
    pub shape: Shape,
    /// What notices are signed with, where they are.
    pub secret: Option<String>,
}

/// The same, read.
struct Receiver {
    url: reqwest::Url,
    shape: Shape,
    secret: Option<Secret>,
}

/// The notifiers of the operator.
#[derive(Clone)]
pub struct Notifiers {
    poster: Poster,
    receivers: Arc<BTreeMap<String, Receiver>>,
    /// Seconds since 1970.
    now: fn() -> u64,
    known: Arc<Mutex<BTreeMap<Name, BTreeMap<u64, Telling>>>>,
}

/// What is known of a notice.
#[derive(Default)]
struct Telling {
    /// Whom it is being sent to, so that nobody is sent it twice at a time.
    under_way: bool,
    /// Who has taken it.
    taken: BTreeSet<String>,
    /// Whether everybody has.
    is_done: bool,
    /// When it is tried again, and how long it waits after that.
    again: Option<(Instant, Duration)>,
}

// === impl Notifier ===

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").field("shape", &self.shape).finish_non_exhaustive()
    }
}

// === impl Receiver ===

impl Receiver {
    fn new(name: &str, notifier: &Notifier) -> Result<Self, String> {
        let url = address(name, &notifier.url)?;
        let secret = match &notifier.secret {
            Some(text) => {
                Some(Secret::new(text).ok_or_else(|| format!("the secret of {name} {}", Secret::FORM))?)
            }
            None => None,
        };
        Ok(Self { url, shape: notifier.shape, secret })
    }
}

// === impl Notifiers ===

impl Notifiers {
    /// Notifiers by name, and the clock that signatures name.
    ///
    /// # Errors
    /// An address or a secret is none, or cannot be used from this host: a sentence without either.
    pub fn new(notifiers: &BTreeMap<String, Notifier>, now: fn() -> u64) -> Result<Self, String> {
        let read =
            |(name, notifier): (&String, &Notifier)| Ok((name.clone(), Receiver::new(name, notifier)?));
        let receivers: BTreeMap<_, _> = notifiers.iter().map(read).collect::<Result<_, String>>()?;
        let poster = Poster::new(receivers.values().map(|receiver| &receiver.url), WITHIN)?;
        Ok(Self { poster, receivers: Arc::new(receivers), now, known: Arc::default() })
    }

    /// Which of these notices were delivered. Others are forgotten: the record does not have them any more.
    pub(crate) fn delivered(&self, name: &Name, notices: &[Notice]) -> Vec<u64> {
        let mut known = self.known();
        let Some(told) = known.get_mut(name) else { return Vec::new() };
        told.retain(|id, telling| telling.under_way || notices.iter().any(|notice| notice.id == *id));
        told.iter().filter(|(_, telling)| telling.is_done).map(|(id, _)| *id).collect()
    }

    /// Forgets what is about other rollouts than these.
    pub(crate) fn keep(&self, is_there: impl Fn(&Name) -> bool) {
        self.known().retain(|name, _| is_there(name));
    }

    /// Sends a notice to those who have not taken it yet, unless that goes on, or was tried just now.
    pub(crate) fn tell(&self, name: &Name, notice: &Notice) {
        let left: Vec<String> = {
            let mut known = self.known();
            let telling = known.entry(name.clone()).or_default().entry(notice.id).or_default();
            let waits = telling.again.is_some_and(|(at, _)| Instant::now() < at);
            if telling.under_way || telling.is_done || waits {
                return;
            }
            telling.under_way = true;
            notice.to.iter().filter(|notifier| !telling.taken.contains(*notifier)).cloned().collect()
        };
        let (notifiers, name, notice) = (self.clone(), name.clone(), notice.clone());
        tokio::spawn(async move {
            let mut taken = BTreeSet::new();
            for notifier in &left {
                match notifiers.send(notifier, &name, &notice).await {
                    Ok(()) => {
                        taken.insert(notifier.clone());
                    }
                    Err(why) => tracing::warn!(
                        rollout = %name,
                        "notifier {notifier} does not take a notice: {why}; it is tried again"
                    ),
                }
            }
            let mut known = notifiers.known();
            let Some(telling) = known.get_mut(&name).and_then(|told| told.get_mut(&notice.id)) else {
                return;
            };
            telling.under_way = false;
            telling.is_done = taken.len() == left.len();
            telling.taken.append(&mut taken);
            let pause = telling.again.map_or(FIRST_PAUSE, |(_, pause)| pause);
            telling.again = Some((Instant::now() + pause, (2 * pause).min(LONGEST_PAUSE)));
        });
    }

    /// Sends a notice to one of them. Nobody of this name is there any more: nobody is told.
    async fn send(&self, to: &str, name: &Name, notice: &Notice) -> Result<(), String> {
        let Some(receiver) = self.receivers.get(to) else { return Ok(()) };
        let body = receiver.shape.body(name, notice).to_string();
        let headers = match &receiver.secret {
            Some(secret) => secret.headers(&shape::id(name, notice), (self.now)(), &body),
            None => HeaderMap::new(),
        };
        match self.poster.post(&receiver.url, headers, body).await? {
            (200..=299, _) => Ok(()),
            // What it says may repeat what was sent, and a chat program's answer has a name for what is wrong.
            (status, _) => Err(format!("it answers {status}")),
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Name, BTreeMap<u64, Telling>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Notifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Notifiers").field(&self.receivers.keys()).finish()
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
