//! What the tests on a real Envoy share: the users, the policies, and what is expected of them.
//!
//! No test here computes a variant: `coalmine-core` says what every user must get, and Envoy must agree.

pub mod alive;
pub mod random;

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use coalmine_core::token::Secret;
use coalmine_harness::get;
use coalmine_harness::issuer::seconds_from_now;
use futures_util::StreamExt as _;
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use serde_json::{Value, json};

/// The header that names the user, in all policies of these tests.
pub const USER: &str = "x-user-id";

/// The user of this number. The list never changes, and has the shapes of identities that real systems use: a name
/// with a counter, a number, a mail address, and a UUID.
pub fn user(index: usize) -> String {
    // Spreads the numbers over 64 bits, as random ids are; the constant is the golden ratio.
    let spread = (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    match index % 4 {
        0 => format!("user-{index:06}"),
        1 => format!("{}", 1_000_000 + index),
        2 => format!("u{index}@shop.example"),
        _ => format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{index:012x}",
            spread >> 32,
            spread & 0xffff,
            index & 0xfff,
            7
        ),
    }
}

/// How many exchanges [`together`] has at a time: most of them wait, for a proxy that takes its time to close.
const TOGETHER: usize = 16;

/// Runs these beside one another, and returns what they come to, in order.
pub async fn together<F: Future>(all: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    // Boxed: some are too large for so many on one stack.
    futures_util::stream::iter(all.into_iter().map(Box::pin)).buffered(TOGETHER).collect().await
}

/// A request of this user at this host.
pub fn visit(host: &str, user: &str) -> Result<Request<Empty<Bytes>>> {
    Ok(get(host).header(USER, user).body(Empty::new())?)
}

/// A rollout for one host, by [`USER`], with a canary of this weight.
pub fn rollout(name: &str, host: &str, weight: f64) -> Value {
    json!({
        "name": name,
        "match": {"hosts": [host]},
        "identity": [{"header": USER}],
        "salt": format!("{name}-salt"),
        "variants": [{"name": "canary", "weight": weight}],
    })
}

/// What `coalmine-core` makes of a policy.
pub fn compile(document: &str) -> Result<Policy> {
    Policy::from_json(document.as_bytes()).map_err(|problems| anyhow!("the policy of a test: {problems}"))
}

/// The variant that this user must get at this host.
pub fn expected(policy: &Policy, host: &str, user: &str) -> Result<&'static str> {
    let request = StaticRequest::new("GET", host, "/").with_header(USER, user);
    let outcome = policy.decide(&request, Duration::ZERO);
    known(outcome.assignment.variant_name())
}

/// A token for this variant that is valid for so many seconds.
pub fn token(secret: &str, rollout: &str, variant: &str, seconds: i64) -> Result<String> {
    let secret = Secret::new(secret.as_bytes()).context("the secret is too short")?;
    let expiry = u64::try_from(seconds_from_now(seconds)?)?;
    Ok(secret.mint(rollout, variant, Duration::from_secs(expiry)))
}

/// One of the two names that an upstream server answers with.
fn known(variant: &str) -> Result<&'static str> {
    ["stable", "canary"].into_iter().find(|name| *name == variant).context("no upstream server of that name")
}

/// The first user of the list who gets this variant at this host.
pub fn user_with(policy: &Policy, host: &str, variant: &str) -> Result<String> {
    let user =
        (0..100_000).map(user).find(|user| expected(policy, host, user).is_ok_and(|found| found == variant));
    user.with_context(|| format!("nobody at {host} gets {variant}"))
}
