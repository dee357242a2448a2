//! Health and metrics, on a port of their own and without tokens: they name rollouts and proxies, and no user.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::App;
use crate::publish::xds::Proxy;
use crate::server::Server;
use crate::store::StoreError;

const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRollout {
    rollout: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfFleet {
    fleet: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPhase {
    rollout: String,
    phase: String,
}

/// The process lives.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// It can serve proxies and people: the store answers, and each fleet has a policy where it has rollouts.
pub(super) async fn readyz(State(app): State<App>) -> Response {
    match is_ready(&app).await {
        Ok(true) => "ok\n".into_response(),
        Ok(false) => (StatusCode::SERVICE_UNAVAILABLE, "nothing has been published yet\n").into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n").into_response(),
    }
}

async fn is_ready(app: &App) -> Result<bool, StoreError> {
    let (fleets, snapshot) = (app.server.fleets(), app.server.snapshot().await?);
    let is_published = |fleet: &str| snapshot.publications(fleet).latest.is_some();
    Ok(snapshot.rollouts.keys().filter_map(|name| fleets.of_rollout(name)).all(is_published))
}

/// Metrics, in the format of OpenMetrics. They are made when they are asked for: nothing is counted twice.
pub(super) async fn metrics(State(app): State<App>) -> Response {
    let mut registry = Registry::with_prefix("coalmine_server");
    app.counted.register(&mut registry);
    app.server.timings().register(&mut registry);
    let is_up = fill(&app, &mut registry).await.is_ok();
    let up = Gauge::<i64>::default();
    up.set(is_up.into());
    registry.register("store_up", "1 where the store answers", up);
    let mut text = String::new();
    if encode(&mut text, &registry).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    ([(header::CONTENT_TYPE, TEXT)], text).into_response()
}

async fn fill(app: &App, registry: &mut Registry) -> Result<(), StoreError> {
    proxies(app, registry);
    let weights = Family::<OfRollout, Gauge<i64>>::default();
    let phases = Family::<OfPhase, Gauge<i64>>::default();
    let held = Family::<OfRollout, Gauge<i64>>::default();
    let view = app.server.view();
    for parsed in app.server.snapshot().await?.rollouts.values() {
        let stored = &parsed.stored;
        let rollout = stored.record.name.to_string();
        let state = &stored.record.state;
        weights.get_or_create(&OfRollout { rollout: rollout.clone() }).set(state.weight.into());
        let left_out = view.rollouts.get(&stored.record.name).is_some_and(|seen| seen.left_out.is_some());
        held.get_or_create(&OfRollout { rollout: rollout.clone() }).set(left_out.into());
        phases.get_or_create(&OfPhase { rollout, phase: state.said.phase.to_string() }).set(1);
    }
    registry.register("weight_ppm", "Weight of the canary, in parts per million", weights);
    registry.register("phase", "1 for the phase that the rollout is in", phases);
    registry.register("left_out", "1 where the rollout is not in the policy as it should be", held);
    Ok(())
}

fn proxies(app: &App, registry: &mut Registry) {
    let server: &Server = &app.server;
    let view = server.view();
    let [revisions, seen, late, connected, away, behind] =
        [(); 6].map(|()| Family::<OfFleet, Gauge<i64>>::default());
    let streams = app.table.list(server.now());
    for fleet in server.fleets().names() {
        let set = |family: &Family<OfFleet, Gauge<i64>>, value: u64| {
            family.get_or_create(&OfFleet { fleet: fleet.to_owned() }).set(signed(value));
        };
        let revision = server.published(fleet).map_or(0, |publication| publication.revision);
        let proxies = view.proxies(fleet);
        let is_open = |stream: &&Proxy| stream.fleet == fleet && stream.ended.is_none();
        set(&revisions, revision);
        set(&seen, proxies.len() as u64);
        set(&late, proxies.iter().filter(|proxy| proxy.revision != Some(revision)).count() as u64);
        set(&connected, streams.iter().filter(is_open).count() as u64);
        set(&away, view.away(fleet).is_some().into());
        if let Some(delivery) = view.plugins.get(fleet) {
            set(&behind, delivery.troubles.len() as u64);
        }
    }
    registry.register("policy_revision", "Revision of the latest policy", revisions);
    registry.register("proxies_seen", "Proxies whose metrics are read", seen);
    registry.register("proxies_late", "Those of them that run another revision", late);
    registry.register("proxies_connected", "Proxies that are connected", connected);
    registry.register("evidence_away", "1 where no evidence can be read", away);
    registry.register("plugins_behind", "Plugins of Istio that have not got the latest policy", behind);
    let gauge = |value: u64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(signed(value));
        gauge
    };
    registry.register("leads", "1 for the server that ticks", gauge(view.leads.into()));
    registry.register("ticked_timestamp_seconds", "When the latest tick was", gauge(view.at));
}

/// As gauges take it.
fn signed(value: u64) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}
