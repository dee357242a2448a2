//! The steps of a canary strategy: weights that ascend, and what is needed to leave each.

use coalmine_document::{Node, Span, Value, quoted};

use super::analysis::{self, Templates};
use crate::import::plan::{Draft, Reading, Stage, field, go_seconds};
use crate::import::renamed;

const PLACE: &str = "strategy.canary.steps";
/// What a step of Argo Rollouts is, one of them.
const KINDS: [&str; 8] = [
    "setWeight",
    "pause",
    "analysis",
    "experiment",
    "setCanaryScale",
    "setHeaderRoute",
    "setMirrorRoute",
    "plugin",
];

/// The steps so far.
#[derive(Default)]
struct Steps {
    /// Those that are left for a higher weight.
    left: Vec<Stage>,
    /// The one that is last so far.
    last: Option<Stage>,
    /// Whether the weight is 100 %: what comes then is the promotion's.
    is_over: bool,
    /// What came then.
    left_out: Vec<&'static str>,
}

pub(super) fn read(
    canary: &Node,
    templates: &mut Templates<'_>,
    draft: &mut Draft,
    reading: &mut Reading<'_>,
) {
    let total = total(canary, reading);
    let mut steps = Steps::default();
    let items = reading.items(canary, "steps", PLACE);
    for step in items {
        let set: Vec<&str> = KINDS.into_iter().filter(|kind| field(step, kind).is_some()).collect();
        let [kind] = set.as_slice() else {
            // A field that is unknown is told already.
            if step.entries().iter().all(|entry| KINDS.contains(&entry.key.as_str())) {
                reading.problem(step.head(), PLACE, &format!("a step has one of {}", KINDS.join(", ")));
            }
            continue;
        };
        if *kind == "setWeight" {
            steps.weight(step, total, reading);
        } else if steps.is_over {
            steps.left_out.extend(KINDS.into_iter().find(|known| known == kind));
        } else {
            steps.other(step, kind, templates, draft, reading);
        }
    }
    steps.finish(!items.is_empty(), draft, reading);
}

/// What a weight of the routes is measured by.
fn total(canary: &Node, reading: &mut Reading<'_>) -> u64 {
    let path = "trafficRouting.maxTrafficWeight";
    let total = reading.whole(canary, path, &format!("strategy.canary.{path}"), 1..=1_000_000_000);
    if let Some(total) = total {
        reading.note(format!("strategy.canary.{path}: weights become percent, of {total}."));
    }
    total.unwrap_or(100)
}

// === impl Steps ===

impl Steps {
    fn weight(&mut self, step: &Node, total: u64, reading: &mut Reading<'_>) {
        let place = format!("{PLACE}.setWeight");
        let Some(weight) = reading.whole(step, "setWeight", &place, 0..=total) else {
            // What is null says nothing, and is no weight.
            if field(step, "setWeight").is_none() {
                reading.problem(step.head(), &place, "is missing");
            }
            return;
        };
        let span = field(step, "setWeight").map_or(step.span, |node| node.span);
        // As fine as a policy is.
        let percent = (weight as f64 * 1_000_000.0 / total as f64).round() / 10_000.0;
        let before = if self.is_over { 100.0 } else { self.last.as_ref().map_or(0.0, |last| last.weight) };
        if percent < before {
            let message = format!("goes down from {before} % to {percent} %; the steps of a plan ascend");
            return reading.problem(span, &place, &message);
        }
        if weight == total {
            self.is_over = true;
        } else if percent > before || self.last.is_none() {
            self.left.extend(self.last.replace(Stage::of(percent, span)));
        }
    }

    fn other(
        &mut self,
        step: &Node,
        kind: &str,
        templates: &mut Templates<'_>,
        draft: &mut Draft,
        reading: &mut Reading<'_>,
    ) {
        match kind {
            "pause" => match field(step, "pause.duration") {
                Some(duration) => match seconds(duration) {
                    Some(seconds) => self.dwell(seconds, duration.span),
                    None => {
                        let why = "must be seconds, or a duration as 90s, 1m30s or 1h";
                        reading.problem(duration.span, &format!("{PLACE}.pause.duration"), why);
                    }
                },
                None => self.here().approval = true,
            },
            "experiment" => {
                let seconds =
                    reading.seconds(step, "experiment.duration", &format!("{PLACE}.experiment.duration"));
                self.dwell(seconds.unwrap_or(0), step.span);
            }
            "plugin" => {
                let name =
                    reading.text(step, "plugin.name", &format!("{PLACE}.plugin.name")).unwrap_or_default();
                let (gate, words) = renamed(name.rsplit('/').next().unwrap_or(name), "plugin");
                let here = self.here();
                let weight = here.weight;
                here.ask(&gate, reading);
                reading.note(format!(
                    "step plugin {}: it is the gate {words} at {weight} %, which the operator defines.",
                    quoted(name)
                ));
            }
            "analysis" => {
                if let Some(run) = field(step, "analysis") {
                    analysis::inline(run, self.here(), templates, draft, reading);
                }
            }
            // Noted with the fields.
            _ => {}
        }
    }

    /// The step that is last so far: before the first weight, one without users.
    fn here(&mut self) -> &mut Stage {
        self.last.get_or_insert_with(|| Stage::of(0.0, Span::default()))
    }

    fn dwell(&mut self, seconds: u64, span: Span) {
        let here = self.here();
        let sum = here.dwell.unwrap_or(0).saturating_add(seconds);
        here.dwell = (sum > 0).then_some(sum);
        if here.span.is_empty() {
            here.span = span;
        }
    }

    fn finish(mut self, any: bool, draft: &mut Draft, reading: &mut Reading<'_>) {
        if self.is_over {
            reading.note(format!(
                "{PLACE}: 100 % is no step, because nobody is left to compare with; the promotion goes there after the last \
                 step."
            ));
        }
        if !self.left_out.is_empty() {
            self.left_out.dedup();
            let kinds = self.left_out.join(", ");
            reading.note(format!(
                "{PLACE}: left out behind setWeight: 100: {kinds}; the release is being promoted then."
            ));
        }
        let mut stages = self.left;
        stages.extend(self.last);
        if !stages.iter().any(|stage| stage.weight > 0.0) {
            let what = if any { "no weight between 0 and 100 %" } else { "no steps" };
            reading.note(format!("strategy.canary has {what}; the steps are the usual ones."));
            if !stages.is_empty() {
                stages.extend(Stage::usual());
            }
        }
        let without: Vec<String> = stages
            .iter()
            .filter(|stage| stage.dwell.is_none())
            .map(|stage| stage.weight.to_string())
            .collect();
        if !without.is_empty() {
            reading.note(format!(
                "{PLACE}: without a time at {} %, where Argo Rollouts goes on once pods are ready or a person says so; a step \
                 takes 10m here, unless \"dwell\" says otherwise.",
                without.join(", ")
            ));
        }
        if stages.iter().any(|stage| stage.approval) {
            reading.note(format!(
                "{PLACE}.pause: without a duration it is \"approval\": a person says `approve`, and dwell, requests and \
                 replicas are needed too."
            ));
        }
        draft.stages = stages;
    }
}

/// The seconds of a pause: a number of them, alone or as text, or a duration as Go writes it.
fn seconds(duration: &Node) -> Option<u64> {
    match &duration.value {
        Value::Number(number) if number.fract() == 0.0 && (0.0..=1e9).contains(number) => {
            Some(*number as u64)
        }
        Value::String(text) => {
            text.parse().ok().filter(|seconds| *seconds <= 1_000_000_000).or_else(|| go_seconds(text))
        }
        _ => None,
    }
}
