//! Where a request comes from that a browser sends: from a page of this server, or from one of somebody else.
//!
//! A browser sends what any page asks it to, also to a server on its own host where nobody needs a token, and along with a
//! password that it keeps. It says which page that was. Programs say nothing of the kind, and are let in.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use super::shapes::Trouble;

/// The header in which a browser says how far away the page is that a request is of.
pub(crate) const SITE: &str = "sec-fetch-site";

/// Why an address is refused that is not one of this server's.
pub(crate) const ANOTHER_HOST: &str = "this address is not one of this server's; open it by its own name, or say publicUrl in its configuration";

/// Refuses what a page of another site has sent, before anything reads it. Who only looks is refused by the name of the host
/// alone: a page elsewhere does not see the answer.
pub(super) async fn of_our_site(State(app): State<App>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if !is_our_host(&app, &parts) {
        return Trouble::new(StatusCode::MISDIRECTED_REQUEST, ANOTHER_HOST).into_response();
    }
    if !parts.method.is_safe() && !is_our_page(&app, &parts) {
        let detail = "a page of another site has sent this; nothing was done";
        return Trouble::new(StatusCode::FORBIDDEN, detail).into_response();
    }
    next.run(Request::from_parts(parts, body)).await
}

/// Whether nobody is led here by a name of theirs. Where everybody may do everything, a page elsewhere whose name leads to
/// this host would be let in. Tokens keep it out: what a browser has of them belongs to another name.
pub(crate) fn is_our_host(app: &App, parts: &Parts) -> bool {
    if !app.tokens.are_none() {
        return true;
    }
    // A browser always says it.
    let Some(host) = host(parts) else { return true };
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<IpAddr>().is_ok() || public_host(app).as_ref() == Some(&host)
}

/// Whether a page of ours sent this, or no page at all.
pub(crate) fn is_our_page(app: &App, parts: &Parts) -> bool {
    if parts.headers.get(SITE).is_some_and(|site| site != "same-origin") {
        return false;
    }
    let Some(origin) = parts.headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let Some(origin) = origin.and_then(|origin| origin.authority().cloned()) else { return false };
    host(parts).as_ref() == Some(&origin) || public_host(app).as_ref() == Some(&origin)
}

/// The host and port that were asked.
fn host(parts: &Parts) -> Option<Authority> {
    // HTTP/2 has the host in the address, HTTP/1.1 in a header.
    let header = || parts.headers.get(header::HOST)?.to_str().ok()?.parse().ok();
    parts.uri.authority().cloned().or_else(header)
}

fn public_host(app: &App) -> Option<Authority> {
    app.public_url.as_ref()?.parse::<Uri>().ok()?.authority().cloned()
}
