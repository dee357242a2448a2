//! Whole releases, by the command and on traffic: two Envoys that follow `coalmine serve`, and two versions behind them.

use std::time::{Duration, Instant};

use coalmine_harness::fleet::{Fleet, FleetParts, ROLLOUT, Ran, Seen, went_back};
use coalmine_harness::{tools, wait};
use serde_json::Value;

use crate::release::take_listeners;

pub(crate) fn parts() -> FleetParts {
    FleetParts::built().unwrap()
}

pub(crate) async fn fleet() -> Fleet {
    started(parts()).await
}

pub(crate) async fn started(parts: FleetParts) -> Fleet {
    let fleet = Fleet::start(parts).await.unwrap();
    fleet.write("checkout.yaml", ROLLOUT).unwrap();
    fleet
}

pub(crate) async fn done(fleet: &Fleet, words: &str) -> Ran {
    fleet.done(words).await.unwrap()
}

/// Begins a release that stays where its first users are.
pub(crate) async fn stay_at_the_first_step(fleet: &Fleet) {
    fleet.write("checkout.yaml", &ROLLOUT.replace("dwell: 2s", "dwell: 1h")).unwrap();
    for words in ["apply checkout.yaml", "start shop/checkout", "advance shop/checkout"] {
        done(fleet, words).await;
    }
}

pub(crate) async fn json(fleet: &Fleet, words: &str) -> Value {
    serde_json::from_str(&done(fleet, &format!("{words} --format json")).await.stdout).unwrap()
}

/// The revision that the proxies of the only fleet should run.
fn revision(proxies: &Value) -> &Value {
    &proxies["fleets"][0]["revision"]
}

/// Waits until each proxy is connected and runs what is published, as its own metrics say: one row each.
pub(crate) async fn all_follow(fleet: &Fleet) {
    let is_followed = wait::until("all proxies follow", || async {
        let known = json(fleet, "proxies").await;
        let rows = known["proxies"].as_array()?;
        let names: Vec<&str> = rows.iter().filter_map(|it| it["name"].as_str()).collect();
        let follows = |row: &Value| row["connected"].is_string() && row["revision"] == *revision(&known);
        (names == ["edge-1", "edge-2"] && rows.iter().all(follows)).then_some(())
    });
    is_followed.await.unwrap();
}

