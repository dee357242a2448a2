//! What people or Git write into a cluster becomes records, by the same operations that the API has.

use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval};

use super::{POLL, told};
use crate::ending::Ending;
use crate::operations::{self, Asked, Refused};
use crate::server::Server;
use crate::store::{Intent, Kubernetes, StoreError};

/// Accepts what is wanted, or says why not, until the server ends.
pub async fn adopt_always(server: Arc<Server>, store: Arc<Kubernetes>, mut ending: Ending) {
    let mut poll = interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = poll.tick() => {}
            () = ending.comes() => return,
        }
        for intent in store.intents() {
            match adopt(&server, &store, &intent).await {
                // Somebody else has written it meanwhile, and its turn comes again.
                Err(StoreError::Moved) => {}
                Err(StoreError::Refused(why)) => tracing::error!(rollout = %intent.name, "{why}"),
                done => drop(told(&server, done)),
            }
        }
    }
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
