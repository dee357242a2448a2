//! Random numbers that are the same everywhere for one seed.

use crate::numeric::ln_gamma;

/// Generator of random numbers: xoshiro256++ (Blackman and Vigna 2019), seeded by splitmix64.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

// === impl Random ===

impl Random {
    /// Generator whose numbers depend on the seed only.
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Self { state: [next(), next(), next(), next()] }
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// Number from 0 to less than 1.
    pub fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Whole number from 0 to less than `end`.
    pub fn below(&mut self, end: usize) -> usize {
        ((self.share() * end as f64) as usize).min(end.saturating_sub(1))
    }

    /// Standard normal number (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.share()).cos()
    }

    /// Poisson number with this mean. Above 10 by transformed rejection (Hörmann, *The transformed rejection method for
    /// generating Poisson random variables*, 1993).
    pub fn poisson(&mut self, mean: f64) -> u64 {
        if mean < 10.0 {
            return self.poisson_by_inversion(mean);
        }
        let b = 0.931 + 2.53 * mean.sqrt();
        let a = -0.059 + 0.02483 * b;
        let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
        let always = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let (u, v) = (self.share() - 0.5, self.share());
            let us = 0.5 - u.abs();
            let k = ((2.0 * a / us + b) * u + mean + 0.43).floor();
            if us >= 0.07 && v <= always {
                return k as u64;
            }
            if k < 0.0 || (us < 0.013 && v > us) {
                continue;
            }
            let density = k * mean.ln() - mean - ln_gamma(k + 1.0);
            if v.ln() + inverse_alpha.ln() - (a / (us * us) + b).ln() <= density {
                return k as u64;
            }
        }
    }

    fn poisson_by_inversion(&mut self, mean: f64) -> u64 {
        let mut probability = (-mean).exp();
        let mut rest = self.share();
        let mut k = 0u64;
        while rest > probability && k < 1000 {
            rest -= probability;
            k += 1;
            probability *= mean / k as f64;
        }
        k
    }

    /// Binomial number of `n` draws with this chance. With a mean above 10 by transformed rejection (Hörmann, *The
    /// generation of binomial random variates*, 1993).
    pub fn binomial(&mut self, n: u64, chance: f64) -> u64 {
        if chance > 0.5 {
            return n - self.binomial(n, 1.0 - chance);
        }
        let count = n as f64;
        if count * chance < 10.0 {
            return self.binomial_by_inversion(n, chance);
        }
        let spread = (count * chance * (1.0 - chance)).sqrt();
        let b = 1.15 + 2.53 * spread;
        let a = -0.0873 + 0.0248 * b + 0.01 * chance;
        let alpha = (2.83 + 5.1 / b) * spread;
        let mode = ((count + 1.0) * chance).floor();
        let log_choose = |k: f64| ln_gamma(k + 1.0) + ln_gamma(count - k + 1.0);
        loop {
            let (u, v) = (self.share() - 0.5, self.share());
            let us = 0.5 - u.abs();
            let k = ((2.0 * a / us + b) * u + count * chance + 0.5).floor();
            if k < 0.0 || k > count {
                continue;
            }
            if us >= 0.07 && v <= 0.92 - 4.2 / b {
                return k as u64;
            }
            let density = log_choose(mode) - log_choose(k) + (k - mode) * (chance / (1.0 - chance)).ln();
            if (v * alpha / (a / (us * us) + b)).ln() <= density {
                return k as u64;
            }
        }
    }

    fn binomial_by_inversion(&mut self, n: u64, chance: f64) -> u64 {
        if chance <= 0.0 {
            return 0;
        }
        let odds = chance / (1.0 - chance);
        let mut probability = (n as f64 * (-chance).ln_1p()).exp();
        let mut rest = self.share();
        let mut k = 0;
        while rest > probability && k < n {
            rest -= probability;
            k += 1;
            probability *= odds * (n - k + 1) as f64 / k as f64;
        }
        k
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance of 200,000 draws, within five standard errors.
    fn check(mean: f64, variance: f64, mut draw: impl FnMut() -> u64) {
        let draws: Vec<f64> = (0..200_000).map(|_| draw() as f64).collect();
        let n = draws.len() as f64;
        let found = draws.iter().sum::<f64>() / n;
        let spread = draws.iter().map(|x| (x - found).powi(2)).sum::<f64>() / n;
        assert!((found - mean).abs() < 5.0 * (variance / n).sqrt(), "mean {found}, not {mean}");
        assert!((spread / variance - 1.0).abs() < 0.03, "variance {spread}, not {variance}");
    }

    #[test]
    fn numbers_have_their_moments() {
        let mut random = Random::new(1);
        for mean in [0.3, 9.0, 11.0, 40.0, 3000.0] {
            check(mean, mean, || random.poisson(mean));
        }
        for (n, p) in [(30, 0.01), (30, 0.5), (1000, 0.02), (100_000, 0.3), (1000, 0.95)] {
            let n_f = n as f64;
            check(n_f * p, n_f * p * (1.0 - p), || random.binomial(n, p));
        }
    }
}
