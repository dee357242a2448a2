//! One tick of all rollouts, with what the proxies counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use coalmine_steer::inputs::Queried;
use coalmine_steer::{Action, Condition, Kind, Moment, Plan, Step, tick};
use futures_util::future::{join, join_all};

use super::{Hooks, is_of_one};
use crate::cluster;
use crate::evidence::queries::{self, Wanted};
use crate::evidence::{Queries, Reading, Source, counted};
use crate::operations::{Known, settle};
use crate::rollout::{Name, Spec};
use crate::server::{Server, View};
use crate::snapshot::Parsed;
use crate::store::StoreError;

/// How many ticks a server may miss before another one on the same store ticks in its place.
const LEASE_TICKS: u64 = 3;
/// How often a rollout is ticked anew when somebody says a verb meanwhile.
const ATTEMPTS: usize = 3;
/// How a condition begins that says why nothing can be recorded of a rollout.
const NOT_RECORDED: &str = "this rollout does not move, because nothing can be recorded of it: ";

/// Where evidence of each fleet is read.
pub(super) type Sources<'a> = Vec<(&'a str, &'a mut (dyn Source + 'static))>;

/// What was read for one rollout.
#[derive(Clone, Copy)]
struct Evidence<'a> {
    reading: &'a Reading,
    queried: Option<&'a BTreeMap<String, Queried>>,
}

/// Ticks all rollouts once, unless another server on the same store does.
///
/// # Errors
/// The store did not do it. What was read of the proxies is lost then, and nothing moves.
pub(super) async fn tick_all(
    server: &Server,
    mut sources: Sources<'_>,
    queries: &mut Queries,
    hooks: &Hooks,
    holder: &str,
) -> Result<(), StoreError> {
    let (now, before) = (server.now(), server.view());
    let leads = match server.store().lease(holder, now, leased_until(server, now)).await {
        // Without room nobody has a lease, and harm still has to be seen.
        Err(StoreError::Full(_)) => true,
        leads => leads?,
    };
    server.look(|view| view.leads = leads);
    if leads && !before.leads {
        // From now on it publishes what its configuration says, too.
        server.wake();
    }
    if !leads {
        return look_on(server, now, sources, queries).await;
    }
    let known = Known::read(server).await?;
    if before.leads && has_lost_the_lease(server, before.judged, &known) {
        forget(&mut sources, queries);
    }
    let wanted = wanted(&known);
    let (mut readings, queried) = join(read(&mut sources, &known), queries.read(known.now, &wanted)).await;
    if let Some(cluster) = server.cluster() {
        for (fleet, reading) in &mut readings {
            if let Some(sidecars) = cluster.sidecars(fleet) {
                cluster::complete(reading, &sidecars, known.now);
            }
        }
    }
    server.look(|view| view.readings.clone_from(&readings));
    // Also where the store fails before the end: what is recorded from here on is this server's own.
    server.look(|view| view.judged = known.now);
    let nothing = Reading::default();
    let mut conditions = BTreeMap::new();
    for (name, unreadable) in &known.snapshot.unreadable {
        conditions.insert(name.clone(), vec![unrecorded(&before, name, &unreadable.why)]);
    }
    let mut full = None;
    for (name, parsed) in &known.snapshot.rollouts {
        let fleet = server.fleets().of_rollout(name);
        let reading = fleet.and_then(|fleet| readings.get(fleet)).unwrap_or(&nothing);
        let evidence = Evidence { reading, queried: queried.get(name) };
        match tick_one(server, &known, evidence, hooks, parsed.clone()).await {
            Ok(found) => {
                conditions.insert(name.clone(), found);
            }
            // What another rollout has to say may be that users must go back, for which there is room.
            Err(error @ StoreError::Full(_)) => full = Some(error),
            Err(error) if is_of_one(&error) => {
                conditions.insert(name.clone(), vec![unrecorded(&before, name, &error.to_string())]);
            }
            Err(error) => return Err(error),
        }
    }
    hooks.gates.keep(|name| conditions.contains_key(name));
    hooks.notifiers.keep(|name| conditions.contains_key(name));
    server.look(|view| {
        view.at = now;
        for (name, conditions) in conditions {
            view.rollouts.entry(name).or_default().conditions = conditions;
        }
    });
    server.wake();
    full.map_or(Ok(()), Err)
}

/// What is left to do where another server ticks. What this one saw when it last did is old, and what is counted from here on
/// the other one judges. Proxies are read only of fleets of which somebody asks what they run.
async fn look_on(
    server: &Server,
    now: u64,
    mut sources: Sources<'_>,
    queries: &mut Queries,
) -> Result<(), StoreError> {
    forget(&mut sources, queries);
    let asked = server.asked_readings();
    sources.retain(|(fleet, _)| asked.contains(*fleet));
    let mut readings = BTreeMap::new();
    if !sources.is_empty() {
        let known = Known::read(server).await?;
        readings = read(&mut sources, &known).await;
        forget(&mut sources, queries);
    }
    server.look(|view| {
        view.at = now;
        view.readings = readings;
        view.rollouts.values_mut().for_each(|seen| seen.conditions.clear());
    });
    Ok(())
}

/// Until when a lease that is taken now lasts.
fn leased_until(server: &Server, now: u64) -> u64 {
    now + LEASE_TICKS * server.tick() + 1
}

/// Whether another server has ticked since this one last did, at this time: as while this one did not reach the store.
fn has_lost_the_lease(server: &Server, last: u64, known: &Known<'_>) -> bool {
    let was_ticked = || known.snapshot.rollouts.values().any(|it| it.stored.record.state.ticked > Some(last));
    known.now >= leased_until(server, last) && was_ticked()
}

