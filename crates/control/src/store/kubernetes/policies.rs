//! Publications, as ConfigMaps of the server's own namespace: one for the list of a fleet, which is written at its version,
//! and one for each policy, which is never changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{ListParams, PostParams};
use serde::{Deserialize, Serialize};

use super::object::version_of;
use super::settings::{map, text};
use super::{HOLDS, Inner, STATE, told};
use crate::kubernetes::within;
use crate::publish::Publication;
use crate::rollout::{Name, digest};
use crate::store::{Head, Publications, StoreError, Versions};

/// How many publications of a fleet are kept.
const KEPT: usize = 20;
/// The most bytes of one: the API takes no larger ConfigMap.
const MAX_BYTES: usize = 1_000_000;
const POLICY: &str = "policy";
/// The field of a policy's ConfigMap.
const PUBLICATION: &str = "publication";
/// How much of the digest of its content the name of a policy has.
const NAMED_BY: usize = 16;
/// How old a policy that no list names must be to be removed: a list is written within seconds.
const UNNAMED_SECONDS: u64 = 60 * 60;
/// How often a refusal is written anew when somebody publishes meanwhile.
const ATTEMPTS: usize = 10;

/// Policies that were read, by the names of their ConfigMaps: the few that the lists name.
pub(super) type Bodies = Mutex<BTreeMap<String, Arc<Publication>>>;

/// One publication in the list of a fleet.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    revision: u64,
    /// Its ConfigMap.
    policy: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

fn list_name(fleet: &str) -> String {
    format!("coalmine-fleet-{fleet}")
}

fn read(map: Option<&ConfigMap>) -> Result<Vec<Listed>, StoreError> {
    let Some(list) = map.and_then(|map| text(map, "publications")) else { return Ok(Vec::new()) };
    serde_json::from_str(list)
        .map_err(|error| StoreError::Unreadable(format!("a list of publications: {error}")))
}

fn good(listed: &[Listed]) -> Option<&Listed> {
    listed.iter().rev().find(|it| it.refused.is_none())
}

// === impl Inner ===

impl Inner {
    pub(super) fn head(&self, fleet: &str) -> Result<Head, StoreError> {
        let listed = self.listed(fleet)?;
        let latest = listed.last().map(|it| it.revision);
        Ok(Head { latest, good: good(&listed).map(|it| it.revision) })
    }

    pub(super) async fn publications(&self, fleet: &str) -> Result<Publications, StoreError> {
        let listed = self.listed(fleet)?;
        let Some(latest) = listed.last() else { return Ok(Publications::default()) };
        let good = match good(&listed).filter(|it| it.revision != latest.revision) {
            Some(good) => self.body(good).await?,
            None => None,
        };
        Ok(Publications { latest: self.body(latest).await?, good })
    }

    pub(super) async fn publication(
        &self,
        fleet: &str,
        revision: u64,
    ) -> Result<Option<Publication>, StoreError> {
        match self.listed(fleet)?.iter().find(|it| it.revision == revision) {
            Some(found) => self.body(found).await,
            None => Ok(None),
        }
    }

    /// The list is read before the records are, and written at the version that it was read at. So between both nobody has
    /// published, and whatever an earlier publication was composed of this one is composed of too, or of what came later.
    pub(super) async fn publish(
        &self,
        publication: &Publication,
        versions: &Versions,
    ) -> Result<(), StoreError> {
        let (maps, name) = (self.maps(), list_name(&publication.fleet));
        let found = within(maps.get_opt(&name)).await.map_err(told)?;
        let mut listed = read(found.as_ref())?;
        if listed.last().is_some_and(|latest| latest.revision >= publication.revision) {
            found.into_iter().for_each(|found| self.cache.see_map(found));
            return Err(StoreError::Moved);
        }
        self.are_current(versions).await?;
        let body = serde_json::to_string(&Publication { refused: None, ..publication.clone() });
        let body = body.map_err(|error| StoreError::Unreadable(format!("a publication: {error}")))?;
        if body.len() > MAX_BYTES {
            let what = format!("a publication has {} bytes, and at most {MAX_BYTES} are kept", body.len());
            return Err(StoreError::Full(what));
        }
        let policy = self.make_policy(publication.revision, body).await?;
        let refused = publication.refused.clone();
        listed.push(Listed { revision: publication.revision, policy: policy.clone(), refused });
        let dropped = surplus(&mut listed);
        // Where that fails the policy stays: the list may name it all the same, as after an answer that was lost, or another
        // server's list. Otherwise it is forgotten later.
        self.write_list(&name, found, &listed).await?;
        self.bodies().insert(policy, Arc::new(publication.clone()));
        for dropped in dropped {
            self.bodies().remove(&dropped.policy);
            // One that stays is forgotten later.
            let _ = self.delete_map(&dropped.policy).await;
        }
        Ok(())
    }

