//! The conditions of a rollout: those by which tools that know nothing of Coalmine see whether they have to wait, and whether in vain.
//!
//! They are those of kstatus: `Ready`, `Reconciling` and `Stalled`, of which the last two are never true together, and
//! `observedGeneration`. `Accepted` is ours, and so is `Published`, which [`super::published`] has.

use coalmine_steer::{Standing, State};

use super::object::{spec_of, written_time};
use crate::kubernetes::{CanaryRolloutStatus, Condition};
use crate::rollout::Record;

/// Whether the policy of the proxies has the rollout as it should.
pub(super) const PUBLISHED: &str = "Published";
/// The reason where the spec is refused.
const REFUSED: &str = "Refused";

/// Says whether the spec is in force, and why not.
pub(super) fn set_accepted(status: &mut CanaryRolloutStatus, refused: Option<&str>, at: u64) {
    match refused {
        Some(why) => set(status, "Accepted", false, REFUSED, why, at),
        None => set(status, "Accepted", true, "Accepted", "the spec is in force", at),
    }
}

/// Says what a record asks of whoever waits for it.
pub(super) fn set_standing(status: &mut CanaryRolloutStatus, record: &Record, at: u64) {
    let State { said, ticked, .. } = &record.state;
    // Of a plan that no tick has looked at, nothing is known yet.
    let is_new = ticked.is_none() && spec_of(&record.written).is_ok_and(|spec| !spec.plan.is_null());
    let standing = if is_new { Standing::Moving } else { said.standing };
    let reason = match standing {
        Standing::Lacking => "Obstacles".to_owned(),
        _ => said.phase.to_string(),
    };
    let is_well = matches!(standing, Standing::Settled | Standing::Moving);
    match failing(status, PUBLISHED).filter(|_| is_well).cloned() {
        Some(published) => set(status, "Ready", false, &published.reason, &published.message, at),
        None => set(status, "Ready", is_well, &reason, &said.message, at),
    }
    if let Some(why) = refusal(status) {
        // A spec that is refused is never reached, whatever the one that is in force does.
        return set_in_vain(status, &why, at);
    }
    set(status, "Reconciling", standing == Standing::Moving, &reason, &said.message, at);
    set(status, "Stalled", standing == Standing::Stuck, &reason, &said.message, at);
}

/// Says of an object whose first spec is refused that it is nothing yet.
pub(super) fn set_nothing(status: &mut CanaryRolloutStatus, why: &str, at: u64) {
    set(status, "Ready", false, REFUSED, why, at);
    set_in_vain(status, why, at);
}

fn set_in_vain(status: &mut CanaryRolloutStatus, why: &str, at: u64) {
    set(status, "Reconciling", false, REFUSED, why, at);
    set(status, "Stalled", true, REFUSED, why, at);
}

fn refusal(status: &CanaryRolloutStatus) -> Option<String> {
    failing(status, "Accepted").map(|accepted| accepted.message.clone())
}

/// A condition that does not hold.
fn failing<'a>(status: &'a CanaryRolloutStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|it| it.r#type == kind && it.status == "False")
}

/// Sets a condition. The time is that of the last change between true and false.
pub(super) fn set(
    status: &mut CanaryRolloutStatus,
    kind: &str,
    holds: bool,
    reason: &str,
    message: &str,
    at: u64,
) {
    let holds = if holds { "True" } else { "False" };
    let found = status.conditions.iter().find(|it| it.r#type == kind && it.status == holds);
    let since = found.map_or_else(|| written_time(at), |it| it.last_transition_time.clone());
    let condition = Condition {
        r#type: kind.to_owned(),
        status: holds.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: since,
        observed_generation: status.observed_generation,
    };
    match status.conditions.iter_mut().find(|it| it.r#type == kind) {
        Some(found) => *found = condition,
        None => status.conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use coalmine_steer::Phase;

    use super::*;
    use crate::store::contract;

    /// The conditions, as letters of those that are true, and the reason of `Ready`.
    fn shown(status: &CanaryRolloutStatus) -> (String, &str) {
        let is_true = status.conditions.iter().filter(|it| it.status == "True");
        let ready = status.conditions.iter().find(|it| it.r#type == "Ready").unwrap();
        (is_true.map(|it| it.r#type.as_str()).collect::<Vec<_>>().join(" "), &ready.reason)
    }

    fn record(phase: Phase, standing: Standing) -> Record {
        let mut record = contract::new("shop/checkout").record;
        record.state.ticked = Some(1);
        (record.state.said.phase, record.state.said.standing) = (phase, standing);
        record
    }

    #[test]
    fn a_standing_is_what_kstatus_knows() {
        for (phase, standing, expected) in [
            (Phase::Idle, Standing::Settled, ("Ready", "Idle")),
            (Phase::Idle, Standing::Lacking, ("", "Obstacles")),
            (Phase::Progressing, Standing::Moving, ("Ready Reconciling", "Progressing")),
            (Phase::Progressing, Standing::Stuck, ("Stalled", "Progressing")),
            (Phase::RolledBack, Standing::Stuck, ("Stalled", "RolledBack")),
        ] {
            let mut status = CanaryRolloutStatus::default();
            set_standing(&mut status, &record(phase, standing), 5);
            assert_eq!(shown(&status), (expected.0.to_owned(), expected.1), "{phase} {standing:?}");
        }
    }

    #[test]
    fn a_plan_that_no_tick_has_looked_at_is_waited_for() {
        let mut record = record(Phase::Idle, Standing::Settled);
        record.state.ticked = None;
        let mut status = CanaryRolloutStatus::default();
        set_standing(&mut status, &record, 5);
        assert_eq!(shown(&status).0, "Ready Reconciling");
        record.written = record.written.replace("plan: {}", "weights: {canary: 5}");
        set_standing(&mut status, &record, 6);
        assert_eq!(shown(&status).0, "Ready", "no tick looks at weights of a file");
    }

    #[test]
    fn what_proxies_do_not_get_is_not_ready() {
        let moving = record(Phase::Progressing, Standing::Moving);
        let mut status = CanaryRolloutStatus::default();
        set(&mut status, PUBLISHED, false, "NotDelivered", "istiod is away", 5);
        set_standing(&mut status, &moving, 5);
        assert_eq!(shown(&status), ("Reconciling".to_owned(), "NotDelivered"));
        set(&mut status, PUBLISHED, true, "Published", "it is there", 6);
        set_standing(&mut status, &moving, 6);
        assert_eq!(shown(&status), ("Published Ready Reconciling".to_owned(), "Progressing"));
    }

    #[test]
    fn a_spec_that_is_refused_is_not_waited_for_while_another_is_in_force() {
        let moving = record(Phase::Progressing, Standing::Moving);
        let mut status = CanaryRolloutStatus::default();
        set_accepted(&mut status, Some("no such header"), 5);
        set_standing(&mut status, &moving, 5);
        assert_eq!(shown(&status), ("Ready Stalled".to_owned(), "Progressing"));
        set_accepted(&mut status, None, 6);
        set_standing(&mut status, &moving, 6);
        assert_eq!(shown(&status).0, "Accepted Ready Reconciling");
        let since: Vec<_> = status.conditions.iter().map(|it| it.last_transition_time.as_str()).collect();
        assert_eq!(
            since.iter().filter(|time| time.ends_with(":06Z")).count(),
            3,
            "Ready stays true: {since:?}"
        );
    }
}
