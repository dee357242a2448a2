//! The plan as it is written: every problem with its place.

use coalmine_document::{Cursor, Fields, Known, Node, Problems, Reader, TextRule, Value, is_label};
use coalmine_document::{number, parts_per_million};

use super::{
    AlphaPer, Capacity, Mode, OnInconclusive, OnServerAway, Plan, PlannedStep, Promote, Rollback, Start,
    guards,
};

const PLAN: Known = Known::new(&[
    "start",
    "steps",
    "dwell",
    "minRequests",
    "warmUp",
    "guards",
    "alpha",
    "alphaPer",
    "beta",
    "onInconclusive",
    "deadline",
    "rollback",
    "promote",
    "capacity",
    "scaleDownCanary",
    "notify",
    "mode",
    "onServerAway",
]);
const STEP: Known = Known::new(&["weight", "dwell", "approval", "gate"]);
const DOWN: Known = Known::new(&["down", "every"]);
const AWAY: Known = Known::new(&["after", "weight"]);

const GATE: TextRule =
    TextRule { noun: "name of a gate", form: "1 to 63 of a-z, 0-9 and -", holds: is_label };
const NOTIFIER: TextRule =
    TextRule { noun: "name of a notifier", form: "1 to 63 of a-z, 0-9 and -", holds: is_label };

/// How many steps a plan may have, up or down.
const MAX_STEPS: usize = 100;
const MAX_NOTIFIERS: usize = 10;
const DAY: u64 = 24 * 60 * 60;

/// What a plan is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// Whether the workloads of stable and canary are known, with their versions and replicas, as on Kubernetes.
    pub workloads: bool,
}

// === impl Plan ===

impl Plan {
    /// The plan of a document that holds it alone.
    ///
    /// # Errors
    /// Everything that is wrong with the document, each problem with its place.
    pub fn from_document(document: &Node, setting: Setting) -> Result<Self, Problems> {
        let reader = Reader::default();
        let plan = Self::read(&reader.cursor(document), setting);
        let (problems, _) = reader.finish();
        if problems.is_empty() { Ok(plan) } else { Err(problems) }
    }

    /// Reads a plan as a part of a document. What is wrong with it is told to the cursor's reader.
    pub fn read(cursor: &Cursor<'_, '_>, setting: Setting) -> Self {
        let usual = Self::usual(setting);
        let fields = cursor.fields_as(&PLAN, "a plan, or {} for the usual one");
        let mode = word(&fields, "mode", usual.mode, &[("steer", Mode::Steer), ("judge", Mode::Judge)]);
        let dwell = seconds(&fields, "dwell", Self::DWELL, 0, 30 * DAY);
        let starts = [("manual", Start::Manual), ("onNewVersion", Start::OnNewVersion)];
        let promotes = [
            ("whenStableIsNew", Promote::WhenStableIsNew),
            ("copy", Promote::Copy),
            ("manual", Promote::Manual),
        ];
        let plan = Self {
            start: word(&fields, "start", usual.start, &starts),
            steps: fields.get("steps").map_or_else(
                || usual.steps.iter().map(|step| PlannedStep::of(step.weight, dwell)).collect(),
                |steps| read_steps(&steps, dwell),
            ),
            min_requests: fields
                .get("minRequests")
                .map_or(usual.min_requests, |field| field.integer(0..=1_000_000_000).unwrap_or_default()),
            warm_up: seconds(&fields, "warmUp", usual.warm_up, 0, DAY),
            guards: fields.get("guards").map_or(usual.guards, |field| guards::read(&field)),
            alpha: percent(&fields, "alpha", usual.alpha),
            beta: percent(&fields, "beta", usual.beta),
            alpha_per: word(
                &fields,
                "alphaPer",
                usual.alpha_per,
                &[("life", AlphaPer::Life), ("release", AlphaPer::Release)],
            ),
            on_inconclusive: word(
                &fields,
                "onInconclusive",
                usual.on_inconclusive,
                &[("hold", OnInconclusive::Hold), ("promote", OnInconclusive::Promote)],
            ),
            deadline: seconds(&fields, "deadline", usual.deadline, 60, 90 * DAY),
            rollback: fields.get("rollback").map_or(usual.rollback, |field| read_rollback(&field)),
            promote: word(&fields, "promote", usual.promote, &promotes),
            capacity: word(
                &fields,
                "capacity",
                usual.capacity,
                &[("replicas", Capacity::Replicas), ("ready", Capacity::Ready)],
            ),
            scale_down_canary: fields.get("scaleDownCanary").is_some_and(|field| field.boolean()),
            notify: fields.get("notify").map(|field| read_notifiers(&field)).unwrap_or_default(),
            mode,
            on_server_away: fields.get("onServerAway").and_then(|field| read_away(&field, mode)),
        };
        check_workloads(&fields, &plan, setting);
        plan
    }
}

/// What needs to know the versions or the replicas of workloads.
fn check_workloads(fields: &Fields<'_, '_>, plan: &Plan, setting: Setting) {
    if setting.workloads {
        return;
    }
    let needs = [
        ("start", plan.start == Start::OnNewVersion, "write manual, or leave it out"),
        ("promote", plan.promote != Promote::Manual, "write manual, or leave it out"),
        ("capacity", true, "leave it out"),
        ("scaleDownCanary", plan.scale_down_canary, "leave it out"),
    ];
    for (name, is_needed, advice) in needs {
        if let Some(field) = fields.get(name).filter(|_| is_needed) {
            field.conflict(format!("needs \"workloads\", which this rollout does not name; {advice}"));
        }
    }
}

fn word<T: Copy>(fields: &Fields<'_, '_>, name: &'static str, usual: T, words: &[(&'static str, T)]) -> T {
    fields.get(name).map_or(usual, |field| field.word(words).unwrap_or(usual))
}

