//! The webhooks and alerts of an analysis: gates of steps, and notifiers.

use coalmine_document::{Node, Span, quoted};

use crate::import::plan::{Draft, Reading, Stage};
use crate::import::{renamed, shown};

/// Where a webhook of Flagger's goes.
enum Hook {
    /// Before the first user: a step of weight 0 with a gate.
    BeforeUsers,
    /// Before each step up.
    EachStep,
    /// Before the promotion.
    LastStep,
    /// Nowhere: why.
    Nowhere(&'static str),
    /// A notifier.
    Notifier,
}

const TYPES: [(&str, Hook); 9] = [
    ("confirm-rollout", Hook::BeforeUsers),
    ("pre-rollout", Hook::BeforeUsers),
    ("confirm-traffic-increase", Hook::EachStep),
    ("confirm-promotion", Hook::LastStep),
    ("event", Hook::Notifier),
    ("rollout", Hook::Nowhere(ROLLOUT)),
    ("", Hook::Nowhere(ROLLOUT)),
    (
        "post-rollout",
        Hook::Nowhere(
            "nothing is called after a release; a notifier is told how it ended, and \"notify\" names it",
        ),
    ),
    (
        "rollback",
        Hook::Nowhere(
            "nothing is asked whether to roll back; `rollback` is a person's verb, and one of the API",
        ),
    ),
];

const ROLLOUT: &str =
    "nothing is called during the analysis: run a load test beside it. A check can be a gate of steps";

pub(super) fn read(analysis: &Node, at: &str, draft: &mut Draft, reading: &mut Reading<'_>) {
    let place = format!("{at}.webhooks");
    for webhook in reading.items(analysis, "webhooks", &place) {
        let name = reading.text(webhook, "name", &format!("{place}.name")).unwrap_or_default();
        let kind = reading.text(webhook, "type", &format!("{place}.type")).unwrap_or_default();
        let Some((_, hook)) = TYPES.iter().find(|(known, _)| *known == kind) else {
            let span = webhook.get("type").map_or(webhook.span, |node| node.span);
            let known: Vec<&str> =
                TYPES.iter().map(|(known, _)| *known).filter(|known| !known.is_empty()).collect();
            let message = format!("{} is no type of webhook; known: {}", quoted(kind), known.join(", "));
            reading.problem(span, &format!("{place}.type"), &message);
            continue;
        };
        hook.apply(name, kind, draft, reading);
    }
    alerts(analysis, at, draft, reading);
}

// === impl Hook ===

impl Hook {
    fn apply(&self, name: &str, kind: &str, draft: &mut Draft, reading: &mut Reading<'_>) {
        let (label, words) = renamed(name, "gate");
        let mut note = |why: &str| {
            let kind = if kind.is_empty() { "rollout" } else { kind };
            reading.note(format!("webhook {} ({kind}): {why}.", shown(name)));
        };
        match self {
            Self::Nowhere(why) => note(why),
            Self::Notifier => {
                note(&format!(
                    "it is the notifier {words}, which the operator defines; what it is sent differs"
                ));
                notify(&label, draft);
            }
            Self::BeforeUsers => {
                note(&format!(
                    "it is the gate {words} of a step of weight 0, which the operator defines. A gate is asked \
                               until it passes, and never fails a rollout"
                ));
                before_users(draft);
                if let Some(first) = draft.stages.first_mut() {
                    first.ask(&label, reading);
                }
            }
            Self::EachStep => {
                note(&format!(
                    "it is the gate {words} of each step, and of one of weight 0, which the operator defines"
                ));
                before_users(draft);
                for stage in &mut draft.stages {
                    stage.ask(&label, reading);
                }
            }
            Self::LastStep => {
                note(&format!("it is the gate {words} of the last step, which the operator defines"));
                fill(draft);
                if let Some(last) = draft.stages.last_mut() {
                    last.ask(&label, reading);
                }
            }
        }
    }
}

/// Makes the steps written ones, where they are the usual ones.
fn fill(draft: &mut Draft) {
    if draft.stages.is_empty() {
        draft.stages = Stage::usual();
    }
}

/// Adds a step before the first user. Its gate decides how long it takes.
fn before_users(draft: &mut Draft) {
    fill(draft);
    if draft.stages.first().is_none_or(|first| first.weight > 0.0) {
        draft.stages.insert(0, Stage { dwell: Some(0), ..Stage::of(0.0, Span::default()) });
    }
}

fn notify(name: &str, draft: &mut Draft) {
    if !draft.notify.iter().any(|known| known == name) {
        draft.notify.push(name.to_owned());
    }
}

/// The provider of an alert is a notifier.
fn alerts(analysis: &Node, at: &str, draft: &mut Draft, reading: &mut Reading<'_>) {
    let place = format!("{at}.alerts");
    for alert in reading.items(analysis, "alerts", &place) {
        let name = reading.text(alert, "name", &format!("{place}.name")).unwrap_or_default();
        let Some(provider) = reading.text(alert, "providerRef.name", &format!("{place}.providerRef.name"))
        else {
            reading.note(format!("alert {}: left out, because it names no provider.", shown(name)));
            continue;
        };
        let (label, words) = renamed(provider, "notifier");
        reading.note(format!(
            "alert {}: its provider is the notifier {words}, which the operator defines.",
            shown(name)
        ));
        notify(&label, draft);
    }
}
