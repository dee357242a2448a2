//! One rollout of a policy.

use std::time::Duration;

use coalmine_document::{Cursor, Fields, Known, Node, Problems, Reader};

use super::compile::MAX_REVISION;
use super::identity::IdentitySource;
use super::issued_cookie::IssuedCookie;
use super::match_rules::Match;
use super::names;
use super::overrides::Override;
use super::pins::Pins;
use super::response;
use super::route::Route;
use super::secrets::{Environment, SecretReader};
use super::variants::{STABLE, Variants};
use crate::bucketing::{Algorithm, BUCKETS, Bucketer, Key};
use crate::split::{Ranges, Variant, Weight};
use crate::token::Secret;

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
        "since",
        "observe",
    ],
    secret: &["key"],
    unsupported: &[],
};

/// The name that no rollout may have: the metrics say `none` where there is no rollout.
pub(super) const NO_ROLLOUT: &str = "none";

/// One service's change from stable to canary, compiled: a request only reads it.
#[derive(Debug)]
pub struct Rollout {
    index: usize,
    name: Box<str>,
    pub(super) enabled: bool,
    pub(super) matching: Match,
    pub(super) sources: Vec<IdentitySource>,
    pub(super) issued: Option<IssuedCookie>,
    salt: Box<str>,
    algorithm: Algorithm,
    /// `None` where the key was not read.
    pub(super) bucketer: Option<Bucketer>,
    pub(super) variants: Variants,
    pub(super) pins: Pins,
    pub(super) override_: Option<Override>,
    pub(super) route: Route,
    removed_from_response: Vec<Box<str>>,
    since: Option<u64>,
    observed: bool,
}

// === impl Rollout ===

impl Rollout {
    /// The rollout of a document that holds it alone, the first of a policy to be.
    ///
    /// # Errors
    /// Everything that is wrong with the document, each problem with its place.
    pub fn from_document(document: &Node, environment: Environment<'_>) -> Result<Self, Problems> {
        let reader = Reader::default();
        let rollout = Self::read(0, &reader.cursor(document), &mut SecretReader::new(environment));
        let (problems, _) = reader.finish();
        if problems.is_empty() { Ok(rollout) } else { Err(problems) }
    }

    /// Its name, unique in the policy: `checkout`, or `shop/checkout` with a namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its place in the policy, counted from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// `false` while all users are sent to stable.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether it draws users here: it is enabled, and its key was read.
    pub fn draws(&self) -> bool {
        self.enabled && self.bucketer.is_some()
    }

    /// The text that makes its buckets independent of other rollouts'.
    pub fn salt(&self) -> &str {
        &self.salt
    }

    /// The algorithm that hashes its identities.
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

    /// The sources of its identities, in the order of asking.
    pub fn sources(&self) -> &[IdentitySource] {
        &self.sources
    }

    /// Its bucketer; `None` where its key was not read from the environment.
    pub fn bucketer(&self) -> Option<&Bucketer> {
        self.bucketer.as_ref()
    }

    /// The buckets of each variant at this time, which matters to a ramp.
    pub fn ranges(&self, now: Duration) -> &Ranges {
        self.variants.ranges(now)
    }

    /// The table of ranges at this time with the names of the variants: `(end, name)`. While the rollout is switched
    /// off, all buckets are stable's.
    pub fn named_ranges(&self, now: Duration) -> Vec<(u32, &str)> {
        if !self.enabled {
            return vec![(BUCKETS, STABLE)];
        }
        let named = |&(end, variant): &(u32, Variant)| (end, self.variant_name(variant));
        self.ranges(now).table().iter().map(named).collect()
    }

    /// The share of every variant at this time, stable first.
    pub fn shares(&self, now: Duration) -> Vec<(&str, Weight)> {
        self.variants().map(|(variant, name)| (name, self.ranges(now).share(variant))).collect()
    }

    /// The canary's weight at this time, where the rollout has a ramp.
    pub fn ramp_weight(&self, now: Duration) -> Option<Weight> {
        self.variants.ramp().map(|ramp| ramp.weight(now))
    }

    /// The secrets that sign override tokens, the one for new tokens first; empty where the rollout takes no tokens or
    /// its secrets were not read.
    pub fn override_secrets(&self) -> &[Secret] {
        self.override_.as_ref().map_or(&[], |override_| &override_.secrets)
    }

    /// The header that override tokens come in.
    pub fn override_header(&self) -> Option<&str> {
        self.override_.as_ref()?.header.as_deref()
    }

    /// The cookie that override tokens come in.
    pub fn override_cookie(&self) -> Option<&str> {
        self.override_.as_ref()?.cookie.as_deref()
    }

    /// The headers that are taken out of its responses, because they would tell the arms apart.
    pub fn removed_from_response(&self) -> &[Box<str>] {
        &self.removed_from_response
    }

    /// The revision of its last change, where the document says it. A request that begins under one and ends under another
    /// is evidence for neither.
    pub fn since(&self) -> Option<u64> {
        self.since
    }

