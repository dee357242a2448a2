//! Weights, and the end of the buckets that each of them grows from.

use coalmine_document::{Cursor, number};

use crate::bucketing::Algorithm;
use crate::split::{Ranges, Variant, Weight};

/// The old version on fresh pods: a fair control, which grows from the last bucket down.
pub(super) const BASELINE: &str = "baseline";

/// Reads a weight that the algorithm can tell from its neighbours.
pub(super) fn read_weight(cursor: &Cursor<'_, '_>, algorithm: Algorithm) -> Option<Weight> {
    let weight = match Weight::try_from_percent(cursor.number()?) {
        Ok(weight) => weight,
        Err(invalid) => {
            cursor.problem(invalid.to_string());
            return None;
        }
    };
    let step = algorithm.step();
    if weight.ppm() % step != 0 {
        let nearest = (weight.ppm() + step / 2) / step * step;
        cursor.problem(format!(
            "{} has steps of {} %; the nearest weight is {}",
            algorithm.name(),
            number(f64::from(step) / 10_000.0),
            number(f64::from(nearest) / 10_000.0)
        ));
        return None;
    }
    Some(weight)
}

/// The table of weights alone: a baseline grows from the top, wherever it is listed; otherwise the first variant from
/// the bottom and the second from the top. `names` has stable in front, `weights` has not.
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
