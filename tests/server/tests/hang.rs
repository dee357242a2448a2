//! A canary that does not answer at all: no error, and nothing slow, for as long as nothing ends a request.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use coalmine_harness::fleet::Fleet;
use coalmine_harness::{Connection, Envoy, Protocol, get};
use http_body_util::Empty;
use serde_json::Value;
use tokio::task::{JoinHandle, JoinSet};

use crate::release::{self, take_listeners, was_rolled_back_for};
use crate::story::{all_follow, done, fleet};

/// One request comes after another, whether or not those before were answered: 50 a second.
const PACE: Duration = Duration::from_millis(20);
const USERS: usize = 400;
/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// The step, which ends by itself when a hang must be known: a request has been open for long after 30 s.
const ROLLOUT: &str = "
name: shop/checkout
policy:
  identity: [{header: x-user-id}]
  variants: [{name: canary}]
plan:
  steps: [25, 50]
  dwell: 45s
  warmUp: 0s
  minRequests: 20
  onInconclusive: promote
";

/// Requests that come at their own pace. They end with this.
struct Arrivals(JoinHandle<()>);

// === impl Arrivals ===

impl Arrivals {
    fn start(proxies: Vec<SocketAddr>) -> Self {
        Self(tokio::spawn(async move {
            let mut waiting = JoinSet::new();
            let mut pace = tokio::time::interval(PACE);
            for number in 0.. {
                pace.tick().await;
                while waiting.try_join_next().is_some() {}
                let proxy = proxies[number % proxies.len()];
                waiting.spawn(async move {
                    let request =
                        get("checkout.example").header("x-user-id", format!("user-{}", number % USERS));
                    let mut connection = Connection::open(proxy, Protocol::Http1).await.ok()?;
                    connection.send(request.body(Empty::new()).ok()?).await.ok()
                });
            }
        }))
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn until(fleet: &Fleet, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    release::until(fleet, PATIENCE, what, holds).await
}

/// Requests to the canary may take as long as they like.
fn without_timeout(listeners: &str) -> Option<String> {
    Some(listeners.replace("route: {cluster: canary}", "route: {cluster: canary, timeout: 0s}"))
}

async fn begin(fleet: &Fleet) {
    done(fleet, "start shop/checkout").await;
    until(fleet, "the canary is judged", |it| it["weight"] == 25.0 && it["requests"].as_u64() >= Some(30))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_never_answers_is_rolled_back_by_timeouts_and_held_without() {
    let fleet = fleet().await;
    fleet.write("checkout.yaml", ROLLOUT).unwrap();
    done(&fleet, "apply checkout.yaml").await;
    all_follow(&fleet).await;
    let arrivals = Arrivals::start(fleet.proxies().iter().map(Envoy::address).collect());

    // The proxy's own timeout of a route, 15 s, makes errors of it.
    begin(&fleet).await;
    let began = Instant::now();
    fleet.canary().hangs(true);
    until(&fleet, "it is rolled back", |it| it["phase"] == "RolledBack").await;
    println!(
        "rolled back {:.1} s after the canary began to hang, by timeouts",
        began.elapsed().as_secs_f64()
    );
    was_rolled_back_for(&fleet, "errors: the canary has").await;
    fleet.canary().hangs(false);

    for number in 1..=fleet.proxies().len() {
        take_listeners(&fleet, number, without_timeout).await;
    }
    begin(&fleet).await;
    let began = Instant::now();
    fleet.canary().hangs(true);
    until(&fleet, "the hang is told", |it| it.to_string().contains("requests to the canary do not end"))
        .await;
    let told = began.elapsed();
    // Longer than the step would take.
    let after = until(&fleet, "the step is over", |it| {
        it["weight"] != 25.0 || began.elapsed() > Duration::from_secs(55)
    })
    .await;
    assert_eq!((&after["weight"], &after["verdict"]), (&25.0.into(), &"hold".into()), "{after}");
    println!(
        "held {:.1} s after the canary began to hang, without timeouts: {}",
        told.as_secs_f64(),
        after["message"]
    );
    drop(arrivals);
}
