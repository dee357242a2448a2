//! The variants of a rollout and the buckets that they take.

use super::names;
use super::ramp::Ramp;
use super::weights::{BASELINE, read_weight, two_ended};
use crate::document::{Cursor, Fields, Known, number, quoted};
use crate::draw::{Algorithm, BUCKETS};
use crate::ranges::{Ranges, Variant};
use crate::weight::Weight;

const VARIANT: Known = Known { fields: &["name", "weight"], unsupported: &[] };

/// The variant that everybody has before a rollout.
pub(super) const STABLE: &str = "stable";
const CANARY: &str = "canary";
/// What is said of a bucket whose variant only the route knows.
const ROUTE: &str = "route";
/// How many variants weights alone can place.
const MAX_WEIGHTED: usize = 2;
/// How many variants a rollout may list. Names are looked up one by one, and problems list them.
const MAX_LISTED: usize = 100;
const WHY: &str = "list the canary with its weight; stable takes the rest";

/// The variants of a rollout.
#[derive(Debug)]
pub(super) struct Variants {
    /// Their names, stable first, then as listed: by [`Variant::index`].
    pub(super) names: Vec<Box<str>>,
    shares: Shares,
}

/// Where the buckets of each variant are said.
#[derive(Debug)]
enum Shares {
    /// By weights or ranges of the document.
    Fixed(Ranges),
    /// By the clock.
    Ramp(Ramp),
    /// In the proxy's route: which variant a bucket belongs to is not known here.
    Route(Ranges),
}

// === impl Variants ===

impl Variants {
    /// Where the weights stay in the route: stable, the canary, and what only the route knows.
    pub(super) const CANARY_OF_ROUTE: Variant = Variant::listed(0);
    const DRAWN_BY_ROUTE: Variant = Variant::listed(1);

    /// Reads the variants with their weights, ranges or ramp.
    pub(super) fn read(rollout: &Fields<'_>, algorithm: Option<Algorithm>) -> Option<Self> {
        let (ranges, ramp) = (rollout.get("ranges"), rollout.get("ramp"));
        if let (Some(_), Some(ramp)) = (&ranges, &ramp) {
            ramp.problem("\"ranges\" and \"ramp\" both say who gets what; keep one");
        }
        let weighted = ranges.is_none() && ramp.is_none();
        let listed = Listed::read(rollout, weighted, algorithm);
        let names = listed.as_ref().and_then(Listed::names);
        let shares = match (ranges, ramp) {
            (Some(ranges), _) => read_ranges(&ranges, names, algorithm).map(Shares::Fixed),
            (None, Some(ramp)) => {
                if let Some(listed) = &listed {
                    listed.check_ramped();
                }
                Ramp::read(&ramp, names, algorithm).map(Shares::Ramp)
            }
            (None, None) => listed.as_ref().and_then(Listed::weighed).map(Shares::Fixed),
        };
        names?;
        Some(Self { names: listed?.names, shares: shares? })
    }

    /// The variants where the weights stay in the route.
    pub(super) fn of_route() -> Self {
        let names = [STABLE, CANARY, ROUTE].map(Box::from).into();
        Self { names, shares: Shares::Route(Ranges::from_table(vec![(BUCKETS, Self::DRAWN_BY_ROUTE)])) }
    }

    /// Which buckets belong to which variant, at the current step of a ramp.
    pub(super) fn ranges(&self) -> &Ranges {
        match &self.shares {
            Shares::Fixed(ranges) | Shares::Route(ranges) => ranges,
            Shares::Ramp(ramp) => ramp.ranges(),
        }
    }

    pub(super) fn ramp(&self) -> Option<&Ramp> {
        match &self.shares {
            Shares::Ramp(ramp) => Some(ramp),
            Shares::Fixed(_) | Shares::Route(_) => None,
        }
    }

    /// The variant of this name that a pin or a token may name.
    pub(super) fn by_name(&self, name: &str) -> Option<Variant> {
        by_name(self.nameable(), name)
    }

    /// The variant of this name; a problem at `cursor`, where the name stands, when there is none.
    pub(super) fn named(&self, cursor: &Cursor<'_>, name: &str) -> Option<Variant> {
        named(cursor, self.nameable(), name)
    }

    fn nameable(&self) -> &[Box<str>] {
        match (&self.shares, self.names.split_last()) {
            (Shares::Route(_), Some((_drawn_by_route, names))) => names,
            _ => &self.names,
        }
    }
}

/// The list of variants as it is written.
struct Listed<'d> {
    cursor: Cursor<'d>,
    items: usize,
    /// Stable in front.
    names: Vec<Box<str>>,
    weights: Vec<Weight>,
}

