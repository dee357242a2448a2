//! Any bytes: a bounded number of mutations of a kept corpus go through the public interface, and what comes
//! out is compared with a second, naive reading, or with what must hold of every answer.
//!
//! ```text
//! cargo test -p coalmine-core --test fuzz
//! COALMINE_FUZZ_CASES=10000000 COALMINE_FUZZ_SEED=$RANDOM cargo test --release -p coalmine-core --test fuzz -- --nocapture cookie
//! ```
//!
//! Each test makes `COALMINE_FUZZ_CASES` inputs from `COALMINE_FUZZ_SEED`, 1 where it is not set: the same seed makes the
//! same inputs in the same order. `make proof-fuzz` makes many. It begins with every file of `tests/corpus/<test>/` as
//! it is. An input whose outcome is of a new kind joins the corpus for the rest of the run. An input that fails is
//! printed; kept as a file of the corpus, it is tried first from then on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod claim;
mod cookie;
#[expect(
    clippy::disallowed_methods,
    reason = "reads its corpus and its bounds; the crate itself reads nothing"
)]
mod engine;
mod host;
mod path;
mod policy;
mod query;
#[path = "../common/summary.rs"]
mod summary;

use std::time::Duration;

use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use coalmine_core::{Assignment, Edit, Outcome};

/// The time of every decision for which it makes no difference.
const NOW: Duration = Duration::from_secs(1_795_258_800);

/// The text as JSON writes it.
fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// The first line, and the others.
fn lines(input: &[u8]) -> (&[u8], Vec<&[u8]>) {
    let mut lines = input.split(|&byte| byte == b'\n');
    (lines.next().unwrap_or_default(), lines.collect())
}

/// A policy of these fields of a rollout; `None` where they are refused, which takes a reason.
fn policy_of(fields: &str) -> Option<Policy> {
    let document = format!(r#"{{"rollouts": [{{"name": "r", "salt": "s", {fields}}}]}}"#);
    match Policy::from_json(document.as_bytes()) {
        Ok(policy) => Some(policy),
        Err(problems) => {
            assert!(
                problems.count() > 0 && problems.shown().iter().all(|problem| !problem.message.is_empty())
            );
            None
        }
    }
}

/// The weight of a canary that is everybody.
const EVERYBODY: &str = r#""variants": [{"name": "canary", "weight": 100}]"#;

/// The request is assigned as the user of this name, or as nobody; and nothing else on the request makes a difference.
fn assert_identity(policy: &Policy, request: &StaticRequest, expected: Option<&[u8]>) {
    let expected = policy.rollouts()[0].assign(expected, NOW);
    let noisy = request
        .clone()
        .with_header("x-other", "canary")
        .with_header("user-agent", "curl")
        .with_property(&["source", "address"], "10.0.0.1:1");
    for request in [request, &noisy] {
        assert_same(&policy.decide(request, NOW).assignment, &expected);
    }
}

fn assert_same(one: &Assignment<'_>, other: &Assignment<'_>) {
    assert_eq!((one.variant, one.reason, one.bucketed), (other.variant, other.reason, other.bucketed));
}

/// What this header becomes; `None` where it stays as it is.
fn set<'o>(outcome: &'o Outcome<'_>, header: &str) -> Option<&'o [u8]> {
    outcome.edits.iter().find_map(|edit| match edit {
        Edit::Set(name, value) if *name == header => Some(&value[..]),
        Edit::Remove(name) if *name == header => Some(&b""[..]),
        _ => None,
    })
}
