//! Weights, and which end of the buckets they grow from.

use crate::document::{Cursor, number};
use crate::draw::Algorithm;
use crate::ranges::{Ranges, Variant};
use crate::weight::Weight;

/// The old version on fresh pods: a fair control, which grows from the last bucket down.
pub(super) const BASELINE: &str = "baseline";

/// Reads a weight that the algorithm can draw.
pub(super) fn read_weight(cursor: &Cursor<'_>, algorithm: Option<Algorithm>) -> Option<Weight> {
    let weight = match Weight::try_from_percent(cursor.number()?) {
        Ok(weight) => weight,
        Err(invalid) => {
            cursor.problem(invalid.to_string());
            return None;
        }
    };
    let step = algorithm.map_or(1, Algorithm::step);
    if let Some(algorithm) = algorithm.filter(|_| weight.ppm() % step != 0) {
        let nearest = (weight.ppm() + step / 2) / step * step;
        cursor.problem(format!(
            "{} draws in steps of {} %; the nearest weight is {}",
            algorithm.name(),
            number(f64::from(step) / 10_000.0),
            number(f64::from(nearest) / 10_000.0)
        ));
        return None;
    }
    Some(weight)
}

/// Who grows from which end: a baseline from the top, wherever it is listed; otherwise the first from the bottom and
/// the second from the top. `names` has stable in front, `weights` has not.
pub(super) fn two_ended(names: &[Box<str>], weights: &[Weight]) -> Ranges {
    let mut low = None;
    let mut high = None;
    for (place, (name, &weight)) in (0..).zip(names.iter().skip(1).zip(weights)) {
        let grown = Some((Variant::listed(place), weight));
        match **name == *BASELINE {
            true => high = grown,
            false if low.is_none() => low = grown,
            false => high = grown,
        }
    }
    Ranges::two_ended(low, high)
}