impl<'d> Listed<'d> {
    fn read(rollout: &Fields<'d>, weighted: bool, algorithm: Option<Algorithm>) -> Option<Self> {
        let cursor = rollout.required("variants", WHY)?;
        let items = cursor.filled_list(WHY)?;
        if items.len() > MAX_LISTED {
            cursor.problem(format!("has {} variants; at most {MAX_LISTED}", items.len()));
            return None;
        }
        let mut names: Vec<Box<str>> = vec![STABLE.into()];
        let mut weights = Vec::new();
        for item in &items {
            let Some(fields) = item.map(&VARIANT) else { continue };
            let name = fields.required("name", "what the route header is set to");
            names.extend(name.and_then(|name| read_name(&name, &names)));
            if weighted {
                let weight = fields.required("weight", "0 to 100, in percent");
                weights.extend(weight.and_then(|weight| read_weight(&weight, algorithm)));
            } else if let Some(weight) = fields.get("weight") {
                weight.problem("\"ranges\" or \"ramp\" say who gets what; leave the weight out");
            }
        }
        Some(Self { cursor, items: items.len(), names, weights })
    }

    /// The names, when every one could be read.
    fn names(&self) -> Option<&[Box<str>]> {
        (self.names.len() == self.items + 1).then_some(&*self.names)
    }

    /// The table of the weights.
    fn weighed(&self) -> Option<Ranges> {
        if self.items > MAX_WEIGHTED {
            self.cursor.problem(format!(
                "{} variants; weights alone place at most {MAX_WEIGHTED} besides stable, more need \"ranges\" (see `coalmine weights`)",
                self.items
            ));
            return None;
        }
        let sum: u32 = self.weights.iter().map(|weight| weight.ppm()).sum();
        if sum > BUCKETS {
            let sum = number(f64::from(sum) / 10_000.0);
            self.cursor.problem(format!("weights add up to {sum} %, at most 100 % can leave stable"));
            return None;
        }
        let names = self.names().filter(|_| self.weights.len() == self.items)?;
        Some(two_ended(names, &self.weights))
    }

    /// A ramp leads one variant; a baseline follows it.
    fn check_ramped(&self) {
        let led = self.names.iter().skip(1).filter(|name| ***name != *BASELINE).count();
        if self.items == self.names.len() - 1 && led != 1 {
            self.cursor
                .problem("a ramp leads one variant, beside which there may be a baseline that follows it");
        }
    }
}

fn named(cursor: &Cursor<'_>, names: &[Box<str>], name: &str) -> Option<Variant> {
    let variant = by_name(names, name);
    if variant.is_none() {
        cursor.problem(format!(
            "{} is no variant of this rollout; it has: {}",
            quoted(name),
            names.join(", ")
        ));
    }
    variant
}

fn by_name(names: &[Box<str>], name: &str) -> Option<Variant> {
    let place = names.iter().position(|known| **known == *name)?;
    Some(place.checked_sub(1).map_or(Variant::STABLE, |place| Variant::listed(place as u16)))
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

/// Reads the table itself: `[[50000, canary], [1000000, stable]]`. `names` is `None` where they are not complete.
fn read_ranges(
    cursor: &Cursor<'_>,
    names: Option<&[Box<str>]>,
    algorithm: Option<Algorithm>,
) -> Option<Ranges> {
    let step = algorithm.map_or(1, Algorithm::step);
    let mut table: Vec<(u32, Variant)> = Vec::new();
    let mut last = 0;
    let mut ends_read = true;
    let items = cursor.filled_list("list [end, variant] pairs up to 1000000")?;
    for item in &items {
        let Some(pair) = item.list() else { continue };
        let [end, name] = pair.as_slice() else {
            item.problem("must be a pair [end, variant]");
            ends_read = false;
            continue;
        };
        let (end_number, name_text) = (end.integer(1..=u64::from(BUCKETS)), name.string());
        ends_read &= end_number.is_some();
        if let Some(number) = end_number.map(|number| number as u32) {
            if number <= last {
                end.problem(format!("{number} does not lie above the end before it, {last}: ends ascend"));
            }
            if number % step != 0 {
                let name = algorithm.map_or("", Algorithm::name);
                end.problem(format!("{name} draws in steps of {step} buckets; {number} lies between two"));
            }
            last = number;
        }
        let (Some(names), Some(name_text)) = (names, name_text) else { continue };
        let variant = named(name, names, name_text);
        table.extend(variant.map(|variant| (last, variant)));
    }
    if ends_read && last != BUCKETS {
        cursor.problem(format!(
            "ends at {last}; the last end is {BUCKETS}, so that every bucket belongs to somebody"
        ));
        return None;
    }
    (table.len() == items.len()).then(|| Ranges::from_table(table))
}
