//! What a bucket and a decision cost: `cargo bench -p coalmine-core --bench decide`, about a minute.
#![allow(clippy::unwrap_used, reason = "a benchmark")]

#[path = "../tests/common/large.rs"]
mod large;

use std::hint::black_box;
use std::time::Duration;

use coalmine_core::bucketing::{Bucketer, Key};
use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// Nothing of these policies depends on the time.
const NOW: Duration = Duration::ZERO;

/// A bare bucket: of a UUID, as most identities are.
fn bucket(criterion: &mut Criterion) {
    let identity = b"550e8400-e29b-41d4-a716-446655440000";
    let mut group = criterion.benchmark_group("bucket");
    let salt = "checkout-7";
    for (name, bucketer) in [
        ("coalmine-v1", Bucketer::coalmine_v1(salt)),
        (
            "siphash-2-4",
            Bucketer::siphash_2_4(salt, Key::from_hex("000102030405060708090a0b0c0d0e0f").unwrap()),
        ),
        ("flagd-v2", Bucketer::flagd_v2(salt)),
        ("growthbook-v2", Bucketer::growthbook_v2(salt)),
        ("unleash", Bucketer::unleash(salt)),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| bucketer.bucket(black_box(identity))));
    }
}

/// A whole decision by an exact host, to be the same whatever the number of rollouts. The request is a list of three
/// headers in memory: calls into a proxy come on top.
fn decide(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    for rollouts in [1, 10, 100, 1_000] {
        let policy = Policy::from_json(large::document(rollouts, 10 * rollouts).as_bytes()).unwrap();
        let request = StaticRequest::new("GET", &large::host(rollouts - 1), "/api/cart?x=1")
            .with_header("x-user-id", "550e8400-e29b-41d4-a716-446655440000");
        group.bench_function(BenchmarkId::new("rollouts", rollouts), |bencher| {
            bencher.iter(|| policy.decide(black_box(&request), NOW));
        });
    }
    let policy = Policy::from_json(large::document(1_000, 10_000).as_bytes()).unwrap();
    let elsewhere = StaticRequest::new("GET", "elsewhere.example", "/api/cart?x=1");
    group.bench_function("no match in 1000", |bencher| {
        bencher.iter(|| policy.decide(black_box(&elsewhere), NOW))
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30)
        .without_plots();
    targets = bucket, decide
}
criterion_main!(benches);
