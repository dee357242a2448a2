//! A plan, written into the text of a document.

use coalmine_core::policy::Rollout;

use super::plan::Plan;
use super::written::Written;
use crate::edit::Edits;
use crate::failure::Failure;
use crate::found::{Found, Scan};
use crate::policy_file::PolicyFile;
use crate::shares::shares;
use crate::text::{Source, Style, Tree};

const BY_HAND: &str = "edit it by hand; `coalmine diff` shows who moves";

/// The text of the file with the plan in it, in every policy that it holds.
pub(super) fn rewritten(file: &PolicyFile, rollout: &Rollout, plan: &Plan) -> Result<String, Failure> {
    let mut edits = Edits::default();
    for found in &file.scan.policies {
        one(&file.scan.source, found, rollout, plan, &mut edits).ok_or_else(|| {
            Failure::usage(
                format!("{} is written in a way that cannot be changed in its place", file.path.display()),
                BY_HAND,
            )
        })?;
    }
    Ok(edits.applied(file.scan.source.text()))
}

/// The changed text, read again: it must say what was planned, and nothing else may have changed.
pub(super) fn checked(
    file: &PolicyFile,
    rollout: &str,
    plan: &Plan,
    changed: Source,
) -> Result<PolicyFile, Failure> {
    let scan = Scan::of(changed);
    let lost = || {
        let wrong =
            format!("{} is written in a way that cannot be changed in its place", file.path.display());
        Failure::usage(wrong, BY_HAND)
    };
    let Some(found) = scan
        .policies
        .first()
        .cloned()
        .filter(|_| scan.findings.is_empty() && scan.policies.len() == file.scan.policies.len())
    else {
        return Err(lost());
    };
    let changed = PolicyFile::of_scan(&file.path, scan, found).map_err(|failure| match failure {
        Failure::Problems(text) => {
            Failure::Problems(format!("with these weights the policy would be refused: {text}"))
        }
        other => other,
    })?;
    let now: Vec<String> = shares(changed.rollout(Some(rollout))?)
        .into_iter()
        .skip(1)
        .map(|(name, weight)| format!("{name}={weight}"))
        .collect();
    let planned: Vec<String> =
        plan.variants.iter().map(|planned| format!("{}={}", planned.name, planned.after)).collect();
    let comments = |source: &Source| source.text().matches('#').count();
    if now != planned || comments(&changed.scan.source) != comments(&file.scan.source) {
        return Err(lost());
    }
    Ok(changed)
}

/// The edits of one policy; `None` where its writing does not allow them.
fn one(source: &Source, found: &Found, rollout: &Rollout, plan: &Plan, edits: &mut Edits) -> Option<()> {
    if let Some(revision) = found.tree.get("revision") {
        let coalmine_core::document::Value::Number(number) = revision.to_node(source).value else {
            return None;
        };
        edits.replace(scalar(source, revision)?, format!("{}", number as u64 + 1));
    }
    let map = found.tree.get("rollouts")?.items().get(rollout.index())?;
    let list = map.get("variants").filter(|list| list.style != Style::Alias)?;
    let ranges = map.get("ranges");
    let with_ranges = plan.needs_ranges || ranges.is_some();
    for (item, planned) in list.items().iter().zip(&plan.variants) {
        let written = Written::like(source, item);
        match item.get("weight") {
            Some(_) if with_ranges => {
                let place = item.entries().iter().position(|entry| entry.key == "weight")?;
                edits.remove(written.without_field(item, place)?);
            }
            Some(weight) if planned.before != planned.after => {
                edits.replace(scalar(source, weight)?, planned.after.to_string());
            }
            _ => {}
        }
    }
    let last = list.items().last()?;
    let written = Written::like(source, last);
    for planned in plan.variants.iter().skip(plan.known) {
        let mut fields = vec![("name", written.name(&planned.name))];
        if !with_ranges {
            fields.push(("weight", planned.after.to_string()));
        }
        let (at, text) = written.variant_behind(list, last, &fields);
        edits.insert(at, text);
    }
    if with_ranges {
        write_ranges(source, map, ranges, plan, edits)?;
    }
    Some(())
}

fn write_ranges(
    source: &Source,
    map: &Tree,
    ranges: Option<&Tree>,
    plan: &Plan,
    edits: &mut Edits,
) -> Option<()> {
    let written = Written::like(source, map);
    let items: Vec<String> =
        plan.table().iter().map(|(end, name)| format!("[{end}, {}]", written.name(name))).collect();
    match ranges {
        Some(ranges) => {
            if ranges.style == Style::Alias {
                return None;
            }
            let (span, joint) = written.items_of(ranges)?;
            edits.replace(span, items.join(&joint));
        }
        None => {
            let entry = map.entries().iter().find(|entry| entry.key == "variants")?;
            let (at, text) = written.field_behind(map, entry, "ranges", &format!("[{}]", items.join(", ")));
            edits.insert(at, text);
        }
    }
    Some(())
}

/// The bytes of a number that stands there as it is.
fn scalar(source: &Source, tree: &Tree) -> Option<std::ops::Range<usize>> {
    let text = source.text().get(tree.span.clone())?;
    let is_number = text.starts_with(|first: char| first.is_ascii_digit() || "+.".contains(first));
    (tree.style == Style::Plain && is_number).then(|| tree.span.clone())
}
