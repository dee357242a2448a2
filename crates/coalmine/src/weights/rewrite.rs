//! A change of weights, written into the text of a document.

use coalmine_core::policy::Rollout;
use coalmine_document::style::SourceStyle;
use coalmine_document::{Edits, Node, SourceText, Span, Style, Value};

use super::change::WeightsChange;
use super::{TIME, elsewhere};
use crate::failure::Failure;
use crate::policy_file::PolicyFile;
use crate::scan::{EmbeddedPolicy, Scan};

const BY_HAND: &str = "edit it by hand; `coalmine diff` shows who moves";

/// The text of the file with the change in it, in every policy that it holds.
pub(super) fn rewritten(
    file: &PolicyFile,
    rollout: &Rollout,
    change: &WeightsChange,
) -> Result<String, Failure> {
    let mut edits = Edits::default();
    for embedded in &file.scan.policies {
        one(&file.scan.source, embedded, rollout, change, &mut edits).ok_or_else(|| {
            let path = file.path.display();
            let wrong = match elsewhere::borrowed(embedded, rollout) {
                Some(place) => format!(
                    "{path}: {place} stands elsewhere in the file, behind an alias (*) or a merge key (<<), for others too"
                ),
                None => format!("{path} is written in a style that cannot be changed in its place"),
            };
            Failure::usage(wrong, BY_HAND)
        })?;
    }
    Ok(edits.applied(file.scan.source.text()))
}

/// The changed text, read again: it must say what was planned, and nothing else may have changed.
pub(super) fn checked(
    file: &PolicyFile,
    rollout: &Rollout,
    change: &WeightsChange,
    changed: SourceText,
) -> Result<PolicyFile, Failure> {
    let scan = Scan::of(changed);
    let lost = || {
        let wrong =
            format!("{} is written in a style that cannot be changed in its place", file.path.display());
        Failure::usage(wrong, BY_HAND)
    };
    let Some(embedded) = scan
        .policies
        .first()
        .cloned()
        .filter(|_| scan.diagnostics.is_empty() && scan.policies.len() == file.scan.policies.len())
    else {
        return Err(lost());
    };
    let changed = PolicyFile::of_scan(&file.path, scan, embedded).map_err(|failure| match failure {
        Failure::Problems(text) => {
            Failure::Problems(format!("with these weights the policy would be refused: {text}"))
        }
        other => other,
    })?;
    let now: Vec<String> = changed
        .rollout(Some(rollout.name()))?
        .shares(TIME)
        .into_iter()
        .skip(1)
        .map(|(name, weight)| format!("{name}={weight}"))
        .collect();
    let wanted: Vec<String> =
        change.variants.iter().map(|variant| format!("{}={}", variant.name, variant.after)).collect();
    let comments = |source: &SourceText| source.text().matches('#').count();
    if now != wanted || comments(&changed.scan.source) != comments(&file.scan.source) {
        return Err(lost());
    }
    if let Some(place) = elsewhere::changed(&file.scan, &changed.scan, rollout.index()) {
        return Err(Failure::usage(
            format!(
                "{}: the change would reach {place} too, which shares it by an anchor (&), an alias (*) or a merge key (<<)",
                file.path.display()
            ),
            "write the values out in both places; `coalmine diff` shows who moves",
        ));
    }
    Ok(changed)
}

/// The edits of one policy; `None` where its writing does not allow them.
fn one(
    source: &SourceText,
    embedded: &EmbeddedPolicy,
    rollout: &Rollout,
    change: &WeightsChange,
    edits: &mut Edits,
) -> Option<()> {
    if let Some(revision) = embedded.node.get("revision") {
        let Value::Number(number) = revision.value else { return None };
        edits.replace(scalar(source, revision)?, format!("{}", number as u64 + 1));
    }
    let map = embedded.node.get("rollouts")?.items().get(rollout.index())?;
    let list = map.get("variants").filter(|list| list.style != Style::Alias)?;
    let ranges = map.get("ranges");
    let with_ranges = change.needs_ranges || ranges.is_some();
    for (item, variant) in list.items().iter().zip(&change.variants) {
        let style = SourceStyle::like(source, item);
        match item.get("weight") {
            Some(_) if with_ranges => {
                let place = item.entries().iter().position(|entry| entry.key == "weight")?;
                edits.remove(style.without_field(item, place)?);
            }
            Some(weight) if variant.before != variant.after => {
                edits.replace(scalar(source, weight)?, variant.after.to_string());
            }
            _ => {}
        }
    }
    let last = list.items().last()?;
    let style = SourceStyle::like(source, last);
    for variant in change.variants.iter().skip(change.known) {
        let mut fields = vec![("name", style.name(&variant.name))];
        if !with_ranges {
            fields.push(("weight", variant.after.to_string()));
        }
        let (at, text) = style.variant_behind(list, last, &fields);
        edits.insert(at, text);
    }
    if with_ranges {
        write_ranges(source, map, ranges, change, edits)?;
    }
    Some(())
}

fn write_ranges(
    source: &SourceText,
    map: &Node,
    ranges: Option<&Node>,
    change: &WeightsChange,
    edits: &mut Edits,
) -> Option<()> {
    let style = SourceStyle::like(source, map);
    let items: Vec<String> =
        change.table().iter().map(|(end, name)| format!("[{end}, {}]", style.name(name))).collect();
    match ranges {
        Some(ranges) => {
            if ranges.style == Style::Alias {
                return None;
            }
            let (span, joint) = style.items_of(ranges)?;
            edits.replace(span, items.join(&joint));
        }
        None => {
            let entry = map.entries().iter().find(|entry| entry.key == "variants")?;
            let (at, text) = style.field_behind(map, entry, "ranges", &format!("[{}]", items.join(", ")));
            edits.insert(at, text);
        }
    }
    Some(())
}

/// The bytes of a number that stands there as it is.
fn scalar(source: &SourceText, node: &Node) -> Option<Span> {
    let text = source.text().get(node.span.range())?;
    let is_number = text.starts_with(|first: char| first.is_ascii_digit() || "+.".contains(first));
    (node.style == Style::Plain && is_number).then_some(node.span)
}
