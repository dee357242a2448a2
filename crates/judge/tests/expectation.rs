//! The reason why a harmless canary cannot win: no e-value is above 1 on average, exactly, at random points of the null.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use coalmine_judge::latency::{self, Bet, Side};
use coalmine_judge::numeric::ln_gamma;
use coalmine_judge::simulate::Random;
use coalmine_judge::{Arms, Counts, Margin, harm, safety};

const CASES: usize = 4000;
const SEED: u64 = 3;

/// Chance of each count of bad requests among `n`.
fn binomial(n: u64, rate: f64) -> Vec<f64> {
    let ln_choose = |k: u64| {
        let [n, k] = [n as f64, k as f64];
        ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0)
    };
    (0..=n).map(|k| (ln_choose(k).exp()) * rate.powi(k as i32) * (1.0 - rate).powi((n - k) as i32)).collect()
}

/// Mean of `exp(log_e)` when the arms have these rates.
fn mean(requests: Arms<u64>, rates: Arms<f64>, log_e: impl Fn(&Arms<Counts>) -> f64) -> f64 {
    let (stable, canary) = (binomial(requests.stable, rates.stable), binomial(requests.canary, rates.canary));
    let mut sum = 0.0;
    for (x_s, p_s) in stable.iter().enumerate() {
        for (x_c, p_c) in canary.iter().enumerate() {
            let counts = Arms {
                stable: Counts::new(requests.stable, x_s as u64),
                canary: Counts::new(requests.canary, x_c as u64),
            };
            sum += p_s * p_c * log_e(&counts).exp();
        }
    }
    sum
}

/// Random requests, margin, and a point on the edge of the null: the canary's rate is the bound.
fn case(random: &mut Random) -> (Arms<u64>, Margin, Arms<f64>) {
    let requests = |random: &mut Random| 1 + random.below(25) as u64;
    let requests = Arms { stable: requests(random), canary: requests(random) };
    let plus = if random.share() < 0.3 { 0.0 } else { 0.2 * random.share().powi(2) };
    let margin = Margin { times: 0.5 + 2.5 * random.share(), plus };
    let highest = ((1.0 - plus) / margin.times).min(1.0);
    let stable = highest * random.share().powi(2);
    (requests, margin, Arms { stable, canary: margin.bound(stable) })
}

fn check(largest: f64, what: &str) {
    println!("{what}: the largest mean of {CASES} is {largest:.12}, seed {SEED}");
    assert!(largest <= 1.0 + 1e-9, "{what}: {largest}");
}

#[test]
fn no_bet_on_both_rates_wins_on_average() {
    for (side, what) in [(Side::Harm, "exact process, harm"), (Side::Safety, "exact process, safety")] {
        let mut random = Random::new(SEED);
        let mut largest = 0.0f64;
        for _ in 0..CASES {
            let (requests, margin, edge) = case(&mut random);
            let ratio = latency::RATIOS[random.below(latency::RATIOS.len())];
            // What is believed of stable may be wrong; the canary may be anywhere in the null.
            let believed = 0.001 + 0.998 * random.share();
            let inside = match side {
                Side::Harm => edge.canary * (1.0 - 0.3 * random.share()),
                Side::Safety => edge.canary + (1.0 - edge.canary) * 0.3 * random.share(),
            };
            let Some(bet) = Bet::on(ratio, believed, side, margin, requests.map(|requests| *requests as f64))
            else {
                continue;
            };
            for canary in [edge.canary, inside] {
                largest = largest.max(mean(requests, Arms { canary, ..edge }, |counts| bet.log_e(counts)));
            }
        }
        check(largest, what);
    }
}

#[test]
fn no_bet_on_the_share_of_bad_requests_wins_on_average() {
    let (mut random, mut harmful, mut safe) = (Random::new(SEED), 0.0f64, 0.0f64);
    for _ in 0..CASES {
        let (requests, margin, edge) = case(&mut random);
        // The share process is for small rates.
        let rates = Arms { stable: 0.1 * edge.stable, canary: margin.bound(0.1 * edge.stable).min(1.0) };
        let ratio = harm::RATIOS[random.below(harm::RATIOS.len())];
        harmful = harmful.max(mean(requests, rates, |counts| harm::increment(counts, margin, ratio)));
        let ratio = safety::RATIOS[random.below(safety::RATIOS.len())];
        safe = safe.max(mean(requests, rates, |counts| safety::increment(counts, margin, ratio)));
    }
    check(harmful, "share process, harm");
    check(safe, "share process, safety");
}