    /// Writes a policy, and says where. The name is that of the content, so that one whose answer was lost is there the next
    /// time, and not there twice.
    async fn make_policy(&self, revision: u64, body: String) -> Result<String, StoreError> {
        let content: String = digest(&body).chars().take(NAMED_BY).collect();
        let policy = format!("coalmine-policy-{revision}-{content}");
        let maps = self.maps();
        let wanted = map(Some(&policy), POLICY, BTreeMap::from([(PUBLICATION.to_owned(), body)]));
        match within(maps.create(&PostParams::default(), &wanted)).await.map_err(told) {
            Err(StoreError::Moved) => {}
            done => return done.map(|_| policy),
        }
        match within(maps.get_opt(&policy)).await.map_err(told)? {
            Some(found) if text(&found, PUBLICATION) == text(&wanted, PUBLICATION) => Ok(policy),
            Some(_) => {
                Err(StoreError::Unreadable(format!("{policy}: it holds another policy than its name says")))
            }
            None => Err(StoreError::Moved),
        }
    }

    /// Removes policies that no list names, as those of a server that ended before it wrote the list. One that has just been
    /// made is about to be named.
    pub(super) async fn forget_policies(&self, now: u64) -> Result<(), StoreError> {
        let (maps, holds) =
            (self.maps(), |what: &str| ListParams::default().labels(&format!("{HOLDS}={what}")));
        // What is made after this is not looked at.
        let made = within(maps.list_metadata(&holds(POLICY))).await.map_err(told)?;
        let mut named = BTreeSet::new();
        for list in within(maps.list(&holds(STATE))).await.map_err(told)? {
            named.extend(read(Some(&list))?.into_iter().map(|listed| listed.policy));
        }
        let before = i64::try_from(now.saturating_sub(UNNAMED_SECONDS)).unwrap_or(i64::MAX);
        for policy in made {
            let is_old = policy.creation_timestamp().is_some_and(|time| time.0.as_second() < before);
            let name = policy.name_any();
            if is_old && !named.contains(&name) {
                self.delete_map(&name).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn refuse(&self, fleet: &str, revision: u64, why: &str) -> Result<(), StoreError> {
        let name = list_name(fleet);
        for _ in 0..ATTEMPTS {
            let Some(found) = within(self.maps().get_opt(&name)).await.map_err(told)? else { return Ok(()) };
            let mut listed = read(Some(&found))?;
            let refused = listed.iter_mut().find(|it| it.revision == revision && it.refused.is_none());
            let Some(refused) = refused else {
                self.cache.see_map(found);
                return Ok(());
            };
            refused.refused = Some(why.to_owned());
            match self.write_list(&name, Some(found), &listed).await {
                Err(StoreError::Moved) => {}
                done => return done,
            }
        }
        Err(StoreError::Moved)
    }

    fn listed(&self, fleet: &str) -> Result<Vec<Listed>, StoreError> {
        let list = self.cache.known().maps.get(&list_name(fleet)).cloned();
        read(list.as_deref())
    }

    async fn write_list(
        &self,
        name: &str,
        found: Option<ConfigMap>,
        listed: &[Listed],
    ) -> Result<(), StoreError> {
        let list = serde_json::to_string(listed)
            .map_err(|error| StoreError::Unreadable(format!("a list of publications: {error}")))?;
        let data = BTreeMap::from([("publications".to_owned(), list)]);
        let (maps, by) = (self.maps(), PostParams::default());
        let written = match found {
            Some(mut found) => {
                found.data = Some(data);
                within(maps.replace(name, &by, &found)).await
            }
            None => within(maps.create(&by, &map(Some(name), STATE, data))).await,
        };
        self.cache.see_map(written.map_err(told)?);
        Ok(())
    }

    /// Whether the API still has these versions of all records, and no other record.
    async fn are_current(&self, versions: &Versions) -> Result<(), StoreError> {
        let found = within(self.all_rollouts().list_metadata(&ListParams::default())).await.map_err(told)?;
        let mut same = 0;
        for object in &found {
            let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
            let Ok(name) = Name::new(namespace, &object.name_any()) else { continue };
            let version = version_of(object.metadata.resource_version.as_deref());
            if versions.get(&name) == Some(&version) {
                same += 1;
                continue;
            }
            let kept = self.cache.rollout(&name);
            if !kept.is_some_and(|kept| kept.version == version && kept.is_unaccepted()) {
                return Err(StoreError::Moved);
            }
        }
        if same == versions.len() { Ok(()) } else { Err(StoreError::Moved) }
    }

    /// The policy of an entry of a list; none where it has just been dropped.
    async fn body(&self, listed: &Listed) -> Result<Option<Publication>, StoreError> {
        let known = self.bodies().get(&listed.policy).cloned();
        let body = match known {
            Some(known) => known,
            None => {
                let Some(map) = within(self.maps().get_opt(&listed.policy)).await.map_err(told)? else {
                    return Ok(None);
                };
                let body = serde_json::from_str(text(&map, PUBLICATION).unwrap_or_default());
                let body: Publication =
                    body.map_err(|error| StoreError::Unreadable(format!("{}: {error}", listed.policy)))?;
                let body = Arc::new(body);
                self.bodies().insert(listed.policy.clone(), body.clone());
                body
            }
        };
        Ok(Some(Publication { refused: listed.refused.clone(), ..Publication::clone(&body) }))
    }

    fn bodies(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Publication>>> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes out what is too old to be kept. Beside the latest, the good one before the newest stays: the newest may still be
/// refused.
fn surplus(listed: &mut Vec<Listed>) -> Vec<Listed> {
    let before = listed.split_last().map_or(&[][..], |(_, before)| before);
    let good = good(before).map(|it| it.revision);
    let oldest = listed.len().saturating_sub(KEPT);
    let mut dropped = Vec::new();
    let mut place = 0;
    listed.retain(|it| {
        let stays = place >= oldest || Some(it.revision) == good;
        place += 1;
        if !stays {
            dropped.push(it.clone());
        }
        stays
    });
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::fake::{Fake, MADE};
    use crate::store::contract::{FLEET, publication};

    const POLICIES: &str = "/configmaps/coalmine-policy-";

    async fn publish(store: &Inner, revision: u64) -> Result<(), StoreError> {
        store.publish(&publication(revision), &Versions::new()).await
    }

    #[tokio::test]
    async fn a_policy_whose_answer_is_lost_is_there_once() {
        let fake = Fake::default();
        let store = Inner::on(&fake);
        fake.lose_answer_after(0);
        assert!(matches!(publish(&store, 5).await, Err(StoreError::Away(_))));
        assert_eq!(fake.paths(POLICIES).len(), 1);
        publish(&store, 5).await.unwrap();
        assert_eq!(fake.paths(POLICIES).len(), 1);
        assert_eq!(store.publications(FLEET).await.unwrap().latest, Some(publication(5)));
    }

    #[tokio::test]
    async fn a_policy_stays_where_the_answer_of_its_list_is_lost() {
        let fake = Fake::default();
        let writing = Inner::on(&fake);
        fake.lose_answer_after(1);
        assert!(matches!(publish(&writing, 5).await, Err(StoreError::Away(_))));
        // The list names it, which the next one sees.
        let next = Inner::on(&fake);
        assert!(matches!(publish(&next, 5).await, Err(StoreError::Moved)));
        assert_eq!(next.publications(FLEET).await.unwrap().latest, Some(publication(5)));
    }

    #[tokio::test]
    async fn policies_that_no_list_names_are_forgotten_after_an_hour() {
        let fake = Fake::default();
        let store = Inner::on(&fake);
        publish(&store, 5).await.unwrap();
        let named = fake.paths(POLICIES);
        store.make_policy(6, "left by a server that ended".to_owned()).await.unwrap();
        let both = fake.paths(POLICIES);
        assert_eq!(both.len(), 2);
        store.forget_policies(MADE + UNNAMED_SECONDS).await.unwrap();
        assert_eq!(fake.paths(POLICIES), both, "it may be about to be named");
        store.forget_policies(MADE + UNNAMED_SECONDS + 1).await.unwrap();
        assert_eq!(fake.paths(POLICIES), named);
    }
}
