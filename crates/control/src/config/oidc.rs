//! Whose tokens are taken beside the server's own.

use std::collections::BTreeMap;

use coalmine_document::{Cursor, Known, Value};

use super::tokens::read_scope;
use super::{MAX_ENTRIES, NAME, Surroundings, read_file, read_filled};
use crate::access::{KeySource, Rule, address};
use crate::text_pattern::{NotAPattern, TextPattern};

const RULE: Known = Known::new(&["name", "issuer", "audience", "keys", "claims", "may", "rollouts", "as"]);
const FILE: Known = Known::new(&["file"]);

/// The most claims that a rule asks for.
const MAX_CLAIMS: usize = 32;
/// The claim that names a caller unless the rule says otherwise.
const NAMED_BY: &str = "sub";

pub(super) fn read(cursor: &Cursor<'_, '_>, surroundings: &Surroundings<'_>) -> Vec<Rule> {
    let items = cursor.items();
    if items.len() > MAX_ENTRIES {
        cursor.too_large(format!("has {} rules, and at most {MAX_ENTRIES} are allowed", items.len()));
    }
    let mut rules: Vec<Rule> = Vec::new();
    for item in items.take(MAX_ENTRIES) {
        let Some(rule) = read_rule(&item, surroundings) else { continue };
        if rules.iter().any(|other| other.name == rule.name) {
            item.problem(format!("another rule is called {} too", rule.name));
        }
        if rules.iter().any(|other| other.issuer == rule.issuer && other.keys != rule.keys) {
            item.conflict("another rule has other \"keys\" for the same issuer");
        }
        rules.push(rule);
    }
    rules
}

fn read_rule(cursor: &Cursor<'_, '_>, surroundings: &Surroundings<'_>) -> Option<Rule> {
    let expected = "whose tokens are taken, as {name: github, issuer: .., audience: .., claims: {sub: ..}, may: operate}";
    let fields = cursor.fields_as(&RULE, expected);
    let name = fields.required("name", "what the names of its callers in history begin with");
    let name = name.and_then(|field| field.text(&NAME));
    let issuer = fields.required("issuer", "who makes the tokens, as https://issuer.example");
    let issuer = issuer.and_then(|field| read_issuer(&field));
    let audience = fields.required("audience", "whom the tokens are made for, as their \"aud\" says");
    let audience = audience.and_then(|field| read_filled(&field));
    // A token of a public issuer is anybody's: without a claim, everybody would be let in.
    let claims =
        fields.required("claims", "what a token has to say of its bearer, as {sub: \"repo:acme/shop:*\"}");
    let claims = claims.map(|field| read_claims(&field));
    let keys = match fields.get("keys") {
        None => Some(KeySource::Discovered),
        Some(field) => read_keys(&field, surroundings),
    };
    let named_by = match fields.get("as") {
        None => Some(NAMED_BY.to_owned()),
        Some(field) => read_filled(&field),
    };
    let scope = read_scope(&fields);
    Some(Rule {
        name: name?.to_owned(),
        issuer: issuer?,
        audience: audience?,
        keys: keys?,
        claims: claims?,
        scope: scope?,
        named_by: named_by?,
    })
}

fn read_issuer(cursor: &Cursor<'_, '_>) -> Option<String> {
    let text = read_address(cursor)?;
    if text.contains('?') {
        cursor.problem("must be a URL without a query");
    }
    Some(text)
}

/// A URL as it is written: an issuer is compared letter by letter.
fn read_address(cursor: &Cursor<'_, '_>) -> Option<String> {
    let text = cursor.string()?;
    match address(text) {
        Ok(_) => Some(text.to_owned()),
        Err(why) => {
            cursor.problem(why);
            None
        }
    }
}

fn read_keys(cursor: &Cursor<'_, '_>, surroundings: &Surroundings<'_>) -> Option<KeySource> {
    if cursor.value().text().is_some() {
        return read_address(cursor).map(KeySource::Url);
    }
    let fields = cursor.fields_as(&FILE, "the address of a JSON web key set, or {file: PATH}");
    let field = fields.required("file", "a JSON web key set")?;
    let text = read_file(&field, surroundings)?;
    Some(KeySource::File { path: field.string()?.to_owned(), text })
}

fn read_claims(cursor: &Cursor<'_, '_>) -> BTreeMap<String, TextPattern> {
    let entries = cursor.entries();
    if entries.is_empty() && matches!(cursor.value(), Value::Map(_)) {
        cursor.problem("asks for nothing; write {sub: \"*\"} where every token of this issuer is meant");
    }
    if entries.len() > MAX_CLAIMS {
        cursor.too_large(format!("has {} claims, and at most {MAX_CLAIMS} are allowed", entries.len()));
    }
    let mut claims = BTreeMap::new();
    for field in entries.into_iter().take(MAX_CLAIMS) {
        let Some(text) = field.value.string() else { continue };
        match text.parse() {
            Ok(pattern) => {
                claims.insert(field.name.to_owned(), pattern);
            }
            Err(NotAPattern) => {
                let given = field.value.quote(text);
                let right = "it must be the whole text of the claim, or its beginning with a * at the end";
                field.value.problem(format!("{given} is no pattern: {right}"));
            }
        }
    }
    claims
}