fn seconds(fields: &Fields<'_, '_>, name: &'static str, usual: u64, least: u64, most: u64) -> u64 {
    fields.get(name).map_or(usual, |field| read_seconds(&field, least, most).unwrap_or(usual))
}

fn read_seconds(cursor: &Cursor<'_, '_>, least: u64, most: u64) -> Option<u64> {
    let seconds = cursor.duration()?;
    if !(least..=most).contains(&seconds) {
        cursor.problem(format!(
            "must be from {} to {}, not {}",
            crate::text::duration(least),
            crate::text::duration(most),
            crate::text::duration(seconds)
        ));
        return None;
    }
    Some(seconds)
}

/// A chance in percent: above 0, at most 50.
fn percent(fields: &Fields<'_, '_>, name: &'static str, usual: f64) -> f64 {
    let Some(field) = fields.get(name) else { return usual };
    let Some(given) = field.number() else { return usual };
    if !(given > 0.0 && given <= 50.0) {
        field.problem(format!("must be above 0 and at most 50, in percent, not {}", number(given)));
        return usual;
    }
    given / 100.0
}

/// A weight in percent.
fn read_weight(cursor: &Cursor<'_, '_>) -> Option<u32> {
    match parts_per_million(cursor.number()?) {
        Ok(weight) => Some(weight),
        Err(message) => {
            cursor.problem(message);
            None
        }
    }
}

fn read_steps(cursor: &Cursor<'_, '_>, dwell: u64) -> Vec<PlannedStep> {
    let items = cursor.filled_items("list the first weight, as 1");
    if items.len() > MAX_STEPS {
        cursor.too_large(format!("has {} steps; at most {MAX_STEPS}", items.len()));
        return Vec::new();
    }
    let mut steps: Vec<PlannedStep> = Vec::new();
    for item in items {
        let Some(step) = read_step(&item, dwell) else { continue };
        if step.weight == 1_000_000 {
            item.problem(
                "is 100 %, where nobody is left to compare with; leave it out: the promotion goes to 100 % after the last step",
            );
        } else if let Some(before) = steps.last().filter(|before| before.weight >= step.weight) {
            item.problem(format!(
                "does not lie above the step before it, {} %: steps ascend",
                crate::text::percent(before.weight)
            ));
        }
        steps.push(step);
    }
    if !steps.is_empty() && steps.iter().all(|step| step.weight == 0) {
        cursor.problem("has no step with users; add one, as 1");
    }
    steps
}

fn read_step(cursor: &Cursor<'_, '_>, dwell: u64) -> Option<PlannedStep> {
    if !matches!(cursor.value(), Value::Map(_)) {
        return Some(PlannedStep::of(read_weight(cursor)?, dwell));
    }
    let fields = cursor.fields(&STEP);
    let weight = fields.required("weight", "0 to below 100, in percent");
    let step = PlannedStep {
        weight: 0,
        dwell: seconds(&fields, "dwell", dwell, 0, 30 * DAY),
        approval: fields.get("approval").is_some_and(|field| field.boolean()),
        gate: fields.get("gate").and_then(|field| field.text(&GATE)).map(str::to_owned),
    };
    Some(PlannedStep { weight: read_weight(&weight?)?, ..step })
}

fn read_rollback(cursor: &Cursor<'_, '_>) -> Rollback {
    if !matches!(cursor.value(), Value::Map(_)) {
        let words = [("atOnce", ())];
        if let Value::String(_) = cursor.value() {
            let _ = cursor.word(&words);
        } else {
            cursor.problem("must be atOnce or steps, as {down: [25, 5, 0], every: 30s}");
        }
        return Rollback::AtOnce;
    }
    let fields = cursor.fields(&DOWN);
    let every = seconds(&fields, "every", 30, 1, DAY);
    let Some(down) = fields.required("down", "the weights on the way back, as [25, 5, 0]") else {
        return Rollback::AtOnce;
    };
    let items = down.filled_items("write atOnce instead, or weights that end at 0");
    if items.len() > MAX_STEPS {
        down.too_large(format!("has {} steps; at most {MAX_STEPS}", items.len()));
        return Rollback::AtOnce;
    }
    let mut weights: Vec<u32> = Vec::new();
    for item in items {
        let Some(weight) = read_weight(&item) else { continue };
        if weights.last().is_some_and(|before| *before <= weight) {
            item.problem("does not lie below the weight before it: a rollback goes down");
        }
        weights.push(weight);
    }
    if weights.last().is_some_and(|last| *last != 0) {
        down.problem("does not end at 0: a rollback sends all users back");
    }
    Rollback::Down { weights, every }
}

fn read_away(cursor: &Cursor<'_, '_>, mode: Mode) -> Option<OnServerAway> {
    let fields = cursor.fields_as(&AWAY, "when proxies fall back, as {after: 30m, weight: 0}");
    if mode == Mode::Judge {
        cursor.conflict("is about a weight that another controller holds with \"mode: judge\"; leave it out");
    }
    let after = fields.required("after", "how long proxies wait for the server, as 30m");
    let after = after.and_then(|after| read_seconds(&after, 10, 30 * DAY));
    let weight = fields.get("weight").map_or(Some(0), |weight| read_weight(&weight));
    Some(OnServerAway { after: after?, weight: weight? })
}

fn read_notifiers(cursor: &Cursor<'_, '_>) -> Vec<String> {
    let items = cursor.items();
    if items.len() > MAX_NOTIFIERS {
        cursor.too_large(format!("has {} notifiers; at most {MAX_NOTIFIERS}", items.len()));
        return Vec::new();
    }
    items.filter_map(|item| item.text(&NOTIFIER).map(str::to_owned)).collect()
}
