//! The HTTP API: what people, pipelines and tools see of a server.
//!
//! | file | what is in it |
//! |---|---|
//! | [`shapes`] | what is said, as JSON |
//! | `rollouts` | rollouts: read, written, deleted; their history |
//! | `verbs`, `begun`, `verdict` | what people say, which release they mean, and what tools ask |
//! | `fleet`, `events` | the policy, the proxies, and what happens |
//! | `admin`, `counted` | health and metrics |
//! | `description` | the description of all that, in OpenAPI |
//! | `caller`, `site`, `trouble`, `show` | who asks, from which page, what is wrong, and from a record to an answer |

mod admin;
mod begun;
pub(crate) mod caller;
pub(crate) mod counted;
mod description;
mod events;
pub(crate) mod fleet;
mod rollouts;
pub mod shapes;
mod show;
pub(crate) mod site;
mod trouble;
pub(crate) mod verbs;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::Tokens;
use crate::config::Limits;
use crate::ending::Ending;
use crate::publish::xds::ProxyTable;
use crate::server::Server;
use shapes::Trouble;
use tokio::sync::Semaphore;

pub(crate) use caller::token;
pub use counted::Counted;

/// How many may ask for metrics at a time, and whether the server is ready.
const METRICS: usize = 4;
const READINESS: usize = 16;

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct App {
    /// The server.
    pub server: Arc<Server>,
    /// Who may do what.
    pub tokens: Tokens,
    /// The proxies that are connected.
    pub table: Arc<ProxyTable>,
    /// What the server's address begins with for others, where that is known.
    pub public_url: Option<String>,
    /// Whether it speaks TLS.
    pub has_tls: bool,
    /// The end of the server.
    pub ending: Ending,
    /// The requests so far.
    pub counted: Counted,
    /// How much is taken from whoever comes by.
    pub limits: Limits,
}

// === impl App ===

impl App {
    /// What an absolute address of this server begins with: as it was asked for, where nothing else is said.
    fn base(&self, parts: &Parts) -> String {
        if let Some(url) = &self.public_url {
            return url.clone();
        }
        // HTTP/2 has the host in the address, HTTP/1.1 in a header.
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = parts.uri.authority().map(Authority::as_str).or(host);
        let scheme = if self.has_tls { "https" } else { "http" };
        format!("{scheme}://{}", host.unwrap_or("localhost"))
    }
}

/// The API for people and tools.
pub fn router(app: App) -> Router {
    Router::from(routes())
        .fallback(nothing)
        .layer(middleware::from_fn_with_state(Slots::new(app.limits.requests, app.limits.time), in_time))
        .layer(middleware::from_fn_with_state(app.clone(), site::of_our_site))
        .layer(middleware::from_fn_with_state(app.limits, trouble::translated))
        .layer(DefaultBodyLimit::max(app.limits.body))
        .layer(middleware::from_fn_with_state(app.counted.clone(), counted::counted))
        .with_state(app)
}

/// Every route with its description: a handler without one is no route.
fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(description::base())
        .routes(routes!(description::openapi))
        .routes(routes!(rollouts::list))
        .routes(routes!(rollouts::get, rollouts::put, rollouts::delete))
        .routes(routes!(rollouts::history))
        .routes(routes!(verbs::release))
        .routes(routes!(verdict::get))
        .routes(routes!(verdict::is))
        .routes(routes!(verbs::act))
        .routes(routes!(verbs::frozen, verbs::freeze, verbs::thaw))
        .routes(routes!(fleet::policy))
        .routes(routes!(fleet::policy_of))
        .routes(routes!(fleet::proxies))
        .routes(routes!(events::events))
}

/// Health and metrics. Who asks for metrics all the time keeps nobody from learning whether the server is ready.
pub fn admin_router(app: App) -> Router {
    let slots = |most| Slots::new(most, app.limits.time);
    admin_routes(app.clone(), slots(METRICS), slots(READINESS))
}

fn admin_routes(app: App, metrics: Slots, readiness: Slots) -> Router {
    let within = |slots| middleware::from_fn_with_state(slots, in_time);
    Router::new()
        // It asks for nothing.
        .route("/healthz", get(admin::healthz))
        .route("/readyz", get(admin::readyz).layer(within(readiness)))
        .route("/metrics", get(admin::metrics).layer(within(metrics)))
        .with_state(app)
}

async fn nothing() -> Trouble {
    Trouble::not_found("there is nothing here; the API begins at /v1/rollouts")
}

/// What the requests that are worked on share.
#[derive(Clone)]
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    time: Duration,
}

// === impl Slots ===

impl Slots {
    pub(crate) fn new(most: usize, time: Duration) -> Self {
        Self { free: Arc::new(Semaphore::new(most)), time }
    }
}

/// Works on a request where there is room, and for a time. A stream of events takes none once it has begun.
pub(crate) async fn in_time(State(slots): State<Slots>, request: Request, next: Next) -> Response {
    let Ok(_slot) = slots.free.try_acquire() else {
        let detail = "too many requests are worked on; try again";
        return Trouble::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
    };
    match tokio::time::timeout(slots.time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            Trouble::new(StatusCode::SERVICE_UNAVAILABLE, "this took too long; try again").into_response()
        }
    }
}

#[cfg(test)]
mod tests;
