//! From the weights that somebody wishes for to those that a rollout is to have.

use coalmine_core::policy::{Rollout, Route};
use coalmine_core::ranges::{Ranges, Variant};
use coalmine_core::weight::Weight;

use crate::failure::Failure;
use crate::shares::shares;

/// How many variants weights alone can place; more need a table of ranges.
const MAX_WEIGHTED: usize = 2;

/// A variant and the weight that it is to have.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    variant: String,
    weight: Weight,
}

/// What a rollout is to become.
pub(super) struct Plan {
    /// Every variant but stable with its weight before and after, in the order of the document, new ones last.
    pub(super) variants: Vec<Planned>,
    /// The table that moves the fewest users.
    pub(super) ranges: Ranges,
    /// Whether there are too many variants for weights alone.
    pub(super) needs_ranges: bool,
    /// How many variants are there already.
    pub(super) known: usize,
}

#[derive(Debug)]
pub(super) struct Planned {
    pub(super) name: String,
    pub(super) before: Weight,
    pub(super) after: Weight,
}

// === impl Wish ===

impl Wish {
    /// Reads `canary=10` or `canary=10%`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (variant, weight) =
            text.split_once('=').ok_or("a variant and its weight are expected, as canary=10")?;
        let percent: f64 = weight
            .trim_end_matches('%')
            .trim()
            .parse()
            .map_err(|_| format!("{weight:?} is no weight: 0 to 100, in percent"))?;
        let weight = Weight::try_from_percent(percent).map_err(|invalid| invalid.to_string())?;
        Ok(Self { variant: variant.trim().to_owned(), weight })
    }
}

// === impl Plan ===

impl Plan {
    pub(super) fn new(rollout: &Rollout, wishes: &[Wish]) -> Result<Self, Failure> {
        let name = rollout.name();
        if rollout.ramp_weight().is_some() {
            return Err(Failure::usage(
                format!("{name} has a ramp, which sets the canary's weight by the clock"),
                "change the ramp's steps, or stop it with \"hold: true\" and \"holdWeight\"",
            ));
        }
        if let Route::BucketHeader { name: header, .. } = rollout.route() {
            return Err(Failure::usage(
                format!("{name} has a bucketHeader: the weights stay in the route that reads {header}"),
                "change the weights of that route",
            ));
        }
        let listed = shares(rollout).into_iter().skip(1);
        let mut variants: Vec<Planned> = listed
            .map(|(name, weight)| Planned { name: name.to_owned(), before: weight, after: weight })
            .collect();
        let known = variants.len();
        for (index, wish) in wishes.iter().enumerate() {
            if wish.variant == "stable" {
                return Err(Failure::usage(
                    "stable has no weight of its own: it takes what the others leave",
                    "change the others",
                ));
            }
            if wishes.iter().take(index).any(|earlier| earlier.variant == wish.variant) {
                return Err(Failure::usage(format!("{} is given two weights", wish.variant), "give one"));
            }
            match variants.iter_mut().find(|variant| variant.name == wish.variant) {
                Some(variant) => variant.after = wish.weight,
                None => variants.push(Planned {
                    name: wish.variant.clone(),
                    before: Weight::NONE,
                    after: wish.weight,
                }),
            }
        }
        let weights: Vec<(Variant, Weight)> = (0..)
            .map(Variant::listed)
            .zip(&variants)
            .map(|(variant, planned)| (variant, planned.after))
            .collect();
        let ranges =
            rollout.ranges().moved_to(&weights).map_err(|heavy| Failure::usage(heavy.to_string(), ""))?;
        Ok(Self { needs_ranges: variants.len() > MAX_WEIGHTED, variants, ranges, known })
    }

    /// Each variant with its weight before and after.
    pub(super) fn changes(&self) -> impl Iterator<Item = (String, String, String)> {
        self.variants
            .iter()
            .map(|planned| (planned.name.clone(), planned.before.to_string(), planned.after.to_string()))
    }

    /// The table, with names.
    pub(super) fn table(&self) -> Vec<(u32, &str)> {
        let name = |variant: Variant| match variant.index().checked_sub(1) {
            Some(place) => self.variants.get(place).map_or("", |planned| planned.name.as_str()),
            None => "stable",
        };
        self.ranges.table().iter().map(|&(end, variant)| (end, name(variant))).collect()
    }
}
