//! The variants of a rollout and the buckets that they take.

use std::time::Duration;

use coalmine_document::{Cursor, Fields, Known, quoted};

use super::names;
use super::ramp::Ramp;
use super::weights::{BASELINE, read_weight, two_ended};
use crate::bucketing::{Algorithm, BUCKETS};
use crate::split::{MAX_WEIGHTED, Ranges, Variant, Weight, WeightsExceed100};

const VARIANT: Known = Known::new(&["name", "weight"]);

/// The variant that all users have before a rollout.
pub(super) const STABLE: &str = "stable";
const CANARY: &str = "canary";
/// The name for the variant of a bucket that only the route knows.
const ROUTE: &str = "route";
/// How many variants a rollout may list. Names are looked up one by one, and problems list them.
const MAX_LISTED: usize = 100;
const WHY: &str = "list the canary with its weight; stable takes the rest";

/// The variants of a rollout.
#[derive(Debug)]
pub(super) struct Variants {
    /// Their names, stable first, then as listed: by [`Variant::index`].
    pub(super) names: Vec<Box<str>>,
    /// Whether every name could be read; where not, a name that is not here may be one of them.
    pub(super) are_named: bool,
    shares: Shares,
}

/// What says which buckets belong to which variant.
#[derive(Debug)]
enum Shares {
    /// Weights or ranges of the document.
    Fixed(Ranges),
    /// The clock.
    Ramp(Ramp),
    /// The proxy's route: which variant a bucket belongs to is not known here.
    Route(Ranges),
}

/// The list of variants as it is written.
pub(super) struct Listed<'d, 'p> {
    cursor: Option<Cursor<'d, 'p>>,
    items: usize,
    /// Stable in front.
    pub(super) names: Vec<Box<str>>,
    weights: Vec<Weight>,
}

// === impl Variants ===

impl Variants {
    /// What only the route knows, where the weights stay there: its names are stable, the canary, and this.
    const CHOSEN_BY_ROUTE: Variant = Variant::listed(1);

    /// Reads the variants with their weights, ranges or ramp.
    pub(super) fn read(rollout: &Fields<'_, '_>, algorithm: Algorithm) -> Self {
        let (ranges, ramp) = (rollout.get("ranges"), rollout.get("ramp"));
        if let (Some(_), Some(ramp)) = (ranges, ramp) {
            ramp.conflict("\"ranges\" and \"ramp\" both set the weights; keep one");
        }
        let weighted = ranges.is_none() && ramp.is_none();
        let listed = Listed::read(rollout, weighted, algorithm);
        let shares = match (ranges, ramp) {
            (Some(ranges), _) => Shares::Fixed(read_ranges(&ranges, &listed, algorithm)),
            (None, Some(ramp)) => {
                listed.check_ramped();
                Shares::Ramp(Ramp::read(&ramp, &listed.names, algorithm))
            }
            (None, None) => Shares::Fixed(listed.weighed()),
        };
        Self { are_named: listed.are_named(), names: listed.names, shares }
    }

    /// The variants where the weights stay in the route.
    pub(super) fn of_route() -> Self {
        let ranges = Ranges::from_table(vec![(BUCKETS, Self::CHOSEN_BY_ROUTE)]);
        Self {
            names: [STABLE, CANARY, ROUTE].map(Box::from).into(),
            are_named: true,
            shares: Shares::Route(ranges),
        }
    }

    /// The buckets of each variant at this time.
    #[inline]
    pub(super) fn ranges(&self, now: Duration) -> &Ranges {
        match &self.shares {
            Shares::Fixed(ranges) | Shares::Route(ranges) => ranges,
            Shares::Ramp(ramp) => ramp.ranges(now),
        }
    }

    pub(super) fn ramp(&self) -> Option<&Ramp> {
        match &self.shares {
            Shares::Ramp(ramp) => Some(ramp),
            Shares::Fixed(_) | Shares::Route(_) => None,
        }
    }

    /// The variant that can be told of a request that is to get this one. Where the weights stay in the route, that one
    /// decides about everything but stable: a pin to a canary of weight 0 does not get there.
    #[inline]
    pub(super) fn told(&self, variant: Variant) -> Variant {
        match self.shares {
            Shares::Route(_) if variant != Variant::STABLE => Self::CHOSEN_BY_ROUTE,
            _ => variant,
        }
    }

    /// The variant of this name that a pin or a token may name.
    pub(super) fn by_name(&self, name: &str) -> Option<Variant> {
        by_name(self.nameable(), name)
    }

    /// The variant of this name; a problem at `cursor`, where the name stands, when there is none.
    pub(super) fn named(&self, cursor: &Cursor<'_, '_>, name: &str) -> Option<Variant> {
        if !self.are_named {
            return None;
        }
        named(cursor, self.nameable(), name)
    }

    fn nameable(&self) -> &[Box<str>] {
        match (&self.shares, self.names.split_last()) {
            (Shares::Route(_), Some((_chosen_by_route, names))) => names,
            _ => &self.names,
        }
    }
}

// === impl Listed ===

