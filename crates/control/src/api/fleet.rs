//! The policy and the proxies that run it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::App;
use super::caller::Sender;
use super::description::Reads;
use super::shapes::{Fleet, Proxies, Proxy, Time, Trouble};
use crate::access::May;
use crate::publish::Publication;

const REVISION: HeaderName = HeaderName::from_static("coalmine-revision");

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct RevisionPath {
    /// The revision.
    #[param(minimum = 0)]
    revision: u64,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfFleet {
    /// The fleet; may be left out where there is only one.
    fleet: Option<String>,
}

/// The policy document that the proxies of a fleet should have.
#[utoipa::path(
    get, path = "/v1/policy", operation_id = "getPolicy",
    params(OfFleet),
    responses(
        (status = 200, description = "The policy document", body = serde_json::Value, headers(("Coalmine-Revision" = u64, description = "Its revision")),
            links(("again" = (operation_id = "getPolicyOfRevision", parameters(("revision" = "$response.header.Coalmine-Revision")))))),
        Reads
    )
)]
pub(super) async fn policy(
    State(app): State<App>,
    sender: Sender,
    Query(of): Query<OfFleet>,
) -> Result<Response, Trouble> {
    sender.must_everywhere(May::Read).await?;
    let latest = app.server.store().publications(of.known(&app)?).await?.latest;
    latest.map(document).ok_or_else(|| Trouble::not_found("nothing has been published yet"))
}

/// The policy document of a revision; the latest 100 are kept.
#[utoipa::path(
    get, path = "/v1/policy/{revision}", operation_id = "getPolicyOfRevision",
    params(RevisionPath, OfFleet),
    responses(
        (status = 200, description = "The policy document", body = serde_json::Value, headers(("Coalmine-Revision" = u64, description = "Its revision"))),
        Reads
    )
)]
pub(super) async fn policy_of(
    State(app): State<App>,
    sender: Sender,
    Path(RevisionPath { revision }): Path<RevisionPath>,
    Query(of): Query<OfFleet>,
) -> Result<Response, Trouble> {
    sender.must_everywhere(May::Read).await?;
    let found = app.server.store().publication(of.known(&app)?, revision).await?;
    found.map(document).ok_or_else(|| Trouble::not_found(format!("there is no revision {revision} any more")))
}

// === impl OfFleet ===

impl OfFleet {
    fn known<'a>(&self, app: &'a App) -> Result<&'a str, Trouble> {
        let fleets = app.server.fleets();
        let found = match &self.fleet {
            Some(fleet) => fleets.names().find(|name| name == fleet),
            None => fleets.only(),
        };
        let names = || fleets.names().collect::<Vec<_>>().join(", ");
        match (found, &self.fleet) {
            (Some(found), _) => Ok(found),
            (None, Some(_)) => {
                Err(Trouble::not_found(format!("there is no such fleet; there is: {}", names())))
            }
            (None, None) => {
                Err(Trouble::bad_request(format!("say which fleet, as ?fleet=NAME: {}", names())))
            }
        }
    }
}

fn document(publication: Publication) -> Response {
    let json = HeaderValue::from_static("application/json");
    let revision = HeaderValue::from(publication.revision);
    ([(header::CONTENT_TYPE, json), (REVISION, revision)], publication.document).into_response()
}

/// All proxies: those whose metrics are read, and those that are connected.
#[utoipa::path(
    get, path = "/v1/proxies", operation_id = "listProxies",
    responses((status = 200, description = "The proxies, by name", body = Proxies), Reads)
)]
pub(super) async fn proxies(State(app): State<App>, sender: Sender) -> Result<Json<Proxies>, Trouble> {
    sender.must_everywhere(May::Read).await?;
    Ok(Json(known(&app).await))
}

/// A proxy among all: the name of its fleet, and its own.
type Key = (String, String);

/// All proxies, as they are known now.
pub(crate) async fn known(app: &App) -> Proxies {
    let view = app.server.view();
    let mut all: BTreeMap<Key, Proxy> = BTreeMap::new();
    let mut fleets = Vec::new();
    let mut shows: BTreeMap<Key, u64> = BTreeMap::new();
    for fleet in app.server.fleets().names() {
        let revision = app.server.published(fleet).map(|publication| publication.revision);
        fleets.push(Fleet { name: fleet.to_owned(), revision, away: view.away(fleet).map(str::to_owned) });
        for proxy in view.proxies(fleet) {
            let key = (fleet.to_owned(), proxy.name.clone());
            shows.extend(proxy.revision.map(|revision| (key.clone(), revision)));
            let shown = all.entry(key).or_default();
            shown.revision = proxy.revision;
            shown.seen = Some(Time(proxy.seen));
            shown.filter.clone_from(&proxy.filter);
            shown.disabled.clone_from(&proxy.disabled);
        }
    }
    for stream in app.table.list(app.server.now()) {
        let address = stream.address.map(|address| address.to_string()).unwrap_or_default();
        let name = if stream.node.is_empty() { address } else { stream.node };
        let key = (stream.fleet, name);
        if let Some(reported) = stream.reported {
            let highest = shows.entry(key.clone()).or_default();
            *highest = reported.max(*highest);
        }
        let shown = all.entry(key).or_default();
        shown.connected = stream.ended.is_none().then_some(Time(stream.since));
        shown.sent = stream.sent;
        shown.accepted = stream.acked;
        shown.refused = stream.refused.map(|it| format!("revision {}: {}", it.revision, it.why));
    }
    for fleet in &fleets {
        for key in from_another_history(app, fleet, &shows).await {
            all.entry(key).or_default().other_history = true;
        }
    }
    let proxies = all.into_iter().map(|((fleet, name), proxy)| Proxy { fleet, name, ..proxy }).collect();
    Proxies { fleets, proxies }
}

/// The proxies of a fleet that show a newer revision than the store knows; none where the store does not answer.
///
/// Another server on the same store may have published what this one has not read yet. So the store is asked, where a proxy
/// shows more than this server has sent.
async fn from_another_history(app: &App, fleet: &Fleet, shows: &BTreeMap<Key, u64>) -> Vec<Key> {
    let beyond = |known: Option<u64>| {
        let is_beyond = move |(key, shown): &(&Key, &u64)| key.0 == fleet.name && Some(**shown) > known;
        shows.iter().filter(is_beyond).map(|(key, _)| key.clone())
    };
    if beyond(fleet.revision).next().is_none() {
        return Vec::new();
    }
    app.server
        .store()
        .head(&fleet.name)
        .await
        .map_or_else(|_| Vec::new(), |head| beyond(head.latest).collect())
}
