//! What is said of a rollout in its object beside its record: whether the policy of the proxies has it.

use super::Kubernetes;
use super::conditions::{PUBLISHED, set, set_standing};
use crate::rollout::Name;
use crate::store::StoreError;

/// Why the policy that proxies have does not hold a rollout as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unpublished {
    /// It cannot stand in the policy beside the others: a sentence.
    LeftOut(String),
    /// The policy does not come to the proxies: a sentence.
    NotDelivered(String),
}

// === impl Kubernetes ===

impl Kubernetes {
    /// Writes down at this time whether the policy of the proxies has a rollout as it should. Nothing is written where the object
    /// says so already, nor before it is accepted.
    ///
    /// # Errors
    /// The API did not do it.
    pub async fn say_published(
        &self,
        name: &Name,
        trouble: Option<&Unpublished>,
        now: u64,
    ) -> Result<(), StoreError> {
        let Some(kept) = self.inner.cache.rollout(name).filter(|kept| !kept.is_unaccepted()) else {
            return Ok(());
        };
        let (reason, message) = match trouble {
            None => ("Published", "the policy that proxies get has it"),
            Some(Unpublished::LeftOut(why)) => ("LeftOut", why.as_str()),
            Some(Unpublished::NotDelivered(why)) => ("NotDelivered", why.as_str()),
        };
        let mut conditions = kept.object.status.iter().flat_map(|status| &status.conditions);
        let said = conditions.find(|it| it.r#type == PUBLISHED);
        if said.is_some_and(|said| said.reason == reason && said.message == message) {
            return Ok(());
        }
        let mut status = kept.status()?;
        set(&mut status, PUBLISHED, trouble.is_none(), reason, message, now);
        if let Ok(Some(record)) = &kept.record {
            set_standing(&mut status, record, now);
        }
        self.inner.write_status(name, kept.object.clone(), status).await.map(|_version| ())
    }
}
