//! The dashboard: what runs, why it waits, and the verbs, on pages that the server makes.
//!
//! It needs no other host, no build step and no script: a script only reads the page again when something has happened.
//! Pages are written with `maud`, which escapes whatever is put into them.
//!
//! | file | what is in it |
//! |---|---|
//! | `list`, `rollout`, `proxies` | the pages |
//! | `evidence`, `history`, `chart` | parts of the page of a rollout |
//! | `confirm`, `freeze` | verbs, each with a page that asks again |
//! | `sign_in`, `session`, `visitor` | who looks: cookies, sessions, forms |
//! | `page`, `words` | what all pages have, and how things are called there |
//! | `live`, `assets` | what happens, as it happens; the style and the script |

mod assets;
mod chart;
mod confirm;
mod evidence;
mod freeze;
mod history;
mod list;
mod live;
mod page;
mod proxies;
mod rollout;
mod session;
mod sign_in;
mod visitor;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};

use crate::api::{App, Slots, counted, in_time};
use session::Sessions;

/// The most bytes of a form: a message has at most 1,000 characters.
const MAX_FORM: usize = 64 << 10;

/// What a browser may do with these pages. Nothing comes from elsewhere, and no other page holds them in a frame.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
             form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    // With "no-referrer" a browser does not say where a form comes from, and that is checked.
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// What the handlers share.
#[derive(Clone, Debug)]
struct Dashboard {
    app: App,
    /// Whether there are no verbs.
    read_only: bool,
    sessions: Arc<Sessions>,
}

/// The pages. `read_only` leaves out everything that changes something.
pub(crate) fn router(app: App, read_only: bool) -> Router {
    let limits = app.limits;
    let counts = app.counted.clone();
    let dashboard = Dashboard { app, read_only, sessions: Arc::default() };
    let mut router = Router::new()
        .route("/", get(list::show))
        .route("/rollouts/{namespace}/{name}", get(rollout::show))
        .route("/proxies", get(proxies::show))
        .route("/events", get(live::events))
        .route("/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/static/{file}", get(assets::show));
    if !read_only {
        router = router
            .route("/rollouts/{namespace}/{name}/{verb}", get(confirm::ask).post(confirm::act))
            .route("/freeze", get(freeze::ask).post(freeze::act));
    }
    router
        .layer(middleware::from_fn_with_state(Slots::new(limits.requests, limits.time), in_time))
        .layer(middleware::from_fn(page::for_people))
        .layer(DefaultBodyLimit::max(limits.body.min(MAX_FORM)))
        .layer(middleware::from_fn(guarded))
        .layer(middleware::from_fn_with_state(counts, counted::counted))
        .with_state(dashboard)
}

/// Puts the headers on every answer. What says nothing of its own is kept by nobody.
async fn guarded(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.extend(HEADERS);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
