//! What may be called what.

use crate::document::{Cursor, quoted};
use crate::token::is_label;

/// The name of a rollout or a variant.
pub(super) fn label<'d>(cursor: &Cursor<'d>) -> Option<&'d str> {
    let text = cursor.string()?;
    if is_label(text) {
        return Some(text);
    }
    cursor.problem(format!("{} is no name: 1 to 63 of a-z, 0-9 and -", quoted(text)));
    None
}

/// What another flag system calls a flag: anything, but not nothing.
pub(super) fn foreign_salt<'d>(cursor: &Cursor<'d>) -> Option<&'d str> {
    let text = cursor.string()?;
    if (1..=256).contains(&text.len()) {
        return Some(text);
    }
    cursor.problem(format!("{} is no salt: 1 to 256 bytes", quoted(text)));
    None
}

/// `[A-Za-z0-9._-]{1,64}`. No colon: it ends the salt where the two are hashed.
pub(super) fn salt<'d>(cursor: &Cursor<'d>) -> Option<&'d str> {
    let text = cursor.string()?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
        return Some(text);
    }
    cursor.problem(format!("{} is no salt: 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'", quoted(text)));
    None
}

/// The name of an ordinary header, in lower case. Pseudo-headers are not ordinary.
pub(super) fn header(cursor: &Cursor<'_>) -> Option<Box<str>> {
    let text = cursor.string()?;
    if text.starts_with(':') {
        cursor.problem(format!("{} is a pseudo-header; name an ordinary header", quoted(text)));
        return None;
    }
    if !is_token(text) || text.len() > 256 {
        cursor.problem(format!(
            "{} is no header name: 1 to 256 of A-Z, a-z, 0-9 and !#$%&'*+-.^_`|~",
            quoted(text)
        ));
        return None;
    }
    Some(text.to_ascii_lowercase().into())
}

/// The name of a cookie, case-sensitive.
pub(super) fn cookie(cursor: &Cursor<'_>) -> Option<Box<str>> {
    let text = cursor.string()?;
    if is_token(text) && text.len() <= 256 {
        return Some(text.into());
    }
    cursor.problem(format!(
        "{} is no cookie name: 1 to 256 of A-Z, a-z, 0-9 and !#$%&'*+-.^_`|~",
        quoted(text)
    ));
    None
}

/// The name of a query parameter, as it stands in a request: not decoded.
pub(super) fn parameter(cursor: &Cursor<'_>) -> Option<Box<str>> {
    let text = cursor.string()?;
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"&=#".contains(&byte);
    if (1..=256).contains(&text.len()) && text.bytes().all(allowed) {
        return Some(text.into());
    }
    cursor.problem(format!(
        "{} is no parameter name: 1 to 256 characters as in a URL, without &, = and #",
        quoted(text)
    ));
    None
}

/// A name inside a token's payload. The host ends names at a NUL.
pub(super) fn claim(cursor: &Cursor<'_>) -> Option<Box<str>> {
    let text = cursor.string()?;
    if (1..=256).contains(&text.len()) && !text.contains('\0') {
        return Some(text.into());
    }
    cursor.problem(format!("{} is no name of a claim: 1 to 256 bytes without NUL", quoted(text)));
    None
}

/// The name of a cluster of the proxy.
pub(super) fn cluster(cursor: &Cursor<'_>) -> Option<Box<str>> {
    let text = cursor.string()?;
    if (1..=1024).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(text.into());
    }
    cursor.problem(format!("{} is no cluster name: 1 to 1024 visible characters of ASCII", quoted(text)));
    None
}

/// A token of RFC 9110, section 5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
