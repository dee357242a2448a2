//! The freeze and reserved idempotency keys, as ConfigMaps of the server's own namespace, and the lease.

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams};

use super::object::version_of;
use super::{HOLDS, Inner, MANAGER, STATE, told};
use crate::kubernetes::{LEASE, holder_of, within};
use crate::rollout::{Name, digest};
use crate::store::{Answer, StoreError};

const FREEZE: &str = "coalmine-freeze";
const KEY: &str = "key";
/// How many keys are read at a time.
const PAGE: u32 = 500;
/// Seconds after which a key whose request was never done is anybody's: no request takes as long.
const KEY_SECONDS: u64 = 60;

/// A ConfigMap of this server.
pub(super) fn map(name: Option<&str>, holds: &str, data: BTreeMap<String, String>) -> ConfigMap {
    let labels = [(HOLDS, holds), ("app.kubernetes.io/managed-by", MANAGER)];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let metadata =
        ObjectMeta { name: name.map(str::to_owned), labels: Some(labels), ..ObjectMeta::default() };
    ConfigMap { metadata, data: Some(data), ..ConfigMap::default() }
}

pub(super) fn text<'a>(map: &'a ConfigMap, field: &str) -> Option<&'a str> {
    map.data.as_ref()?.get(field).map(String::as_str)
}

/// A time, or the first one where there is no such time.
fn time(seconds: u64) -> MicroTime {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    MicroTime(Timestamp::from_second(seconds).unwrap_or_default())
}

// === impl Inner ===

impl Inner {
    pub(super) fn frozen(&self) -> Option<String> {
        let known = self.cache.known();
        known.maps.get(&FREEZE.to_owned()).map(|map| text(map, "why").unwrap_or_default().to_owned())
    }

    pub(super) async fn freeze(&self, why: Option<&str>) -> Result<(), StoreError> {
        let maps = self.maps();
        let Some(why) = why else {
            let version = self.cache.known().maps.get(&FREEZE.to_owned()).map(|map| map.metadata.clone());
            let version = version_of(version.and_then(|it| it.resource_version).as_deref());
            self.delete_map(FREEZE).await?;
            self.cache.lose_map(FREEZE, version);
            return Ok(());
        };
        let frozen = map(Some(FREEZE), STATE, BTreeMap::from([("why".to_owned(), why.to_owned())]));
        let apply = PatchParams::apply(MANAGER).force();
        let frozen = within(maps.patch(FREEZE, &apply, &Patch::Apply(&frozen))).await.map_err(told)?;
        self.cache.see_map(frozen);
        Ok(())
    }

    /// Takes a key for a rollout. Requests about one rollout are told apart by its version; this is for those about several.
    pub(super) async fn reserve(&self, answer: &Answer, name: &Name) -> Result<(), StoreError> {
        let kept = self.cache.rollout(name);
        if kept.is_some_and(|kept| kept.answers.iter().any(|it| it.key == answer.key)) {
            return Err(StoreError::Moved);
        }
        let (maps, key, by) = (self.maps(), key_name(&answer.key), PostParams::default());
        let data = [("rollout".to_owned(), name.to_string()), ("at".to_owned(), answer.at.to_string())];
        let mut wanted = map(Some(&key), KEY, data.into());
        match within(maps.create(&by, &wanted)).await.map_err(told) {
            Err(StoreError::Moved) => {}
            done => return done.map(drop),
        }
        let Some(found) = within(maps.get_opt(&key)).await.map_err(told)? else {
            return Err(StoreError::Moved);
        };
        let at = text(&found, "at").and_then(|at| at.parse().ok()).unwrap_or(0_u64);
        if text(&found, "rollout") == Some(name.as_str()) {
            return Ok(());
        }
        if at + KEY_SECONDS > answer.at {
            return Err(StoreError::Moved);
        }
        let was = text(&found, "rollout").and_then(|name| name.parse().ok());
        let was_done = was.and_then(|name: Name| self.cache.rollout(&name));
        if was_done.is_some_and(|kept| kept.answers.iter().any(|it| it.key == answer.key)) {
            return Err(StoreError::Moved);
        }
        // Its server ended before it was done.
        wanted.metadata.resource_version = found.metadata.resource_version;
        within(maps.replace(&key, &by, &wanted)).await.map_err(told).map(drop)
    }

