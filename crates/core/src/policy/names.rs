//! The table of names: for each kind its length and its characters, and the checks that go beyond a table.

use coalmine_document::{Cursor, TextRule, is_label};

use crate::token::is_rollout_name;

/// The header that is set where a policy names none.
pub(super) const DEFAULT_HEADER: &str = "x-coalmine-variant";
/// Names, and beginnings of names, that belong to HTTP and to the proxy.
const RESERVED: [&str; 8] =
    ["host", "cookie", "authorization", "connection", "transfer-encoding", "te", "upgrade", "x-request-id"];
const RESERVED_PREFIXES: [&str; 3] = ["content-", "x-envoy-", "x-forwarded-"];

/// The name of a rollout.
pub(super) const ROLLOUT: TextRule = TextRule {
    noun: "name",
    form: "1 to 63 of a-z, 0-9 and -, alone or behind a namespace of the same form, as shop/checkout",
    holds: is_rollout_name,
};

/// The name of a variant.
pub(super) const LABEL: TextRule =
    TextRule { noun: "name", form: "1 to 63 of a-z, 0-9 and -", holds: is_label };

/// A salt of our own. No colon: it ends the salt where salt and identity are hashed together.
pub(super) const SALT: TextRule = TextRule {
    noun: "salt",
    form: "1 to 160 of A-Z, a-z, 0-9, '.', '_', '/' and '-'",
    holds: |text| bytes(text, 160, |byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte)),
};

/// The name that another flag system gives a flag, which has its own rules.
pub(super) const FOREIGN_SALT: TextRule =
    TextRule { noun: "salt", form: "1 to 256 bytes", holds: |text| bytes(text, 256, |_| true) };

const HEADER: TextRule = TextRule {
    noun: "header name",
    form: "1 to 256 of A-Z, a-z, 0-9 and !#$%&'*+-.^_`|~",
    holds: |text| bytes(text, 256, is_token_byte),
};

const COOKIE: TextRule = TextRule { noun: "cookie name", ..HEADER };

/// The name of a query parameter, as it stands in a request: not decoded.
const PARAMETER: TextRule = TextRule {
    noun: "parameter name",
    form: "1 to 256 characters as in a URL, without &, = and #",
    holds: |text| bytes(text, 256, |byte| byte.is_ascii_graphic() && !b"&=#".contains(&byte)),
};

/// A name inside a token's payload. The host ends names at a NUL.
const CLAIM: TextRule = TextRule {
    noun: "claim name",
    form: "1 to 256 bytes without NUL",
    holds: |text| bytes(text, 256, |byte| byte != 0),
};

/// The name of a cluster of the proxy.
const CLUSTER: TextRule = TextRule {
    noun: "cluster name",
    form: "1 to 1024 visible characters of ASCII",
    holds: |text| bytes(text, 1024, |byte| byte.is_ascii_graphic()),
};

/// A method of HTTP.
const METHOD: TextRule = TextRule {
    noun: "method",
    form: "1 to 256 of A-Z, 0-9 and !#$%&'*+-.^_`|~, in upper case, as GET",
    holds: |text| bytes(text, 256, |byte| is_token_byte(byte) && !byte.is_ascii_lowercase()),
};

/// The name of an ordinary header, in lower case. Pseudo-headers are not ordinary.
pub(super) fn header(cursor: &Cursor<'_, '_>) -> Box<str> {
    if let Some(text) = cursor.value().text().filter(|text| text.starts_with(':')) {
        let text = cursor.quote(text);
        cursor.problem(format!("{text} is a pseudo-header; name an ordinary header"));
        return Box::default();
    }
    if is_more_than_a_name(cursor, b':', "the colon") {
        return Box::default();
    }
    cursor.text(&HEADER).unwrap_or_default().to_ascii_lowercase().into()
}

/// The name of a header that Coalmine manages. A name that is refused is empty: it counts for no other rule.
pub(super) fn managed_header(cursor: &Cursor<'_, '_>) -> Box<str> {
    let name = header(cursor);
    if RESERVED.contains(&&*name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        cursor
            .problem(format!("{} belongs to HTTP or the proxy; use a name of your own", cursor.quote(&name)));
        return Box::default();
    }
    name
}

/// The name of a cookie, case-sensitive.
pub(super) fn cookie(cursor: &Cursor<'_, '_>) -> Box<str> {
    if is_more_than_a_name(cursor, b'=', "=") {
        return Box::default();
    }
    cursor.text(&COOKIE).unwrap_or_default().into()
}

/// The name of a query parameter.
pub(super) fn parameter(cursor: &Cursor<'_, '_>) -> Box<str> {
    cursor.text(&PARAMETER).unwrap_or_default().into()
}

/// The name of a claim.
pub(super) fn claim(cursor: &Cursor<'_, '_>) -> Box<str> {
    cursor.text(&CLAIM).unwrap_or_default().into()
}

/// The name of a cluster.
pub(super) fn cluster(cursor: &Cursor<'_, '_>) -> Box<str> {
    cursor.text(&CLUSTER).unwrap_or_default().into()
}

/// A method.
pub(super) fn method(cursor: &Cursor<'_, '_>) -> Box<str> {
    cursor.text(&METHOD).unwrap_or_default().into()
}

/// Whether a value follows the name, behind this mark; then that is a problem.
fn is_more_than_a_name(cursor: &Cursor<'_, '_>, mark: u8, word: &str) -> bool {
    // By bytes: to look for a character in a text takes more of the module.
    let Some(text) = cursor.value().text().filter(|text| text.bytes().any(|byte| byte == mark)) else {
        return false;
    };
    let text = cursor.quote(text);
    cursor.problem(format!("{text} is more than a name: leave out {word} and what is behind it"));
    true
}

/// Whether a text has 1 to `most` bytes, all of them allowed.
pub(super) fn bytes(text: &str, most: usize, allowed: impl Fn(u8) -> bool) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(allowed)
}

/// A byte of a token of RFC 9110, section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
