//! All records become a policy, and proxies get it.

use std::collections::BTreeMap;

use coalmine_steer::Form;

use crate::rollout::compose::{Composed, compose};
use crate::rollout::place::{Before, Candidate, Said};
use crate::rollout::{Name, Record, Spec};
use crate::server::{FLEET, Server};
use crate::store::{StoreError, Stored, Versions};

/// How often it is begun anew when a record moves meanwhile.
const ATTEMPTS: usize = 10;

/// Composes the policy of all records and publishes it, where it is another one than before; sends proxies the latest.
///
/// # Errors
/// The store did not do it.
pub(super) async fn publish(server: &Server) -> Result<(), StoreError> {
    for _ in 0..ATTEMPTS {
        match publish_once(server).await {
            Err(StoreError::Moved) => {}
            done => return done,
        }
    }
    Err(StoreError::Moved)
}

async fn publish_once(server: &Server) -> Result<(), StoreError> {
    let store = server.store();
    let records = store.records().await?;
    let versions: Versions = records.iter().map(|it| (it.record.name.clone(), it.version)).collect();
    let publications = store.publications(FLEET).await?;
    // A store without a past may be a lost one. Proxies that run a policy keep it until there is something to say.
    if records.is_empty() && publications.latest.is_none() {
        return Ok(());
    }
    let (specs, unreadable) = read(&records);
    let mut candidates: Vec<Candidate<'_>> =
        specs.iter().filter_map(|(record, spec)| candidate(record, spec)).collect();
    let kept = records.iter().map(|stored| &stored.record);
    candidates.extend(kept.filter(|it| unreadable.contains_key(&it.name) && !it.deleted).map(as_it_was));
    let shown = server.view().proxies.iter().filter_map(|proxy| proxy.revision).max().unwrap_or_default();
    let before = Before { shown, ..publications.before() };
    let Composed { publication, mut left_out } =
        compose(FLEET, &candidates, &server.operator(), before, server.now());
    match publication {
        Some(publication) => {
            store.publish(&publication, &versions).await?;
            tracing::info!(revision = publication.revision, rollouts = publication.parts.len(), "published");
            server.send(publication);
        }
        None => publications.latest.into_iter().for_each(|latest| server.send(latest)),
    }
    left_out.extend(unreadable);
    server.look(|view| {
        view.rollouts.retain(|name, _| versions.contains_key(name));
        for name in versions.keys() {
            view.rollouts.entry(name.clone()).or_default().left_out = left_out.remove(name);
        }
    });
    forget_deleted(server, &records, &specs).await
}

type Specs<'a> = Vec<(&'a Record, Spec)>;

/// What the records say, and of those that cannot be read, why.
fn read(records: &[Stored]) -> (Specs<'_>, BTreeMap<Name, String>) {
    let (mut specs, mut unreadable) = (Vec::new(), BTreeMap::new());
    for Stored { record, .. } in records {
        match record.spec_in_force() {
            Ok(spec) => specs.push((record, spec)),
            Err(problems) => {
                unreadable.insert(record.name.clone(), format!("it cannot be read any more: {problems}"));
            }
        }
    }
    (specs, unreadable)
}

/// What a policy is to say of a rollout; nothing of one whose weights the file owned and that is deleted.
fn candidate<'a>(record: &'a Record, spec: &'a Spec) -> Option<Candidate<'a>> {
    let form = match &spec.plan {
        Some(plan) => record.state.form(plan),
        None if record.deleted => return None,
        None => Form { weight: None, salt: None, policy: spec.policy_inputs().digest, observe: false },
    };
    Some(Candidate { name: &record.name, created: record.created, said: Some(Said { spec, form }) })
}

/// What this release cannot read stays in the policy as it was, until somebody writes or deletes it.
fn as_it_was(record: &Record) -> Candidate<'_> {
    Candidate { name: &record.name, created: record.created, said: None }
}

/// Lets go of deleted rollouts that no release has to be ended for; those with a plan a tick lets go.
async fn forget_deleted(server: &Server, records: &[Stored], specs: &Specs<'_>) -> Result<(), StoreError> {
    for stored in records.iter().filter(|stored| stored.record.deleted) {
        let name = &stored.record.name;
        let has_plan = specs.iter().any(|(record, spec)| record.name == *name && spec.plan.is_some());
        if !has_plan {
            server.store().remove(name, stored.version).await?;
        }
    }
    Ok(())
}
