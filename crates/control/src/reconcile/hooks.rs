//! Gates are asked and people are told, over HTTP, beside the ticks: no tick waits for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coalmine_steer::Notice;
use coalmine_steer::inputs::GateAnswer;
use coalmine_steer::text::percent;
use serde_json::{Value, json};

use crate::evidence::answer::sentence;
use crate::rollout::Name;
use crate::tls;

/// How long a gate or a notifier may take.
const WITHIN: Duration = Duration::from_secs(10);
/// The most characters of an answer that are kept, and the most bytes that are read.
const MAX_SAID: usize = 500;
const MAX_BYTES: usize = 16 << 10;

/// The gates and notifiers of the operator.
#[derive(Clone)]
pub struct Hooks {
    client: reqwest::Client,
    gates: Arc<BTreeMap<String, reqwest::Url>>,
    notifiers: Arc<BTreeMap<String, reqwest::Url>>,
    known: Arc<Mutex<Known>>,
}

/// Why gates and notifiers cannot be asked: a sentence without their addresses, which may hold tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoHooks(String);

#[derive(Default)]
struct Known {
    answers: BTreeMap<Name, BTreeMap<String, GateAnswer>>,
    delivered: BTreeMap<Name, BTreeSet<u64>>,
    /// What goes on, so that nobody is asked twice at a time.
    asking: BTreeSet<(Name, String)>,
    telling: BTreeSet<(Name, u64)>,
}

// === impl Hooks ===

impl Hooks {
    /// Hooks by name and address.
    ///
    /// # Errors
    /// An address is no URL.
    pub fn new(
        gates: &BTreeMap<String, String>,
        notifiers: &BTreeMap<String, String>,
    ) -> Result<Self, NoHooks> {
        let read = |hooks: &BTreeMap<String, String>| {
            let read = |(name, url): (&String, &String)| {
                let url: reqwest::Url =
                    url.parse().map_err(|_| NoHooks(format!("the address of {name} is no URL")))?;
                Ok((name.clone(), url))
            };
            hooks.iter().map(read).collect::<Result<_, _>>()
        };
        let (gates, notifiers): (BTreeMap<_, _>, BTreeMap<_, _>) = (read(gates)?, read(notifiers)?);
        let is_plain = gates.values().chain(notifiers.values()).all(|url| url.scheme() == "http");
        let client = tls::client(is_plain).timeout(WITHIN).build();
        let why = |error| NoHooks(format!("gates and notifiers cannot be asked: {}", sentence(&error)));
        Ok(Self {
            client: client.map_err(why)?,
            gates: Arc::new(gates),
            notifiers: Arc::new(notifiers),
            known: Arc::default(),
        })
    }

    /// What the gates answered about a rollout.
    pub(super) fn answers(&self, name: &Name) -> BTreeMap<String, GateAnswer> {
        self.known().answers.get(name).cloned().unwrap_or_default()
    }

    /// Which of these notices were delivered. Others are forgotten: the record does not have them any more.
    pub(super) fn delivered(&self, name: &Name, notices: &[Notice]) -> Vec<u64> {
        let mut known = self.known();
        let Some(delivered) = known.delivered.get_mut(name) else { return Vec::new() };
        delivered.retain(|id| notices.iter().any(|notice| notice.id == *id));
        delivered.iter().copied().collect()
    }

    /// Forgets what is about other rollouts than these.
    pub(super) fn keep(&self, is_there: impl Fn(&Name) -> bool) {
        let mut known = self.known();
        known.answers.retain(|name, _| is_there(name));
        known.delivered.retain(|name, _| is_there(name));
    }

    /// Asks a gate. 200 passes, 409 does not; anything else is no answer, and it is asked again.
    pub(super) fn ask(&self, name: &Name, gate: &str, release: u64, weight: u32, entered: u64) {
        let asked = (name.clone(), gate.to_owned());
        if !self.known().asking.insert(asked.clone()) {
            return;
        }
        let hooks = self.clone();
        tokio::spawn(async move {
            let (name, gate) = &asked;
            let body = json!({
                "rollout": name.as_str(), "release": release, "weight": f64::from(weight) / 10_000.0, "gate": gate,
            });
            let answer = match hooks.gates.get(gate) {
                Some(url) => hooks.post(url, &body).await,
                None => Err("the server has no such gate any more".to_owned()),
            };
            let (passed, message) = match answer {
                Ok((200, said)) => (true, said),
                Ok((409, said)) => (false, if said.is_empty() { "it says no".to_owned() } else { said }),
                Ok((status, _)) => (false, format!("it answers {status}, and is asked again")),
                Err(why) => (false, format!("{why}, and it is asked again")),
            };
            if passed {
                tracing::info!(rollout = %name, "gate {gate} passed at {} %", percent(weight));
            }
            let mut known = hooks.known();
            let answer = GateAnswer { release, weight, entered, passed, message };
            known.answers.entry(name.clone()).or_default().insert(gate.clone(), answer);
            known.asking.remove(&asked);
        });
    }

    /// Tells people. It is tried again at each tick until every notifier of the notice has taken it.
    pub(super) fn tell(&self, name: &Name, notice: &Notice) {
        let told = (name.clone(), notice.id);
        {
            let mut known = self.known();
            let is_done = known.delivered.get(name).is_some_and(|done| done.contains(&notice.id));
            if is_done || !known.telling.insert(told.clone()) {
                return;
            }
        }
        let (hooks, notice) = (self.clone(), notice.clone());
        tokio::spawn(async move {
            let (name, id) = &told;
            let body = json!({"rollout": name.as_str(), "id": id, "message": notice.message, "text": notice.message});
            let mut is_done = true;
            for notifier in &notice.to {
                let taken = match hooks.notifiers.get(notifier) {
                    Some(url) => hooks.post(url, &body).await,
                    None => Ok((204, String::new())),
                };
                if !matches!(taken, Ok((200..=299, _))) {
                    tracing::warn!(rollout = %name, "notifier {notifier} does not take a notice; it is tried again");
                    is_done = false;
                }
            }
            let mut known = hooks.known();
            if is_done {
                known.delivered.entry(name.clone()).or_default().insert(*id);
            }
            known.telling.remove(&told);
        });
    }

    /// The status of an answer, and the beginning of its text.
    async fn post(&self, url: &reqwest::Url, body: &Value) -> Result<(u16, String), String> {
        let request = self.client.post(url.clone()).header("content-type", "application/json");
        let is_late = |error: reqwest::Error| match error.is_timeout() {
            true => "it does not answer in time".to_owned(),
            false => "it cannot be reached".to_owned(),
        };
        let mut response = request.body(body.to_string()).send().await.map_err(is_late)?;
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

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |hooks: &BTreeMap<String, reqwest::Url>| hooks.keys().cloned().collect::<Vec<_>>();
        f.debug_struct("Hooks")
            .field("gates", &names(&self.gates))
            .field("notifiers", &names(&self.notifiers))
            .finish_non_exhaustive()
    }
}

// === impl NoHooks ===

impl fmt::Display for NoHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoHooks {}
