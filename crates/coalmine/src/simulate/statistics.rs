//! The few statistics that a split needs; the distributions are statrs'.

use serde::Serialize;
use statrs::distribution::{Beta, ChiSquared, ContinuousCDF};

/// A chi-square test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChiSquare {
    pub(super) statistic: f64,
    pub(super) degrees_of_freedom: u32,
    /// How often chance alone gives at least this statistic.
    pub(super) p: f64,
}

/// The exact (Clopper-Pearson) interval of a share: it holds the true one in at least `confidence` of all samples.
pub(super) fn interval(hits: u64, of: u64, confidence: f64) -> (f64, f64) {
    let tail = (1.0 - confidence) / 2.0;
    let (hits_f, misses) = (hits as f64, of.saturating_sub(hits) as f64);
    let quantile = |a: f64, b: f64, p: f64| Beta::new(a, b).map(|beta| beta.inverse_cdf(p));
    let low = if hits == 0 { Ok(0.0) } else { quantile(hits_f, misses + 1.0, tail) };
    let high = if hits >= of { Ok(1.0) } else { quantile(hits_f + 1.0, misses, 1.0 - tail) };
    (low.unwrap_or(0.0), high.unwrap_or(1.0))
}

/// Pearson's chi-square of counts against what was expected of them. Cells that nothing is expected of are left out;
/// `None` where fewer than two remain.
pub(super) fn chi_square(cells: impl IntoIterator<Item = (u64, f64)>) -> Option<ChiSquare> {
    let mut statistic = 0.0;
    let mut count = 0_u32;
    for (observed, expected) in cells {
        if expected > 0.0 {
            statistic += (observed as f64 - expected).powi(2) / expected;
            count += 1;
        }
    }
    let degrees_of_freedom = count.checked_sub(1).filter(|&degrees| degrees > 0)?;
    let distribution = ChiSquared::new(f64::from(degrees_of_freedom)).ok()?;
    Some(ChiSquare { statistic, degrees_of_freedom, p: distribution.sf(statistic) })
}

/// The phi coefficient of two yes-or-no answers, -1 to 1: both yes, only the first, only the second, neither. `None`
/// where one of the two never changes.
pub(super) fn phi(both: u64, first: u64, second: u64, neither: u64) -> Option<f64> {
    let [both, first, second, neither] = [both, first, second, neither].map(|count| count as f64);
    let product = (both + first) * (second + neither) * (both + second) * (first + neither);
    (product > 0.0).then(|| (both * neither - first * second) / product.sqrt())
}

/// How often chance alone gives at least this phi among so many users: n phi^2 is chi-square with one degree.
pub(super) fn p_of_phi(phi: f64, users: u64) -> f64 {
    ChiSquared::new(1.0).map_or(1.0, |distribution| distribution.sf(users as f64 * phi * phi))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, expected: f64, slack: f64) {
        assert!((value - expected).abs() <= slack, "{value} is not {expected}");
    }

    /// R. G. Newcombe, "Two-sided confidence intervals for the single proportion: comparison of seven methods",
    /// Statistics in Medicine 17 (1998), table I, method 5 (Clopper-Pearson), 95 %.
    #[test]
    fn intervals_as_newcombe_published_them() {
        for (hits, of, low, high) in [
            (81, 263, 0.2527, 0.3676),
            (15, 148, 0.0578, 0.1617),
            (0, 20, 0.0000, 0.1684),
            (1, 29, 0.0009, 0.1776),
        ] {
            let (lower, upper) = interval(hits, of, 0.95);
            near(lower, low, 5e-5);
            near(upper, high, 5e-5);
        }
        let (lower, upper) = interval(29, 29, 0.95);
        near(lower, 1.0 - 0.1194, 5e-4);
        near(upper, 1.0, 0.0);
    }

    /// NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.4, upper-tail critical values.
    #[test]
    fn the_tail_of_chi_square_as_nist_tabulates_it() {
        for (degrees, tail, critical) in [
            (1.0, 0.05, 3.841),
            (1.0, 0.001, 10.828),
            (2.0, 0.05, 5.991),
            (10.0, 0.01, 23.209),
            (99.0, 0.05, 123.225),
            (100.0, 0.10, 118.498),
        ] {
            near(ChiSquared::new(degrees).unwrap().sf(critical), tail, 1e-4);
        }
    }

    /// Mendel's peas, 9 : 3 : 3 : 1, as in R. A. Fisher, Annals of Science 1 (1936): chi-square 0.47 with 3 degrees.
    #[test]
    fn mendel_s_peas() {
        let expected = [9.0, 3.0, 3.0, 1.0].map(|part| 556.0 * part / 16.0);
        let test = chi_square([315, 108, 101, 32].into_iter().zip(expected)).unwrap();
        near(test.statistic, 0.470, 5e-4);
        assert_eq!(test.degrees_of_freedom, 3);
        near(test.p, 0.925, 5e-4);
    }

    /// R. A. Fisher's lady tasting tea ("The Design of Experiments", 1935, chapter II): three of four right.
    #[test]
    fn the_lady_tasting_tea() {
        let phi = phi(3, 1, 1, 3).unwrap();
        near(phi, 0.5, 1e-12);
        // Pearson's chi-square of the same table is 2.0, of which the tail is 0.1573.
        near(p_of_phi(phi, 8), 0.1573, 5e-5);
        assert_eq!(super::phi(5, 0, 3, 0), None);
    }
}
