//! The exact process for two rates, for shares above some 5 %: slow requests.
//!
//! Each batch bets that the canary's rate has odds `rho` times those of the bound. The likelihood of the bet is divided
//! by that of the point of the null hypothesis that is nearest to it (the reverse information projection): an e-value
//! for every point of the null, because the null is convex (Turner, Ly and Grünwald, *Generic e-variables for exact
//! sequential k-sample tests that allow for optional stopping*, 2024; CRAN safestats). The rate of stable that the bet
//! starts from is learnt from earlier batches only.

use crate::batch::{Arms, Counts};
use crate::config::Margin;
use crate::numeric::bisect;

/// Alternative ratios of odds, all equally likely at the start.
pub const RATIOS: [f64; 6] = [1.15, 1.3, 1.6, 2.2, 4.0, 10.0];

/// How much of the earlier batches is kept with each new one.
const MEMORY: f64 = 0.97;
/// Bets stay this far from 0 and 1.
const EDGE: f64 = 1e-9;

/// What earlier batches say about stable.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Past {
    /// Bad requests of stable, fading.
    pub bad: f64,
    /// Requests of stable, fading.
    pub all: f64,
}

/// Which side of the bound the null hypothesis takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The canary's rate is at most the bound; evidence against it proves harm.
    Harm,
    /// The canary's rate is at least the bound; evidence against it proves safety.
    Safety,
}

/// A bet: rates of canary and stable, and the null's nearest point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bet {
    /// Rates that are bet on.
    pub rates: Arms<f64>,
    /// Nearest point of the null hypothesis, weighted by the requests of each arm.
    pub null: Arms<f64>,
}

// === impl Past ===

impl Past {
    /// Rate of stable that a bet starts from; none before the first batch, which only trains.
    pub fn rate(&self) -> Option<f64> {
        (self.all > 0.0).then(|| ((self.bad + 0.5) / (self.all + 1.0)).clamp(EDGE, 1.0 - EDGE))
    }

    /// Takes in stable's counts of a batch.
    pub fn learn(&mut self, stable: Counts) {
        self.bad = MEMORY * self.bad + stable.bad as f64;
        self.all = MEMORY * self.all + stable.all as f64;
    }
}

// === impl Bet ===

impl Bet {
    /// The bet on the odds ratio `ratio` when stable is believed to have the rate `stable`, for a batch with so many
    /// requests in each arm. None where the bound is beyond 1: no rate can be worse.
    pub fn on(ratio: f64, stable: f64, side: Side, margin: Margin, requests: Arms<f64>) -> Option<Self> {
        let bound = margin.bound(stable);
        let (bound, ratio) = match side {
            Side::Harm if bound >= 1.0 - EDGE => return None,
            Side::Harm => (bound, ratio),
            Side::Safety => (bound.min(1.0 - EDGE), 1.0 / ratio),
        };
        let odds = ratio * bound / (1.0 - bound);
        let rates = Arms { stable, canary: (odds / (1.0 + odds)).clamp(EDGE, 1.0 - EDGE) };
        Some(Self::against(rates, margin, requests))
    }

    /// The bet on these rates, each inside (0, 1), against the nearest point of the bound.
    pub fn against(rates: Arms<f64>, margin: Margin, requests: Arms<f64>) -> Self {
        let slope = |rate: f64, bet: f64| (rate - bet) / (rate * (1.0 - rate));
        let highest = ((1.0 - margin.plus) / margin.times).min(1.0);
        let stable = bisect(0.0, highest, |stable| {
            let canary = margin.bound(stable);
            margin.times * requests.canary * slope(canary, rates.canary)
                + requests.stable * slope(stable, rates.stable)
        });
        let inside = |rate: f64| rate.clamp(f64::MIN_POSITIVE, 1.0 - f64::EPSILON);
        Self { rates, null: Arms { stable: inside(stable), canary: inside(margin.bound(stable)) } }
    }

    /// Logarithm of the e-value of these counts.
    pub fn log_e(&self, counts: &Arms<Counts>) -> f64 {
        let arm = |counts: Counts, bet: f64, null: f64| {
            let good = counts.all.saturating_sub(counts.bad) as f64;
            counts.bad as f64 * (bet / null).ln() + good * ((1.0 - bet) / (1.0 - null)).ln()
        };
        arm(counts.canary, self.rates.canary, self.null.canary)
            + arm(counts.stable, self.rates.stable, self.null.stable)
    }
}

/// Increment of the logarithm of the process for the odds ratio `ratio`; 0 when an arm has no requests, and for the
/// first batch.
pub fn increment(counts: &Arms<Counts>, past: &Past, side: Side, margin: Margin, ratio: f64) -> f64 {
    let requests = counts.map(|counts| counts.all as f64);
    let bet = past.rate().filter(|_| !counts.lacks_an_arm());
    bet.and_then(|stable| Bet::on(ratio, stable, side, margin, requests)).map_or(0.0, |bet| bet.log_e(counts))
}
