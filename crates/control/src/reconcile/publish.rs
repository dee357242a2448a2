//! All records become policies, one for each fleet, and proxies get them.

use std::collections::BTreeMap;
use std::sync::Arc;

use coalmine_steer::Form;

use crate::publish::Publication;
use crate::rollout::compose::{Composed, compose, is_same_but_operator};
use crate::rollout::place::{Before, Candidate, Said};
use crate::rollout::{Name, Operator, Spec};
use crate::server::Server;
use crate::snapshot::{Parsed, Snapshot};
use crate::store::{Publications, StoreError};

/// How often it is begun anew when a record moves meanwhile.
const ATTEMPTS: usize = 10;

/// Publishes policies, and composes none of the same parts twice.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    composed: BTreeMap<String, (Parts, LeftOut)>,
    /// Of each fleet, what this server published last while another one ticked, and the refused revision before that.
    said: BTreeMap<String, (Vec<Wanted>, Option<u64>)>,
}

/// What a policy is composed of. Composing is a pure function of it, but for the revision.
#[derive(Debug)]
struct Parts {
    wanted: Vec<Wanted>,
    published: Arc<Publications>,
    operator: Arc<Operator>,
    shown: u64,
    leads: bool,
}

/// What a policy is to say of a rollout.
#[derive(Clone, Debug)]
struct Wanted {
    name: Name,
    created: u64,
    /// None where this release cannot read it: it stays in the policy as it was, until somebody writes or deletes it.
    said: Option<(Arc<Spec>, Form)>,
}

/// The rollouts that are not in a policy as they should be, each with a sentence that says why.
type LeftOut = BTreeMap<Name, String>;

// === impl Publisher ===

impl Publisher {
    /// Composes the policies of all records and publishes those that are others than before; sends proxies the latest.
    ///
    /// # Errors
    /// The store did not do it; [`StoreError::Moved`] where records moved again and again.
    pub(super) async fn publish(&mut self, server: &Server) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            match self.publish_once(server).await {
                Err(StoreError::Moved) => {}
                done => return done,
            }
        }
        Err(StoreError::Moved)
    }

    async fn publish_once(&mut self, server: &Server) -> Result<(), StoreError> {
        let snapshot = server.snapshot().await?;
        let mut fleets: BTreeMap<&str, Vec<Wanted>> =
            server.fleets().names().map(|fleet| (fleet, Vec::new())).collect();
        let mut left_out = LeftOut::new();
        let readable = snapshot.rollouts.iter().map(|(name, parsed)| (name, Wanted::of(parsed)));
        let unknown = snapshot.unreadable.keys().map(|name| (name, Some(Wanted::unknown(name))));
        for (name, wanted) in readable.chain(unknown) {
            match server.fleets().of_rollout(name).and_then(|fleet| fleets.get_mut(fleet)) {
                Some(members) => members.extend(wanted),
                None => drop(left_out.insert(name.clone(), NO_FLEET.to_owned())),
            }
        }
        for (fleet, members) in fleets {
            left_out.extend(self.publish_fleet(server, &snapshot, fleet, members).await?);
        }
        left_out.extend(snapshot.rollouts.values().filter_map(|it| unreadable(it)));
        left_out.extend(snapshot.unreadable.iter().map(|(name, it)| (name.clone(), it.why.clone())));
        server.look(|view| {
            let Snapshot { rollouts, unreadable, .. } = &*snapshot;
            view.rollouts.retain(|name, _| rollouts.contains_key(name) || unreadable.contains_key(name));
            for name in rollouts.keys().chain(unreadable.keys()) {
                view.rollouts.entry(name.clone()).or_default().left_out = left_out.remove(name);
            }
        });
        forget_deleted(server, &snapshot).await
    }

    async fn publish_fleet(
        &mut self,
        server: &Server,
        snapshot: &Snapshot,
        fleet: &str,
        wanted: Vec<Wanted>,
    ) -> Result<LeftOut, StoreError> {
        let published = snapshot.publications(fleet);
        // A store without a past may be a lost one. Proxies that run a policy keep it until there is something to say.
        if wanted.is_empty() && published.latest.is_none() {
            return Ok(LeftOut::new());
        }
        // Below the latest revision it says nothing, and whatever moves there is no reason to compose anew.
        let latest = published.latest.as_ref().map_or(0, |latest| latest.revision);
        let view = server.view();
        let shown = view.proxies(fleet).iter().filter_map(|proxy| proxy.revision).max();
        let parts = Parts {
            wanted,
            published,
            operator: server.operator(),
            shown: shown.filter(|shown| *shown > latest).unwrap_or_default(),
            leads: view.leads,
        };
        let renewed_from = parts.published.latest.as_ref().and_then(|latest| latest.renewed_from());
        let is_due = renewed_from.is_some_and(|from| from <= server.now());
        let composed = self.composed.get(fleet).filter(|(known, _)| !is_due && known.is_same(&parts));
        if let Some((_, left_out)) = composed {
            return Ok(left_out.clone());
        }
        let candidates: Vec<Candidate<'_>> = parts.wanted.iter().map(Wanted::candidate).collect();
        let before = Before { shown: parts.shown, ..parts.published.before() };
        let Composed { publication, left_out } =
            compose(fleet, &candidates, &parts.operator, before, server.now());
        // What it said of other records is no reason to be silent about these.
        self.said.retain(|its, (wanted, refused)| {
            its != fleet || is_same(wanted, &parts.wanted) && *refused == parts.refused()
        });
        let is_said =
            |made: &Publication| parts.leads || self.is_of_records(fleet, &parts, made, server.now());
        let publication = publication.filter(is_said);
        match publication {
            Some(publication) => {
                server.store().publish(&publication, &snapshot.versions()).await?;
                if !parts.leads {
                    self.said.insert(fleet.to_owned(), (parts.wanted.clone(), parts.refused()));
                }
                let (revision, rollouts) = (publication.revision, publication.parts.len());
                tracing::info!(fleet, revision, rollouts, "published");
                server.send(publication.clone());
                // Composed anew from this one it would be the same, where every rollout is in it as it should be. What
                // is left out may find room beside what is published now.
                if left_out.is_empty() {
                    let published = Publications { latest: Some(publication), good: None };
                    let parts = Parts { published: Arc::new(published), ..parts };
                    self.composed.insert(fleet.to_owned(), (parts, LeftOut::new()));
                } else {
                    self.composed.remove(fleet);
                }
            }
            None => {
                parts.published.latest.iter().for_each(|latest| server.send(latest.clone()));
                self.composed.insert(fleet.to_owned(), (parts, left_out.clone()));
            }
        }
        Ok(left_out)
    }

    /// Whether a server publishes this also while another one ticks: what comes of the records. What comes of the configuration
    /// is left to the server that ticks, and so is what this one has said already: where two are configured otherwise, as
    /// while they are started anew one after the other, each would undo what the other one publishes. But no proxy falls back
    /// because the server that ticks is gone.
    fn is_of_records(&self, fleet: &str, parts: &Parts, made: &Publication, now: u64) -> bool {
        let Some(latest) = &parts.published.latest else { return true };
        latest.is_overdue(now) || !is_same_but_operator(latest, made) && !self.said.contains_key(fleet)
    }
}