    /// Gives a key back that nothing was done under.
    pub(super) async fn give_back(&self, answer: &Answer, name: &Name) {
        let kept = self.cache.rollout(name);
        if !kept.is_some_and(|kept| kept.answers.iter().any(|it| it.key == answer.key)) {
            // Otherwise it is anybody's in a minute.
            let _ = self.delete_map(&key_name(&answer.key)).await;
        }
    }

    /// Removes keys from before this time.
    pub(super) async fn forget_keys(&self, before: u64) -> Result<(), StoreError> {
        let maps = self.maps();
        let mut keys = ListParams::default().labels(&format!("{HOLDS}={KEY}")).limit(PAGE);
        loop {
            let page = within(maps.list(&keys)).await.map_err(told)?;
            let next = page.metadata.continue_.clone().filter(|next| !next.is_empty());
            for key in page {
                let at = text(&key, "at").and_then(|at| at.parse().ok()).unwrap_or(0_u64);
                if at < before {
                    self.delete_map(&key.name_any()).await?;
                }
            }
            let Some(next) = next else { return Ok(()) };
            keys = keys.continue_token(&next);
        }
    }

    /// Takes or keeps the lease. A server that does not see what others write leaves it to one that does.
    pub(super) async fn lease(&self, holder: &str, now: u64, until: u64) -> Result<bool, StoreError> {
        let away = self.cache.known().away();
        if let Some(why) = away.filter(|_| until > now) {
            return Err(StoreError::Away(why));
        }
        let leases = self.own::<Lease>();
        let found = within(leases.get_opt(LEASE)).await.map_err(told)?;
        let spec = found.as_ref().and_then(|lease| lease.spec.clone()).unwrap_or_default();
        if holder_of(&spec, now).is_some_and(|it| it != holder) {
            return Ok(false);
        }
        // A lease of no length is given back.
        let seconds = i32::try_from(until.saturating_sub(now)).unwrap_or(i32::MAX);
        let is_same = spec.holder_identity.as_deref() == Some(holder);
        let wanted = LeaseSpec {
            holder_identity: Some(if seconds > 0 { holder.to_owned() } else { String::new() }),
            lease_duration_seconds: Some(seconds.max(1)),
            acquire_time: spec.acquire_time.clone().filter(|_| is_same).or_else(|| Some(time(now))),
            renew_time: Some(time(now)),
            ..spec
        };
        let by = PostParams::default();
        let taken = match found {
            Some(mut lease) => {
                lease.spec = Some(wanted);
                within(leases.replace(LEASE, &by, &lease)).await
            }
            None => {
                let metadata = ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() };
                within(leases.create(&by, &Lease { metadata, spec: Some(wanted) })).await
            }
        };
        match taken.map_err(told) {
            Ok(_) => Ok(true),
            // Somebody else was faster.
            Err(StoreError::Moved) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A key may hold any text; the name of an object does not.
fn key_name(key: &str) -> String {
    format!("coalmine-key-{}", digest(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::fake::Fake;

    #[tokio::test]
    async fn a_server_that_does_not_see_what_others_write_does_not_keep_the_lease() {
        let fake = Fake::default();
        let (one, two) = (Inner::on(&fake), Inner::on(&fake));
        assert!(one.lease("one", 1_000, 1_030).await.unwrap());
        one.cache.known().maps.away = Some("it may not watch".to_owned());
        assert!(matches!(one.lease("one", 1_010, 1_040).await, Err(StoreError::Away(_))));
        assert!(two.lease("two", 1_030, 1_060).await.unwrap());
    }

    #[tokio::test]
    async fn a_lease_of_a_clock_that_is_far_ahead_is_taken() {
        let fake = Fake::default();
        let (ahead, store) = (Inner::on(&fake), Inner::on(&fake));
        assert!(ahead.lease("ahead", 90_000, 90_030).await.unwrap());
        assert!(store.lease("two", 1_000, 1_030).await.unwrap());
        assert!(!ahead.lease("three", 1_010, 1_040).await.unwrap());
    }
}
