//! A request as somebody writes it on a command line.

use clap::Args;
use coalmine_core::policy::{Policy, Rollout, Source};
use coalmine_core::request::WrittenRequest;

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
        let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        Some(RequestLine { method, authority, path: if path.is_empty() { "/" } else { path } })
    }

    /// The request, as the filter would see it.
    pub(super) fn written(&self, line: RequestLine<'_>, policy: &Policy) -> Result<WrittenRequest, Failure> {
        let path = if line.path.starts_with('/') { line.path.to_owned() } else { format!("/{}", line.path) };
        let mut request = WrittenRequest::new(line.method, line.authority, &path);
        for header in &self.headers {
            let Some((name, value)) = header.split_once(':').filter(|(name, _)| !name.trim().is_empty())
            else {
                return Err(Failure::usage(
                    format!("{header:?} is no header"),
                    "write it as curl does: -H 'x-user-id: alice'",
                ));
            };
            request = request.with_header(name.trim(), value.trim());
        }
        for claim in &self.claims {
            let Some((name, value)) = claim.split_once('=') else {
                return Err(Failure::usage(
                    format!("{claim:?} is no claim"),
                    "write it as --claim sub=alice",
                ));
            };
            for source in policy.rollouts().iter().flat_map(Rollout::sources) {
                if let Source::JwtClaim { path, .. } = source
                    && path.join(".") == name
                {
                    request = with_user(request, source, value);
                }
            }
        }
        if let Some(peer) = &self.peer {
            request = with_user(request, &Source::Peer, peer);
        }
        if let Some(address) = &self.source_ip {
            request = with_user(request, &Source::SourceIp, address);
        }
        Ok(request)
    }
}

/// The path with this user in its query, where this source looks for one there.
pub(super) fn path_with_user(path: &str, source: &Source, user: &str) -> String {
    let Source::QueryParameter(name) = source else { return path.to_owned() };
    let (before, fragment) = path.split_at(path.find('#').unwrap_or(path.len()));
    let joint = if before.contains('?') { '&' } else { '?' };
    format!("{before}{joint}{name}={user}{fragment}")
}

/// The request with this user where this source looks for one.
pub(super) fn with_user(request: WrittenRequest, source: &Source, user: &str) -> WrittenRequest {
    match source {
        Source::Header(name) => request.with_header(name, user),
        Source::Cookie(name) | Source::IssuedCookie(name) => {
            request.with_header("cookie", format!("{name}={user}"))
        }
        Source::JwtClaim { payload, path } => {
            let mut way = vec!["metadata", "filter_metadata", "envoy.filters.http.jwt_authn", payload];
            way.extend(path.iter().map(|name| &**name));
            request.with_property(&way, user)
        }
        // In the path: see `path_with_user`.
        Source::QueryParameter(_) => request,
        Source::Peer => request.with_property(&["connection", "uri_san_peer_certificate"], user),
        Source::SourceIp => {
            let address = if user.contains(':') { format!("[{user}]:1") } else { format!("{user}:1") };
            request.with_property(&["source", "address"], address)
        }
    }
}
