//! One rollout of a policy.

use super::identity::Source;
use super::issued::IssuedCookie;
use super::matching::Match;
use super::names;
use super::overrides::Override;
use super::own::HeaderNames;
use super::pins::{PinCount, Pins};
use super::ramp::Ramp;
use super::response;
use super::route::Route;
use super::secrets::SecretReader;
use super::variants::Variants;
use crate::document::{Cursor, Fields, Known, NameSet, quoted};
use crate::draw::{Algorithm, Draw, Key};
use crate::ranges::{Ranges, Variant};
use crate::token::Secret;
use crate::weight::Weight;

const ROLLOUT: Known = Known {
    fields: &[
        "name",
        "enabled",
        "match",
        "identity",
        "onMissingIdentity",
        "cookie",
        "salt",
        "algorithm",
        "key",
        "variants",
        "ranges",
        "ramp",
        "pins",
        "override",
        "route",
        "response",
    ],
    unsupported: &[],
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
    pub(super) issued: Option<IssuedCookie>,
    salt: Box<str>,
    algorithm: Algorithm,
    /// `None` where the key was not read.
    pub(super) draw: Option<Draw>,
    pub(super) variants: Variants,
    pub(super) pins: Pins,
    pub(super) override_: Option<Override>,
    pub(super) route: Route,
    removed_from_response: Vec<Box<str>>,
}

/// What the rollouts of one document share while they are read.
pub(super) struct Shared<'d, 'e> {
    names: NameSet,
    pub(super) headers: HeaderNames<'d>,
    pub(super) secrets: SecretReader<'e>,
    pins: PinCount,
}

/// What may be done for a request without an identity.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnMissingIdentity {
    Stable,
    IssueCookie,
}

// === impl Shared ===

impl<'e> Shared<'_, 'e> {
    pub(super) fn new(secrets: SecretReader<'e>) -> Self {
        Self { names: NameSet::new(), headers: HeaderNames::default(), secrets, pins: PinCount::default() }
    }
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

    /// How its identities are hashed.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether a user without an identity is issued one.
    pub fn issues_cookie(&self) -> bool {
        self.issued.is_some()
    }

    /// The identities that are fixed to a variant, in no particular order.
    pub fn pins(&self) -> impl Iterator<Item = (&[u8], Variant)> {
        self.pins.iter()
    }

    /// Where its identities come from, in the order of asking.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Its draw; `None` where its key was not read from the environment.
    pub fn draw(&self) -> Option<&Draw> {
        self.draw.as_ref()
    }

    /// Which buckets belong to which variant; with a ramp, at the step that [`super::Policy::follow_clock`] found.
    pub fn ranges(&self) -> &Ranges {
        self.variants.ranges()
    }

    /// The canary's weight at the current step, where the rollout has a ramp.
    pub fn ramp_weight(&self) -> Option<Weight> {
        self.variants.ramp().map(Ramp::weight)
    }

    /// What override tokens are signed with, the one for new tokens first; empty where the rollout takes no tokens or
    /// its secrets were not read.
    pub fn override_secrets(&self) -> &[Secret] {
        self.override_.as_ref().map_or(&[], |override_| &override_.secrets)
    }

    /// The headers that are taken out of its responses, because they would tell the arms apart.
    pub fn removed_from_response(&self) -> &[Box<str>] {
        &self.removed_from_response
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

    /// Reads the rollout at this place of the policy.
    pub(super) fn read<'d>(index: usize, cursor: &Cursor<'d>, shared: &mut Shared<'d, '_>) -> Option<Self> {
        let fields = cursor.map(&ROLLOUT)?;
        let name = read_name(&fields, &mut shared.names);
        let enabled = fields.get("enabled").map_or(Some(true), |enabled| enabled.boolean());
        let matching = fields
            .get("match")
            .map_or_else(|| Some(Match::default()), |matching| Match::read(&matching, &mut shared.headers));
        let on_missing = fields.get("onMissingIdentity").map_or(Some(OnMissingIdentity::Stable), |word| {
            let words =
                [("stable", OnMissingIdentity::Stable), ("issueCookie", OnMissingIdentity::IssueCookie)];
            word.word(&words)
        });
        // A word that could not be read may have meant the cookie: what it describes is then not superfluous.
        let may_issue = on_missing != Some(OnMissingIdentity::Stable);
        let issued = IssuedCookie::read(&fields, may_issue);
        let cookie = issued.as_ref().and_then(Option::as_ref);
        let sources = read_sources(&fields, may_issue, cookie, &mut shared.headers);
        let algorithm =
            fields.get("algorithm").map_or(Some(Algorithm::CoalmineV1), |word| word.word(&Algorithm::ALL));
        let salt = fields.get("salt").map_or(name, |salt| match algorithm {
            Some(algorithm) if algorithm.is_foreign() => names::foreign_salt(&salt),
            _ => names::salt(&salt),
        });
        let variants = read_variants(&fields, algorithm);
        let pins = fields.get("pins").map_or_else(
            || Some(Pins::default()),
            |pins| Pins::read(&pins, variants.as_ref(), &mut shared.pins),
        );
        let route = Route::read(&fields, variants.as_ref(), &mut shared.headers);
        let draw = read_draw(&fields, algorithm, salt, &mut shared.secrets);
        let override_ = fields.get("override").map_or(Some(None), |override_| {
            Override::read(&override_, &mut shared.headers, &mut shared.secrets).map(Some)
        });
        let removed = fields
            .get("response")
            .map_or_else(|| Some(Vec::new()), |removed| response::read_removed(&removed));
        on_missing?;
        Some(Self {
            index,
            name: name?.into(),
            enabled: enabled?,
            matching: matching?,
            sources: sources?,
            issued: issued?,
            salt: salt?.into(),
            algorithm: algorithm?,
            draw: draw?,
            variants: variants?,
            pins: pins?,
            override_: override_?,
            route: route?,
            removed_from_response: removed?,
        })
    }
}

