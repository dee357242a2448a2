//! Signing in by a token, and signing out. The token comes in the body of a form, is never part of an address, and does not
//! leave the server again.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;

use super::Dashboard;
use super::page::{Stop, framed};
use super::visitor::{Browser, Posted, Visitor, cookie, is_led_here, no_cookie, path_back};
use crate::access::Denial;

#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

pub(super) async fn show(
    State(dashboard): State<Dashboard>,
    browser: Browser,
    Query(Next { next }): Query<Next>,
    headers: HeaderMap,
) -> Response {
    let next = path_back(&next);
    let refused = match Visitor::of(&dashboard, browser.clone()).await {
        Ok(_) => return Redirect::to(&next).into_response(),
        Err(Denial::Missing | Denial::Invalid(_)) => None,
        // Their session goes on. They may have another token, which somebody else knows.
        Err(denial @ Denial::Away(_)) => {
            let why = format!("Whether you are signed in cannot be checked now: {denial}.");
            Some((StatusCode::SERVICE_UNAVAILABLE, why))
        }
    };
    // A link on another site leads here without the cookie; from a page of ours it is sent along.
    let again = is_led_here(&headers).then(|| format!("/sign-in?next={next}"));
    page(&dashboard, &browser, &next, refused, again.as_deref())
}

pub(super) async fn sign_in(
    State(dashboard): State<Dashboard>,
    Posted { browser, fields }: Posted,
) -> Result<Response, Stop> {
    let next = path_back(&fields.next);
    let now = dashboard.app.server.now();
    let token = fields.token.trim();
    if token.is_empty() {
        let refused = (StatusCode::UNAUTHORIZED, "Type a token.".to_owned());
        return Ok(page(&dashboard, &browser, &next, Some(refused), None));
    }
    if let Err(denial) = dashboard.app.tokens.caller(Some(token), now).await {
        let status = match denial {
            Denial::Missing | Denial::Invalid(_) => StatusCode::UNAUTHORIZED,
            Denial::Away(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let refused = (status, format!("Not signed in: {denial}."));
        return Ok(page(&dashboard, &browser, &next, Some(refused), None));
    }
    let actor = Some(fields.actor).filter(|actor| !actor.trim().is_empty());
    // Another number than before: whoever knew that one knows nothing.
    dashboard.sessions.end(&browser.id);
    let id = dashboard.sessions.begin(token.to_owned(), actor, now);
    let cookie = id.and_then(|id| cookie(&dashboard, &id));
    let cookie = cookie
        .ok_or_else(|| Stop::new(StatusCode::SERVICE_UNAVAILABLE, "the system gives no random numbers"))?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(&next)).into_response())
}

pub(super) async fn sign_out(State(dashboard): State<Dashboard>, Posted { browser, .. }: Posted) -> Response {
    dashboard.sessions.end(&browser.id);
    let mut response = Redirect::to("/sign-in").into_response();
    if let Some(cookie) = no_cookie(&dashboard) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// The form. What was refused before is said with the status for it.
fn page(
    dashboard: &Dashboard,
    browser: &Browser,
    next: &str,
    refused: Option<(StatusCode, String)>,
    again: Option<&str>,
) -> Response {
    let main = html! {
        section.narrow {
            h1 { "Sign in" }
            @if let Some((_, why)) = &refused { p.banner.bad role="alert" { (why) } }
            form method="post" action="/sign-in" {
                input type="hidden" name="code" value=(dashboard.sessions.code(&browser.id));
                input type="hidden" name="next" value=(next);
                p {
                    label for="token" { "Token" }
                    input #token type="password" name="token" autocomplete="current-password" required autofocus;
                }
                p {
                    label for="actor" { "Your name, for history (may stay empty)" }
                    input #actor type="text" name="actor" maxlength="128" autocomplete="name";
                }
                p.choice { button type="submit" { "Sign in" } }
            }
            p.dim {
                "A token of the server's configuration, or one of an issuer that it trusts. It stays on the server; the \
                 browser gets a cookie that is good for eight hours at most, and no longer than the token."
            }
        }
    };
    let mut response = framed("Sign in", &html! {}, &main, again).into_response();
    if let Some((status, _)) = refused {
        *response.status_mut() = status;
    }
    if let Some(cookie) = browser.cookie(dashboard) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
