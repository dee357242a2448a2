//! The names of headers and cookies that rollouts manage or read, each with its place.

use coalmine_document::OwnedPath;

use super::identity::IdentitySource;
use super::rollout::Rollout;

/// What a name is the name of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Header,
    Cookie,
}

/// A place in a list of rollouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) rollout: usize,
    /// The place inside the rollout.
    pub(super) path: OwnedPath,
}

/// A name that a rollout manages or reads.
pub(super) struct Use<'p> {
    pub(super) name: &'p str,
    /// Whether it is a route's name, an override's otherwise. Of a name that is only read it says nothing.
    pub(super) routes: bool,
    pub(super) claim: Claim,
}

// === impl Kind ===

impl Kind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Cookie => "cookie",
        }
    }
}

/// Every header or cookie that the rollouts manage, in their order. A name that could not be read is left out.
pub(super) fn managed(rollouts: &[Rollout], kind: Kind) -> Vec<Use<'_>> {
    let mut uses = Vec::new();
    for (place, rollout) in rollouts.iter().enumerate() {
        let mut add = |name, routes, path| {
            uses.push(Use { name, routes, claim: Claim { rollout: place, path } });
        };
        if kind == Kind::Header {
            add(rollout.route().header(), true, rollout.route().header_path());
        }
        let (name, field) = match kind {
            Kind::Header => (rollout.override_header(), "header"),
            Kind::Cookie => (rollout.override_cookie(), "cookie"),
        };
        if let Some(name) = name {
            add(name, false, OwnedPath::of(&["override", field]));
        }
    }
    uses.retain(|managed| !managed.name.is_empty());
    uses
}

/// Every header or cookie that the rollouts take an identity or a condition from.
pub(super) fn read(rollouts: &[Rollout], kind: Kind) -> Vec<Use<'_>> {
    let mut uses = Vec::new();
    for (place, rollout) in rollouts.iter().enumerate() {
        let mut add = |name, path| {
            uses.push(Use { name, routes: false, claim: Claim { rollout: place, path } });
        };
        for (index, source) in rollout.sources().iter().enumerate() {
            let item = || OwnedPath::of(&["identity"]).item(index);
            match source {
                IdentitySource::Header(name) if kind == Kind::Header => add(name, item().field("header")),
                IdentitySource::Cookie(name) if kind == Kind::Cookie => add(name, item().field("cookie")),
                IdentitySource::IssuedCookie(name) if kind == Kind::Cookie => {
                    let is_named = rollout.issued.as_ref().is_some_and(|cookie| cookie.is_named);
                    let path: &[_] = if is_named { &["cookie", "name"] } else { &["onMissingIdentity"] };
                    add(name, OwnedPath::of(path));
                }
                _ => {}
            }
        }
        if kind == Kind::Header {
            for (index, header) in rollout.matching.headers.iter().enumerate() {
                add(&header.name, OwnedPath::of(&["match", "headers"]).item(index).field("name"));
            }
        }
    }
    uses.retain(|read| !read.name.is_empty());
    uses
}
