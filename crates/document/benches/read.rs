//! The time and the memory that reading takes: each hostile document beside a well-behaved one of the same size.
//! `cargo bench -p coalmine-document --features yaml --bench read`, about a minute.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

#[path = "../../core/tests/common/memory.rs"]
mod memory;

use std::hint::black_box;
use std::time::Duration;

use coalmine_document::{Notation, SourceText, json};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const MIB: usize = 1 << 20;

/// A `kind: List` of three megabytes on one line: as JSON, or with `mark` in front so that it is read as YAML.
fn list(mark: &str, names: [&str; 3]) -> String {
    let item = |number: usize| {
        let name = names.get(number / 7_000).copied().filter(|_| number % 7_000 == 1).unwrap_or("name");
        format!(
            r#"{{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {{"name": "{name}-{number:08}"}}, "data": {{"policy.json": "{{\"revision\": {number}}}"}}}}"#
        )
    };
    let mut text = format!(r#"{mark}{{"apiVersion": "v1", "kind": "List", "items": ["#);
    let mut number = 0;
    while text.len() < 3_000_000 {
        text.push_str(&item(number));
        text.push_str(", ");
        number += 1;
    }
    text.push_str(&item(number));
    text.push_str("]}");
    assert!(number > 14_001, "all three names are in it");
    text
}

/// A policy of almost one mebibyte: rollouts as a large mesh has them.
fn policy() -> String {
    let mut rollouts = Vec::new();
    let mut length = 0;
    while length < MIB - 2_000 {
        let number = rollouts.len();
        let pins: Vec<String> = (0..10).map(|pin| format!("\"tester-{number}-{pin}\"")).collect();
        let rollout = format!(
            r#"{{"name": "rollout-{number}", "match": {{"hosts": ["service-{number}.shop.svc.cluster.local"]}},
                "identity": [{{"header": "x-user-id"}}, {{"cookie": "sid"}}],
                "variants": [{{"name": "canary", "weight": 5}}], "pins": {{"canary": [{}]}}}}"#,
            pins.join(", ")
        );
        length += rollout.len() + 2;
        rollouts.push(rollout);
    }
    format!("{{\"rollouts\": [{}]}}", rollouts.join(", "))
}

/// As many values as fit into one mebibyte.
fn ones() -> String {
    format!("[{}]", vec!["1"; MIB / 2 - 1].join(","))
}

/// Reads a text in its notation, and tells the line and the column of as many values as problems are shown.
fn read_with_places(text: &str) -> usize {
    let notation = Notation::of("list", text);
    let documents = notation.read(text).ok().unwrap();
    let source = SourceText::new("list", text.to_owned());
    let items = documents.iter().filter_map(|document| document.get("items")).flat_map(|items| items.items());
    let items: Vec<_> = items.collect();
    let step = (items.len() / 100).max(1);
    let columns = items.iter().step_by(step).map(|item| source.mark(item.span.start).column as usize);
    let sum = columns.sum();
    assert!(items.len() > 14_001 && sum > 0, "the list was read");
    sum
}

/// Prints what a case allocates, once, and measures how long it takes.
fn measure<T>(criterion: &mut Criterion, name: &str, text: &str, read: impl Fn(&str) -> T) {
    let (_, peak) = memory::footprint(|| read(text));
    println!("{name}: {} bytes of text; at most {peak} bytes allocated", text.len());
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function(name, |bencher| {
        bencher.iter_batched(|| (), |()| read(black_box(text)), BatchSize::PerIteration);
    });
}

/// Three characters of more than one byte on a line of three megabytes.
fn long_lines(criterion: &mut Criterion) {
    for (notation, mark) in [("JSON", ""), ("YAML", "--- ")] {
        let ascii = list(mark, ["plainx"; 3]);
        let other = list(mark, ["plainé", "plainü", "plain日"]);
        measure(criterion, &format!("{notation} list of ASCII"), &ascii, read_with_places);
        measure(criterion, &format!("{notation} list with three other characters"), &other, read_with_places);
    }
}

/// A document of far more values than a policy may have, without places as the filter reads it, and with them.
fn many_values(criterion: &mut Criterion) {
    let (policy, ones) = (policy(), ones());
    assert!(json::read(policy.as_bytes()).is_ok() && json::read(ones.as_bytes()).is_err());
    measure(criterion, "policy of 1 MiB", &policy, |text| json::read(text.as_bytes()));
    measure(criterion, "ones of 1 MiB", &ones, |text| json::read(text.as_bytes()));
    measure(criterion, "policy of 1 MiB, with places", &policy, |text| Notation::Json.read(text));
    measure(criterion, "ones of 1 MiB, with places", &ones, |text| Notation::Json.read(text));
    measure(criterion, "policy of 1 MiB, as YAML", &policy, |text| Notation::Yaml.read(text));
    measure(criterion, "ones of 1 MiB, as YAML", &ones, |text| Notation::Yaml.read(text));
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(3))
        .sample_size(10)
        .without_plots();
    targets = long_lines, many_values
}
criterion_main!(benches);
