//! The identity of a request: where it comes from.

use std::borrow::Cow;

use coalmine_document::{Cursor, Known, Value};

use super::cached_request::CachedRequest;
use super::extract;
use super::issued_cookie;
use super::names;
use crate::Request;

const SOURCES: [&str; 6] = ["header", "cookie", "jwtClaim", "queryParameter", "peer", "sourceIp"];
const SOURCE: Known = Known::new(&SOURCES);
const CLAIM: Known = Known::new(&["path", "payload"]);

/// Headers that carry credentials or have a source of their own.
const NO_IDENTITY: [&str; 2] = ["authorization", "cookie"];
/// Where the host keeps what its JWT filter has verified. A token that is not verified never gets there.
const VERIFIED: [&str; 3] = ["metadata", "filter_metadata", "envoy.filters.http.jwt_authn"];
/// The key under which Istio keeps the payload, since 1.21.
const DEFAULT_PAYLOAD: &str = "payload";

/// Source of an identity: the part of a request that names the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentitySource {
    /// The value of this header.
    Header(Box<str>),
    /// The value of this cookie.
    Cookie(Box<str>),
    /// A claim of a verified JWT.
    JwtClaim {
        /// The key that the payload is kept under (`payload_in_metadata`).
        payload: Box<str>,
        /// The path to the claim inside the payload.
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

// === impl IdentitySource ===

impl IdentitySource {
    pub(super) fn read(cursor: &Cursor<'_, '_>) -> Self {
        let placeholder = || Self::Header(Box::default());
        let fields = cursor.fields_as(&SOURCE, "a map, as {header: x-user-id}");
        let mut given = SOURCES.iter().filter_map(|name| Some((*name, fields.get(name)?)));
        let (Some((name, value)), None) = (given.next(), given.next()) else {
            if fields.is_map() {
                cursor.problem(format!("needs one source: {}", SOURCES.join(", ")));
            }
            return placeholder();
        };
        match name {
            "header" => {
                let name = names::header(&value);
                if NO_IDENTITY.contains(&&*name) {
                    value.problem(format!(
                        "\"{name}\" is no identity: use a header that names the user, or a cookie"
                    ));
                    return placeholder();
                }
                Self::Header(name)
            }
            "cookie" => Self::Cookie(names::cookie(&value)),
            "jwtClaim" => read_claim(&value),
            "queryParameter" => Self::QueryParameter(names::parameter(&value)),
            "peer" => only_true(&value, Self::Peer),
            _ => only_true(&value, Self::SourceIp),
        }
    }

    /// The value of this source; `None` also for an empty value, which names no user.
    pub(super) fn identity<'s, 'p>(
        &'p self,
        request: &'s CachedRequest<'p, '_, impl Request>,
    ) -> Option<Cow<'s, [u8]>> {
        let value: Option<Cow<'s, [u8]>> = match self {
            Self::Header(name) => request.header(name).map(Cow::from),
            Self::Cookie(name) => request.cookie(name).map(Cow::from),
            Self::JwtClaim { payload, path } => {
                let path: Vec<&str> =
                    VERIFIED.into_iter().chain([&**payload]).chain(path.iter().map(|name| &**name)).collect();
                request.host().property(&path).and_then(extract::claim).map(Cow::from)
            }
            Self::QueryParameter(name) => extract::parameter(request.query(), name.as_bytes()).map(Cow::from),
            Self::Peer => request.host().property(&["connection", "uri_san_peer_certificate"]).map(Cow::from),
            Self::SourceIp => {
                let address = request.host().property(&["source", "address"]);
                address.and_then(|text| Some(extract::address(&text)?.to_vec().into()))
            }
            Self::IssuedCookie(name) => {
                request.cookie(name).filter(|value| issued_cookie::is_issued(value)).map(Cow::from)
            }
        };
        value.filter(|value| !value.is_empty())
    }
}

/// A claim at the top of the payload by its name, or anywhere by its path.
fn read_claim(cursor: &Cursor<'_, '_>) -> IdentitySource {
    let default_payload = || DEFAULT_PAYLOAD.into();
    if !matches!(cursor.value(), Value::Map(_)) {
        return IdentitySource::JwtClaim { payload: default_payload(), path: [names::claim(cursor)].into() };
    }
    let fields = cursor.fields(&CLAIM);
    let path = fields.required("path", "the names on the way to the claim, as [realm, tenant]");
    let path = path.map_or_else(Vec::new, |path| {
        path.filled_items("name at least the claim itself").map(|name| names::claim(&name)).collect()
    });
    let payload = fields.get("payload").map_or_else(default_payload, |name| names::claim(&name));
    IdentitySource::JwtClaim { payload, path: path.into() }
}

/// A source that is switched on by naming it; to switch it off, leave it out.
fn only_true(cursor: &Cursor<'_, '_>, source: IdentitySource) -> IdentitySource {
    if matches!(cursor.value(), Value::Bool(false)) {
        cursor.problem("must be true; leave the source out instead");
    } else {
        cursor.boolean();
    }
    source
}
