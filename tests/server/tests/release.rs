//! What tests of a release wait for and look at.

use std::time::Duration;

use coalmine_harness::fleet::Fleet;
use coalmine_harness::wait;
use serde_json::Value;

/// The rollout of every test.
pub(crate) const API: &str = "/v1/rollouts/shop/checkout";

/// Waits, at most so long, until something holds of the rollout. The rollout as it is then.
pub(crate) async fn until(
    fleet: &Fleet,
    patience: Duration,
    what: &str,
    holds: impl Fn(&Value) -> bool,
) -> Value {
    let found = wait::within(patience, what, || async { fleet.get(API).await.ok().filter(&holds) }).await;
    match found {
        Ok(found) => found,
        Err(error) => panic!("{error}: {:?}", fleet.get(API).await),
    }
}

/// History says that the latest rollback was for this.
pub(crate) async fn was_rolled_back_for(fleet: &Fleet, reason: &str) {
    let history = fleet.get(&format!("{API}/history?limit=10")).await.unwrap();
    let line = history.as_array().unwrap().iter().find(|line| line["what"] == "rollsBack").unwrap().clone();
    assert!(line["why"].as_str().unwrap().contains(reason), "{line}");
}

/// Changes the listeners of a proxy, by its number from 1, and waits until it has taken them.
pub(crate) async fn take_listeners(fleet: &Fleet, number: usize, change: fn(&str) -> Option<String>) {
    let proxy = &fleet.proxies()[number - 1];
    let updates = proxy.stat("listener_manager.listener_create_success").await.unwrap();
    fleet.change_listeners(number, change).unwrap();
    let is_taken = wait::until("the listener is taken", || async {
        let made = proxy.stat("listener_manager.listener_create_success").await.ok()?;
        let warming = proxy.stat("listener_manager.total_listeners_warming").await.ok()?;
        (made > updates && warming == 0).then_some(())
    });
    is_taken.await.unwrap();
}