    /// Whether its responses are counted, where the policy counts responses.
    pub fn is_observed(&self) -> bool {
        self.observed
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

    /// The name of this variant.
    pub fn variant_name(&self, variant: Variant) -> &str {
        self.variants.names.get(variant.index()).map_or(STABLE, |name| name)
    }

    /// Reads the rollout at this place of the policy.
    pub(super) fn read(index: usize, cursor: &Cursor<'_, '_>, secrets: &mut SecretReader<'_>) -> Self {
        let fields = cursor.fields(&ROLLOUT);
        let name = read_name(&fields);
        let enabled = fields.get("enabled").is_none_or(|enabled| enabled.boolean());
        let matching = fields.get("match").map(|matching| Match::read(&matching)).unwrap_or_default();
        let may_issue = may_issue(&fields);
        let issued = IssuedCookie::read(&fields, may_issue);
        let sources = read_sources(&fields, may_issue, issued.as_ref());
        let word = fields.get("algorithm");
        let named = word.map_or(Some(Algorithm::default()), |word| word.word(&Algorithm::ALL));
        let algorithm = named.unwrap_or_default();
        let salt_rule = if algorithm.is_foreign() { &names::FOREIGN_SALT } else { &names::SALT };
        let salt = fields.get("salt").map_or(name, |salt| salt.text(salt_rule).unwrap_or_default());
        let variants = read_variants(&fields, algorithm);
        let pins = fields.get("pins").map(|pins| Pins::read(&pins, &variants)).unwrap_or_default();
        let route = Route::read(&fields, &variants);
        let bucketer = read_bucketer(&fields, named, salt, secrets);
        let override_ = Override::read(&fields, secrets);
        let since = fields.get("since").and_then(|since| since.integer(1..=MAX_REVISION));
        let observed = fields.get("observe").is_some_and(|observed| {
            let is_observed = observed.boolean();
            if is_observed && Route::keeps_weights(&fields) {
                observed.conflict(
                    "a \"bucketHeader\" leaves the variant to the route, so nothing can be counted here",
                );
            }
            is_observed
        });
        let removed = fields.get("response").map(|removed| response::read_removed(&removed));
        Self {
            index,
            name: name.into(),
            enabled,
            matching,
            sources,
            issued,
            salt: salt.into(),
            algorithm,
            bucketer,
            variants,
            pins,
            override_,
            route,
            removed_from_response: removed.unwrap_or_default(),
            since,
            observed,
        }
    }
}

fn read_name<'d>(fields: &Fields<'d, '_>) -> &'d str {
    let Some(cursor) = fields.required("name", "what metrics and logs call the rollout") else { return "" };
    let name = cursor.text(&names::ROLLOUT).unwrap_or_default();
    if name == NO_ROLLOUT {
        cursor.problem("\"none\" stands for no rollout in the metrics; choose another name");
    }
    name
}

/// Whether a request without an identity may be issued one. A word that could not be read may have meant so: what
/// describes the cookie is then not superfluous.
fn may_issue(fields: &Fields<'_, '_>) -> bool {
    let words = [("stable", false), ("issueCookie", true)];
    fields.get("onMissingIdentity").is_some_and(|word| word.word(&words).unwrap_or(true))
}

/// The sources in the order of asking; the cookie that Coalmine issues comes last, and may be the only one.
fn read_sources(
    fields: &Fields<'_, '_>,
    may_issue: bool,
    issued: Option<&IssuedCookie>,
) -> Vec<IdentitySource> {
    let why = "say what names the user, as [{header: x-user-id}]";
    let given = match fields.get("identity") {
        None if may_issue => None,
        _ => fields.required("identity", why),
    };
    let mut sources: Vec<IdentitySource> = given.map_or_else(Vec::new, |given| {
        given.filled_items(why).map(|item| IdentitySource::read(&item)).collect()
    });
    sources.extend(issued.map(|cookie| IdentitySource::IssuedCookie(cookie.name.clone())));
    sources
}

/// The bucketer; `None` where its key was not read, or where the algorithm is none.
fn read_bucketer(
    fields: &Fields<'_, '_>,
    algorithm: Option<Algorithm>,
    salt: &str,
    secrets: &mut SecretReader<'_>,
) -> Option<Bucketer> {
    let key = fields.get_secret("key");
    let algorithm = algorithm?;
    if algorithm == Algorithm::Siphash24 {
        let key = match key {
            Some(key) => key,
            None => fields.required("key", "siphash-2-4 needs one, as {env: COALMINE_KEY}")?,
        };
        let key = secrets.read(&key, "32 hexadecimal digits", Key::from_hex);
        return key.map(|key| Bucketer::siphash_2_4(salt, key));
    }
    if let Some(key) = key {
        key.conflict(format!("{} has no key; only siphash-2-4 has", algorithm.name()));
    }
    Some(match algorithm {
        Algorithm::FlagdV2 => Bucketer::flagd_v2(salt),
        Algorithm::GrowthbookV2 => Bucketer::growthbook_v2(salt),
        Algorithm::Unleash => Bucketer::unleash(salt),
        Algorithm::CoalmineV1 | Algorithm::Siphash24 => Bucketer::coalmine_v1(salt),
    })
}

fn read_variants(fields: &Fields<'_, '_>, algorithm: Algorithm) -> Variants {
    if !Route::keeps_weights(fields) {
        return Variants::read(fields, algorithm);
    }
    for name in ["variants", "ranges", "ramp"] {
        if let Some(field) = fields.get(name) {
            field.conflict("the weights stay in the route where it has a bucketHeader; leave this out");
        }
    }
    Variants::of_route()
}
