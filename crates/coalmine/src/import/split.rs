//! From the `split_clients` blocks of an nginx configuration.

use coalmine_core::bucketing::BUCKETS;

use super::{Arguments, Imported, identity, label, variant};
use crate::failure::Failure;
use coalmine_document::{Node, SourceText, Value};

/// A `split_clients` block.
struct Block {
    key: String,
    variable: String,
    /// Shares and values; `*` is the rest.
    parts: Vec<(String, String)>,
}

pub(super) fn import(source: &SourceText, arguments: &Arguments) -> Result<Imported, Failure> {
    let mut imported = Imported::default();
    for block in blocks(&words(source.text())) {
        rollout(&block, arguments, &mut imported);
    }
    Ok(imported)
}

fn rollout(block: &Block, arguments: &Arguments, imported: &mut Imported) {
    let name = label(block.variable.trim_start_matches('$'), "split");
    let (variables, text) = variables(&block.key);
    let source = variables.iter().find_map(|variable| source_of(variable));
    let (kind, from) = source.unwrap_or_else(|| {
        let (kind, from) = arguments.identity.clone();
        imported.note(format!(
            "{name}: {} does not name a user for long; here {kind} {from} names the user (--identity).",
            block.key
        ));
        (kind, from)
    });
    if variables.len() > 1 {
        imported.note(format!("{name}: of {} only {kind} {from} is carried over.", variables.join(" and ")));
    }
    imported.note(format!(
        "{name}: a request without a {kind} is stable here; nginx hashes an empty text as any other."
    ));
    let mut listed: Vec<(String, u32)> = Vec::new();
    let mut has_rest = false;
    let count = block.parts.iter().filter(|(share, _)| share != "*").count();
    for (share, value) in &block.parts {
        if share == "*" {
            has_rest = true;
            continue;
        }
        let percent: f64 = share.trim_end_matches('%').parse().unwrap_or_default();
        let ppm = (percent * 10_000.0).round() as u32;
        let otherwise =
            if count == 1 { "canary".to_owned() } else { format!("variant-{}", listed.len() + 1) };
        let mut variant = label(value, &otherwise);
        if variant == "stable" || listed.iter().any(|(known, _)| *known == variant) {
            variant = format!("{}-{}", variant.get(..55).unwrap_or(&variant), listed.len() + 1);
        }
        imported.note(format!("{name}: {share} with {value:?} is the variant {variant}."));
        listed.push((variant, ppm));
    }
    if !has_rest {
        imported.note(format!("{name}: the rest had an empty value; here it is stable."));
    }
    let salt: String = text
        .chars()
        .filter(|character| character.is_ascii_alphanumeric() || "._-".contains(*character))
        .take(64)
        .collect();
    let salt = if salt.is_empty() { format!("{name}-1") } else { salt };
    let mut fields = vec![
        ("name", Node::of_text(&name)),
        ("identity", identity(&kind, &from)),
        ("salt", Node::of_text(salt)),
    ];
    // Weights alone place two; more get a table, in the order of nginx.
    if listed.len() <= 2 {
        fields.push(("variants", Node::of_items(listed.iter().map(|(name, ppm)| variant(name, *ppm)))));
    } else {
        let names = listed.iter().map(|(name, _)| Node::of_fields([("name", Node::of_text(name))]));
        fields.push(("variants", Node::of_items(names)));
        let mut end = 0;
        let mut table: Vec<(u32, &str)> = Vec::new();
        for (name, ppm) in listed.iter().filter(|(_, ppm)| *ppm > 0) {
            end += ppm;
            table.push((end, name));
        }
        if end < BUCKETS {
            table.push((BUCKETS, "stable"));
        }
        let pair = |(end, name): (u32, &str)| {
            Node::of_items([Node::from(Value::Number(f64::from(end))), Node::of_text(name)])
        };
        fields.push(("ranges", Node::of_items(table.into_iter().map(pair))));
    }
    imported.rollouts.push(Node::of_fields(fields));
}

/// The source of identity that is this variable of nginx.
fn source_of(variable: &str) -> Option<(String, String)> {
    let source = |kind: &str, name: &str| Some((kind.to_owned(), name.to_owned()));
    match variable {
        "remote_addr" | "binary_remote_addr" | "realip_remote_addr" => source("sourceIp", ""),
        _ => {
            if let Some(name) = variable.strip_prefix("cookie_") {
                source("cookie", name)
            } else if let Some(name) = variable.strip_prefix("http_") {
                source("header", &name.replace('_', "-"))
            } else {
                source("queryParameter", variable.strip_prefix("arg_")?)
            }
        }
    }
}

/// The variables in a text of nginx, and the rest of it.
fn variables(key: &str) -> (Vec<String>, String) {
    let (mut names, mut text) = (Vec::new(), String::new());
    let mut rest = key;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let after = after.strip_prefix('{').unwrap_or(after);
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        let (name, behind) = after.split_at(end);
        names.push(name.to_owned());
        rest = behind.strip_prefix('}').unwrap_or(behind);
    }
    text.push_str(rest);
    (names, text)
}

fn blocks(words: &[String]) -> Vec<Block> {
    let mut found = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word != "split_clients" {
            continue;
        }
        let (Some(key), Some(variable), Some("{")) =
            (words.next(), words.next(), words.next().map(String::as_str))
        else {
            continue;
        };
        let mut parts = Vec::new();
        while let Some(share) = words.next().filter(|word| *word != "}") {
            let value = words.next().cloned().unwrap_or_default();
            if value == ";" {
                continue;
            }
            parts.push((share.clone(), value));
            words.next();
        }
        found.push(Block { key: key.clone(), variable: variable.clone(), parts });
    }
    found
}

/// The words of an nginx configuration: `{`, `}` and `;` are words, comments are not, quotes are taken off.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(first) = characters.next() {
        match first {
            _ if first.is_whitespace() => {}
            '#' => while characters.next_if(|next| *next != '\n').is_some() {},
            '{' | '}' | ';' => words.push(first.to_string()),
            '"' | '\'' => {
                let mut word = String::new();
                while let Some(next) = characters.next().filter(|next| *next != first) {
                    word.push(if next == '\\' { characters.next().unwrap_or(next) } else { next });
                }
                words.push(word);
            }
            _ => {
                let mut word = first.to_string();
                let mut in_variable = false;
                while let Some(&next) = characters.peek() {
                    // `${name}` is one word.
                    in_variable = next == '{' && word.ends_with('$') || in_variable && next != '}';
                    if !in_variable && (next.is_whitespace() || "{;".contains(next))
                        || next == '}' && !word.contains("${")
                    {
                        break;
                    }
                    word.push(next);
                    characters.next();
                }
                words.push(word);
            }
        }
    }
    words
}
