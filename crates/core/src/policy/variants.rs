//! The variants of a rollout and the buckets that they take.

use super::names;
use crate::document::{Cursor, Fields, Known, number, quoted};
use crate::ranges::{Ranges, Variant};
use crate::weight::Weight;

const VARIANT: Known = Known { fields: &["name", "weight"], unsupported: &[] };

/// The variant that everybody has before a rollout.
pub(super) const STABLE: &str = "stable";
/// The old version on fresh pods: a fair control, which grows from the last bucket down.
const BASELINE: &str = "baseline";
/// How many variants weights alone can place.
const MAX_WEIGHTED: usize = 2;

/// The variants of a rollout.
#[derive(Debug)]
pub(super) struct Variants {
    /// Their names, stable first, then as listed: by [`Variant::index`].
    pub(super) names: Vec<Box<str>>,
    pub(super) ranges: Ranges,
}

// === impl Variants ===

impl Variants {
    pub(super) fn read(rollout: &Fields<'_>) -> Option<Self> {
        let cursor =
            rollout.required("variants", "list the canary with its weight; stable takes the rest")?;
        let items = cursor.filled_list("list the canary with its weight; stable takes the rest")?;
        let mut names: Vec<Box<str>> = vec![STABLE.into()];
        let mut weights = Vec::new();
        for item in &items {
            let Some(fields) = item.map(&VARIANT) else { continue };
            let name = fields
                .required("name", "what the route header is set to")
                .and_then(|name| read_name(&name, &names));
            let weight =
                fields.required("weight", "0 to 100, in percent").and_then(|weight| read_weight(&weight));
            names.extend(name);
            weights.extend(weight);
        }
        if items.len() > MAX_WEIGHTED {
            cursor.problem(format!(
                "{} variants; weights alone place at most {MAX_WEIGHTED} besides stable",
                items.len()
            ));
            return None;
        }
        let sum: u32 = weights.iter().map(|weight| weight.ppm()).sum();
        if let Some(over) = sum.checked_sub(Weight::ALL.ppm()).filter(|&over| over > 0) {
            let sum = number(f64::from(Weight::ALL.ppm() + over) / 10_000.0);
            cursor.problem(format!("weights add up to {sum} %, at most 100 % can leave stable"));
            return None;
        }
        if weights.len() < items.len() || names.len() <= items.len() {
            return None;
        }
        let ranges = two_ended(&names, &weights);
        Some(Self { names, ranges })
    }
}

fn read_name(cursor: &Cursor<'_>, taken: &[Box<str>]) -> Option<Box<str>> {
    let name = names::label(cursor)?;
    if name == STABLE {
        cursor.problem("stable is never listed: it takes what the others leave");
        return None;
    }
    if taken.iter().any(|other| **other == *name) {
        cursor.problem(format!("a second variant {}; names are unique in a rollout", quoted(name)));
        return None;
    }
    Some(name.into())
}

fn read_weight(cursor: &Cursor<'_>) -> Option<Weight> {
    match Weight::try_from_percent(cursor.number()?) {
        Ok(weight) => Some(weight),
        Err(invalid) => {
            cursor.problem(invalid.to_string());
            None
        }
    }
}

/// Who grows from which end: a baseline from the top, wherever it is listed; otherwise the first from the bottom and
/// the second from the top. `names` has stable in front, `weights` has not.
fn two_ended(names: &[Box<str>], weights: &[Weight]) -> Ranges {
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
