//! A policy of 1,000 rollouts with 10,000 pins: what a request pays does not grow with it, and what it costs to hold
//! is bounded. `cargo test -p coalmine-core --test large -- --nocapture` prints the numbers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "common/large.rs"]
mod large;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use coalmine_core::document::MAX_BYTES;
use coalmine_core::policy::Policy;
use coalmine_core::request::WrittenRequest;
use coalmine_core::{Reason, Request};

/// How many candidates a request to this host has.
fn candidates(policy: &Policy, host: &str) -> usize {
    policy.candidates(host.as_bytes()).count()
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
struct Counted(WrittenRequest, Cell<usize>);

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

    fn now(&self) -> Duration {
        self.0.now()
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
            WrittenRequest::new("GET", &large::host(rollouts - 1), "/api/").with_header("x-user-id", "bob");
        let counted = Counted(request, Cell::new(0));
        assert_eq!(policy.decide(&counted).decision.reason, Reason::Bucket);
        // The authority, the path, the identity and the route's header. A user who leaves stable costs one more.
        assert_eq!(counted.1.get(), 4, "{rollouts}");
    }
}

/// Counts what is held and the most that ever was, on this thread: the other tests run beside.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    let held = HELD.get() + change;
    HELD.set(held);
    MOST.set(MOST.get().max(held));
}

// SAFETY: every call is handed on to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a policy holds, and the most that it took while it was read, in bytes.
fn footprint(document: &str) -> (isize, isize) {
    let before = HELD.get();
    MOST.set(before);
    let policy = Policy::from_json(document.as_bytes()).unwrap();
    let footprint = (HELD.get() - before, MOST.get() - before);
    drop(policy);
    assert_eq!(HELD.get(), before, "nothing stays behind");
    footprint
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
