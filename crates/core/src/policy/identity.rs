//! Who a request comes from.

use super::names;
use super::reading::Reading;
use super::route::HeaderNames;
use crate::Request;
use crate::document::{Cursor, Known};

const SOURCE: Known =
    Known { fields: &["header", "cookie"], unsupported: &["jwtClaim", "queryParameter", "peer", "sourceIp"] };
/// Headers that carry credentials or have a source of their own.
const NO_IDENTITY: [&str; 2] = ["authorization", "cookie"];

/// Where an identity comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The value of this header.
    Header(Box<str>),
    /// The value of this cookie.
    Cookie(Box<str>),
}

/// An identity that a request carries.
#[derive(Debug)]
pub(super) struct Identity {
    /// The bytes that name the user; never empty.
    pub(super) bytes: Vec<u8>,
    /// The place, among the rollout's sources, of the one that spoke.
    source: usize,
}

// === impl Source ===

impl Source {
    pub(super) fn read(cursor: &Cursor<'_>, names: &mut HeaderNames<'_>) -> Option<Self> {
        let fields = cursor.map(&SOURCE)?;
        match (fields.get("header"), fields.get("cookie")) {
            (Some(header), None) => {
                let name = names::header(&header)?;
                if NO_IDENTITY.contains(&&*name) {
                    header.problem(format!(
                        "\"{name}\" is no identity: use a header that names the user, or a cookie"
                    ));
                    return None;
                }
                names.add_read(&name);
                Some(Self::Header(name))
            }
            (None, Some(cookie)) => Some(Self::Cookie(names::cookie(&cookie)?)),
            (None, None) if !fields.is_empty() => None,
            _ => {
                cursor.problem("needs one source: header or cookie");
                None
            }
        }
    }

    /// What this source says; `None` also for an empty value, which names nobody.
    fn identity<'p>(&'p self, request: &Reading<'p, '_, impl Request>) -> Option<Vec<u8>> {
        let value = match self {
            Self::Header(name) => request.header(name, |value| value.map(<[u8]>::to_vec)),
            Self::Cookie(name) => {
                request.header("cookie", |cookies| Some(cookie(cookies?, name.as_bytes())?.to_vec()))
            }
        };
        value.filter(|value| !value.is_empty())
    }
}

// === impl Identity ===

impl Identity {
    /// The identity by the first source that has one.
    pub(super) fn of<'p>(sources: &'p [Source], request: &Reading<'p, '_, impl Request>) -> Option<Self> {
        sources
            .iter()
            .enumerate()
            .find_map(|(source, kind)| Some(Self { bytes: kind.identity(request)?, source }))
    }

    /// Whether a header on the way to this identity, or the one that holds it, is repeated: somebody is guessing.
    pub(super) fn is_ambiguous<'p>(
        &self,
        sources: &'p [Source],
        request: &Reading<'p, '_, impl Request>,
    ) -> bool {
        sources.iter().take(self.source + 1).any(|source| match source {
            Source::Header(name) => {
                request.header(name, |value| value.is_some()) && request.is_repeated(name)
            }
            Source::Cookie(_) => false,
        })
    }
}

/// The value of the first cookie of this name, raw.
fn cookie<'c>(cookies: &'c [u8], name: &[u8]) -> Option<&'c [u8]> {
    cookies.split(|&byte| byte == b';').find_map(|pair| {
        let pair = trim_blanks(pair);
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        let (given, value) = pair.split_at(equals);
        (given == name).then(|| value.get(1..).unwrap_or_default())
    })
}

/// Without the spaces and tabs around it.
fn trim_blanks(bytes: &[u8]) -> &[u8] {
    let kept = |byte: &u8| !b" \t".contains(byte);
    let start = bytes.iter().position(kept).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(kept).map_or(start, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_the_first_of_its_name_with_its_raw_value() {
        for (cookies, value) in [
            ("sid=1", Some("1")),
            ("a=0; sid=1; sid=2", Some("1")),
            (" \tsid=1\t ", Some("1")),
            ("sid=\"1\"", Some("\"1\"")),
            ("sid=a=b", Some("a=b")),
            ("sid=", Some("")),
            ("sid", None),
            ("Sid=1", None),
            ("sid =1", None),
            ("xsid=1;;;=;", None),
            ("=1", None),
            ("", None),
        ] {
            assert_eq!(cookie(cookies.as_bytes(), b"sid"), value.map(str::as_bytes), "{cookies}");
        }
    }
}