/// What is said of a rollout that no fleet takes.
const NO_FLEET: &str = "no fleet of this server has it; the operator adds it to the \"rollouts\" of one";

// === impl Parts ===

impl Parts {
    fn is_same(&self, other: &Self) -> bool {
        self.published.is_same(&other.published)
            && Arc::ptr_eq(&self.operator, &other.operator)
            && self.shown == other.shown
            && self.leads == other.leads
            && is_same(&self.wanted, &other.wanted)
    }

    /// The revision of the latest publication, where a proxy refused that.
    fn refused(&self) -> Option<u64> {
        self.published.latest.as_ref().filter(|latest| latest.refused.is_some()).map(|latest| latest.revision)
    }
}

fn is_same(one: &[Wanted], other: &[Wanted]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is_same(other))
}

// === impl Wanted ===

impl Wanted {
    /// None of a rollout whose weights the file owned and that is deleted.
    fn of(parsed: &Parsed) -> Option<Self> {
        let record = &parsed.stored.record;
        let said = match &parsed.in_force {
            Ok(spec) => {
                let form = match &spec.plan {
                    Some(plan) => record.state.form(plan),
                    None if record.deleted => return None,
                    None => {
                        let policy = parsed.policy.digest.clone();
                        Form { weight: None, salt: None, policy, observe: false }
                    }
                };
                Some((spec.clone(), form))
            }
            Err(_) if record.deleted => return None,
            Err(_) => None,
        };
        Some(Self { name: record.name.clone(), created: record.created, said })
    }

    /// Of a rollout whose record cannot be read. Nobody knows how old it is, and it has its place: it counts as the oldest.
    fn unknown(name: &Name) -> Self {
        Self { name: name.clone(), created: 0, said: None }
    }

    fn is_same(&self, other: &Self) -> bool {
        let is_said = match (&self.said, &other.said) {
            (Some((spec, form)), Some((other, its))) => Arc::ptr_eq(spec, other) && form == its,
            (None, None) => true,
            _ => false,
        };
        is_said && self.created == other.created && self.name == other.name
    }

    fn candidate(&self) -> Candidate<'_> {
        let said = self.said.as_ref().map(|(spec, form)| Said { spec, form: form.clone() });
        Candidate { name: &self.name, created: self.created, said }
    }
}

fn unreadable(parsed: &Parsed) -> Option<(Name, String)> {
    let problems = parsed.in_force.as_ref().err()?;
    Some((parsed.stored.record.name.clone(), format!("it cannot be read any more: {problems}")))
}

/// Lets go of deleted rollouts that no release has to be ended for; those with a plan a tick lets go. Until the plugins of its
/// fleet have the policy without it, a rollout stays: afterwards nobody would take its users back to stable.
async fn forget_deleted(server: &Server, snapshot: &Snapshot) -> Result<(), StoreError> {
    for (name, parsed) in &snapshot.rollouts {
        let has_plan = parsed.in_force.as_ref().is_ok_and(|spec| spec.plan.is_some());
        if parsed.stored.record.deleted && !has_plan && is_gone(server, name) {
            match server.store().remove(name, parsed.stored.version).await {
                Err(error @ StoreError::Refused(_)) => {
                    tracing::warn!(rollout = %name, "it cannot be let go of: {error}");
                }
                done => done?,
            }
        }
    }
    Ok(())
}

/// Whether no plugin has a rollout any more. Other proxies are served by this server itself, which is still there.
fn is_gone(server: &Server, name: &Name) -> bool {
    let Some(fleet) = server.fleets().of_rollout(name) else { return true };
    let (view, latest) = (server.view(), server.published(fleet));
    let Some(delivery) = view.plugins.get(fleet) else { return true };
    // Where nothing was ever published, no plugin has it.
    latest.is_none_or(|latest| delivery.is_without(name, &latest))
}
