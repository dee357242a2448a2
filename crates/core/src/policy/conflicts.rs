//! Rules that several rollouts can break together. One function holds them, so that a document, and a server that
//! composes one, say the same about the same rollouts.

use coalmine_document::{Code, Node, OwnedPath, Problem, Related, quoted};

use super::host_index::Places;
use super::pins::MAX_PINS;
use super::rollout::Rollout;
use super::unreachable::takers;
use super::uses::{self, Claim, Kind, Use};

/// The most headers, and the most cookies, that a policy manages: each of them costs every request a look.
const MAX_MANAGED: usize = 4;
/// The most headers that a policy takes identities and conditions from.
const MAX_READ: usize = 64;
/// How many of the other rollouts a problem names.
const MAX_RELATED: usize = 10;

/// Rollouts that may not be in one policy together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The rule that they break.
    pub rule: Rule,
    /// What is wrong and what would be right.
    pub message: String,
    /// The places of the rollouts in the list. The first is the one to change or to leave out: without it, those before
    /// it keep the rule.
    claims: Vec<Claim>,
}

/// A rule for all rollouts of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Names are unique.
    UniqueNames,
    /// A policy manages at most four headers and four cookies.
    FewManagedNames,
    /// A managed header or cookie is not an identity or a condition too.
    ManagedNamesAreNotRead,
    /// A header is a route's or an override's, not both.
    OneRolePerHeader,
    /// A policy takes identities and conditions from at most 64 headers.
    FewHeaders,
    /// A policy has at most 10,000 pins.
    FewPins,
    /// Every rollout can match. A policy that breaks this rule is in force all the same.
    Reachable,
}

/// The rules that these rollouts break together, and which rollouts break them.
pub fn conflicts(rollouts: &[Rollout]) -> Vec<Conflict> {
    let mut found = refusals(rollouts);
    found.extend(unreachable(rollouts));
    found
}

/// The conflicts for which a policy is refused.
pub(super) fn refusals(rollouts: &[Rollout]) -> Vec<Conflict> {
    let mut found = Vec::new();
    names(rollouts, &mut found);
    managed_names(rollouts, Kind::Header, &mut found);
    managed_names(rollouts, Kind::Cookie, &mut found);
    read_headers(rollouts, &mut found);
    pins(rollouts, &mut found);
    found
}

/// The rollouts that can never match, each with an earlier one that takes a part of what it speaks of; together the
/// earlier ones take all of it.
fn unreachable(rollouts: &[Rollout]) -> impl Iterator<Item = Conflict> {
    takers(rollouts).into_iter().map(|(later, earlier)| {
        let name = quoted(rollouts.get(earlier).map_or("", Rollout::name));
        let message = format!(
            "never matches: {name} (rollouts[{earlier}]) comes first and matches every request that this rollout could match; put the more specific one first"
        );
        let claims = [later, earlier].map(|rollout| Claim { rollout, path: OwnedPath::default() });
        Conflict { rule: Rule::Reachable, message, claims: claims.into() }
    })
}

fn names(rollouts: &[Rollout], found: &mut Vec<Conflict>) {
    let mut places = Places::default();
    for (place, rollout) in rollouts.iter().enumerate().filter(|(_, rollout)| !rollout.name().is_empty()) {
        let same = places.entry(rollout.name().as_bytes().into()).or_default();
        if let Some(&earlier) = same.first() {
            let name = quoted(rollout.name());
            let message =
                format!("a second rollout {name}, as rollouts[{earlier}]; names are unique in a policy");
            let claim = |rollout| Claim { rollout, path: OwnedPath::of(&["name"]) };
            found.push(Conflict {
                rule: Rule::UniqueNames,
                message,
                claims: vec![claim(place), claim(earlier)],
            });
        }
        same.push(place);
    }
}

fn managed_names(rollouts: &[Rollout], kind: Kind, found: &mut Vec<Conflict>) {
    let reads = uses::read(rollouts, kind);
    let mut readers = Places::default();
    for (place, read) in reads.iter().enumerate() {
        readers.entry(read.name.as_bytes().into()).or_default().push(place);
    }
    let mut known = Places::default();
    let mut first: Vec<Use<'_>> = Vec::new();
    for managed in uses::managed(rollouts, kind) {
        let places = known.entry(managed.name.as_bytes().into()).or_default();
        if let Some(other) = places.first().and_then(|place| first.get(*place)) {
            if other.routes != managed.routes {
                found.push(two_roles(&managed, other));
            }
            continue;
        }
        places.push(first.len());
        // A rollout that manages what earlier ones read is the one to change, and so is each later one that reads.
        let mut is_told = false;
        for read in
            readers.get(managed.name.as_bytes()).into_iter().flatten().filter_map(|place| reads.get(*place))
        {
            let is_later = read.claim.rollout > managed.claim.rollout;
            if is_later || !std::mem::replace(&mut is_told, true) {
                found.push(managed_and_read(&managed, read));
            }
        }
        if first.len() >= MAX_MANAGED {
            found.push(too_many(&managed, kind, &first));
        }
        first.push(managed);
    }
}

