//! The loop: observe, judge, steer, commit, publish. What is decided is decided elsewhere.
//!
//! | file | what is in it |
//! |---|---|
//! | `tick` | one tick of all rollouts, with what the proxies counted |
//! | `publish` | all records become policies, and proxies get them |
//! | `refusals` | what proxies refuse is taken back, where it is the policy's fault |
//! | `gates` | gates are asked |
//! | `adopt` | what people or Git write into a cluster becomes records |
//!
//! Publishing is a task of its own: a rollback that was recorded does not wait for a proxy that answers slowly.

mod adopt;
mod gates;
mod publish;
mod refusals;
mod tick;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::ending::Ending;
use crate::evidence::{Queries, Source};
use crate::notify::Notifiers;
use crate::publish::file;
use crate::server::Server;
use crate::store::StoreError;

use publish::Publisher;

pub use adopt::adopt_always;
pub use gates::Gates;
pub use refusals::refuse_always;

/// Whom the server asks and tells, beside the ticks.
#[derive(Clone, Debug)]
pub struct Hooks {
    /// Who is asked before a step is left.
    pub gates: Gates,
    /// Who is told.
    pub notifiers: Notifiers,
}

/// How often it is seen whether another server on the same store has changed something.
const POLL: Duration = Duration::from_secs(1);
/// Days for which history is kept.
const HISTORY_DAYS: u64 = 90;
const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;
/// How long the lease may take to be given back at the end.
const RELEASED_WITHIN: Duration = Duration::from_secs(2);

/// Publishes what is recorded, whenever something changes, until the server ends. Each fleet's policy is written to its file
/// as well, where it has one.
pub async fn publish_always(server: Arc<Server>, files: BTreeMap<String, PathBuf>, mut ending: Ending) {
    let mut publisher = Publisher::default();
    let mut poll = interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = None;
    loop {
        let mut is_due = false;
        tokio::select! {
            () = server.woken() => is_due = true,
            _ = poll.tick() => {}
            () = ending.comes() => return,
        }
        let work = publish_due(&server, &mut publisher, &mut seen, is_due, &files);
        tokio::select! {
            () = work => {}
            // A publication that is on its way is in the store or not, and the next server sends it.
            () = ending.comes() => return,
        }
    }
}

/// Publishes what is recorded, where something has changed since the count that was `seen` last.
async fn publish_due(
    server: &Server,
    publisher: &mut Publisher,
    seen: &mut Option<u64>,
    is_due: bool,
    files: &BTreeMap<String, PathBuf>,
) {
    let counted = server.store().counter().await;
    // A publication counts too, so that what comes of it is looked at once more, and nothing in between is missed.
    let Some(counted) = told(server, counted) else { return };
    if !is_due && *seen == Some(counted) && !is_to_renew(server) {
        return;
    }
    server.tell();
    let begin = Instant::now();
    let published = publisher.publish(server).await;
    server.timings().published(begin.elapsed());
    match published {
        // Whoever moved a record so often will be done in a moment.
        Err(StoreError::Moved) => {}
        published => {
            if told(server, published).is_some() {
                *seen = Some(counted);
            }
        }
    }
    for (fleet, path) in files {
        write_document(server, fleet, path).await;
    }
}

/// Whether proxies would fall back by themselves before long.
fn is_to_renew(server: &Server) -> bool {
    let is_due = |fleet| server.published(fleet)?.renewed_from().map(|from| from <= server.now());
    server.fleets().names().any(|fleet| is_due(fleet) == Some(true))
}

/// Ticks until the server ends, with the evidence of each fleet and of the operator's queries.
pub async fn tick_always(
    server: Arc<Server>,
    mut sources: BTreeMap<String, Box<dyn Source>>,
    mut queries: Queries,
    hooks: Hooks,
    holder: String,
    mut ending: Ending,
) {
    let mut ticks = interval(Duration::from_secs(server.tick()));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut clearing = Clearing::default();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = ending.comes() => break,
        }
        let work = async {
            let each = sources.iter_mut().map(|(fleet, source)| (fleet.as_str(), source.as_mut()));
            let begin = Instant::now();
            let ticked = tick::tick_all(&server, each.collect(), &mut queries, &hooks, &holder).await;
            // Where another server ticks, this one has only seen that.
            if server.view().leads {
                server.timings().ticked(begin.elapsed());
            }
            told(&server, ticked);
            clearing.come(&server).await;
        };
        tokio::select! {
            () = work => {}
            // A record is written as a whole or not at all, and what follows it the next tick does, here or elsewhere.
            () = ending.comes() => break,
        }
    }
    // Another server on the same store goes on at once; without that, when the lease runs out.
    let now = server.now();
    let released = timeout(RELEASED_WITHIN, server.store().lease(&holder, now, now)).await;
    let released = released.unwrap_or_else(|_| Err(StoreError::Away("it keeps the lease".to_owned())));
    told(&server, released);
}

/// When old history is removed next, in seconds since 1970.
#[derive(Debug, Default)]
struct Clearing {
    due: u64,
}

// === impl Clearing ===

impl Clearing {
    /// Removes it once a day; where that fails, it is tried again after an hour.
    async fn come(&mut self, server: &Server) {
        let now = server.now();
        if now < self.due {
            return;
        }
        let removed = server.store().forget(now.saturating_sub(HISTORY_DAYS * DAY), now).await;
        self.due = now + if told(server, removed).is_some() { DAY } else { HOUR };
    }
}

async fn write_document(server: &Server, fleet: &str, path: &Path) {
    let Some(publication) = server.published(fleet) else { return };
    let path = path.to_owned();
    let written = tokio::task::spawn_blocking(move || file::write(&path, &publication.document)).await;
    if let Ok(Err(error)) = written {
        tracing::error!("{error}");
    }
}

/// Whether the store refuses one rollout, as where a webhook of the cluster denies the write of its object, and answers for all
/// others.
fn is_of_one(error: &StoreError) -> bool {
    matches!(error, StoreError::Refused(_) | StoreError::Unreadable(_))
}

/// Says what the store does not do, once for as long as it lasts; it is tried again at the next tick.
fn told<T>(server: &Server, result: Result<T, StoreError>) -> Option<T> {
    let was_away = server.view().store_away.clone();
    match result {
        Ok(done) => {
            if was_away.is_some() {
                tracing::info!("the store answers again");
                server.look(|view| view.store_away = None);
            }
            Some(done)
        }
        Err(error) => {
            let message = error.to_string();
            if was_away.as_deref() != Some(&message) {
                tracing::error!("{message}");
                server.look(|view| view.store_away = Some(message));
            }
            None
        }
    }
}

#[cfg(test)]
mod tests;
