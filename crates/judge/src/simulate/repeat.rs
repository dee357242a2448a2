//! Many rollouts, on several threads.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Random;

/// Runs `one` for `runs` rollouts, each with random numbers of its own, and gives what came out in order. The result
/// depends on the seed and not on the number of threads. `done` is called after each, for a progress bar.
pub fn repeat<T: Send>(
    runs: u64,
    seed: u64,
    threads: usize,
    one: impl Fn(u64, &mut Random) -> T + Sync,
    done: impl Fn() + Sync,
) -> Vec<T> {
    let next = AtomicU64::new(0);
    let work = || {
        let mut results = Vec::new();
        loop {
            let run = next.fetch_add(1, Ordering::Relaxed);
            if run >= runs {
                return results;
            }
            // Splitmix spreads neighbouring seeds.
            let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ run);
            results.push((run, one(run, &mut random)));
            done();
        }
    };
    let mut all = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for other in others {
            match other.join() {
                Ok(results) => all.extend(results),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_by_key(|(run, _)| *run);
    all.into_iter().map(|(_, result)| result).collect()
}
