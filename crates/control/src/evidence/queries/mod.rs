//! What the operator's queries count of a rollout: for guards on what the filter does not see, as failed payments.
//!
//! | file | what is in it |
//! |---|---|
//! | `selector` | counters in a Prometheus, raw, never a rate |
//! | `webhook` | counters that a service of the operator tells |
//! | `counters` | from answer to answer: what was counted in between |

mod counters;
mod selector;
mod webhook;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use coalmine_steer::Plan;
use coalmine_steer::inputs::Queried;
use coalmine_steer::plan::GuardSource;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};

use self::counters::{Answer, Counters};
use super::turns::{Time, Turns};
use crate::config::{self, QuerySource};
use crate::rollout::Name;

pub use selector::{NotASelector, Selector};

use selector::Selectors;
use webhook::Webhook;

/// How many queries are asked at a time.
const AT_ONCE: usize = 16;

/// The operator's queries, and what each said last of each rollout.
#[derive(Debug, Default)]
pub struct Queries {
    known: BTreeMap<String, Query>,
    /// How long all of them may take together.
    within: Duration,
    counters: BTreeMap<(Name, String), Counters>,
    turns: Turns<(Name, String)>,
}

/// A rollout whose plan names queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub rollout: Name,
    /// The variant that the canary is compared with.
    pub compared: &'static str,
    /// The queries.
    pub queries: Vec<String>,
}

/// What queries say of each rollout, by their names.
pub type Answers = BTreeMap<Name, BTreeMap<String, Queried>>;

#[derive(Debug)]
enum Query {
    Selectors(Selectors),
    Webhook(Webhook),
}

/// The two arms of a rollout, as a query is asked about them.
#[derive(Clone, Copy, Debug)]
struct Arms<'a> {
    rollout: &'a Name,
    /// Stable's name, or the baseline's, and the canary's.
    variants: [&'a str; 2],
}

// === impl Queries ===

impl Queries {
    /// The queries of a configuration, all answered within this time.
    ///
    /// # Errors
    /// A certificate or a secret will not do: a sentence, without the secret.
    pub fn new(queries: &BTreeMap<String, config::Query>, within: Duration) -> Result<Self, String> {
        let mut known = BTreeMap::new();
        for (name, query) in queries {
            let query = match &query.source {
                QuerySource::Prometheus { address, all, part } => {
                    let place = format!("queries.{name}.prometheus");
                    Query::Selectors(Selectors::new(address, &place, within, all.clone(), part.clone())?)
                }
                QuerySource::Webhook { url, token } => {
                    Query::Webhook(Webhook::new(name, url, token.as_deref(), within)?)
                }
            };
            known.insert(name.clone(), query);
        }
        Ok(Self { known, within, counters: BTreeMap::new(), turns: Turns::default() })
    }

    /// Asks all queries of these rollouts now. What was counted is the difference to the answer before.
    pub async fn read(&mut self, now: u64, wanted: &[Wanted]) -> Answers {
        let (known, time) = (&self.known, Time::of(self.within));
        let asked = wanted.iter().flat_map(|wanted| wanted.queries.iter().map(move |query| (wanted, query)));
        let asked = asked.filter_map(|(wanted, name)| Some((wanted, name, known.get(name)?)));
        let mut asked: Vec<(&Wanted, &String, &Query)> = asked.collect();
        self.turns.begin(&mut asked, |(wanted, name, _)| (wanted.rollout.clone(), (*name).clone()));
        let asked =
            asked.into_iter().map(|(wanted, name, query)| ask(now, time, wanted, name, query).boxed());
        let asked: Vec<BoxFuture<'_, Asked<'_>>> = asked.collect();
        let answers: Vec<Asked<'_>> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        let mut before = std::mem::take(&mut self.counters);
        let mut said = Answers::new();
        for (wanted, name, answer) in answers {
            let key = (wanted.rollout.clone(), name.clone());
            let mut counters = before.remove(&key).unwrap_or_default();
            let queried = match answer {
                Some(Ok(answer)) => {
                    self.turns.asked(key.clone(), false);
                    Queried { counted: counters.take(answer), away: None }
                }
                Some(Err(why)) => {
                    self.turns.asked(key.clone(), true);
                    Queried { counted: None, away: Some(why) }
                }
                None => {
                    let why = "other queries took all the time that there is to ask it";
                    Queried { counted: None, away: Some(why.to_owned()) }
                }
            };
            self.counters.insert(key, counters);
            said.entry(wanted.rollout.clone()).or_default().insert(name.clone(), queried);
        }
        said
    }

    /// Forgets the answers before, as [`Source::forget`](crate::evidence::Source::forget) does.
    pub fn forget(&mut self) {
        self.counters.clear();
    }
}

/// A rollout, the name of a query, and what it answers; none where there was no time to ask it.
type Asked<'a> = (&'a Wanted, &'a String, Option<Result<Answer, String>>);

async fn ask<'a>(now: u64, time: Time, wanted: &'a Wanted, name: &'a String, query: &'a Query) -> Asked<'a> {
    let arms = Arms { rollout: &wanted.rollout, variants: [wanted.compared, "canary"] };
    (wanted, name, time.ask(query.ask(now, arms)).await)
}

// === impl Query ===

impl Query {
    async fn ask(&self, now: u64, arms: Arms<'_>) -> Result<Answer, String> {
        match self {
            Self::Selectors(selectors) => selectors.ask(now, arms).await,
            Self::Webhook(webhook) => webhook.ask(now, arms).await,
        }
    }
}

/// The queries that the guards of a plan name.
pub fn named(plan: &Plan) -> Vec<String> {
    let queries = plan.guards.iter().filter_map(|guard| match &guard.source {
        GuardSource::Query(query) => Some(query.clone()),
        GuardSource::Errors | GuardSource::SlowerThan(_) => None,
    });
    queries.collect()
}

impl fmt::Display for Arms<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [stable, canary] = self.variants;
        write!(f, "{stable} and {canary} of {}", self.rollout)
    }
}

#[cfg(test)]
mod tests;
