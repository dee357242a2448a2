//! Which measured shares are luck, and which are a fault.

use anyhow::{Context as _, Result};
use statrs::distribution::{Binomial as Distribution, DiscreteCDF as _};

/// How many of `users` fall into a variant of this weight.
#[derive(Clone, Copy, Debug)]
pub struct Binomial {
    /// The users that are drawn, each by itself.
    pub users: u64,
    /// The weight of the variant, in percent.
    pub weight: f64,
}

// === impl Binomial ===

impl Binomial {
    /// The smallest and the largest count that an exact split stays within with this confidence (such as 0.999),
    /// from the exact binomial distribution. At 0 and 100 % there is no luck: both ends are the same.
    pub fn interval(self, confidence: f64) -> Result<(u64, u64)> {
        let share = self.weight / 100.0;
        if share <= 0.0 {
            return Ok((0, 0));
        }
        if share >= 1.0 {
            return Ok((self.users, self.users));
        }
        let drawn = Distribution::new(share, self.users).context("no such binomial distribution")?;
        let tail = (1.0 - confidence) / 2.0;
        let quantile = |probability| smallest(self.users, |count| drawn.cdf(count) >= probability);
        Ok((quantile(tail), quantile(1.0 - tail)))
    }
}

/// The smallest number up to `last` that this holds for, when it holds for all from there on. (The crate's own
/// `inverse_cdf` panics where the answer is 0.)
fn smallest(last: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, last);
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers come from adding up the distribution term by term, outside of Rust.
    #[test]
    fn the_interval_is_the_exact_one() {
        let of = |users, weight| Binomial { users, weight }.interval(0.999).unwrap();
        assert_eq!(of(100_000, 5.0), (4775, 5228));
        assert_eq!(of(100_000, 0.01), (2, 22));
        assert_eq!(of(10_000, 50.0), (4835, 5165));
        assert_eq!(of(10_000, 0.01), (0, 6));
        assert_eq!(of(10_000, 99.99), (9994, 10_000));
    }

    #[test]
    fn never_and_always_leave_nothing_to_luck() {
        assert_eq!(Binomial { users: 1000, weight: 0.0 }.interval(0.999).unwrap(), (0, 0));
        assert_eq!(Binomial { users: 1000, weight: 100.0 }.interval(0.999).unwrap(), (1000, 1000));
    }
}
