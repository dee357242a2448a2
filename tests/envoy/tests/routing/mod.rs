//! How the answer reaches the router, on a real Envoy: by a cluster, by a bucket, with a way back to stable, for streams.

mod bucket_header;
mod cluster_header;
mod disabled;
mod fallback;
mod flags;
mod hosts;
mod ranges;
mod streams;

use std::time::Duration;

use coalmine_core::policy::Policy;
use coalmine_envoy_tests::user;

/// The host of the examples; their policies name none.
const HOST: &str = "shop.example";

/// What a user gets by the one rollout of an example.
fn drawn<'p>(policy: &'p Policy, user: &str) -> &'p str {
    policy.rollouts()[0].assign(Some(user.as_bytes()), Duration::ZERO).variant_name()
}

/// The first users of the list who get this variant.
fn those_of(policy: &Policy, variant: &str, count: usize) -> Vec<String> {
    (0..).map(user).filter(|user| drawn(policy, user) == variant).take(count).collect()
}

/// The name of the server that answered, whatever it is called.
fn server(answer: &coalmine_harness::Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    String::from_utf8(answer.body.to_vec()).unwrap().trim_end().to_owned()
}
