//! Functions that the standard library lacks.

/// Logarithm of the mean of `exp` of the values, without overflow. Minus infinity for none.
pub fn log_mean_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = values.clone().count();
    log_sum_exp(values) - (count as f64).ln()
}

/// Logarithm of the sum of `exp` of the values, without overflow. Minus infinity for none.
pub fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + values.map(|value| (value - largest).exp()).sum::<f64>().ln()
}

/// Logarithm of the gamma function for `x > 0`, to about 14 digits.
///
/// Stirling's series at `x + 8` and the recurrence down from there (Abramowitz and Stegun, 6.1.15 and 6.1.41).
pub fn ln_gamma(x: f64) -> f64 {
    let mut shift = 0.0;
    let mut z = x;
    while z < 10.0 {
        shift += z.ln();
        z += 1.0;
    }
    let square = 1.0 / (z * z);
    let series = (1.0 / 12.0
        + square
            * (-1.0 / 360.0
                + square
                    * (1.0 / 1260.0
                        + square * (-1.0 / 1680.0 + square * (1.0 / 1188.0 - square * 691.0 / 360_360.0)))))
        / z;
    (z - 0.5) * z.ln() - z + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - shift
}

/// Logarithm of the beta function for `a, b > 0`.
pub fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// Log-odds of a share in (0, 1).
pub fn logit(share: f64) -> f64 {
    (share / (1.0 - share)).ln()
}

/// Share with these log-odds.
pub fn logistic(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// Zero of a function that grows from below zero at `low` to above zero at `high`, to the last digits of `f64`.
///
/// The ends themselves are never evaluated, so the function may be infinite there.
pub fn bisect(mut low: f64, mut high: f64, grows: impl Fn(f64) -> f64) -> f64 {
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high || high - low <= 1e-15 * high {
            return middle;
        }
        match grows(middle) < 0.0 {
            true => low = middle,
            false => high = middle,
        }
    }
}