fn read_name<'d>(fields: &Fields<'d>, taken: &mut NameSet) -> Option<&'d str> {
    let cursor = fields.required("name", "what metrics and logs call the rollout")?;
    let name = names::label(&cursor)?;
    if name == NO_ROLLOUT {
        cursor.problem("\"none\" stands for no rollout in the metrics; choose another name");
        return None;
    }
    if !taken.insert(name.into()) {
        cursor.problem(format!("a second rollout {}; names are unique in a policy", quoted(name)));
        return None;
    }
    Some(name)
}

/// The sources in the order of asking; the cookie that Coalmine issues comes last, and may be the only one.
fn read_sources(
    fields: &Fields<'_>,
    may_issue: bool,
    issued: Option<&IssuedCookie>,
    headers: &mut HeaderNames<'_>,
) -> Option<Vec<Source>> {
    let why = "say what names the user, as [{header: x-user-id}]";
    let last = issued.map(|cookie| {
        headers.add_read_cookie(&cookie.name);
        Source::IssuedCookie(cookie.name.clone())
    });
    let given = match fields.get("identity") {
        None if may_issue => Vec::new(),
        _ => fields.required("identity", why)?.filled_list(why)?,
    };
    // Every item is read before the first that failed counts.
    let sources: Vec<Option<Source>> = given.iter().map(|item| Source::read(item, headers)).collect();
    sources.into_iter().chain(last.map(Some)).collect()
}

/// The draw; the inner `None` where its key was not read.
fn read_draw(
    fields: &Fields<'_>,
    algorithm: Option<Algorithm>,
    salt: Option<&str>,
    secrets: &mut SecretReader<'_>,
) -> Option<Option<Draw>> {
    let key = match (fields.get("key"), algorithm?) {
        (Some(key), Algorithm::Siphash24) => secrets.read(&key, "32 hexadecimal digits", Key::from_hex),
        (Some(key), other) => {
            key.problem(format!("{} has no key; only siphash-2-4 has", other.name()));
            None
        }
        (None, Algorithm::Siphash24) => {
            fields.required("key", "siphash-2-4 needs one, as {env: COALMINE_KEY}")?;
            None
        }
        (None, _) => Some(None),
    };
    let (key, salt) = (key?, salt?);
    Some(match algorithm? {
        Algorithm::CoalmineV1 => Some(Draw::coalmine_v1(salt)),
        Algorithm::Siphash24 => key.map(|key| Draw::siphash_2_4(salt, key)),
        Algorithm::FlagdV2 => Some(Draw::flagd_v2(salt)),
        Algorithm::GrowthbookV2 => Some(Draw::growthbook_v2(salt)),
        Algorithm::Unleash => Some(Draw::unleash(salt)),
    })
}

fn read_variants(fields: &Fields<'_>, algorithm: Option<Algorithm>) -> Option<Variants> {
    if !Route::keeps_weights(fields) {
        return Variants::read(fields, algorithm);
    }
    for name in ["variants", "ranges", "ramp"] {
        if let Some(field) = fields.get(name) {
            field.problem("the weights stay in the route where it has a bucketHeader; leave this out");
        }
    }
    Some(Variants::of_route())
}
