//! What an evidence life promises: releases with three harmless canaries in a row, with and without `alphaPer: release`.
//!
//! `COALMINE_STEER_RUNS` says how many releases.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use coalmine_judge::Arms;
use coalmine_steer::plan::{AlphaPer, Plan, PlannedStep, Setting};
use coalmine_steer::simulate::{Cluster, Crash, Random, World, repeat};
use coalmine_steer::{Outcome, Phase};

/// Chance of a false rollback that the plans promise.
const ALPHA: f64 = 0.2;
const LIVES: u32 = 3;

/// One release: how many lives it had, and whether it was rolled back.
fn release(alpha_per: AlphaPer, random: &mut Random) -> (u32, bool) {
    let mut plan = Plan::usual(Setting { workloads: true });
    plan.steps = vec![PlannedStep::of(100_000, 300), PlannedStep::of(500_000, 600)];
    plan.alpha = ALPHA;
    plan.alpha_per = alpha_per;
    // The canary is exactly as bad as the margin allows: the hardest of all harmless ones.
    plan.guards[0].worse_than.times = 1.0;
    plan.guards[0].worse_than.plus = 0.0;
    plan.warm_up = 0;
    let mut world = World::new(plan, 100.0, 1);
    let mut cluster = Cluster::new(2, 2);
    cluster.start_up = 15;
    world.cluster = Some(cluster);
    world.rates.insert("errors".to_owned(), Arms { stable: 0.02, canary: 0.02 });
    let mut version = 2;
    for _ in 0..2000 {
        world.pass(world.tick, random);
        world.tick_once(Crash::None);
        let state = &world.state;
        let life = state.release.as_ref().map_or(1, |release| release.life.number);
        if state.release.as_ref().is_some_and(|it| it.outcome == Some(Outcome::RolledBack)) {
            return (life, true);
        }
        let dwelt = state.release.as_ref().map_or(0, |release| release.here.dwelt);
        if state.weight == 500_000 && dwelt >= 450 && life < LIVES {
            version += 1;
            world.cluster.as_mut().unwrap().renew_canary(&format!("v{version}"));
        }
        if state.said.phase == Phase::Promoting {
            return (life, false);
        }
    }
    (LIVES, false)
}

#[test]
fn three_harmless_canaries_in_a_row_are_rolled_back_as_seldom_as_promised() {
    let runs: u64 = std::env::var("COALMINE_STEER_RUNS").map_or(150, |runs| runs.parse().unwrap());
    let mut shares = Vec::new();
    for (name, alpha_per, promised) in [
        ("alphaPer: life", AlphaPer::Life, f64::from(LIVES) * ALPHA),
        ("alphaPer: release", AlphaPer::Release, ALPHA),
    ] {
        let seed = 20_261_126;
        let outcomes = repeat(runs, seed, 2, |_, random| release(alpha_per, random), || ());
        let back = outcomes.iter().filter(|(_, is_back)| *is_back).count() as f64 / runs as f64;
        let whole = outcomes.iter().filter(|(lives, is_back)| *lives == LIVES && !is_back).count();
        println!(
            "{name}: {runs} releases, seed {seed}: {:.3} rolled back, {promised:.2} promised; {whole} had all three lives",
            back
        );
        let spread = (promised * (1.0 - promised) / runs as f64).sqrt();
        assert!(back <= promised + 3.0 * spread, "{name}: {back} of {promised}");
        assert!(whole as f64 > 0.2 * runs as f64, "{name}: hardly a release had three lives");
        shares.push(back);
    }
    assert!(shares[1] <= shares[0], "a bound for the release is no laxer than one for each life");
}
