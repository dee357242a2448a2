//! Values that were computed elsewhere; those published with safestats, ssrm-test and confseq are named as such.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use coalmine_judge::latency::Bet;
use coalmine_judge::{Arms, Counts, Margin, harm, interval, numeric, trust};
use serde_json::Value;
use statrs::function::beta::beta_reg;
use statrs::function::erf::erf;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
}

fn batch(canary: (u64, u64), stable: (u64, u64)) -> Arms<Counts> {
    Arms { stable: Counts::new(stable.0, stable.1), canary: Counts::new(canary.0, canary.1) }
}

/// Batches as the vectors have them: n_c, x_c, n_s, x_s.
fn four(values: &Value) -> Arms<Counts> {
    let values: Vec<u64> = list(values).iter().map(|value| value.as_u64().unwrap()).collect();
    batch((values[0], values[1]), (values[2], values[3]))
}

#[test]
fn the_share_process() {
    for case in list(&vectors()["eshare"]) {
        let margin = Margin { times: number(&case["psi0"]), plus: number(&case["delta"]) };
        assert_eq!(numbers(&case["grid"]), harm::RATIOS);
        let mut sums = harm::RATIOS.map(|_| 0.0);
        for (counts, expected) in list(&case["batches_nc_xc_ns_xs"]).iter().zip(list(&case["log_e"])) {
            for (sum, ratio) in sums.iter_mut().zip(harm::RATIOS) {
                *sum += harm::increment(&four(counts), margin, ratio);
            }
            near(numeric::log_mean_exp(sums.iter().copied()), number(expected), 1e-12);
        }
    }
}

fn exact(case: &Value, margin: Margin) -> (Bet, f64) {
    let count = |name: &str| case[name].as_u64().unwrap();
    let counts = batch((count("nc"), count("xc")), (count("ns"), count("xs")));
    let rates = Arms { stable: number(&case["theta_s"]), canary: number(&case["theta_c"]) };
    let bet = Bet::against(rates, margin, counts.map(|counts| counts.all as f64));
    let log_e = bet.log_e(&counts);
    (bet, log_e)
}

#[test]
fn the_exact_process_without_a_margin() {
    for case in list(&vectors()["ripr"]) {
        let (_, log_e) = exact(case, Margin { times: number(&case["psi0"]), plus: 0.0 });
        near(log_e, number(&case["log_e"]), 1e-9);
    }
}

#[test]
fn the_exact_process_with_a_margin() {
    for case in list(&vectors()["exact"]) {
        let margin = Margin { times: number(&case["psi"]), plus: number(&case["delta"]) };
        let (bet, log_e) = exact(case, margin);
        near(log_e, number(&case["log_e"]), 1e-6);
        near(bet.null.canary, number(&case["c0"]), 1e-8);
        near(bet.null.stable, number(&case["s0"]), 1e-8);
    }
}

/// CRAN safestats 0.8.7, the vignette on contingency tables: data and e-value as printed there. Its bets are the means of
/// beta posteriors of each arm, which this test learns as safestats does; the e-value of a batch is the project's.
#[test]
fn published_with_safestats() {
    let vectors = vectors();
    let case = &vectors["safestats_2x2_vignette"];
    let requests = (case["na"].as_u64().unwrap(), case["nb"].as_u64().unwrap());
    let prior = |name: &str| number(&case["prior"][name]);
    let (mut a, mut b) = ((prior("betaA1"), prior("betaA2")), (prior("betaB1"), prior("betaB2")));
    let mut log_e = 0.0;
    for (ya, yb) in list(&case["ya"]).iter().zip(list(&case["yb"])) {
        let (ya, yb) = (ya.as_u64().unwrap(), yb.as_u64().unwrap());
        let rates = Arms { stable: a.0 / (a.0 + a.1), canary: b.0 / (b.0 + b.1) };
        let counts = batch((requests.1, yb), (requests.0, ya));
        let bet =
            Bet::against(rates, Margin { times: 1.0, plus: 0.0 }, counts.map(|counts| counts.all as f64));
        log_e += bet.log_e(&counts);
        a = (a.0 + ya as f64, a.1 + (requests.0 - ya) as f64);
        b = (b.0 + yb as f64, b.1 + (requests.1 - yb) as f64);
    }
    near(log_e.exp(), number(&case["recomputed"]), 1e-9);
    near(log_e.exp(), number(&case["expected_e"]), 5e-5);
}

