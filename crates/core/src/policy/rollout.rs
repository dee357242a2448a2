//! One rollout of a policy.

use super::identity::Source;
use super::matching::Match;
use super::names::{label, salt};
use super::route::{HeaderNames, Route};
use super::variants::Variants;
use crate::document::{Cursor, Fields, Known, quoted};
use crate::draw::Draw;
use crate::ranges::{Ranges, Variant};

const ROLLOUT: Known = Known {
    fields: &[
        "name",
        "enabled",
        "match",
        "identity",
        "onMissingIdentity",
        "salt",
        "algorithm",
        "variants",
        "route",
    ],
    unsupported: &["cookie", "key", "ranges", "ramp", "pins", "override", "response"],
};

/// What a rollout may not be called: the metrics say `none` where there is no rollout.
const NO_ROLLOUT: &str = "none";

/// One service's change from stable to canary, compiled: a request only reads it.
#[derive(Debug)]
pub struct Rollout {
    pub(super) index: usize,
    name: Box<str>,
    pub(super) enabled: bool,
    pub(super) matching: Match,
    pub(super) sources: Vec<Source>,
    salt: Box<str>,
    pub(super) draw: Draw,
    variants: Variants,
    pub(super) route: Route,
}

/// What may be done for a request without an identity.
#[derive(Clone, Copy)]
enum OnMissingIdentity {
    Stable,
}

/// How an identity is hashed.
#[derive(Clone, Copy)]
enum Algorithm {
    CoalmineV1,
}

// === impl Rollout ===

impl Rollout {
    /// Its name, unique in the policy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its place in the policy, counted from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// `false` while everybody is sent to stable.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// What makes its draw independent of other rollouts'.
    pub fn salt(&self) -> &str {
        &self.salt
    }

    /// Where its identities come from, in the order of asking.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Its draw.
    pub fn draw(&self) -> &Draw {
        &self.draw
    }

    /// Which buckets belong to which variant.
    pub fn ranges(&self) -> &Ranges {
        &self.variants.ranges
    }

    /// How its answer reaches the router.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Every variant: stable, then the listed ones in their order.
    pub fn variants(&self) -> impl Iterator<Item = (Variant, &str)> {
        let listed = (0..).map(Variant::listed);
        std::iter::once(Variant::STABLE).chain(listed).zip(self.variants.names.iter().map(|name| &**name))
    }

    /// What this variant is called.
    pub fn variant_name(&self, variant: Variant) -> &str {
        self.variants.names.get(variant.index()).map_or(super::variants::STABLE, |name| name)
    }

    /// Reads the rollout at this place of the policy. `taken` are the names of those before it.
    pub(super) fn read<'d>(
        index: usize,
        cursor: &Cursor<'d>,
        taken: &mut Vec<&'d str>,
        names: &mut HeaderNames<'d>,
    ) -> Option<Self> {
        let fields = cursor.map(&ROLLOUT)?;
        let name = read_name(&fields, taken);
        let enabled = fields.get("enabled").map_or(Some(true), |enabled| enabled.boolean());
        let matching = fields
            .get("match")
            .map_or_else(|| Some(Match::default()), |matching| Match::read(&matching, names));
        let sources = read_sources(&fields, names);
        let on_missing = fields.get("onMissingIdentity").map_or(Some(OnMissingIdentity::Stable), |word| {
            word.word(&[("stable", OnMissingIdentity::Stable)], &["issueCookie"])
        });
        let salt = fields.get("salt").map_or(name, |given| salt(&given));
        let algorithm = fields.get("algorithm").map_or(Some(Algorithm::CoalmineV1), |word| {
            let later = ["siphash-2-4", "flagd-v2", "growthbook-v2", "unleash"];
            word.word(&[("coalmine-v1", Algorithm::CoalmineV1)], &later)
        });
        let variants = Variants::read(&fields);
        let route = Route::read(cursor, fields.get("route"), names);
        let OnMissingIdentity::Stable = on_missing?;
        let Algorithm::CoalmineV1 = algorithm?;
        let salt = salt?;
        Some(Self {
            index,
            name: name?.into(),
            enabled: enabled?,
            matching: matching?,
            sources: sources?,
            salt: salt.into(),
            draw: Draw::new(salt),
            variants: variants?,
            route: route?,
        })
    }
}

fn read_name<'d>(fields: &Fields<'d>, taken: &mut Vec<&'d str>) -> Option<&'d str> {
    let cursor = fields.required("name", "what metrics and logs call the rollout")?;
    let name = label(&cursor)?;
    if name == NO_ROLLOUT {
        cursor.problem("\"none\" stands for no rollout in the metrics; choose another name");
        return None;
    }
    if taken.contains(&name) {
        cursor.problem(format!("a second rollout {}; names are unique in a policy", quoted(name)));
        return None;
    }
    taken.push(name);
    Some(name)
}

fn read_sources(fields: &Fields<'_>, names: &mut HeaderNames<'_>) -> Option<Vec<Source>> {
    let why = "say what names the user, as [{header: x-user-id}]";
    let items = fields.required("identity", why)?.filled_list(why)?;
    // Every item is read before the first that failed counts.
    let sources: Vec<Option<Source>> = items.iter().map(|item| Source::read(item, names)).collect();
    sources.into_iter().collect()
}
