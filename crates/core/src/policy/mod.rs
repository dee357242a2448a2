//! The policy: all rollouts, compiled from a document once, so that a request only reads.

mod decide;
mod hosts;
mod identity;
mod issued;
mod matching;
mod names;
mod overrides;
mod own;
mod parts;
mod pins;
mod ramp;
mod reading;
mod response;
mod rollout;
mod route;
mod secrets;
mod shadow;
mod trace;
mod variants;
mod weights;

use std::cell::RefCell;
use std::time::Duration;

pub use identity::Source;
pub use matching::Refusal;
pub use rollout::Rollout;
pub use route::Route;
pub use secrets::Environment;
pub use trace::{Asked, Candidate, Trace};

use crate::document::{Cursor, Known, Node, Problems};
use hosts::HostIndex;
use own::OwnHeader;
use rollout::Shared;
use secrets::SecretReader;

const POLICY: Known =
    Known { fields: &["version", "revision", "rollouts", "observe"], unsupported: &["source", "policy"] };
const OBSERVE: Known = Known { fields: &["accessLog"], unsupported: &["responses"] };

/// The version of the document format that this crate reads.
const VERSION: u64 = 1;
/// The highest revision: beyond it a double skips whole numbers.
const MAX_REVISION: u64 = (1 << 53) - 1;

/// All rollouts, as one document gave them. [`Policy::default`] is the empty policy: everybody stable.
#[derive(Debug)]
pub struct Policy {
    revision: Option<u64>,
    rollouts: Vec<Rollout>,
    hosts: HostIndex,
    own_headers: Vec<OwnHeader>,
    /// The cookies that override tokens come in.
    own_cookies: Vec<Box<str>>,
    access_log: bool,
    unread: Vec<String>,
}

// === impl Policy ===

/// The policy of the document `{}`.
impl Default for Policy {
    fn default() -> Self {
        Self {
            revision: None,
            rollouts: Vec::new(),
            hosts: HostIndex::default(),
            own_headers: vec![OwnHeader::of_no_rollout()],
            own_cookies: Vec::new(),
            access_log: false,
            unread: Vec::new(),
        }
    }
}

impl Policy {
    /// The policy of a JSON text, its secrets unread: see [`Policy::from_document`].
    ///
    /// # Errors
    /// Everything that is wrong with the text; a document is taken whole or refused whole.
    pub fn from_json(text: &[u8]) -> Result<Self, Problems> {
        Self::from_document(&Node::from_json(text)?, Environment::Unread)
    }

    /// The policy of a document, with the secrets that it names taken from `environment`.
    ///
    /// A policy whose secrets stay unread is good for checking. Where a draw needs one it sends everybody to stable
    /// (`noPolicy`), and it believes no override token; [`Policy::unread`] names what is missing.
    ///
    /// # Errors
    /// Everything that is wrong with the document, each problem with its place.
    pub fn from_document(document: &Node, environment: Environment<'_>) -> Result<Self, Problems> {
        let problems = RefCell::default();
        let policy = Self::read(&Cursor::new(document, &problems), environment);
        match policy {
            Some(policy) if problems.borrow().is_empty() => Ok(policy),
            _ => Err(problems.into_inner()),
        }
    }

    /// The environment variables that the document names and that were not looked up.
    pub fn unread(&self) -> &[String] {
        &self.unread
    }

    /// Brings every ramp to its step at this point in time, since 1970. A request reads no clock: whoever holds the
    /// policy calls this now and then.
    pub fn follow_clock(&self, now: Duration) {
        for ramp in self.rollouts.iter().filter_map(|rollout| rollout.variants.ramp()) {
            ramp.follow(now);
        }
    }

    /// The number of the document, where it has one.
    pub fn revision(&self) -> Option<u64> {
        self.revision
    }

    /// The rollouts in the order of the document.
    pub fn rollouts(&self) -> &[Rollout] {
        &self.rollouts
    }

    /// Whether each request's decision is to be shown to the proxy's access log.
    pub fn access_log(&self) -> bool {
        self.access_log
    }

    fn read(cursor: &Cursor<'_>, environment: Environment<'_>) -> Option<Self> {
        let fields = cursor.map(&POLICY)?;
        if let Some(version) = fields.get("version")
            && let Some(given) = version.integer(1..=MAX_REVISION)
            && given > VERSION
        {
            version.problem(format!(
                "{given} is newer than this version of Coalmine reads ({VERSION}): upgrade the filters first"
            ));
        }
        let revision = fields.get("revision").and_then(|revision| revision.integer(1..=MAX_REVISION));
        let mut shared = Shared::new(SecretReader::new(environment));
        let items = fields.get("rollouts").and_then(|rollouts| rollouts.list()).unwrap_or_default();
        let rollouts: Vec<Rollout> = items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| Rollout::read(index, item, &mut shared))
            .collect();
        let access_log =
            fields.get("observe").and_then(|observe| observe.map(&OBSERVE)?.get("accessLog")?.boolean());
        let (own_headers, own_cookies) = shared.headers.finish();
        let mut hosts = HostIndex::default();
        for rollout in &rollouts {
            hosts.add(rollout.index, &rollout.matching.hosts);
        }
        Some(Self {
            revision,
            rollouts,
            hosts,
            own_headers,
            own_cookies,
            access_log: access_log.unwrap_or(false),
            unread: shared.secrets.unread,
        })
    }
}
