//! A request as it is written on a command line.

use clap::Args;
use coalmine_core::policy::{IdentitySource, Policy, Rollout};
use coalmine_core::request::StaticRequest;

use crate::failure::Failure;

/// A request, in parts.
#[derive(Args)]
pub(super) struct RequestArguments {
    /// A request: its method and its URL, with or without https://
    #[arg(long, num_args = 2, value_names = ["METHOD", "URL"])]
    request: Option<Vec<String>>,
    /// A header of the request; may come again
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", requires = "request")]
    headers: Vec<String>,
    /// A claim of the request's verified JWT; a claim inside others as a.b=VALUE
    #[arg(long = "claim", value_name = "NAME=VALUE", requires = "request")]
    claims: Vec<String>,
    /// The SPIFFE id of the calling workload
    #[arg(long, value_name = "SPIFFE_ID", requires = "request")]
    peer: Option<String>,
    /// The address that the request comes from
    #[arg(long, value_name = "ADDRESS", requires = "request")]
    source_ip: Option<String>,
    /// The identity to issue where the rollout issues one: 32 hexadecimal digits; random, unless given
    #[arg(long, value_name = "ID", requires = "request", value_parser = parse_issued)]
    issued: Option<[u8; 16]>,
}

fn parse_issued(text: &str) -> Result<[u8; 16], &'static str> {
    let digit = |byte: u8| char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
    let digits: Option<Vec<u32>> = text.bytes().map(digit).collect();
    let bytes = digits.map(|digits| {
        digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | *digit as u8))
            .collect::<Vec<u8>>()
    });
    let is_whole = text.len() == 32;
    bytes
        .filter(|_| is_whole)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or("32 hexadecimal digits in lower case are expected")
}

/// The first line of a request.
#[derive(Clone, Copy)]
pub(super) struct RequestLine<'a> {
    pub(super) method: &'a str,
    pub(super) authority: &'a str,
    pub(super) path: &'a str,
}

// === impl RequestArguments ===

impl RequestArguments {
    pub(super) fn line(&self) -> Option<RequestLine<'_>> {
        let [method, url] = self.request.as_deref()? else { return None };
        // What stands before :// is a scheme only where it can be one: a query may hold a URL of its own.
        let is_scheme = |(scheme, _): &(&str, &str)| !scheme.contains(['/', '?', '#']);
        let rest = url.split_once("://").filter(is_scheme).map_or(url.as_str(), |(_, rest)| rest);
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        Some(RequestLine { method, authority, path: if path.is_empty() { "/" } else { path } })
    }

    /// Whether the identity to issue is given.
    pub(super) fn names_issued(&self) -> bool {
        self.issued.is_some()
    }

    /// The bytes of an identity that is issued: as the filter, from the system's random source.
    fn random(&self) -> Option<[u8; 16]> {
        let mut bytes = [0; 16];
        self.issued.or_else(|| getrandom::fill(&mut bytes).ok().map(|()| bytes))
    }

    /// The request, as the filter would see it.
    pub(super) fn request(&self, line: RequestLine<'_>, policy: &Policy) -> Result<StaticRequest, Failure> {
        let path = if line.path.starts_with('/') { line.path.to_owned() } else { format!("/{}", line.path) };
        let mut request = StaticRequest::new(line.method, line.authority, &path);
        if let Some(random) = self.random() {
            request = request.with_random(random);
        }
        for header in &self.headers {
            let Some((name, value)) = header.split_once(':').filter(|(name, _)| !name.trim().is_empty())
            else {
                return Err(Failure::usage(
                    format!("{header:?} is no header"),
                    "write it as curl does: -H 'x-user-id: alice'",
                ));
            };
            request = request.with_header(name.trim(), value.trim_matches([' ', '\t']));
        }
        for claim in &self.claims {
            let Some((name, value)) = claim.split_once('=') else {
                return Err(Failure::usage(
                    format!("{claim:?} is no claim"),
                    "write it as --claim sub=alice",
                ));
            };
            for source in policy.rollouts().iter().flat_map(Rollout::sources) {
                if let IdentitySource::JwtClaim { path, .. } = source
                    && path.join(".") == name
                {
                    request = with_user(request, source, value);
                }
            }
        }
        if let Some(peer) = &self.peer {
            request = with_user(request, &IdentitySource::Peer, peer);
        }
        if let Some(address) = &self.source_ip {
            request = with_user(request, &IdentitySource::SourceIp, address);
        }
        Ok(request)
    }
}

/// The path with this user in its query, where this source looks for one there.
pub(super) fn path_with_user(path: &str, source: &IdentitySource, user: &str) -> String {
    let IdentitySource::QueryParameter(name) = source else { return path.to_owned() };
    let (before, fragment) = path.split_at(path.find('#').unwrap_or(path.len()));
    let joint = if before.contains('?') { '&' } else { '?' };
    format!("{before}{joint}{name}={user}{fragment}")
}

/// The request with this user where this source looks for one.
pub(super) fn with_user(request: StaticRequest, source: &IdentitySource, user: &str) -> StaticRequest {
    match source {
        IdentitySource::Header(name) => request.with_header(name, user),
        IdentitySource::Cookie(name) | IdentitySource::IssuedCookie(name) => {
            request.with_header("cookie", format!("{name}={user}"))
        }
        IdentitySource::JwtClaim { payload, path } => {
            let mut names = vec!["metadata", "filter_metadata", "envoy.filters.http.jwt_authn", payload];
            names.extend(path.iter().map(|name| &**name));
            request.with_property(&names, user)
        }
        // In the path: see `path_with_user`.
        IdentitySource::QueryParameter(_) => request,
        IdentitySource::Peer => request.with_property(&["connection", "uri_san_peer_certificate"], user),
        IdentitySource::SourceIp => {
            let address = if user.contains(':') { format!("[{user}]:1") } else { format!("{user}:1") };
            request.with_property(&["source", "address"], address)
        }
    }
}
