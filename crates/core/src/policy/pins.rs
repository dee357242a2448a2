//! Identities that are fixed to a variant, before the draw.

use fnv::FnvHashMap;

use super::variants::Variants;
use crate::document::{Cursor, quoted};
use crate::ranges::Variant;

/// How many pins a document may have.
const MAX_PINS: usize = 10_000;

/// The pins of a rollout, compared as bytes.
#[derive(Debug, Default)]
pub(super) struct Pins(FnvHashMap<Box<[u8]>, Variant>);

/// The pins of a document while it is read.
#[derive(Debug, Default)]
pub(super) struct PinCount(usize);

// === impl Pins ===

impl Pins {
    pub(super) fn read(
        cursor: &Cursor<'_>,
        variants: Option<&Variants>,
        count: &mut PinCount,
    ) -> Option<Self> {
        let mut pins = Self::default();
        for field in cursor.entries()? {
            let variant = variants.and_then(|variants| variants.named(&field.cursor, field.name));
            for item in field.cursor.list().unwrap_or_default() {
                let Some(identity) = item.string() else { continue };
                if identity.is_empty() {
                    item.problem("is empty, and an empty identity names nobody");
                }
                count.add(&item);
                let Some(variant) = variant else { continue };
                if pins.0.insert(identity.as_bytes().into(), variant).is_some_and(|other| other != variant) {
                    item.problem(format!("{} is pinned to another variant too; keep one", quoted(identity)));
                }
            }
        }
        Some(pins)
    }

    /// The variant that this identity is fixed to.
    pub(super) fn variant(&self, identity: &[u8]) -> Option<Variant> {
        self.0.get(identity).copied()
    }

    /// Every pin, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Variant)> {
        self.0.iter().map(|(identity, &variant)| (&**identity, variant))
    }
}

// === impl PinCount ===

impl PinCount {
    fn add(&mut self, item: &Cursor<'_>) {
        self.0 += 1;
        if self.0 == MAX_PINS + 1 {
            item.problem(format!("is pin number {}; a document has at most {MAX_PINS}", self.0));
        }
    }
}