/// The conflict about a name that is a route's and an override's.
fn two_roles(managed: &Use<'_>, other: &Use<'_>) -> Conflict {
    let (name, earlier) = (quoted(managed.name), other.claim.rollout);
    Conflict {
        rule: Rule::OneRolePerHeader,
        message: format!("{name} is a route's header and an override's (rollouts[{earlier}]); use two"),
        claims: vec![managed.claim.clone(), other.claim.clone()],
    }
}

/// The conflict about a name beyond the most that a policy manages.
fn too_many(managed: &Use<'_>, kind: Kind, earlier: &[Use<'_>]) -> Conflict {
    let others = earlier.get(..MAX_MANAGED).unwrap_or_default();
    let mut places: Vec<String> =
        others.iter().map(|other| format!("rollouts[{}]", other.claim.rollout)).collect();
    places.dedup();
    let (name, word, places) = (quoted(managed.name), kind.word(), places.join(", "));
    Conflict {
        rule: Rule::FewManagedNames,
        message: format!(
            "{name} would be managed {word} number {}, after those of {places}; a policy has at most {MAX_MANAGED}, rollouts may share one",
            earlier.len() + 1
        ),
        claims: std::iter::once(managed).chain(others).map(|managed| managed.claim.clone()).collect(),
    }
}

/// The conflict about a name that one rollout manages and one reads; the later of the two is the one to change.
fn managed_and_read(managed: &Use<'_>, read: &Use<'_>) -> Conflict {
    let name = quoted(managed.name);
    let (managed, read) = (&managed.claim, &read.claim);
    let (message, claims) = if read.rollout > managed.rollout {
        let earlier = managed.rollout;
        let message = format!(
            "{name} is managed by rollouts[{earlier}]: what clients send under it is removed, so it can be no identity and no condition"
        );
        (message, [read, managed])
    } else {
        let earlier = read.rollout;
        let message = format!(
            "{name} is also an identity or a condition of this policy (rollouts[{earlier}]), but what clients send under it is removed"
        );
        (message, [managed, read])
    };
    Conflict { rule: Rule::ManagedNamesAreNotRead, message, claims: claims.map(Claim::clone).into() }
}

/// Each header that is read costs a request a look through those that were read before it.
fn read_headers(rollouts: &[Rollout], found: &mut Vec<Conflict>) {
    let mut known = Places::default();
    for read in uses::read(rollouts, Kind::Header) {
        known.entry(read.name.as_bytes().into()).or_default();
        if known.len() > MAX_READ {
            let name = quoted(read.name);
            found.push(Conflict {
                rule: Rule::FewHeaders,
                message: format!(
                    "{name} is one header too many: a policy takes identities and conditions from at most {MAX_READ}"
                ),
                claims: vec![read.claim],
            });
            return;
        }
    }
}

fn pins(rollouts: &[Rollout], found: &mut Vec<Conflict>) {
    let mut total = 0;
    let mut earlier = Vec::new();
    for (place, count) in rollouts.iter().map(|rollout| rollout.pins.count()).enumerate() {
        total += count;
        if count > 0 {
            earlier.push(Claim { rollout: place, path: OwnedPath::of(&["pins"]) });
        }
        if total > MAX_PINS {
            earlier.reverse();
            found.push(Conflict {
                rule: Rule::FewPins,
                message: format!("with these the policy has {total} pins; at most {MAX_PINS}"),
                claims: earlier,
            });
            return;
        }
    }
}

// === impl Conflict ===

impl Conflict {
    /// The rollouts, by their places in the list, the one to change or to leave out first.
    pub fn rollouts(&self) -> impl Iterator<Item = usize> {
        self.claims.iter().map(|claim| claim.rollout)
    }

    /// The conflict as a problem of the document with these rollouts.
    pub fn to_problem(&self, document: &Node) -> Problem {
        let mut places = self.claims.iter().map(|claim| {
            let path = OwnedPath::of(&["rollouts"]).item(claim.rollout).join(&claim.path);
            let span = path.span_in(document);
            Related { path, span }
        });
        let Related { path, span } =
            places.next().unwrap_or(Related { path: OwnedPath::default(), span: document.span });
        let related = places.take(MAX_RELATED).collect();
        Problem { path, span, code: Code::Conflict, message: self.message.clone(), related }
    }
}
