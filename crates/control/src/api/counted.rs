//! Requests, counted by route. Labels are routes, methods and codes that are known here: no client makes a new series.

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What is said of a path or a method that is not known.
const OTHER: &str = "other";
const METHODS: [Method; 5] = [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE];

/// Requests of the API since the server began.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    requests: Family<OfRequest, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    route: String,
    method: String,
    code: u16,
}

// === impl Counted ===

impl Counted {
    pub(super) fn register(&self, registry: &mut Registry) {
        let about = "Requests of the API, by route, method and code of the answer";
        registry.register("requests", about, self.requests.clone());
    }
}

pub(crate) async fn counted(State(counted): State<Counted>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or(OTHER, MatchedPath::as_str).to_owned();
    let is_known = METHODS.contains(request.method());
    let method = if is_known { request.method().as_str() } else { OTHER }.to_owned();
    let response = next.run(request).await;
    let code = response.status().as_u16();
    counted.requests.get_or_create(&OfRequest { route, method, code }).inc();
    response
}
