//! How fast `coalmine assign` is, with everything that belongs to it: `cargo bench -p coalmine --bench assign`, about
//! half a minute. What a bare draw costs: `cargo bench -p coalmine-core --bench decide -- bucket`.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const USERS: u64 = 500_000;

const POLICY: &str = r#"{"rollouts": [{"name": "checkout", "identity": [{"header": "x-user-id"}], "salt": "checkout-7",
    "variants": [{"name": "canary", "weight": 5}, {"name": "baseline", "weight": 5}]}]}"#;

/// Half a million users from a file to nowhere, in each of the formats.
fn assign(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let (policy, users) = (folder.path().join("policy.json"), folder.path().join("users"));
    std::fs::write(&policy, POLICY).unwrap();
    let mut list = String::new();
    for number in 0..USERS {
        writeln!(list, "550e8400-e29b-41d4-a716-{number:012}").unwrap();
    }
    std::fs::write(&users, list).unwrap();
    let mut group = criterion.benchmark_group("assign");
    group.throughput(Throughput::Elements(USERS)).sample_size(10);
    for format in ["table", "csv", "json"] {
        group.bench_function(format, |bencher| {
            bencher.iter(|| {
                let mut command = Command::new(env!("CARGO_BIN_EXE_coalmine"));
                command.arg("assign").arg(&policy).arg("--users").arg(&users).args(["--format", format]);
                assert!(command.stdout(Stdio::null()).status().unwrap().success());
            });
        });
    }
}

criterion_group!(benches, assign);
criterion_main!(benches);
