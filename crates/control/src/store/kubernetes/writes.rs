//! A record is written, removed, or cleared of what is old.

use kube::ResourceExt as _;
use kube::api::{DeleteParams, PostParams, Preconditions};

use super::object::{Kept, changed, spec_of, version_of};
use super::{Inner, MANAGER, told};
use crate::kubernetes::{CanaryRollout, CanaryRolloutStatus, FINALIZER, within};
use crate::rollout::Name;
use crate::store::{ANSWERS_FOR, Change, StoreError};

// === impl Inner ===

impl Inner {
    /// Writes a record into the status. Where the document is another one, and not what the object says already, the spec is
    /// written first: a crash between both leaves a spec that is taken as anybody's.
    pub(super) async fn commit(&self, change: &Change) -> Result<u64, StoreError> {
        let _alone = self.writing.lock().await;
        let name = &change.record.name;
        if let Some(only) = self.only.as_deref().filter(|only| *only != name.namespace()) {
            return Err(StoreError::Refused(format!(
                "this server has the rollouts of the namespace {only} alone"
            )));
        }
        let kept = self.cache.rollout(name);
        match &kept {
            None if change.expected > 0 => return Err(StoreError::Moved),
            Some(kept) if change.expected > 0 && kept.version != change.expected => {
                return Err(StoreError::Moved);
            }
            Some(kept) if change.expected == 0 && !kept.is_unaccepted() => return Err(StoreError::Moved),
            _ => {}
        }
        let kept = kept.as_deref();
        if !change.record.deleted && kept.is_some_and(Kept::is_being_deleted) {
            let what = format!(
                "{name} is being deleted, which ends when nobody is on its canary; write it anew then"
            );
            return Err(StoreError::Refused(what));
        }
        let mut object = match kept {
            Some(kept) => kept.object.clone(),
            None => CanaryRollout::default_of(name),
        };
        // What is too large is refused before anything is written.
        changed(kept, change, None)?;
        let was_written = kept.and_then(|kept| kept.record.as_ref().ok()?.as_ref()).map(|it| &it.written);
        let mut is_other = false;
        if was_written != Some(&change.record.written) {
            let spec = spec_of(&change.record.written)?;
            is_other = !spec.is_same(&object.spec);
            if is_other {
                object.spec = spec;
            }
        }
        let is_unheld = kept.is_none_or(|kept| !kept.is_held() && !kept.is_being_deleted());
        if is_unheld {
            object.finalizers_mut().push(FINALIZER.to_owned());
        }
        if let Some(answer) = &change.answer {
            self.reserve(answer, name).await?;
        }
        let written = self.write(kept, change, object, is_other || is_unheld).await;
        if let (Err(StoreError::Moved), Some(answer)) = (&written, &change.answer) {
            self.give_back(answer, name).await;
        }
        if matches!(written, Err(StoreError::Moved)) {
            self.read_again(name).await;
        }
        written
    }

    async fn write(
        &self,
        kept: Option<&Kept>,
        change: &Change,
        mut object: CanaryRollout,
        is_other: bool,
    ) -> Result<u64, StoreError> {
        if is_other {
            let (api, name) = (self.rollouts(&change.record.name), change.record.name.name());
            let by = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
            object = match kept {
                Some(_) => within(api.replace(name, &by, &object)).await.map_err(told)?,
                None => within(api.create(&by, &object)).await.map_err(told)?,
            };
            self.cache.see(object.clone());
        }
        // Of the spec that is there and not accepted, nothing is said.
        let is_accepted =
            kept.is_none() || spec_of(&change.record.written).is_ok_and(|spec| spec.is_same(&object.spec));
        let generation = object.metadata.generation.filter(|_| is_accepted);
        let status = changed(kept, change, generation)?;
        self.write_status(&change.record.name, object, status).await
    }

    /// Writes another status at the version of the object. The new version.
    pub(super) async fn write_status(
        &self,
        name: &Name,
        mut object: CanaryRollout,
        status: CanaryRolloutStatus,
    ) -> Result<u64, StoreError> {
        object.status = Some(status);
        let by = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let written = within(self.rollouts(name).replace_status(name.name(), &by, &object)).await;
        let object = written.map_err(told)?;
        let version = version_of(object.metadata.resource_version.as_deref());
        self.cache.see(object);
        Ok(version)
    }

    /// Somebody else was faster than the watch: reads the object, so that the next attempt has it.
    async fn read_again(&self, name: &Name) {
        match within(self.rollouts(name).get_opt(name.name())).await {
            Ok(Some(object)) => self.cache.see(object),
            Ok(None) => {
                if let Some(kept) = self.cache.rollout(name) {
                    self.cache.lose(name, kept.version);
                }
            }
            // The watch brings it.
            Err(_) => {}
        }
    }

    /// Takes the finalizer away from a deleted object, or deletes one first.
    pub(super) async fn remove(&self, name: &Name, version: u64) -> Result<(), StoreError> {
        let _alone = self.writing.lock().await;
        let kept =
            self.cache.rollout(name).filter(|kept| kept.version == version).ok_or(StoreError::Moved)?;
        let removed = self.remove_kept(name, &kept).await;
        if matches!(removed, Err(StoreError::Moved)) {
            self.read_again(name).await;
        }
        removed
    }

    async fn remove_kept(&self, name: &Name, kept: &Kept) -> Result<(), StoreError> {
        let api = self.rollouts(name);
        let mut object = kept.object.clone();
        if !kept.is_being_deleted() {
            let preconditions = Preconditions {
                resource_version: object.metadata.resource_version.clone(),
                uid: object.metadata.uid.clone(),
            };
            let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            let deleted = within(api.delete(name.name(), &parameters)).await.map_err(told)?;
            let Some(held) = deleted.left() else {
                self.cache.lose(name, kept.version);
                return Ok(());
            };
            object = held;
        }
        object.finalizers_mut().retain(|it| it != FINALIZER);
        let by = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let gone = within(api.replace(name.name(), &by, &object)).await.map_err(told)?;
        if gone.finalizers().is_empty() {
            self.cache.lose(name, version_of(gone.metadata.resource_version.as_deref()));
        } else {
            self.cache.see(gone);
        }
        Ok(())
    }

    /// What somebody writes meanwhile is left alone: its turn comes the next day.
    pub(super) async fn forget(&self, history_before: u64, now: u64) -> Result<(), StoreError> {
        let answers_before = now.saturating_sub(ANSWERS_FOR);
        let all: Vec<_> =
            self.cache.known().rollouts.iter().map(|(name, kept)| (name.clone(), kept.clone())).collect();
        for (name, kept) in all {
            let Some(left) = kept.without(history_before, answers_before) else { continue };
            let _alone = self.writing.lock().await;
            match self.write_status(&name, left.object.clone(), left.status()?).await {
                Err(StoreError::Moved) => self.read_again(&name).await,
                Err(error @ StoreError::Refused(_)) => {
                    tracing::warn!(rollout = %name, "its old history stays: {error}");
                }
                done => drop(done?),
            }
        }
        let (keys, policies) = (self.forget_keys(answers_before).await, self.forget_policies(now).await);
        keys.and(policies)
    }
}
