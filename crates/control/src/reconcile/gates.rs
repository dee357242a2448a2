//! Gates are asked over HTTP, beside the ticks: no tick waits for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coalmine_steer::inputs::GateAnswer;
use coalmine_steer::text::percent;
use reqwest::header::HeaderMap;
use serde_json::json;

use crate::post::{Poster, WITHIN, address};
use crate::rollout::Name;

/// The gates of the operator.
#[derive(Clone)]
pub struct Gates {
    poster: Poster,
    gates: Arc<BTreeMap<String, reqwest::Url>>,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    answers: BTreeMap<Name, BTreeMap<String, GateAnswer>>,
    /// What goes on, so that no gate is asked twice at a time.
    asking: BTreeSet<(Name, String)>,
}

// === impl Gates ===

impl Gates {
    /// Gates by name and address.
    ///
    /// # Errors
    /// An address is no URL, or cannot be asked from this host: a sentence without the addresses, which may hold tokens.
    pub fn new(gates: &BTreeMap<String, String>) -> Result<Self, String> {
        let read = |(name, url): (&String, &String)| Ok((name.clone(), address(name, url)?));
        let gates: BTreeMap<_, _> = gates.iter().map(read).collect::<Result<_, String>>()?;
        let poster = Poster::new(gates.values(), WITHIN)?;
        Ok(Self { poster, gates: Arc::new(gates), known: Arc::default() })
    }

    /// What the gates answered about a rollout.
    pub(super) fn answers(&self, name: &Name) -> BTreeMap<String, GateAnswer> {
        self.known().answers.get(name).cloned().unwrap_or_default()
    }

    /// Forgets what is about other rollouts than these.
    pub(super) fn keep(&self, is_there: impl Fn(&Name) -> bool) {
        self.known().answers.retain(|name, _| is_there(name));
    }

    /// Asks a gate. 200 passes, 409 does not; anything else is no answer, and it is asked again.
    pub(super) fn ask(&self, name: &Name, gate: &str, release: u64, weight: u32, entered: u64) {
        let asked = (name.clone(), gate.to_owned());
        if !self.known().asking.insert(asked.clone()) {
            return;
        }
        let gates = self.clone();
        tokio::spawn(async move {
            let (name, gate) = &asked;
            let body = json!({
                "rollout": name.as_str(), "release": release, "weight": f64::from(weight) / 10_000.0, "gate": gate,
            });
            let answer = match gates.gates.get(gate) {
                Some(url) => gates.poster.post(url, HeaderMap::new(), body.to_string()).await,
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
            let mut known = gates.known();
            let answer = GateAnswer { release, weight, entered, passed, message };
            known.answers.entry(name.clone()).or_default().insert(gate.clone(), answer);
            known.asking.remove(&asked);
        });
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Gates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gates").field(&self.gates.keys()).finish()
    }
}