/// PyPI ssrm-test 0.1.5, its test of sequential posteriors.
#[test]
fn published_with_ssrm_test() {
    let vectors = vectors();
    let case = &vectors["srm_ssrm_test"];
    let (shares, prior) = (numbers(&case["null"]), numbers(&case["dirichlet_alpha"]));
    for step in list(&case["steps"]) {
        let counts: Vec<u64> =
            list(&step["cumulative"]).iter().map(|value| value.as_u64().unwrap()).collect();
        near(trust::dirichlet(&counts, &shares, &prior), number(&step["log_bf"]), 1e-11);
    }
}

/// gostevehoward/confseq, test/uniform_boundaries_unittest.cpp: what Coalmine's intervals are made of.
#[test]
fn published_with_confseq() {
    near(interval::normal_rho(100.0, 0.05), 12.60056, 1e-5);
    // s = x - n p = 10 and v = n p (1 - p) = 100 at p = 0.2.
    near(interval::beta_binomial(Counts::new(625, 135), 0.2, 0.05, 625.0), -0.694_101_2, 1e-5);
    for (bad, all, best_at, low, high) in
        [(700, 1000, 100.0, 0.651_629, 0.745_949), (15, 50, 50.0, 0.129_556, 0.511_896)]
    {
        let found = interval::rate(Counts::new(all, bad), 0.05, best_at).unwrap();
        near(found.low, low, 1e-5);
        near(found.high, high, 1e-5);
    }
}

/// The same source, for boundaries that Coalmine does not use: they check the parts that they share with those above.
#[test]
fn published_with_confseq_for_other_boundaries() {
    let (s, v) = (10.0, 100.0);
    let two_sided = |s: f64, v: f64, rho: f64| 0.5 * (rho / (v + rho)).ln() + s * s / (2.0 * (v + rho));
    let rho = interval::normal_rho(100.0, 0.05);
    near(two_sided(s, v, rho), -0.651_005_2, 1e-5);
    let bound = numeric::bisect(0.0, 1000.0, |s| two_sided(s, v, rho) - 20f64.ln());
    near(bound, 30.35209, 1e-5);

    let one_sided = interval::normal_rho(100.0, 0.1);
    let tail = |z: f64| (0.5 * (1.0 + erf(z / 2f64.sqrt()))).ln();
    near(two_sided(s, v, one_sided) + 2f64.ln() + tail(s / (v + one_sided).sqrt()), -0.065_023_91, 1e-5);

    // The beta mixture on one side: the prior is cut at the null.
    let (g, h) = (0.2, 0.8);
    let r = one_sided - g * h;
    let incomplete = |a: f64, b: f64| numeric::ln_beta(a, b) + beta_reg(a, b, h).ln();
    let (bad, good) = (135.0, 490.0);
    let found =
        incomplete(r / g + good, r / h + bad) - incomplete(r / g, r / h) - bad * g.ln() - good * h.ln();
    near(found, -0.071_340_19, 1e-5);
}

/// The same source: quantiles of two samples, by the evidence of each against a common quantile.
#[test]
fn published_with_confseq_for_quantiles() {
    // Samples are 1..=1000, and the same moved up.
    for (share, moved, expected) in [(0.5, 70, 0.814_704), (0.5, 100, 0.005_494_7), (0.9, 55, 0.034_046_3)] {
        let evidence = |below: i64| {
            let below = below.clamp(0, 1000) as u64;
            interval::beta_binomial(Counts::new(1000, below), share, 0.05, 100.0)
        };
        // A value of the sample counts as below or not, whichever says less.
        let arm = |x: i64| evidence(x).min(evidence(x - 1));
        let least = (1..1100).map(|x| arm(x) + arm(x - moved)).fold(f64::INFINITY, f64::min);
        near((-least).exp().min(1.0), expected, 1e-5);
    }
}

/// The same source: the bound of the empirical process by the law of the iterated logarithm.
#[test]
fn published_with_confseq_for_the_empirical_process() {
    let (t, alpha, start, a) = (1000.0f64, 0.05, 100.0, 0.85f64);
    let error = |c: f64, eta: f64| {
        let gamma = 2.0 / eta * (a - (2.0 * (eta - 1.0) / c).sqrt()).powi(2);
        match gamma > 1.0 {
            true => 4.0 * (-gamma * c).exp() * (1.0 + 1.0 / ((gamma - 1.0) * eta.ln())),
            false => f64::INFINITY,
        }
    };
    let least =
        |c: f64| (1..20_000).map(|step| error(c, 1.0 + f64::from(step) * 2e-5)).fold(f64::INFINITY, f64::min);
    // The error falls with c.
    let (mut low, mut high) = (1.0, 50.0);
    for _ in 0..50 {
        let middle = 0.5 * (low + high);
        if least(middle) > alpha { low = middle } else { high = middle }
    }
    near(a * (((1.0 + (t / start).ln()).ln() + low) / t).sqrt(), 0.082_047_69, 1e-5);
}
