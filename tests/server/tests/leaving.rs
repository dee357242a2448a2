//! Coalmine is taken away again, as docs/server.md says, in the middle of a release and under traffic.

use std::time::Instant;

use coalmine_harness::fleet::{ROLLOUT, Seen};
use coalmine_harness::wait;
use serde_json::json as document;

use crate::release::take_listeners;
use crate::story::{all_follow, done, fleet, json};

/// The listeners without the filter, its header rules and the canary's route.
fn without_coalmine(listeners: &str) -> Option<String> {
    let without = |text: &str, from: &str, to: &str| {
        let (before, rest) = text.split_once(from)?;
        Some(format!("{before}{to}{}", rest.split_once(to)?.1))
    };
    let text =
        without(listeners, "          early_header_mutation_extensions:\n", "          http_filters:\n")?;
    let text =
        without(&text, "          - name: coalmine\n", "          - name: envoy.filters.http.router\n")?;
    let text = without(&text, "            request_headers_to_remove:", "            virtual_hosts:\n")?;
    let text = without(
        &text,
        "              - match:\n                  prefix: /\n",
        "              - match: {prefix: /}\n",
    )?;
    // What the filter tells the access log.
    without(&text, "                  rollout: '%", "\n\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_taken_away_with_everybody_on_stable_and_no_request_lost() {
    let mut fleet = fleet().await;
    fleet
        .write(
            "checkout.yaml",
            &ROLLOUT.replace("steps: [5, 25, 50]\n  dwell: 2s", "steps: [50]\n  dwell: 1h"),
        )
        .unwrap();
    for words in ["apply checkout.yaml", "start shop/checkout", "advance shop/checkout"] {
        done(&fleet, words).await;
    }
    all_follow(&fleet).await;
    let traffic = fleet.traffic(400, 6);
    let half = |seen: &[Seen]| seen.iter().filter(|visit| visit.variant == Some("canary")).count() > 100;
    traffic.until("the canary has users", Instant::now(), half).await.unwrap();

    done(&fleet, "delete shop/checkout").await;
    let is_gone = wait::until("there is no rollout, and an empty policy", || async {
        let policy = fleet.get("/v1/policy").await.ok()?;
        let is_empty = policy["rollouts"] == document!([]);
        (is_empty && done(&fleet, "status").await.stdout.contains("no rollouts")).then_some(())
    });
    is_gone.await.unwrap();
    all_follow(&fleet).await;
    let everybody =
        |seen: &[Seen]| seen.len() > 400 && seen.iter().all(|visit| visit.variant == Some("stable"));
    traffic.until("everybody on stable", Instant::now(), everybody).await.unwrap();
    assert!(!json(&fleet, "proxies").await["proxies"].to_string().contains("refused"));

    for number in 1..=fleet.proxies().len() {
        take_listeners(&fleet, number, without_coalmine).await;
    }
    fleet.kill_server();
    fleet.lose_store().unwrap();
    traffic.until("everybody on stable without Coalmine", Instant::now(), everybody).await.unwrap();
    let seen = traffic.stop().await;
    assert!(seen.iter().all(|visit| visit.status == 200 && visit.variant.is_some()), "a request has failed");
}
