//! 5,000 rollouts, each ticked once with what four proxies counted: what a server does every 15 seconds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::hint::black_box;

use coalmine_judge::Arms;
use coalmine_steer::plan::Setting;
use coalmine_steer::simulate::{Cluster, Crash, Random, World};
use coalmine_steer::{Inputs, Plan, State, tick};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const ROLLOUTS: usize = 5000;

/// Rollouts in progress, each somewhere else in its plan.
fn rollouts(plan: &Plan) -> Vec<(State, Inputs)> {
    let kinds = 50;
    let mut some = Vec::new();
    for seed in 0..kinds {
        let mut random = Random::new(seed);
        let mut world = World::new(plan.clone(), 200.0, 4);
        world.cluster = Some(Cluster::new(4, 4));
        world.rates.insert("errors".to_owned(), Arms { stable: 0.002, canary: 0.002 });
        for _ in 0..4 * seed + 4 {
            world.pass(world.tick, &mut random);
            world.tick_once(Crash::None);
        }
        world.pass(world.tick, &mut random);
        some.push((world.state.clone(), world.inputs()));
    }
    (0..ROLLOUTS).map(|place| some[place % some.len()].clone()).collect()
}

fn bench(criterion: &mut Criterion) {
    let plan = Plan::usual(Setting { workloads: true });
    let rollouts = rollouts(&plan);
    let mut group = criterion.benchmark_group("steer");
    group.throughput(Throughput::Elements(ROLLOUTS as u64)).sample_size(10);
    group.bench_function("5,000 rollouts ticked, 4 proxies each", |bencher| {
        bencher.iter(|| {
            for (state, inputs) in &rollouts {
                black_box(tick(&plan, state, inputs));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
