//! Identities that are fixed to a variant, before their bucket is looked at.

use coalmine_document::{Cursor, quoted};
use rustc_hash::FxHashMap;

use super::variants::Variants;
use crate::split::Variant;

/// The most pins that a policy may have.
pub(super) const MAX_PINS: usize = 10_000;

/// The pins of a rollout, compared as bytes.
#[derive(Debug, Default)]
pub(super) struct Pins(FxHashMap<Box<[u8]>, Variant>);

// === impl Pins ===

impl Pins {
    pub(super) fn read(cursor: &Cursor<'_, '_>, variants: &Variants) -> Self {
        let mut pins = Self::default();
        for field in cursor.entries() {
            let variant = variants.named(&field.value, field.name);
            for item in field.value.items() {
                let Some(identity) = item.string() else { continue };
                if identity.is_empty() {
                    item.problem("is empty, and an empty identity names no user");
                }
                let Some(variant) = variant else { continue };
                if pins.0.insert(identity.as_bytes().into(), variant).is_some_and(|other| other != variant) {
                    let identity = quoted(identity);
                    item.conflict(format!("{identity} is pinned to another variant too; keep one"));
                }
            }
        }
        pins
    }

    /// The variant that this identity is fixed to.
    #[inline]
    pub(super) fn variant(&self, identity: &[u8]) -> Option<Variant> {
        self.0.get(identity).copied()
    }

    /// Every pin, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Variant)> {
        self.0.iter().map(|(identity, &variant)| (&**identity, variant))
    }

    /// The number of identities that are pinned.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}
