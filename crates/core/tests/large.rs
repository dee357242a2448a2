//! A policy of 1,000 rollouts with 10,000 pins: what a request pays does not grow with it, and what it costs to hold
//! is bounded. `cargo test -p coalmine-core --test large -- --nocapture` prints the numbers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "common/large.rs"]
mod large;
#[path = "common/memory.rs"]
mod memory;

use std::cell::Cell;
use std::time::Duration;

use coalmine_core::document::MAX_BYTES;
use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use coalmine_core::{Reason, Request};

const NOW: Duration = Duration::ZERO;

/// How many candidates a request to this host has.
fn candidates(policy: &Policy, host: &str) -> usize {
    policy.explain(&StaticRequest::new("GET", host, "/"), NOW).candidates.len()
}

#[test]
fn the_candidates_of_a_host_do_not_grow_with_the_rollouts() {
    for rollouts in [10, 1_000] {
        let policy = Policy::from_json(large::document(rollouts, 0).as_bytes()).unwrap();
        assert_eq!(policy.rollouts().len(), rollouts);
        for number in 0..rollouts {
            assert_eq!(candidates(&policy, &large::host(number)), 1, "{number} of {rollouts}");
        }
        assert_eq!(candidates(&policy, "elsewhere.example"), 0, "{rollouts}");
    }
}

/// Wildcards: a host has as many candidates as it has parents that a policy names, whatever else the policy names.
#[test]
fn wildcards_are_looked_up_too() {
    let rollout = |number: usize, host: &str| {
        format!(
            r#"{{"name": "r{number}", "match": {{"hosts": ["{host}"]}}, "identity": [{{"cookie": "s"}}],
                "variants": [{{"name": "canary", "weight": 5}}]}}"#
        )
    };
    for others in [10, 1_000] {
        let mut rollouts =
            vec![rollout(0, "*.example"), rollout(1, "*.shop.example"), rollout(2, "a.shop.example")];
        rollouts.extend((3..others).map(|number| rollout(number, &format!("*.team-{number}.example"))));
        let policy =
            Policy::from_json(format!("{{\"rollouts\": [{}]}}", rollouts.join(", ")).as_bytes()).unwrap();
        assert_eq!(candidates(&policy, "a.shop.example"), 3, "{others}");
        assert_eq!(candidates(&policy, "b.shop.example"), 2, "{others}");
        assert_eq!(candidates(&policy, "b.team-7.example"), 2, "{others}");
    }
}

/// A request that counts how often the host is asked.
struct Counted(StaticRequest, Cell<usize>);

impl Request for Counted {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.1.set(self.1.get() + 1);
        self.0.header(name)
    }

    fn every_value(&self, name: &str) -> Vec<Vec<u8>> {
        self.1.set(self.1.get() + 1);
        self.0.every_value(name)
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.1.set(self.1.get() + 1);
        self.0.property(path)
    }

    fn random(&self) -> Option<[u8; 16]> {
        self.0.random()
    }
}

/// The calls into the host are what a request pays most for.
#[test]
fn the_host_is_asked_as_often_whatever_the_size() {
    for rollouts in [1, 10, 1_000] {
        let policy = Policy::from_json(large::document(rollouts, 0).as_bytes()).unwrap();
        let request =
            StaticRequest::new("GET", &large::host(rollouts - 1), "/api/").with_header("x-user-id", "bob");
        let counted = Counted(request, Cell::new(0));
        assert_eq!(policy.decide(&counted, NOW).assignment.reason, Reason::Bucket);
        // Whether the request begins again, the authority, the path, the identity and the route's header. A user who
        // leaves stable costs one more.
        assert_eq!(counted.1.get(), 5, "{rollouts}");
    }
}

/// What a policy holds, and the most that it took while it was read, in bytes.
fn footprint(document: &str) -> (isize, isize) {
    memory::footprint(|| Policy::from_json(document.as_bytes()).unwrap())
}

/// Every proxy of a mesh holds the policy, once per worker.
#[test]
fn memory_is_bounded() {
    let document = large::document(1_000, 10_000);
    assert!(document.len() < MAX_BYTES);
    let (held, most) = footprint(&document);
    println!(
        "1,000 rollouts, 10,000 pins: {} bytes of JSON; held {held} bytes, while reading at most {most}",
        document.len()
    );
    assert!(held < 4 << 20, "{held}");
    assert!(most < 16 << 20, "{most}");
    let (small, _) = footprint(&large::document(1, 0));
    println!("1 rollout: held {small} bytes");
    assert!(small < 8 << 10, "{small}");
}
