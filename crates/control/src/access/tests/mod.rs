//! Tokens of an issuer on loopback, signed with real keys.

mod fetched;
pub(crate) mod issuer;
mod known;
mod refused;
mod reviewed;
mod rules;

use super::*;
use issuer::{Issuer, Signer, claims};
use serde_json::{Value, json};

/// Seconds since 1970 of every test.
pub(crate) const NOW: u64 = 1_800_000_000;
/// Whose tokens the tests take where nobody is asked for keys.
const ISSUER: &str = "https://issuer.example";
/// Whom the tokens are made for.
pub(crate) const AUDIENCE: &str = "coalmine";
/// Who has the token of [`claims`].
const SUBJECT: &str = "repo:acme/shop:ref:refs/heads/main";

/// The rule that the token of [`claims`] fits.
pub(crate) fn rule(issuer: &str, keys: KeySource) -> Rule {
    let claims = [("sub", "repo:acme/shop:*"), ("ref", "refs/heads/main")];
    Rule {
        name: "github".to_owned(),
        issuer: issuer.to_owned(),
        audience: AUDIENCE.to_owned(),
        keys,
        claims: claims.map(|(name, pattern)| (name.to_owned(), pattern.parse().unwrap())).into(),
        scope: Scope { may: May::Operate, patterns: vec!["shop/*".parse().unwrap()] },
        named_by: "sub".to_owned(),
    }
}

/// The keys of these signers, as a file.
fn file(signers: &[&Signer]) -> KeySource {
    KeySource::File { path: "jwks.json".to_owned(), text: issuer::set(signers) }
}

/// Takes the tokens of [`ISSUER`] that these have signed, by these rules; the keys of the rules are theirs.
fn trusting(signers: &[&Signer], rules: &[Rule]) -> Tokens {
    let rules: Vec<Rule> = rules.iter().cloned().map(|rule| Rule { keys: file(signers), ..rule }).collect();
    let tokens = Tokens::new(Vec::new());
    tokens
        .set(vec![Token::new("admin", "admin-0123456789", May::Write, vec![Pattern::Every])], &rules)
        .unwrap();
    tokens
}

/// Whether somebody may do this to the rollouts of a pattern.
async fn may(caller: &Caller, may: May, pattern: &str) -> bool {
    caller.may(may, &[pattern.parse().unwrap()]).await.unwrap()
}

async fn why(tokens: &Tokens, token: &str) -> String {
    let denial = tokens.caller(Some(token), NOW).await.unwrap_err().to_string();
    // Claims may be quoted; with the signature, the last part, it would be the token.
    let signature = token.rsplit('.').next().filter(|part| part.len() > 40);
    assert!(signature.is_none_or(|signature| !denial.contains(signature)), "{denial}");
    denial
}
