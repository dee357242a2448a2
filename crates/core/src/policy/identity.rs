//! Who a request comes from.

use super::issued;
use super::names;
use super::own::HeaderNames;
use super::parts;
use super::reading::Reading;
use crate::Request;
use crate::document::{Cursor, Known, Value};

const SOURCES: [&str; 6] = ["header", "cookie", "jwtClaim", "queryParameter", "peer", "sourceIp"];
const SOURCE: Known = Known { fields: &SOURCES, unsupported: &[] };
const CLAIM: Known = Known { fields: &["path", "payload"], unsupported: &[] };

/// Headers that carry credentials or have a source of their own.
const NO_IDENTITY: [&str; 2] = ["authorization", "cookie"];
/// Where the host keeps what its JWT filter has verified. A token that nobody verified never gets there.
const VERIFIED: [&str; 3] = ["metadata", "filter_metadata", "envoy.filters.http.jwt_authn"];
/// The key under which Istio keeps the payload, since 1.21.
const DEFAULT_PAYLOAD: &str = "payload";

/// Where an identity comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The value of this header.
    Header(Box<str>),
    /// The value of this cookie.
    Cookie(Box<str>),
    /// A claim of a verified JWT.
    JwtClaim {
        /// The key that the payload is kept under (`payload_in_metadata`).
        payload: Box<str>,
        /// The way to the claim inside the payload.
        path: Box<[Box<str>]>,
    },
    /// The value of this parameter in the query.
    QueryParameter(Box<str>),
    /// The SPIFFE id of the calling workload, from its certificate.
    Peer,
    /// The address that the connection comes from, without the port.
    SourceIp,
    /// The cookie of this name that Coalmine issues; a value that it could not have issued is missing.
    IssuedCookie(Box<str>),
}

/// An identity that a request carries.
#[derive(Debug)]
pub(super) struct Identity {
    /// The bytes that name the user; never empty.
    pub(super) bytes: Vec<u8>,
    /// How many of the rollout's sources were asked for it.
    pub(super) asked: usize,
}

// === impl Source ===

impl Source {
    pub(super) fn read(cursor: &Cursor<'_>, headers: &mut HeaderNames<'_>) -> Option<Self> {
        let fields = cursor.map(&SOURCE)?;
        let mut given = SOURCES.iter().filter_map(|name| Some((*name, fields.get(name)?)));
        let (Some((name, value)), None) = (given.next(), given.next()) else {
            cursor.problem(format!("needs one source: {}", SOURCES.join(", ")));
            return None;
        };
        match name {
            "header" => {
                let name = names::header(&value)?;
                if NO_IDENTITY.contains(&&*name) {
                    value.problem(format!(
                        "\"{name}\" is no identity: use a header that names the user, or a cookie"
                    ));
                    return None;
                }
                headers.add_read(&name);
                Some(Self::Header(name))
            }
            "cookie" => {
                let name = names::cookie(&value)?;
                headers.add_read_cookie(&name);
                Some(Self::Cookie(name))
            }
            "jwtClaim" => read_claim(&value),
            "queryParameter" => Some(Self::QueryParameter(names::parameter(&value)?)),
            "peer" => only_true(&value).map(|()| Self::Peer),
            _ => only_true(&value).map(|()| Self::SourceIp),
        }
    }

    /// What this source says; `None` also for an empty value, which names nobody.
    pub(super) fn identity<'p>(&'p self, request: &Reading<'p, '_, impl Request>) -> Option<Vec<u8>> {
        let value = match self {
            Self::Header(name) => request.header(name, |value| value.map(<[u8]>::to_vec)),
            Self::Cookie(name) => request.cookie(name),
            Self::JwtClaim { payload, path } => {
                let path: Vec<&str> =
                    VERIFIED.into_iter().chain([&**payload]).chain(path.iter().map(|name| &**name)).collect();
                request.host().property(&path).and_then(parts::claim)
            }
            Self::QueryParameter(name) => {
                request.query(|query| Some(parts::parameter(query, name.as_bytes())?.to_vec()))
            }
            Self::Peer => request.host().property(&["connection", "uri_san_peer_certificate"]),
            Self::SourceIp => request
                .host()
                .property(&["source", "address"])
                .and_then(|text| Some(parts::address(&text)?.to_vec())),
            Self::IssuedCookie(name) => request.cookie(name).filter(|value| issued::is_issued(value)),
        };
        value.filter(|value| !value.is_empty())
    }
}

/// A claim at the top of the payload by its name, or anywhere by its path.
fn read_claim(cursor: &Cursor<'_>) -> Option<Source> {
    let (path, payload) = match cursor.value() {
        Value::Map(_) => {
            let fields = cursor.map(&CLAIM)?;
            let items = fields.required("path", "the names on the way to the claim, as [realm, tenant]")?;
            let items = items.filled_list("name at least the claim itself")?;
            let path: Vec<Option<Box<str>>> = items.iter().map(names::claim).collect();
            let payload = fields
                .get("payload")
                .map_or_else(|| Some(DEFAULT_PAYLOAD.into()), |name| names::claim(&name));
            (path.into_iter().collect::<Option<Vec<_>>>()?, payload?)
        }
        _ => (vec![names::claim(cursor)?], DEFAULT_PAYLOAD.into()),
    };
    Some(Source::JwtClaim { payload, path: path.into() })
}

/// A source that is switched on by naming it; leaving it out is the way to switch it off.
fn only_true(cursor: &Cursor<'_>) -> Option<()> {
    if !cursor.boolean()? {
        cursor.problem("must be true; leave the source out instead");
        return None;
    }
    Some(())
}

// === impl Identity ===

impl Identity {
    /// The identity by the first source that has one.
    pub(super) fn of<'p>(sources: &'p [Source], request: &Reading<'p, '_, impl Request>) -> Option<Self> {
        sources
            .iter()
            .enumerate()
            .find_map(|(place, source)| Some(Self { bytes: source.identity(request)?, asked: place + 1 }))
    }

    /// Whether a header that was asked on the way to this identity is repeated: somebody is guessing.
    pub(super) fn is_ambiguous<'p>(
        &self,
        sources: &'p [Source],
        request: &Reading<'p, '_, impl Request>,
    ) -> bool {
        sources.iter().take(self.asked).any(|source| match source {
            Source::Header(name) => {
                request.header(name, |value| value.is_some()) && request.is_repeated(name)
            }
            _ => false,
        })
    }
}
