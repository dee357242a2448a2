//! What a batch and an assessment cost, and what a rollout's state takes.
#![allow(clippy::unwrap_used, missing_docs, reason = "benchmarks")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use coalmine_judge::simulate::{Random, Rollout, World};
use coalmine_judge::{Arms, Batch, Config, GuardConfig, Judge};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Bytes that are allocated now.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call is the system allocator's own; only sums are kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Configuration with so many guards: every second one watches slow requests.
fn config(guards: usize, groups: bool) -> Config {
    let guard = |number: usize| {
        let guard = if number.is_multiple_of(2) { GuardConfig::errors() } else { GuardConfig::latency() };
        GuardConfig { name: format!("guard-{number}"), groups, ..guard }
    };
    Config { guards: (0..guards).map(guard).collect(), ..Config::default() }
}

/// A minute each of 100 requests per second at 5 %.
fn batches(guards: usize, groups: bool) -> Vec<Batch> {
    let weight = |_| 0.05;
    let rates = move |_, _: &mut Random| vec![Arms { stable: 0.02, canary: 0.02 }; guards];
    let world = World { requests: 6000.0, weight: &weight, rates: &rates, groups };
    let mut rollout = Rollout::new(&world, Vec::new());
    let mut random = Random::new(1);
    (0..100).map(|_| rollout.next(&mut random)).collect()
}

fn assess(criterion: &mut Criterion) {
    for guards in [1, 5] {
        for groups in [false, true] {
            let batches = batches(guards, groups);
            let config = config(guards, groups);
            let name = format!("{guards} guards, {}", if groups { "16 groups" } else { "no groups" });
            let before = ALLOCATED.load(Ordering::Relaxed);
            let mut judge = Judge::new(config.clone()).unwrap();
            batches.iter().for_each(|batch| judge.observe(batch).unwrap());
            let memory = ALLOCATED.load(Ordering::Relaxed) - before + size_of::<Judge>();
            println!("{name}: {memory} bytes of memory, {} bytes of state", judge.to_bytes().len());

            let mut group = criterion.benchmark_group(&name);
            group.throughput(Throughput::Elements(1));
            let mut next = batches.iter().cycle();
            group.bench_function("observe and assess", |bencher| {
                bencher.iter(|| {
                    judge.observe(next.next().unwrap()).unwrap();
                    black_box(judge.assess())
                });
            });
            group.bench_function("assess", |bencher| bencher.iter(|| black_box(judge.assess())));
            group.finish();
        }
    }
}

criterion_group!(benches, assess);
criterion_main!(benches);
