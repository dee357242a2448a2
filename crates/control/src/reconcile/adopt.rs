//! What people or Git write into a cluster becomes records, by the same operations that the API has; and their objects say
//! whether proxies get what they say.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval};

use super::{POLL, is_of_one, told};
use crate::ending::Ending;
use crate::operations::{self, Asked, Refused};
use crate::rollout::Name;
use crate::server::{Server, View};
use crate::store::{Intent, Kubernetes, StoreError, Unpublished};

/// Seconds after which it is tried again to answer somebody whom the API would not let be answered.
const AGAIN: u64 = 60;

/// Accepts what is wanted, or says why not, until the server ends.
pub async fn adopt_always(server: Arc<Server>, store: Arc<Kubernetes>, mut ending: Ending) {
    // What cannot be answered, by generation, and when that was tried last.
    let mut unanswered: BTreeMap<Name, (i64, u64)> = BTreeMap::new();
    // Those whose status does not take whether they are published, and when that was tried last.
    let mut unsaid: BTreeMap<Name, u64> = BTreeMap::new();
    let mut poll = interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = poll.tick() => {}
            () = ending.comes() => return,
        }
        let work = async {
            say_published(&server, &store, &mut unsaid).await;
            adopt_all(&server, &store, &mut unanswered).await;
        };
        tokio::select! {
            () = work => {}
            () = ending.comes() => return,
        }
    }
}

/// Accepts or refuses what is wanted now.
async fn adopt_all(server: &Server, store: &Kubernetes, unanswered: &mut BTreeMap<Name, (i64, u64)>) {
    for intent in store.intents() {
        let now = server.now();
        let tried = unanswered.get(&intent.name).filter(|(generation, _)| *generation == intent.generation);
        if tried.is_some_and(|(_, at)| now < at + AGAIN) {
            continue;
        }
        unanswered.remove(&intent.name);
        match adopt(server, store, &intent).await {
            // Somebody else has written it meanwhile, and its turn comes again.
            Err(StoreError::Moved) => {}
            // As an object from before its definition became stricter, whose status nobody can write.
            Err(error) if is_of_one(&error) => {
                tracing::error!(rollout = %intent.name, "{error}");
                unanswered.insert(intent.name.clone(), (intent.generation, now));
            }
            done => drop(told(server, done)),
        }
    }
}

/// Says of each rollout whether the policy of the proxies has it as it should. An object that does not take it keeps no other
/// from being told.
async fn say_published(server: &Server, store: &Kubernetes, unsaid: &mut BTreeMap<Name, u64>) {
    let (view, now) = (server.view(), server.now());
    if !view.leads {
        return;
    }
    unsaid.retain(|name, _| view.rollouts.contains_key(name));
    for (name, seen) in &view.rollouts {
        if unsaid.get(name).is_some_and(|at| now < at + AGAIN) {
            continue;
        }
        let left_out = seen.left_out.clone().map(Unpublished::LeftOut);
        let trouble = left_out.or_else(|| undelivered(server, &view, name).map(Unpublished::NotDelivered));
        match store.say_published(name, trouble.as_ref(), now).await {
            Err(StoreError::Moved) => {}
            Ok(()) => drop(unsaid.remove(name)),
            Err(error) if is_of_one(&error) => {
                if unsaid.insert(name.clone(), now).is_none() {
                    tracing::error!(rollout = %name, "its object is not told whether it is published: {error}");
                }
            }
            done => {
                told(server, done);
                return;
            }
        }
    }
}

/// Why the plugins have not got what the latest policy says of a rollout, where that is so.
fn undelivered(server: &Server, view: &View, name: &Name) -> Option<String> {
    let fleet = server.fleets().of_rollout(name)?;
    let delivery = view.plugins.get(fleet)?;
    let latest = server.published(fleet)?;
    let has_it = delivery.had.as_ref().is_some_and(|had| had.parts.get(name) == latest.parts.get(name));
    delivery.trouble().filter(|_| !has_it)
}

/// Accepts one, or says in its status why not.
async fn adopt(server: &Server, store: &Kubernetes, intent: &Intent) -> Result<(), StoreError> {
    let asked = Asked { by: &intent.by, expected: None, release: None, dry_run: false, answer: None };
    let done = match &intent.written {
        Some(written) => operations::write(server, &intent.name, written, &asked).await,
        None => operations::remove(server, &intent.name, &asked).await,
    };
    let refused = match done {
        Ok(written) if written.is_changed => {
            tracing::info!(rollout = %intent.name, by = intent.by, "accepted what is written in the cluster");
            return Ok(());
        }
        Ok(_) => None,
        Err(Refused::Store(error)) => return Err(error),
        Err(refused) => Some(refused.to_string()),
    };
    if let Some(why) = &refused {
        if intent.refused.as_ref() == Some(why) {
            return Ok(());
        }
        tracing::error!(rollout = %intent.name, by = intent.by, "refused what is written in the cluster: {why}");
    }
    store.answer_intent(intent, refused.as_deref(), server.now()).await
}
