//! The time and the memory from a document to a policy: `cargo bench -p coalmine-core --bench compile`, about a minute.
//!
//! Twice the rollouts take twice the time, whatever they match by. What a policy holds in the end is measured by the
//! test `large`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

#[path = "../tests/common/large.rs"]
mod large;
#[path = "../tests/common/memory.rs"]
mod memory;

use std::hint::black_box;
use std::time::Duration;

use coalmine_core::document::json;
use coalmine_core::policy::{Environment, Policy, conflicts};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// So many rollouts, each with this condition; `#` stands for a number of its own.
fn document(rollouts: usize, condition: &str) -> String {
    let rollout = |number: usize| {
        format!(
            r#"{{"name": "r{number}", "match": {{{}}}, "identity": [{{"header": "x-user-id"}}, {{"cookie": "sid"}}],
                "variants": [{{"name": "canary", "weight": 5}}]}}"#,
            condition.replace('#', &number.to_string())
        )
    };
    let rollouts: Vec<String> = (0..rollouts).map(rollout).collect();
    format!("{{\"rollouts\": [{}]}}", rollouts.join(", "))
}

const BY_HOST: &str = r##""hosts": ["service-#.example"]"##;
const BY_PATH: &str = r##""paths": [{"prefix": "/service-#/"}]"##;
/// About as many rollouts of this form as a document of one mebibyte holds.
const MOST: usize = 5_000;

/// From the tree to the policy, without the reading of the text.
fn compile(criterion: &mut Criterion) {
    for (name, condition) in [("host", BY_HOST), ("path", BY_PATH)] {
        let mut group = criterion.benchmark_group(format!("compile by {name}"));
        for rollouts in [500, 1_000, MOST] {
            let text = document(rollouts, condition);
            let tree = json::read(text.as_bytes()).unwrap();
            let (held, peak) = memory::footprint(|| Policy::from_json(text.as_bytes()).unwrap());
            println!(
                "{rollouts} by {name}: {} bytes of text; at most {peak} allocated, {held} held",
                text.len()
            );
            group.throughput(Throughput::Elements(rollouts as u64));
            group.bench_function(BenchmarkId::from_parameter(rollouts), |bencher| {
                bencher.iter(|| Policy::from_document(black_box(&tree), Environment::Unread).unwrap());
            });
        }
    }
}

/// The check for rollouts that can never match, which the command makes and a proxy does not.
fn unreachable(criterion: &mut Criterion) {
    for (name, condition) in [("host", BY_HOST), ("path", BY_PATH)] {
        let mut group = criterion.benchmark_group(format!("unreachable by {name}"));
        for rollouts in [500, 1_000] {
            let policy = Policy::from_json(document(rollouts, condition).as_bytes()).unwrap();
            group.throughput(Throughput::Elements(rollouts as u64));
            group.bench_function(BenchmarkId::from_parameter(rollouts), |bencher| {
                bencher.iter(|| conflicts(black_box(&policy).rollouts()));
            });
        }
    }
}

/// From the text to a policy as a large mesh has it.
fn read_and_compile(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read and compile");
    for (rollouts, pins) in [(1, 0), (1_000, 10_000)] {
        let document = large::document(rollouts, pins);
        group.throughput(Throughput::Bytes(document.len() as u64));
        group.bench_function(format!("{rollouts} rollouts, {pins} pins"), |bencher| {
            bencher.iter(|| Policy::from_json(black_box(document.as_bytes())).unwrap());
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(10)
        .without_plots();
    targets = compile, unreachable, read_and_compile
}
criterion_main!(benches);
