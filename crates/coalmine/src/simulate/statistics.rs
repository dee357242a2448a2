//! The few statistics that a split needs; the distributions are statrs'.

use serde::Serialize;
use statrs::distribution::{Beta, ChiSquared, ContinuousCDF, StudentsT};

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

/// What Pearson's correlation of two columns of numbers needs, taken in one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Columns {
    count: u64,
    mean: [f64; 2],
    /// Sums of squares and of products, around the means.
    squares: [f64; 2],
    products: f64,
}

// === impl Columns ===

impl Columns {
    /// Takes in one more pair; Welford's way, which loses nothing to large sums.
    pub(super) fn add(&mut self, x: f64, y: f64) {
        self.count += 1;
        let [mean_x, mean_y] = self.mean;
        let (dx, dy) = (x - mean_x, y - mean_y);
        let mean_x = mean_x + dx / self.count as f64;
        let mean_y = mean_y + dy / self.count as f64;
        self.mean = [mean_x, mean_y];
        let [square_x, square_y] = self.squares;
        self.squares = [square_x + dx * (x - mean_x), square_y + dy * (y - mean_y)];
        self.products += dx * (y - mean_y);
    }

    /// Pearson's r, and how often chance alone gives at least as much (two-sided, Student's t). `None` where there are
    /// fewer than three pairs or a column that never changes.
    pub(super) fn correlation(&self) -> Option<(f64, f64)> {
        let [square_x, square_y] = self.squares;
        let product = square_x * square_y;
        if self.count < 3 || product <= 0.0 {
            return None;
        }
        let r = (self.products / product.sqrt()).clamp(-1.0, 1.0);
        let degrees = (self.count - 2) as f64;
        let rest = 1.0 - r * r;
        if rest <= 0.0 {
            return Some((r, 0.0));
        }
        let t = r.abs() * (degrees / rest).sqrt();
        Some((r, 2.0 * StudentsT::new(0.0, 1.0, degrees).ok()?.sf(t)))
    }
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

    /// F. J. Anscombe, "Graphs in Statistical Analysis", The American Statistician 27 (1973), the first data set:
    /// r 0.816; the slope 0.500 has the standard error 0.118, so that t is 4.24 and p 0.0022.
    #[test]
    fn anscombe_s_first_data_set() {
        let x = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0];
        let y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68];
        let mut columns = Columns::default();
        x.into_iter().zip(y).for_each(|(x, y)| columns.add(x, y));
        let (r, p) = columns.correlation().unwrap();
        near(r, 0.816, 5e-4);
        near(p, 0.0022, 5e-5);
        assert_eq!(Columns::default().correlation(), None);
    }
}
