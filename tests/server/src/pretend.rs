//! A proxy that is only pretended: it follows a server, and its page says that requests come and end as the policy has them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::routing::get;
use envoy_types::pb::envoy::config::core::v3::{Node, TypedExtensionConfig};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::google::protobuf::{Any, StringValue};
use prost::Message as _;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::crowd::follow;

/// Groups of users by hash.
const GROUPS: u64 = 16;
/// Requests of an observed rollout in a second.
const RATE: f64 = 400.0;

/// A proxy, until it is dropped.
#[derive(Debug)]
pub struct Pretended {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct State {
    name: String,
    began: Instant,
    counted: Instant,
    revision: u64,
    /// Of each observed rollout, the canary's share of the users.
    shares: BTreeMap<String, f64>,
    /// Of each rollout that was observed, requests of stable and of the canary.
    requests: BTreeMap<String, [f64; 2]>,
    reads: usize,
}

// === impl Pretended ===

impl Pretended {
    /// Starts it at a free port; this is its name and its `node.cluster`. No request fails.
    pub async fn start(name: &str, server: SocketAddr) -> Result<Self> {
        let now = Instant::now();
        let state = Arc::new(Mutex::new(State {
            name: name.to_owned(),
            began: now,
            counted: now,
            revision: 0,
            shares: BTreeMap::new(),
            requests: BTreeMap::new(),
            reads: 0,
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let its = state.clone();
        let page = get(async move || lock(&its).page());
        let routes = Router::new().route("/stats/prometheus", page);
        let node = Node { id: name.to_owned(), cluster: name.to_owned(), ..Node::default() };
        let its = state.clone();
        let takes = move |revision, resource: &Any| lock(&its).take(revision, resource);
        let mut tasks = JoinSet::new();
        tasks.spawn(follow(server, node, takes));
        tasks.spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self { address, state, _tasks: tasks })
    }

    /// Where its page is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often its page was read.
    pub fn reads(&self) -> usize {
        lock(&self.state).reads
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The policy document of a resource.
fn document(resource: &Any) -> Result<Value> {
    let extension = TypedExtensionConfig::decode(&*resource.value)?;
    let wasm = Wasm::decode(&*extension.typed_config.context("no filter")?.value)?;
    let configuration = wasm.config.and_then(|config| config.configuration).context("no policy")?;
    let text = StringValue::decode(&*configuration.value)?;
    Ok(serde_json::from_str(&text.value)?)
}

// === impl State ===

impl State {
    fn take(&mut self, revision: u64, resource: &Any) {
        let Ok(document) = document(resource) else { return };
        self.count();
        self.revision = revision;
        let rollouts = document.get("rollouts").and_then(Value::as_array).into_iter().flatten();
        let observed = rollouts.filter(|rollout| rollout.get("observe") == Some(&Value::Bool(true)));
        let share = |rollout: &Value| {
            let weight = rollout.pointer("/variants/0/weight")?.as_f64()?;
            Some((rollout.get("name")?.as_str()?.to_owned(), weight / 100.0))
        };
        self.shares = observed.filter_map(share).collect();
    }

    /// Counts the requests since the last time.
    fn count(&mut self) {
        let seconds = self.counted.elapsed().as_secs_f64();
        self.counted = Instant::now();
        for (rollout, share) in &self.shares {
            let [stable, canary] = self.requests.entry(rollout.clone()).or_default();
            *stable += seconds * RATE * (1.0 - share);
            *canary += seconds * RATE * share;
        }
    }

    fn page(&mut self) -> String {
        self.reads += 1;
        self.count();
        let (name, revision, uptime) = (&self.name, self.revision, self.began.elapsed().as_secs());
        let mut text = format!(
            "coalmine_policy_revision {revision}\ncoalmine_build_info{{version=\"0\",node=\"{name}\"}} 1\n\
             envoy_server_uptime {uptime}\n"
        );
        for (rollout, requests) in &self.requests {
            for (variant, requests) in ["stable", "canary"].into_iter().zip(requests) {
                let labels = format!("rollout=\"{rollout}\",variant=\"{variant}\"");
                let requests = *requests as u64;
                // A string takes whatever it is given.
                let _ = writeln!(text, "coalmine_requests_total{{{labels},reason=\"bucket\"}} {requests}");
                for group in 0..GROUPS {
                    let all = (requests + group) / GROUPS;
                    let _ = writeln!(text, "coalmine_all_total{{{labels},group=\"{group}\"}} {all}");
                }
            }
        }
        text
    }
}
