//! From the `split_clients` blocks of an nginx configuration.

mod blocks;
mod key;
mod lexer;

use coalmine_core::bucketing::BUCKETS;
use coalmine_document::{Node, SourceText, Value};

use super::{Arguments, Imported, label, shown, variant};
use blocks::{Block, WHOLE};
use key::{Key, Source};

/// Parts per million in a hundredth of a percent.
const STEP: u32 = BUCKETS / WHOLE;
const FIRST: &str = "Users change sides once: nginx hashes with MurmurHash2, Coalmine assigns them anew, and then for good. \
                     Start with a small weight.";

/// A value of a block with all that it takes, in parts per million.
struct Side {
    value: String,
    ppm: u32,
    /// Whether `*`, or the lack of it, gives the value what is left.
    is_rest: bool,
}

pub(super) fn import(source: &mut SourceText, arguments: &Arguments) -> Imported {
    let words = lexer::read(source.text());
    let configuration = blocks::read(&words, source.text().len());
    let mut imported = Imported::new(FIRST);
    imported.diagnostics = configuration.problems;
    imported.looked_for = match configuration.seen {
        0 => "no split_clients block".to_owned(),
        1 => "1 split_clients block, and nothing in it that can be carried over".to_owned(),
        seen => format!("{seen} split_clients blocks, and nothing in them that can be carried over"),
    };
    if !configuration.includes.is_empty() {
        let files: Vec<String> = configuration.includes.iter().map(|file| shown(file)).collect();
        imported.note(format!(
            "files that are included are not read: {}; `nginx -T` prints a configuration with all of them.",
            files.join(", ")
        ));
    }
    let mut salts: Vec<(String, String)> = Vec::new();
    for block in &configuration.blocks {
        rollout(block, arguments, &mut imported, &mut salts);
    }
    if imported.rollouts.len() > 1 {
        imported.note(
            "each of these rollouts matches every request, and one request has one rollout: the first one. nginx has \
             all splits at once: give each rollout a \"match\".",
        );
    }
    imported
}

fn rollout(block: &Block, arguments: &Arguments, imported: &mut Imported, salts: &mut Vec<(String, String)>) {
    let variable = label(block.variable.trim_start_matches('$'), "split");
    if block.in_stream {
        imported.note(format!(
            "{variable}: left out; it splits TCP connections (stream), and a policy splits requests of HTTP."
        ));
        return;
    }
    let sides = sides(block);
    // The larger share is stable: whatever fails goes there. Between equal ones it is what `*` takes.
    let Some(stable) =
        sides.iter().rev().max_by_key(|side| (side.ppm, side.is_rest)).map(|side| side.value.clone())
    else {
        return;
    };
    if sides.iter().filter(|side| side.ppm > 0).count() < 2 {
        let stable = shown(&stable);
        imported.note(format!(
            "{variable}: left out; every request has the value {stable}, so nothing is split."
        ));
        return;
    }
    let name = imported.unique(&variable, None);
    let key = Key::of(&block.key);
    let source = identity(&name, &block.key, &key, arguments, imported);
    let listed = variants(&name, &stable, &sides, imported);
    let salt = key.salt().map_or_else(|| format!("{name}-1"), str::to_owned);
    if !key.text.is_empty() && key.salt().is_none() {
        imported.note(format!(
            "{name}: the text in {} is no salt here, so the salt is {salt}.",
            shown(&block.key)
        ));
    }
    match salts.iter().find(|(known, _)| *known == salt) {
        Some((_, other)) => imported.note(format!(
            "{name}: its salt is that of {other}, so the two draw the same users, as in nginx; change one to draw \
             independently."
        )),
        None => salts.push((salt.clone(), name.clone())),
    }
    let mut fields = vec![
        ("name", Node { span: block.span, ..Node::of_text(&name) }),
        ("identity", source.node()),
        ("salt", Node::of_text(salt)),
    ];
    fields.extend(shares(&listed));
    imported.rollouts.push(Node::of_fields(fields));
}

