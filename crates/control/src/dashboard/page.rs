//! What all pages have: the frame, and the page that says why there is no other.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Dashboard;
use super::assets::{SCRIPT, STYLE};
use super::visitor::Visitor;
use crate::access::Denial;
use crate::api::shapes::Trouble;
use crate::store::StoreError;

/// As the framework says it.
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// The most bytes of a refusal that are told.
const MAX_TOLD: usize = 4 << 10;
/// A bird in a cage of one stroke, as a picture of a few bytes.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect \
                    width='16' height='16' rx='4' fill='%23205e4c'/%3E%3Ccircle cx='8' cy='8' r='4' \
                    fill='%23ffd54a'/%3E%3C/svg%3E";

/// A page of somebody's.
pub(super) struct Page<'a> {
    pub(super) title: &'a str,
    /// What it is about, for the script: it is read again when this rollout changes, with `*` at each change; without it
    /// never.
    pub(super) follows: Option<&'a str>,
    /// Why everything is frozen, where it is.
    pub(super) frozen: Option<&'a str>,
    pub(super) body: Markup,
}

/// Why there is no page.
#[derive(Debug)]
pub(super) enum Stop {
    /// Somebody has to sign in, and comes back to this path.
    SignIn(String),
    /// The status and a sentence.
    Because(StatusCode, String),
}

// === impl Page ===

impl Page<'_> {
    /// The page for this visitor.
    pub(super) fn answer(self, dashboard: &Dashboard, visitor: &Visitor) -> Response {
        let code = visitor.code(dashboard);
        let may_freeze = !dashboard.read_only && visitor.operates_all;
        let sees_proxies = visitor.sees_all;
        let nav = html! {
            nav aria-label="Pages" {
                a href="/" { "Rollouts" }
                @if sees_proxies { a href="/proxies" { "Proxies" } }
                @if may_freeze {
                    a href="/freeze" { @if self.frozen.is_some() { "End the freeze" } @else { "Freeze" } }
                }
            }
            div.who {
                @if dashboard.read_only { span.note { "read only" } }
                span { (visitor.sender.by()) }
                @if visitor.has_session {
                    form method="post" action="/sign-out" {
                        input type="hidden" name="code" value=(code);
                        button.quiet type="submit" { "Sign out" }
                    }
                }
            }
        };
        let main = html! {
            div #live data-follows=[self.follows] {
                @if let Some(why) = self.frozen {
                    p.banner.frozen { strong { "Everything is frozen" } " " (why) ". No weight goes up; judging and rollbacks go on." }
                }
                (self.body)
            }
        };
        let mut response = framed(self.title, &nav, &main, None).into_response();
        if let Some(cookie) = visitor.browser.cookie(dashboard) {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        response
    }
}

/// A whole document. `again` is an address that is gone to at once.
pub(super) fn framed(title: &str, nav: &Markup, main: &Markup, again: Option<&str>) -> Html<String> {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if let Some(path) = again { meta http-equiv="refresh" content={ "0; url=" (path) }; }
                title { (title) " · Coalmine" }
                link rel="icon" href=(PreEscaped(ICON));
                link rel="stylesheet" href=(STYLE.path());
                script src=(SCRIPT.path()) defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    a.brand href="/" { "Coalmine" }
                    (nav)
                }
                p #connection role="status" {}
                main #main tabindex="-1" { (main) }
            }
        }
    };
    Html(document.into_string())
}

// === impl Stop ===

impl Stop {
    pub(super) fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self::Because(status, why.into())
    }

    /// Why somebody may not see the page at this path.
    pub(super) fn denied(denial: &Denial, path: &str) -> Self {
        match denial {
            Denial::Missing | Denial::Invalid(_) => Self::SignIn(path.to_owned()),
            Denial::Away(why) => Self::new(StatusCode::SERVICE_UNAVAILABLE, why),
        }
    }
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        let status = StatusCode::from_u16(trouble.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(status, trouble.detail)
    }
}

impl From<Denial> for Stop {
    fn from(denial: Denial) -> Self {
        Trouble::from(denial).into()
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Trouble::from(error).into()
    }
}

impl IntoResponse for Stop {
    fn into_response(self) -> Response {
        match self {
            Self::SignIn(path) if path == "/" => Redirect::to("/sign-in").into_response(),
            // Only paths of ours come here, and they hold no other character than those of names.
            Self::SignIn(path) => Redirect::to(&format!("/sign-in?next={path}")).into_response(),
            Self::Because(status, why) => {
                let title = status.canonical_reason().unwrap_or("Error");
                // What is final stays as it is. Of what is not, the script asks until there is a page.
                let follows = (status == StatusCode::SERVICE_UNAVAILABLE).then_some("*");
                let main = html! {
                    div #live data-follows=[follows] {
                        section.narrow {
                            h1 { (title) }
                            p #why { (why) "." }
                            p { a href="/" { "All rollouts" } }
                        }
                    }
                };
                (status, framed(title, &html! {}, &main, None)).into_response()
            }
        }
    }
}

/// What is refused before a page is made, as a page.
pub(super) async fn for_people(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || response.headers().get(header::CONTENT_TYPE) == Some(&HTML) {
        return response;
    }
    let said = to_bytes(response.into_body(), MAX_TOLD).await.unwrap_or_default();
    let trouble = serde_json::from_slice::<Trouble>(&said).map(|trouble| trouble.detail);
    let said = trouble.unwrap_or_else(|_| String::from_utf8_lossy(&said).trim().to_owned());
    let why = match status {
        StatusCode::METHOD_NOT_ALLOWED => "this page does not take this method".to_owned(),
        _ if said.is_empty() => "this request cannot be read".to_owned(),
        _ => said,
    };
    Stop::new(status, why).into_response()
}
