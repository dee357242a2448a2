//! A JSON web token, read. What it says counts only once its signature is verified.

use std::collections::BTreeSet;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use coalmine_document::{Node, Value, json};

use super::keys::{Algorithm, Signed};

/// The most bytes of a token.
const MAX_BYTES: usize = 16 << 10;
/// Seconds that the clocks of an issuer and of this host may differ.
const LEEWAY: f64 = 60.0;
/// The most seconds for which a token may be valid: one that is stolen is of use that long.
const MAX_VALIDITY: f64 = 24.0 * 3_600.0;
/// The most characters of a claim in a sentence.
const MAX_SHOWN: usize = 200;

/// A token as it came: nobody has verified it yet.
pub(super) struct Jwt<'t> {
    algorithm: Algorithm,
    key: Option<String>,
    claims: Node,
    text: &'t str,
    signature: Vec<u8>,
}

/// Whether this has the shape of one. Most tokens of other kinds have not.
pub(super) fn is_jwt(text: &str) -> bool {
    text.split('.').count() == 3
}

/// A text of a token in quotes, for a sentence.
pub(super) fn shown(text: &str) -> String {
    let all = text.chars().filter(|it| !it.is_control());
    let cut = if text.chars().count() > MAX_SHOWN { ".." } else { "" };
    format!("\"{}{cut}\"", all.take(MAX_SHOWN).collect::<String>())
}

// === impl Jwt ===

impl<'t> Jwt<'t> {
    /// Reads a token. Of keys that its header brings along (`jwk`, `jku`, `x5u`, `x5c`) nothing is taken: whoever makes a
    /// token would choose what it is verified with.
    ///
    /// # Errors
    /// It is none that can be verified: a sentence without the token.
    pub(super) fn read(text: &'t str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("it has more than {MAX_BYTES} bytes"));
        }
        let parts = text.rsplit_once('.').and_then(|(signed, signature)| {
            let (header, claims) = signed.split_once('.')?;
            Some((signed, header, claims, signature))
        });
        let (signed, header, claims, signature) = parts.ok_or("it has not three parts")?;
        let header = object(header, "header")?;
        if header.get("crit").is_some() {
            return Err("its header says \"crit\", and no extensions are known here".to_owned());
        }
        let name = header.get("alg").and_then(Node::text).ok_or("its header has no \"alg\"")?;
        let algorithm = Algorithm::of(name).ok_or_else(|| {
            format!("its algorithm {} is not accepted; accepted are {}", shown(name), Algorithm::names())
        })?;
        let key = match header.get("kid") {
            None => None,
            Some(id) => Some(id.text().ok_or("its \"kid\" is no text")?.to_owned()),
        };
        let claims = object(claims, "payload")?;
        let signature =
            Base64UrlUnpadded::decode_vec(signature).map_err(|_| "its signature is no base64url")?;
        Ok(Self { algorithm, key, claims, text: signed, signature })
    }

    /// What is signed, for [`super::keys::Keys::verify`].
    pub(super) fn signed(&self) -> Signed<'_> {
        Signed {
            algorithm: self.algorithm,
            key: self.key.as_deref(),
            text: self.text,
            signature: &self.signature,
        }
    }

    /// Who says to have made it.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Node::text)
    }

    /// The texts of a claim: one, or those of a list.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let node = self.claims.get(name);
        let one = node.and_then(Node::text);
        one.into_iter().chain(node.map(Node::items).unwrap_or_default().iter().filter_map(Node::text))
    }

    /// Whether it is valid now, in seconds since 1970.
    ///
    /// # Errors
    /// It is not: a sentence.
    pub(super) fn check_times(&self, now: u64) -> Result<(), String> {
        let now = now as f64;
        let expires = self.time("exp")?.ok_or("it has no \"exp\", and would be valid for ever")?;
        if expires <= now {
            return Err(format!("it expired {} s ago", whole(now - expires)));
        }
        let (issued, begins) = (self.time("iat")?, self.time("nbf")?);
        for time in [issued, begins].into_iter().flatten() {
            if time > now + LEEWAY {
                let ahead = whole(time - now);
                return Err(format!(
                    "it is not valid for another {ahead} s; compare the clocks of issuer and server"
                ));
            }
        }
        if expires - issued.or(begins).unwrap_or(now) > MAX_VALIDITY {
            return Err(format!("it is valid for more than {} h", MAX_VALIDITY / 3_600.0));
        }
        Ok(())
    }

    /// Seconds since 1970 of a claim.
    fn time(&self, name: &str) -> Result<Option<f64>, String> {
        match self.claims.get(name).map(|node| &node.value) {
            None => Ok(None),
            Some(Value::Number(seconds)) => Ok(Some(*seconds)),
            Some(_) => Err(format!("its \"{name}\" is no number")),
        }
    }
}

/// Seconds, for a sentence.
fn whole(seconds: f64) -> u64 {
    seconds.ceil() as u64
}

/// A part of a token that holds an object. Of two entries of one name, readers take the one or the other, so none is taken.
fn object(part: &str, what: &str) -> Result<Node, String> {
    let bytes = Base64UrlUnpadded::decode_vec(part).map_err(|_| format!("its {what} is no base64url"))?;
    let node = json::read(&bytes).map_err(|_| format!("its {what} is no JSON"))?;
    let Value::Map(entries) = &node.value else { return Err(format!("its {what} is no object")) };
    let mut names = BTreeSet::new();
    match entries.iter().find(|entry| !names.insert(entry.key.as_str())) {
        Some(entry) => Err(format!("its {what} says {} twice", shown(&entry.key))),
        None => Ok(node),
    }
}