/// The next reading counts nothing: what was counted before it another server may have judged.
fn forget(sources: &mut Sources<'_>, queries: &mut Queries) {
    for (_, source) in sources {
        source.forget();
    }
    queries.forget();
}

/// Reads all fleets at once: one that answers slowly keeps no other waiting.
async fn read(sources: &mut Sources<'_>, known: &Known<'_>) -> BTreeMap<String, Reading> {
    let read = sources.iter_mut().map(async |(fleet, source)| {
        let reading = source.read(known.now, &known.forms(fleet)).await;
        ((*fleet).to_owned(), reading)
    });
    join_all(read).await.into_iter().collect()
}

/// The rollouts that queries are asked about: those of which evidence is judged.
fn wanted(known: &Known<'_>) -> Vec<Wanted> {
    let wanted = known.snapshot.rollouts.values().filter_map(|parsed| {
        let (record, spec) = (&parsed.stored.record, parsed.spec.as_ref().ok()?);
        let queries = queries::named(spec.plan.as_ref()?);
        let is_asked = !queries.is_empty() && record.state.is_judged();
        is_asked.then(|| Wanted { rollout: record.name.clone(), compared: spec.compared(), queries })
    });
    wanted.collect()
}

async fn tick_one(
    server: &Server,
    known: &Known<'_>,
    evidence: Evidence<'_>,
    hooks: &Hooks,
    mut parsed: Arc<Parsed>,
) -> Result<Vec<Condition>, StoreError> {
    for _ in 0..ATTEMPTS {
        let stored = &parsed.stored;
        let name = &stored.record.name;
        let spec = match &parsed.spec {
            Ok(spec) => spec,
            Err(problems) => return Ok(vec![unreadable(&problems.to_string())]),
        };
        let Some(plan) = &spec.plan else { return Ok(Vec::new()) };
        let moment = moment(known, evidence, hooks, &parsed, spec, plan);
        let step = tick(plan, &stored.record.state, &moment.inputs);
        let Some(change) = settle(stored, &moment, &step) else {
            carry_out(server, hooks, name, spec, stored.version, &step).await?;
            return Ok(seen(server, name, step));
        };
        let logged: Vec<_> = change.history.iter().map(|entry| entry.logged.clone()).collect();
        match server.store().commit(change).await {
            Ok(version) => {
                for line in logged {
                    tracing::info!(rollout = %name, weight = line.weight, "{}: {}", line.what, line.why);
                }
                server.tell();
                carry_out(server, hooks, name, spec, version, &step).await?;
                return Ok(seen(server, name, step));
            }
            // Somebody said a verb: the same evidence is judged with that.
            Err(StoreError::Moved) => match server.store().record(name).await? {
                Some(moved) => parsed = Arc::new(Parsed::new(moved)),
                None => return Ok(Vec::new()),
            },
            Err(error) => return Err(error),
        }
    }
    Ok(Vec::new())
}

fn moment(
    known: &Known<'_>,
    Evidence { reading, queried }: Evidence<'_>,
    hooks: &Hooks,
    parsed: &Parsed,
    spec: &Spec,
    plan: &Plan,
) -> Moment {
    let record = &parsed.stored.record;
    let mut inputs = known.inputs(record, spec, parsed.policy.clone());
    let since = inputs.published.as_ref().map(|published| published.revision);
    inputs.proxies = counted::proxies(reading, &record.name, plan, since, spec.compared());
    inputs.queried = queried.cloned().unwrap_or_default();
    inputs.source_away.clone_from(&reading.away);
    inputs.gates = hooks.gates.answers(&record.name);
    inputs.delivered = hooks.notifiers.delivered(&record.name, &record.state.notices);
    Moment { inputs, request: None }
}

/// Does what a recorded step says, beside the publication, which comes by itself.
async fn carry_out(
    server: &Server,
    hooks: &Hooks,
    name: &Name,
    spec: &Spec,
    version: u64,
    step: &Step,
) -> Result<(), StoreError> {
    let mut is_at_work = false;
    for action in &step.actions {
        match action {
            Action::AskGate { gate, release, weight, entered } => {
                hooks.gates.ask(name, gate, *release, *weight, *entered);
            }
            Action::Notify(notice) => hooks.notifiers.tell(name, notice),
            Action::Forget => match server.store().remove(name, version).await {
                // Somebody wrote it anew meanwhile.
                Ok(()) | Err(StoreError::Moved) => {}
                Err(error) => return Err(error),
            },
            Action::CopyToStable { .. } | Action::ScaleDownCanary => {
                if let (Some(cluster), Some(workloads)) = (server.cluster(), &spec.workloads) {
                    server.hands().carry_out(cluster, name, workloads, action);
                    is_at_work = true;
                }
            }
            // Publishing has its own task, and history is recorded.
            Action::Publish(_) | Action::Record(_) => {}
        }
    }
    if !is_at_work {
        server.hands().rest(name);
    }
    Ok(())
}

/// The conditions of a step, with what could not be done.
fn seen(server: &Server, name: &Name, mut step: Step) -> Vec<Condition> {
    step.conditions.extend(server.hands().trouble(name));
    step.conditions
}

/// Says why nothing can be recorded of a rollout; in the log once for as long as that lasts.
fn unrecorded(before: &View, name: &Name, why: &str) -> Condition {
    let message = format!("{NOT_RECORDED}{why}");
    let said = before.rollouts.get(name).map_or(&[][..], |seen| &seen.conditions);
    if !said.iter().any(|condition| condition.message.starts_with(NOT_RECORDED)) {
        tracing::error!(rollout = %name, "{message}");
    }
    Condition { kind: Kind::Alarm, holds: true, message }
}

fn unreadable(why: &str) -> Condition {
    Condition {
        kind: Kind::Policy,
        holds: true,
        message: format!("the document cannot be read any more: {why}"),
    }
}