/// What happened, the oldest first: what, and at which weight.
async fn happened(fleet: &Fleet) -> Vec<(String, f64)> {
    let history = json(fleet, "history shop/checkout --limit 1000").await;
    let lines = history.as_array().unwrap().iter().rev();
    lines.map(|line| (line["what"].as_str().unwrap().to_owned(), line["weight"].as_f64().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_version_is_promoted_and_a_broken_one_is_taken_back() {
    let fleet = fleet().await;
    assert_eq!(done(&fleet, "apply checkout.yaml").await.stdout, "shop/checkout created\n");
    assert_eq!(done(&fleet, "apply checkout.yaml").await.stdout, "shop/checkout unchanged\n");
    all_follow(&fleet).await;
    let traffic = fleet.traffic(400, 6);

    done(&fleet, "start shop/checkout --wait-for Promoting --timeout 50s --message one").await;
    let seen = traffic.seen();
    assert!(seen.iter().all(|visit| visit.status == 200 && visit.variant.is_some()), "a request has failed");
    let back = went_back(&seen);
    assert!(back.is_empty(), "users are back on stable while weights only rise: {back:?}");
    let everybody =
        |seen: &[Seen]| seen.len() > 400 && seen.iter().all(|visit| visit.variant == Some("canary"));
    traffic
        .until("everybody on the canary", Instant::now() + Duration::from_millis(500), everybody)
        .await
        .unwrap();
    done(&fleet, "promote shop/checkout --wait --timeout 50s").await;
    let words: Vec<(String, f64)> = happened(&fleet).await;
    let ups: Vec<f64> =
        words.iter().filter(|(what, _)| what == "advanced").map(|(_, weight)| *weight).collect();
    assert_eq!(ups, [5.0, 25.0, 50.0, 100.0], "{words:?}");
    assert_eq!(words.last().unwrap(), &("promoted".to_owned(), 0.0));

    fleet.canary_fails(30);
    let ran = fleet.run("start shop/checkout --wait --timeout 50s --message two").await.unwrap();
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let ended = Instant::now();
    let stable = |seen: &[Seen]| seen.len() > 800 && seen.iter().all(|visit| visit.variant == Some("stable"));
    traffic.until("everybody on stable", ended, stable).await.unwrap();
    let status = json(&fleet, "status shop/checkout").await;
    assert_eq!(
        (&status["phase"], &status["release"]["outcome"]),
        (&"RolledBack".into(), &"RolledBack".into())
    );
    let history = done(&fleet, "history shop/checkout").await.stdout;
    let why = history.lines().find(|line| line.contains("rolls back")).unwrap();
    assert!(why.contains("errors: the canary has") && why.contains("evidence"), "{why}");

    let seen = traffic.stop().await;
    let failed = seen.iter().filter(|visit| visit.status != 200).count();
    let hurt = seen.iter().filter(|visit| visit.variant == Some("canary") && visit.status != 200).count();
    assert_eq!(failed, hurt, "only the broken version has failed");
    println!("{} requests, {hurt} of them failed at the broken version before it was taken back", seen.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_costs_no_request_and_goes_on_where_it_was() {
    let mut fleet = fleet().await;
    stay_at_the_first_step(&fleet).await;
    let traffic = fleet.traffic(400, 4);
    let some = |seen: &[Seen]| seen.iter().filter(|visit| visit.variant == Some("canary")).count() > 20;
    traffic.until("the canary has users", Instant::now(), some).await.unwrap();
    let before = json(&fleet, "status shop/checkout").await;

    fleet.kill_server();
    let away = Instant::now();
    traffic.until("users without a server", away, |seen| seen.len() > 1_000 && some(seen)).await.unwrap();
    let ran = fleet.run("status").await.unwrap();
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    fleet.start_server().await.unwrap();

    let after = json(&fleet, "status shop/checkout").await;
    for same in ["weight", "salt", "phase"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert_eq!(before["release"]["release"], after["release"]["release"]);
    all_follow(&fleet).await;
    done(&fleet, "rollback shop/checkout --wait --timeout 50s").await;
    let stable = |seen: &[Seen]| seen.len() > 400 && seen.iter().all(|visit| visit.variant == Some("stable"));
    traffic.until("everybody on stable", Instant::now(), stable).await.unwrap();
    let seen = traffic.stop().await;
    assert!(seen.iter().all(|visit| visit.status == 200), "a request has failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_that_every_proxy_refuses_is_left_out_and_the_others_go_on() {
    let mut fleet = started(FleetParts { module: tools::crashing_filter().unwrap(), ..parts() }).await;
    done(&fleet, "apply checkout.yaml").await;
    all_follow(&fleet).await;
    let refused = format!(
        "
name: shop/refused
policy:
  match: {{hosts: [refused.example]}}
  identity: [{{header: {}}}]
  variants: [{{name: canary}}]
plan: {{}}
",
        tools::CRASH_HEADER
    );
    fleet.write("refused.yaml", &refused).unwrap();
    done(&fleet, "apply refused.yaml").await;
    let is_held = wait::until("the rollout is left out", || async {
        let status = json(&fleet, "status shop/refused").await;
        status["leftOut"].as_str().filter(|why| why.starts_with("a proxy refused it: ")).map(|_| ())
    });
    is_held.await.unwrap();
    all_follow(&fleet).await;
    done(&fleet, "start shop/checkout").await;
    done(&fleet, "advance shop/checkout").await;
    all_follow(&fleet).await;
    let traffic = fleet.traffic(400, 4);
    let some = |seen: &[Seen]| seen.iter().any(|visit| visit.variant == Some("canary"));
    traffic.until("the canary has users", Instant::now(), some).await.unwrap();
    assert!(traffic.stop().await.iter().all(|visit| visit.status == 200), "a request has failed");

    // A proxy that were left with what it has refused would take no listener, and have no policy after a restart.
    let renamed = |text: &str| Some(text.replace("stat_prefix: public", "stat_prefix: changed"));
    take_listeners(&fleet, 1, renamed).await;
    fleet.restart_proxy(2).await.unwrap();
    let traffic = fleet.traffic(400, 4);
    for proxy in fleet.proxies() {
        let drawn = wait::until("draws in each proxy", || async {
            let metrics = proxy.metrics().await.ok()?;
            metrics.sum("coalmine_requests_total", &[("variant", "canary")]).filter(|drawn| *drawn > 0.0)
        });
        drawn.await.unwrap();
    }
    assert!(traffic.stop().await.iter().all(|visit| visit.status == 200), "a request has failed");
    assert!(fleet.proxies()[0].stat("http.changed.downstream_rq_total").await.unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_lacks_a_key_has_everybody_on_stable_and_follows() {
    let variables = vec![(1, "COALMINE_KEYED".to_owned(), "5ca1ab1e0ddba11cafef00dbadc0ffee".to_owned())];
    let fleet = started(FleetParts { variables, ..parts() }).await;
    let keyed =
        ROLLOUT.replace("  variants:", "  algorithm: siphash-2-4\n  key: {env: COALMINE_KEYED}\n  variants:");
    fleet.write("keyed.yaml", &keyed).unwrap();
    done(&fleet, "apply keyed.yaml").await;
    done(&fleet, "start shop/checkout").await;
    all_follow(&fleet).await;
    let is_told = wait::until("the proxy is named", || async {
        let status = json(&fleet, "status shop/checkout").await.to_string();
        status.contains("it is switched off in 1 of 2 proxies").then_some(())
    });
    is_told.await.unwrap();
    let disabled: Vec<Value> = json(&fleet, "proxies").await["proxies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["disabled"].clone())
        .collect();
    assert_eq!(disabled, [Value::Null, serde_json::json!(["shop/checkout"])]);
    let traffic = fleet.traffic(400, 4);
    let some = |seen: &[Seen]| seen.iter().any(|visit| visit.variant == Some("canary"));
    traffic.until("the canary has users, by the other proxy", Instant::now(), some).await.unwrap();
    done(&fleet, "rollback shop/checkout --wait --timeout 50s").await;
    all_follow(&fleet).await;
    assert!(traffic.stop().await.iter().all(|visit| visit.status == 200), "a request has failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_lost_its_store_leaves_the_proxies_what_they_run() {
    let mut fleet = fleet().await;
    stay_at_the_first_step(&fleet).await;
    all_follow(&fleet).await;
    let before = revision(&json(&fleet, "proxies").await).as_u64().unwrap();
    fleet.kill_server();
    fleet.lose_store().unwrap();
    fleet.start_server().await.unwrap();
    let is_seen = wait::until("both proxies are seen again", || async {
        let known = json(&fleet, "proxies").await;
        let rows = known["proxies"].as_array()?;
        let is_same = |row: &Value| row["connected"].is_string() && row["revision"] == before;
        (rows.len() == 2 && rows.iter().all(is_same) && revision(&known).is_null()).then_some(())
    });
    is_seen.await.unwrap();
    let others = |shown: &str| shown.matches("from another history").count();
    let shown = done(&fleet, "proxies").await.stdout;
    assert_eq!(others(&shown), 2, "the server knows nothing of what the proxies run: {shown}");
    let traffic = fleet.traffic(400, 4);
    let some = |seen: &[Seen]| seen.iter().any(|visit| visit.variant == Some("canary"));
    traffic.until("the canary still has users", Instant::now(), some).await.unwrap();
    assert!(traffic.stop().await.iter().all(|visit| visit.status == 200), "a request has failed");

    done(&fleet, "apply checkout.yaml").await;
    all_follow(&fleet).await;
    assert!(revision(&json(&fleet, "proxies").await).as_u64() > Some(before));
    assert_eq!(others(&done(&fleet, "proxies").await.stdout), 0, "they follow again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_module_of_the_filter_comes_by_a_push_and_costs_no_request() {
    let mut fleet = fleet().await;
    stay_at_the_first_step(&fleet).await;
    all_follow(&fleet).await;
    let traffic = fleet.traffic(400, 16);
    let some = |seen: &[Seen]| {
        seen.len() > 1_000 && seen.iter().filter(|visit| visit.variant == Some("canary")).count() > 20
    };
    traffic.until("the canary has users", Instant::now(), some).await.unwrap();
    let before = revision(&json(&fleet, "proxies").await).as_u64();

    // The same code, and a section that a machine does not read: another module to Envoy.
    let mut module = std::fs::read(tools::filter().unwrap()).unwrap();
    module.extend_from_slice(b"\x00\x06\x04next\x01");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("next.wasm");
    std::fs::write(&path, module).unwrap();
    let machines = machines(&fleet).await;
    fleet.kill_server();
    fleet.change_module(&path);
    fleet.start_server().await.unwrap();
    all_follow(&fleet).await;
    let is_new = wait::until("new machines in every proxy", || async {
        let now = self::machines(&fleet).await;
        now.iter().zip(&machines).all(|(now, before)| now > before).then_some(())
    });
    is_new.await.unwrap();
    assert!(revision(&json(&fleet, "proxies").await).as_u64() > before);
    traffic.until("users of the new module", Instant::now(), some).await.unwrap();
    let seen = traffic.stop().await;
    assert!(seen.iter().all(|visit| visit.status == 200 && visit.variant.is_some()), "a request has failed");
    let back = went_back(&seen);
    assert!(back.is_empty(), "users are back on stable after another module of the filter: {back:?}");
    println!("{} requests while the filter was exchanged, none failed", seen.len());
}

/// How many machines for the filter each proxy has made so far.
async fn machines(fleet: &Fleet) -> Vec<u64> {
    let mut made = Vec::new();
    for proxy in fleet.proxies() {
        made.push(proxy.stat("wasm.envoy.wasm.runtime.v8.created").await.unwrap());
    }
    made
}
