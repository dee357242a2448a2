//! Specs that are not accepted yet: somebody, or Git, has written or deleted an object.

use super::Kubernetes;
use super::conditions::{set_accepted, set_nothing, set_standing};
use super::object::{Kept, spec_of};
use crate::rollout::Name;
use crate::store::StoreError;

/// What somebody wants of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The rollout.
    pub name: Name,
    /// The object's generation, which counts its specs.
    pub generation: i64,
    /// The document, in JSON; none where the object is to go.
    pub written: Option<String>,
    /// Who wants it, as the API noted it.
    pub by: String,
    /// Why it was refused, where it was refused already.
    pub refused: Option<String>,
}

// === impl Kubernetes ===

impl Kubernetes {
    /// What is wanted and not accepted.
    pub fn intents(&self) -> Vec<Intent> {
        let known = self.inner.cache.known();
        known.rollouts.iter().filter_map(|(name, kept)| intent(name, kept)).collect()
    }

    /// Writes down at this time whether an intent is accepted, and why not. What was accepted before stays in force.
    ///
    /// # Errors
    /// The API did not do it.
    pub async fn answer_intent(
        &self,
        intent: &Intent,
        refused: Option<&str>,
        now: u64,
    ) -> Result<(), StoreError> {
        let Some(kept) = self.inner.cache.rollout(&intent.name) else { return Ok(()) };
        if kept.object.metadata.generation != Some(intent.generation) {
            return Ok(());
        }
        let mut status = kept.status()?;
        status.observed_generation = Some(intent.generation);
        set_accepted(&mut status, refused, now);
        match (&kept.record, refused) {
            (Ok(Some(record)), _) => set_standing(&mut status, record, now),
            (_, Some(why)) => {
                set_nothing(&mut status, why, now);
                status.message = Some(why.to_owned());
            }
            (_, None) => {}
        }
        self.inner.write_status(&intent.name, kept.object.clone(), status).await.map(|_version| ())
    }
}

fn intent(name: &Name, kept: &Kept) -> Option<Intent> {
    let record = kept.record.as_ref().ok()?.as_ref();
    let generation = kept.object.metadata.generation.unwrap_or_default();
    let by = kept.author().unwrap_or("somebody in the cluster").to_owned();
    let mut conditions = kept.object.status.iter().flat_map(|status| &status.conditions);
    let said_refused = conditions.find(|it| it.r#type == "Accepted" && it.status == "False");
    let of_this = said_refused.filter(|it| it.observed_generation == Some(generation));
    let refused = of_this.map(|it| it.message.clone());
    if kept.is_being_deleted() {
        let is_wanted = record.is_some_and(|record| !record.deleted) && kept.is_held();
        return is_wanted.then(|| Intent { name: name.clone(), generation, written: None, by, refused });
    }
    let is_accepted =
        record.is_some_and(|it| spec_of(&it.written).is_ok_and(|spec| spec.is_same(&kept.object.spec)));
    // Where somebody put back what is in force, it is still to be said that nothing is refused any more.
    if is_accepted && (record.is_some_and(|record| record.deleted) || said_refused.is_none()) {
        return None;
    }
    let written = match record.filter(|_| is_accepted) {
        Some(record) => record.written.clone(),
        None => kept.object.spec.document().to_string(),
    };
    Some(Intent { name: name.clone(), generation, written: Some(written), by, refused })
}