/// What names the user in place of the text that nginx hashes.
fn identity(name: &str, text: &str, key: &Key, arguments: &Arguments, imported: &mut Imported) -> Source {
    let found = key.source();
    let source = match &found {
        Some((_, source)) => source.clone(),
        None => {
            let (kind, given) = &arguments.identity;
            let source = Source { kind, name: given.clone() };
            let why = match key.variables.as_slice() {
                [] => "has no variable, so nginx gives every request the same value".to_owned(),
                [one] if one == "http_cookie" => "is all cookies, which name no user for long".to_owned(),
                [one] if one == "http_authorization" => "is a credential, and no identity".to_owned(),
                _ => "names no user for long".to_owned(),
            };
            imported.note(format!(
                "{name}: {} {why}; here {} names the user (--identity).",
                shown(text),
                source.title()
            ));
            source
        }
    };
    if let Some((place, source)) = &found
        && key.variables.len() > 1
    {
        let others = key.variables.iter().enumerate().filter(|(other, _)| other != place);
        let others: Vec<String> = others.map(|(_, variable)| format!("${variable}")).collect();
        imported.note(format!(
            "{name}: of {} only {} is carried over, without {}.",
            shown(text),
            source.title(),
            others.join(" and ")
        ));
    }
    let case = match source.kind {
        "cookie" | "queryParameter" if found.is_some() => {
            " Upper and lower case of the name count here, and do not in nginx."
        }
        _ => "",
    };
    if source.kind != "sourceIp" {
        imported.note(format!(
            "{name}: a request without {} is stable here; nginx hashes an empty text as any other.{case}",
            source.title()
        ));
    }
    source
}

/// The values of a block, each once, in its order; what is left over comes last.
fn sides(block: &Block) -> Vec<Side> {
    let mut sides: Vec<Side> = Vec::new();
    let mut left = BUCKETS;
    let rest = std::iter::once((None, ""));
    let parts = block.parts.iter().map(|part| (part.share, part.value.as_str()));
    for (share, value) in parts.chain(rest) {
        let ppm = share.map_or(left, |share| (share * STEP).min(left));
        left -= ppm;
        if ppm == 0 {
            continue;
        }
        match sides.iter_mut().find(|side| side.value == value) {
            Some(side) => {
                side.ppm += ppm;
                side.is_rest |= share.is_none();
            }
            None => sides.push(Side { value: value.to_owned(), ppm, is_rest: share.is_none() }),
        }
    }
    sides
}

/// The variants beside stable, with their weights in parts per million; what each of them is goes into the notes.
fn variants(name: &str, stable: &str, sides: &[Side], imported: &mut Imported) -> Vec<(String, u32)> {
    let mut listed: Vec<(String, u32)> = Vec::new();
    let beside = sides.iter().filter(|side| side.value != *stable).count();
    for side in sides {
        let share = format!("{}%{}", percent(side.ppm), if side.is_rest { " (*)" } else { "" });
        let value = shown(&side.value);
        if side.value == *stable {
            let why =
                if side.is_rest { "" } else { " It has the larger share: whatever fails goes to stable." };
            imported.note(format!("{name}: {share} with {value} is stable.{why}"));
            continue;
        }
        let otherwise =
            if beside == 1 { "canary".to_owned() } else { format!("variant-{}", listed.len() + 1) };
        let mut variant = label(&side.value, &otherwise);
        if variant == "stable" || listed.iter().any(|(known, _)| *known == variant) {
            variant = format!("{}-{}", variant.get(..55).unwrap_or(&variant), listed.len() + 2);
        }
        imported.note(format!("{name}: {share} with {value} is the variant {variant}."));
        listed.push((variant, side.ppm));
    }
    listed
}

/// Weights alone place two; more get a table, in the order of nginx.
fn shares(listed: &[(String, u32)]) -> Vec<(&'static str, Node)> {
    if listed.len() <= 2 {
        return vec![("variants", Node::of_items(listed.iter().map(|(name, ppm)| variant(name, *ppm))))];
    }
    let names = listed.iter().map(|(name, _)| Node::of_fields([("name", Node::of_text(name))]));
    let mut end = 0;
    let mut table: Vec<(u32, &str)> = Vec::new();
    for (name, ppm) in listed {
        end += ppm;
        table.push((end, name));
    }
    table.push((BUCKETS, "stable"));
    let pair = |(end, name): (u32, &str)| {
        Node::of_items([Node::from(Value::Number(f64::from(end))), Node::of_text(name)])
    };
    vec![("variants", Node::of_items(names)), ("ranges", Node::of_items(table.into_iter().map(pair)))]
}

fn percent(ppm: u32) -> String {
    coalmine_document::number(f64::from(ppm) / 10_000.0)
}
