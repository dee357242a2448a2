//! From the weights that the arguments name to those that a rollout is to have.

use coalmine_core::policy::{Rollout, RouteValue};
use coalmine_core::split::{MAX_WEIGHTED, Ranges, Variant, Weight, rebalance};

use super::TIME;
use crate::failure::Failure;

/// A variant and the weight that it is to have.
#[derive(Clone, Debug)]
pub(super) struct WeightArgument {
    pub(super) variant: String,
    pub(super) weight: Weight,
}

/// The change of a rollout's weights.
pub(super) struct WeightsChange {
    /// Every variant but stable with its weight before and after, in the order of the document, new ones last.
    pub(super) variants: Vec<VariantChange>,
    /// The table that moves the fewest users.
    pub(super) ranges: Ranges,
    /// Whether there are too many variants for weights alone.
    pub(super) needs_ranges: bool,
    /// How many variants are there already.
    pub(super) known: usize,
}

#[derive(Debug)]
pub(super) struct VariantChange {
    pub(super) name: String,
    pub(super) before: Weight,
    pub(super) after: Weight,
}

// === impl WeightArgument ===

impl WeightArgument {
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

// === impl WeightsChange ===

impl WeightsChange {
    pub(super) fn new(rollout: &Rollout, arguments: &[WeightArgument]) -> Result<Self, Failure> {
        let name = rollout.name();
        if rollout.ramp_weight(TIME).is_some() {
            return Err(Failure::usage(
                format!("{name} has a ramp, which sets the canary's weight by the clock"),
                "change the ramp's steps, or stop it with \"hold: true\" and \"holdWeight\"",
            ));
        }
        if let RouteValue::Bucket(_) = rollout.route().value() {
            let header = rollout.route().header();
            return Err(Failure::usage(
                format!("{name} has a bucketHeader: the weights stay in the route that reads {header}"),
                "change the weights of that route",
            ));
        }
        let listed = rollout.shares(TIME).into_iter().skip(1);
        let mut variants: Vec<VariantChange> = listed
            .map(|(name, weight)| VariantChange { name: name.to_owned(), before: weight, after: weight })
            .collect();
        let known = variants.len();
        for (index, argument) in arguments.iter().enumerate() {
            if argument.variant == "stable" {
                return Err(Failure::usage(
                    "stable has no weight of its own: it takes what the others leave",
                    "change the others",
                ));
            }
            if arguments.iter().take(index).any(|earlier| earlier.variant == argument.variant) {
                return Err(Failure::usage(format!("{} is given two weights", argument.variant), "give one"));
            }
            match variants.iter_mut().find(|variant| variant.name == argument.variant) {
                Some(variant) => variant.after = argument.weight,
                None => variants.push(VariantChange {
                    name: argument.variant.clone(),
                    before: Weight::NONE,
                    after: argument.weight,
                }),
            }
        }
        let weights: Vec<(Variant, Weight)> = (0..)
            .map(Variant::listed)
            .zip(&variants)
            .map(|(variant, change)| (variant, change.after))
            .collect();
        let ranges = rebalance(rollout.ranges(TIME), &weights)
            .map_err(|heavy| Failure::usage(heavy.to_string(), ""))?;
        Ok(Self { needs_ranges: variants.len() > MAX_WEIGHTED, variants, ranges, known })
    }

    /// Each variant with its weight before and after.
    pub(super) fn changes(&self) -> impl Iterator<Item = (String, String, String)> {
        self.variants
            .iter()
            .map(|change| (change.name.clone(), change.before.to_string(), change.after.to_string()))
    }

    /// The table, with names.
    pub(super) fn table(&self) -> Vec<(u32, &str)> {
        let name = |variant: Variant| match variant.index().checked_sub(1) {
            Some(place) => self.variants.get(place).map_or("", |change| change.name.as_str()),
            None => "stable",
        };
        self.ranges.table().iter().map(|&(end, variant)| (end, name(variant))).collect()
    }
}