impl<'d, 'p> Listed<'d, 'p> {
    fn read(rollout: &'p Fields<'d, '_>, weighted: bool, algorithm: Algorithm) -> Self {
        let cursor = rollout.required("variants", WHY);
        // Nothing more can be said of variants that are not there.
        let mut listed = Self { cursor, items: usize::MAX, names: vec![STABLE.into()], weights: Vec::new() };
        let Some(cursor) = cursor else { return listed };
        let items = cursor.filled_items(WHY);
        match items.len() {
            0 => return listed,
            count if count > MAX_LISTED => {
                cursor.too_large(format!("has {count} variants; at most {MAX_LISTED}"));
                return listed;
            }
            count => listed.items = count,
        }
        let form = if weighted { "a map, as {name: canary, weight: 5}" } else { "a map, as {name: canary}" };
        for item in items {
            let fields = item.fields_as(&VARIANT, form);
            let name = fields.required("name", "what the route header is set to");
            listed.names.extend(name.and_then(|name| read_name(&name, &listed.names)));
            if weighted {
                let weight = fields.required("weight", "0 to 100, in percent");
                listed.weights.extend(weight.and_then(|weight| read_weight(&weight, algorithm)));
            } else if let Some(weight) = fields.get("weight") {
                weight.conflict("\"ranges\" or \"ramp\" set the weights; leave this one out");
            }
        }
        listed
    }

    /// Whether every name could be read.
    fn are_named(&self) -> bool {
        self.names.len() - 1 == self.items
    }

    /// The table of the weights.
    fn weighed(&self) -> Ranges {
        let everybody_stable = Ranges::two_ended(None, None);
        let Some(cursor) = self.cursor.filter(|_| self.items != usize::MAX) else { return everybody_stable };
        if self.items > MAX_WEIGHTED {
            cursor.problem(format!(
                "{} variants; weights alone place at most {MAX_WEIGHTED} besides stable, more need \"ranges\" (see `coalmine weights`)",
                self.items
            ));
            return everybody_stable;
        }
        let sum: u32 = self.weights.iter().map(|weight| weight.ppm()).sum();
        if sum > BUCKETS {
            cursor.problem(WeightsExceed100(sum.into()).to_string());
            return everybody_stable;
        }
        two_ended(&self.names, &self.weights)
    }

    /// A ramp leads one variant; a baseline follows it.
    fn check_ramped(&self) {
        let led = self.names.iter().skip(1).filter(|name| ***name != *BASELINE).count();
        if let Some(cursor) = self.cursor
            && self.are_named()
            && led != 1
        {
            cursor.problem("a ramp needs exactly one variant, and optionally a baseline");
        }
    }
}

fn named(cursor: &Cursor<'_, '_>, names: &[Box<str>], name: &str) -> Option<Variant> {
    let variant = by_name(names, name);
    if variant.is_none() {
        let (name, names) = (quoted(name), names.join(", "));
        cursor.problem(format!("{name} is not a variant of this rollout; it has: {names}"));
    }
    variant
}

fn by_name(names: &[Box<str>], name: &str) -> Option<Variant> {
    let place = names.iter().position(|known| **known == *name)?;
    Some(place.checked_sub(1).map_or(Variant::STABLE, |place| Variant::listed(place as u16)))
}

fn read_name(cursor: &Cursor<'_, '_>, taken: &[Box<str>]) -> Option<Box<str>> {
    let name = cursor.text(&names::LABEL)?;
    if name == STABLE {
        cursor.problem("stable is never listed: it takes what the others leave");
        return None;
    }
    if taken.iter().any(|other| **other == *name) {
        cursor.conflict(format!("a second variant {}; names are unique in a rollout", quoted(name)));
        return None;
    }
    Some(name.into())
}

/// Reads the table itself: `[[50000, canary], [1000000, stable]]`.
fn read_ranges(cursor: &Cursor<'_, '_>, variants: &Listed<'_, '_>, algorithm: Algorithm) -> Ranges {
    let step = algorithm.step();
    let mut table: Vec<(u32, Variant)> = Vec::new();
    let mut last = 0;
    let mut are_ends_read = true;
    let items = cursor.filled_items("list [end, variant] pairs up to 1000000");
    let is_filled = items.len() > 0;
    for item in items {
        let mut pair = item.items_as("a pair [end, variant]", "");
        let (2, Some(end), Some(name)) = (pair.len(), pair.next(), pair.next()) else {
            if matches!(item.value(), coalmine_document::Value::List(_)) {
                item.problem("must be a pair [end, variant]");
                are_ends_read = false;
            }
            continue;
        };
        let (end_number, name_text) = (end.integer(1..=u64::from(BUCKETS)), name.string());
        are_ends_read &= end_number.is_some();
        if let Some(number) = end_number.map(|number| number as u32) {
            if number <= last {
                end.problem(format!("{number} does not lie above the end before it, {last}: ends ascend"));
            }
            if number % step != 0 {
                let name = algorithm.name();
                end.problem(format!("{name} has steps of {step} buckets; {number} lies between two"));
            }
            last = number;
        }
        let Some(name_text) = name_text.filter(|_| variants.are_named()) else { continue };
        let variant = named(&name, &variants.names, name_text);
        table.extend(variant.map(|variant| (last, variant)));
    }
    if is_filled && are_ends_read && last != BUCKETS {
        cursor.problem(format!(
            "ends at {last}; the last end is {BUCKETS}, so that every bucket belongs to a variant"
        ));
    }
    Ranges::from_table(table)
}
