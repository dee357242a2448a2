//! What the operator says once for all rollouts: parts of a policy, and which hosts a namespace may have.

use std::collections::BTreeMap;

use coalmine_core::policy::{Environment, Rollout};
use coalmine_document::{Cursor, Known, Node, OwnedPath, Problem, Reader, Value, is_label};

use super::read_texts;
use crate::rollout::Operator;

const POLICY: Known =
    Known::new(&["route", "bucketRoute", "override", "slow", "accessLog", "environmentPrefix"]);

/// The most thresholds that a filter counts.
const MAX_THRESHOLDS: usize = 4;

pub(super) fn read(cursor: &Cursor<'_, '_>, reader: &Reader) -> Operator {
    let fields =
        cursor.fields_as(&POLICY, "parts of a policy that are the same for all, as {slow: [250ms, 1s]}");
    let part = |name: &'static str, as_name: &str| {
        let field = fields.get(name)?;
        let node = Node::from(field.value().clone());
        check(name, as_name, &node, reader);
        Some(node)
    };
    let usual = Operator::default();
    Operator {
        route: part("route", "route"),
        bucket_route: part("bucketRoute", "route"),
        override_: part("override", "override"),
        slow: fields.get("slow").map(|slow| read_slow(&slow)).unwrap_or_default(),
        access_log: fields.get("accessLog").is_some_and(|field| field.boolean()),
        environment_prefix: fields
            .get("environmentPrefix")
            .and_then(|field| field.string())
            .map_or(usual.environment_prefix, str::to_owned),
        ..Operator::default()
    }
}

/// Checks a part as the rollout that it becomes a part of: the core has the rules.
fn check(name: &str, as_name: &str, part: &Node, reader: &Reader) {
    let has_buckets = part.get("bucketHeader").is_some();
    let mut rollout = vec![
        ("name", Node::of_text("operator")),
        ("identity", Node::of_items([Node::of_fields([("header", Node::of_text("x-user"))])])),
        (as_name, part.clone()),
    ];
    if !has_buckets {
        let canary = [("name", Node::of_text("canary")), ("weight", Value::Number(0.0).into())];
        rollout.push(("variants", Node::of_items([Node::of_fields(canary)])));
    }
    let Err(problems) = Rollout::from_document(&Node::of_fields(rollout), Environment::Unread) else {
        return;
    };
    for problem in problems.shown() {
        let is_inside = problem.path.begins_with(&OwnedPath::of(&[as_name]));
        // Paths of both documents differ where the part has another name there.
        let (path, message) = match (is_inside, name == as_name) {
            (true, true) => (OwnedPath::of(&["policy"]).join(&problem.path), problem.message.clone()),
            (true, false) => {
                (OwnedPath::of(&["policy", name]), format!("{}: {}", problem.path, problem.message))
            }
            (false, _) => (OwnedPath::of(&["policy", name]), problem.message.clone()),
        };
        reader.push(Problem { path, message, ..problem.clone() });
    }
}

fn read_slow(cursor: &Cursor<'_, '_>) -> Vec<u64> {
    let items = cursor.items();
    if items.len() > MAX_THRESHOLDS {
        cursor.too_large(format!("at most {MAX_THRESHOLDS} thresholds are counted"));
    }
    let mut slow: Vec<u64> = items.filter_map(|item| item.milliseconds("a threshold, as 250ms")).collect();
    if !slow.is_sorted_by(|one, other| one < other) {
        cursor.problem("must ascend, each threshold once");
        slow.sort_unstable();
        slow.dedup();
    }
    slow
}

pub(super) fn read_grants(cursor: &Cursor<'_, '_>) -> BTreeMap<String, Vec<String>> {
    let mut grants = BTreeMap::new();
    for field in cursor.entries() {
        if !is_label(field.name) {
            let name = field.value.quote(field.name);
            field.value.problem(format!("{name} is no namespace: 1 to 63 of a-z, 0-9 and -"));
        }
        grants.insert(field.name.to_owned(), read_texts(&field.value));
    }
    grants
}
