//! Who may do what.

use std::collections::BTreeSet;

use coalmine_document::{Cursor, Fields, Known};

use super::{MAX_ENTRIES, NAME, Surroundings, secret};
use crate::access::{May, Pattern, Scope, Token};

const TOKEN: Known = Known::new(&["name", "value", "may", "rollouts"]);

/// The least characters of a token: what somebody makes up is guessed.
const MIN_LENGTH: usize = 16;

pub(super) fn read(cursor: &Cursor<'_, '_>, surroundings: &Surroundings<'_>) -> Vec<Token> {
    let mut names = BTreeSet::new();
    let items = cursor.items();
    if items.len() > MAX_ENTRIES {
        cursor.too_large(format!("has {} tokens, and at most {MAX_ENTRIES} are allowed", items.len()));
    }
    let mut tokens = Vec::new();
    for item in items.take(MAX_ENTRIES) {
        let Some(token) = read_token(&item, surroundings) else { continue };
        if !names.insert(token.name().to_owned()) {
            item.problem(format!("another token is called {} too", token.name()));
        }
        tokens.push(token);
    }
    tokens
}

fn read_token(cursor: &Cursor<'_, '_>, surroundings: &Surroundings<'_>) -> Option<Token> {
    let fields = cursor.fields_as(&TOKEN, "a token, as {name: pipeline, value: {env: TOKEN}, may: operate}");
    let name = fields.required("name", "what history calls who uses it").and_then(|field| field.text(&NAME));
    let scope = read_scope(&fields);
    let value = fields.required("value", "{env: NAME} or {file: PATH}")?;
    let text = secret::read_elsewhere(&value, surroundings)?;
    if text.len() < MIN_LENGTH {
        value.problem(format!("has fewer than {MIN_LENGTH} characters; make one by `openssl rand -hex 32`"));
    }
    let Scope { may, patterns } = scope?;
    Some(Token::new(name?, &text, may, patterns))
}

/// What the fields `may` and `rollouts` say.
pub(super) fn read_scope(fields: &Fields<'_, '_>) -> Option<Scope> {
    let words = [("read", May::Read), ("operate", May::Operate), ("write", May::Write)];
    let may = fields.required("may", "read, operate or write").and_then(|field| field.word(&words));
    let patterns = match fields.get("rollouts") {
        None => vec![Pattern::Every],
        Some(rollouts) => rollouts
            .filled_items("leave it out for every rollout")
            .filter_map(|item| pattern(&item))
            .collect(),
    };
    Some(Scope { may: may?, patterns })
}

/// Rollouts by name.
pub(super) fn pattern(cursor: &Cursor<'_, '_>) -> Option<Pattern> {
    let text = cursor.string()?;
    let pattern = text.parse().ok();
    if pattern.is_none() {
        let given = cursor.quote(text);
        cursor.problem(format!("{given} is no pattern of rollouts: *, shop/*, or shop/checkout"));
    }
    pattern
}
