//! A variant's share of users.

use coalmine_document::number;

use crate::bucketing::BUCKETS;

/// How many parts per million make one percent.
const PPM_PER_PERCENT: f64 = 10_000.0;

/// A variant's share of users: a whole number of parts per million, `0..=1_000_000`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u32);

/// Why a number is no weight: a sentence for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidWeight(String);

// === impl Weight ===

impl Weight {
    /// No user.
    pub const NONE: Self = Self(0);
    /// All users.
    pub const ALL: Self = Self(BUCKETS);

    /// A weight from percent, as people write it: 0 to 100 with at most four decimals.
    ///
    /// # Errors
    /// Out of range, or finer than 0.0001 %; the message names the nearest weight that would do.
    pub fn try_from_percent(percent: f64) -> Result<Self, InvalidWeight> {
        coalmine_document::parts_per_million(percent).map(Self).map_err(InvalidWeight)
    }

    /// A weight in parts per million; `None` above a million.
    pub const fn from_ppm(ppm: u32) -> Option<Self> {
        if ppm <= BUCKETS { Some(Self(ppm)) } else { None }
    }

    /// Parts per million, which is also how many buckets it takes.
    pub const fn ppm(self) -> u32 {
        self.0
    }

    /// The share as a fraction, 0 to 1: for statistics, never for a draw.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(BUCKETS)
    }
}

/// In percent, exactly, without a sign: `5`, `0.01`.
impl std::fmt::Display for Weight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&number(f64::from(self.0) / PPM_PER_PERCENT))
    }
}

// === impl InvalidWeight ===

impl std::fmt::Display for InvalidWeight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidWeight {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_is_exact_to_four_decimals() {
        for (percent, ppm) in [
            (0.0, 0),
            (0.0001, 1),
            (0.01, 100),
            (5.0, 50_000),
            (33.3333, 333_333),
            (99.99, 999_900),
            (100.000_000_000_000_01, 1_000_000),
            (-1e-17, 0),
            (100.0, 1_000_000),
        ] {
            assert_eq!(Weight::try_from_percent(percent).map(Weight::ppm), Ok(ppm), "{percent}");
        }
    }

    #[test]
    fn every_weight_survives_being_printed_and_read() {
        for ppm in 0..=BUCKETS {
            let percent: f64 = Weight(ppm).to_string().parse().unwrap();
            assert_eq!(Weight::try_from_percent(percent), Ok(Weight(ppm)));
        }
    }

    #[test]
    fn what_is_no_weight_is_told_so() {
        let message = |percent| Weight::try_from_percent(percent).unwrap_err().to_string();
        assert_eq!(message(105.0), "a weight is 0 to 100 percent, not 105");
        assert_eq!(message(-1.0), "a weight is 0 to 100 percent, not -1");
        assert_eq!(message(f64::NAN), "a weight is 0 to 100 percent, not NaN");
        assert_eq!(
            message(33.33333),
            "33.33333 is finer than 0.0001 %, the least step of a weight; the nearest weight is 33.3333"
        );
    }
}
