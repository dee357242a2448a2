//! From a document to the policy.

use coalmine_document::{Code, Cursor, Known, MAX_VALUES, Node, Problem, Problems, Reader, Span, json};

use super::conflicts::refusals;
use super::host_index::HostIndex;
use super::managed_headers::{ManagedHeader, managed_cookies, managed_headers};
use super::notes::Notes;
use super::observe::Observe;
use super::rollout::Rollout;
use super::secrets::{Environment, SecretReader};

const POLICY: Known = Known::new(&["version", "revision", "rollouts", "observe"]);

/// The version of the document format that this crate reads.
const VERSION: u64 = 1;
/// The highest revision: beyond it a double skips whole numbers.
pub(super) const MAX_REVISION: u64 = (1 << 53) - 1;

/// All rollouts, as one document gave them. [`Policy::default`] is the empty policy: all users stable.
#[derive(Debug)]
pub struct Policy {
    revision: Option<u64>,
    rollouts: Vec<Rollout>,
    pub(super) hosts: HostIndex,
    pub(super) managed_headers: Vec<ManagedHeader>,
    /// The cookies that override tokens come in.
    pub(super) managed_cookies: Vec<Box<str>>,
    observe: Observe,
    unread: Vec<String>,
}

/// A document after its reading.
#[derive(Debug)]
pub struct Compiled {
    /// The policy, or everything that is wrong with the document, each problem with its place.
    pub policy: Result<Policy, Problems>,
    /// Where the document has secrets, right or wrong: what no excerpt may show.
    pub secrets: Vec<Span>,
}

// === impl Policy ===

/// The policy of the document `{}`.
impl Default for Policy {
    fn default() -> Self {
        Self {
            revision: None,
            rollouts: Vec::new(),
            hosts: HostIndex::default(),
            managed_headers: managed_headers(&mut []),
            managed_cookies: Vec::new(),
            observe: Observe::default(),
            unread: Vec::new(),
        }
    }
}

impl Policy {
    /// The property of a request under which the host has to keep [`Outcome::notes`](super::Outcome::notes) across
    /// internal redirects.
    pub const NOTES: &str = Notes::PLACE;

    /// The policy of a JSON text, its secrets unread: see [`Policy::from_document`].
    ///
    /// # Errors
    /// Everything that is wrong with the text; a document is taken whole or refused whole.
    pub fn from_json(text: &[u8]) -> Result<Self, Problems> {
        Self::from_document(&json::read(text)?, Environment::Unread)
    }

    /// The policy of a document, with the secrets that it names taken from `environment`.
    ///
    /// A policy whose secrets stay unread is good for checking. Where a bucket needs one it sends all users to stable
    /// (`noKey`), and it accepts no override token; [`Policy::unread`] names what is missing.
    ///
    /// # Errors
    /// Everything that is wrong with the document, each problem with its place.
    pub fn from_document(document: &Node, environment: Environment<'_>) -> Result<Self, Problems> {
        Self::compile(document, environment).policy
    }

    /// The policy of a document, and where the document has secrets.
    pub fn compile(document: &Node, environment: Environment<'_>) -> Compiled {
        let count = document.count();
        if count > MAX_VALUES {
            let message = format!("{count} values; a policy document may have at most {MAX_VALUES}");
            let problem = Problem { span: document.span, ..Problem::of_document(Code::TooLarge, message) };
            // It is not read, so a secret may stand anywhere.
            return Compiled { policy: Err(problem.into()), secrets: vec![document.span] };
        }
        let reader = Reader::default();
        let mut policy = Self::read(&reader.cursor(document), environment);
        for conflict in refusals(&policy.rollouts) {
            reader.push(conflict.to_problem(document));
        }
        policy.managed_headers = managed_headers(&mut policy.rollouts);
        policy.managed_cookies = managed_cookies(&policy.rollouts);
        policy.hosts = HostIndex::of(policy.rollouts.iter().map(|rollout| &*rollout.matching.hosts));
        let (problems, secrets) = reader.finish();
        Compiled { policy: if problems.is_empty() { Ok(policy) } else { Err(problems) }, secrets }
    }

    /// The environment variables that the document names and that were not looked up.
    pub fn unread(&self) -> &[String] {
        &self.unread
    }

    /// Whether some of its outcomes have notes.
    pub fn leaves_notes(&self) -> bool {
        self.rollouts.iter().any(|rollout| rollout.issued.is_some() || rollout.override_.is_some())
    }

    /// The number of the document, where it has one.
    pub fn revision(&self) -> Option<u64> {
        self.revision
    }

    /// The rollouts in the order of the document.
    pub fn rollouts(&self) -> &[Rollout] {
        &self.rollouts
    }

    /// What is told about requests besides their assignment.
    pub fn observe(&self) -> &Observe {
        &self.observe
    }

    fn read(cursor: &Cursor<'_, '_>, environment: Environment<'_>) -> Self {
        let fields = cursor.fields(&POLICY);
        if let Some(version) = fields.get("version")
            && let Some(given) = version.integer(1..=MAX_REVISION)
            && given > VERSION
        {
            version.problem(format!(
                "{given} is newer than this version of Coalmine reads ({VERSION}): upgrade the filters first"
            ));
        }
        let revision = fields.get("revision").and_then(|revision| revision.integer(1..=MAX_REVISION));
        let mut secrets = SecretReader::new(environment);
        let rollouts = fields.get("rollouts").map_or_else(Vec::new, |rollouts| {
            let items = rollouts.items().enumerate();
            items.map(|(index, item)| Rollout::read(index, &item, &mut secrets)).collect()
        });
        let observe = fields.get("observe").map(|observe| Observe::read(&observe)).unwrap_or_default();
        Self { revision, rollouts, observe, unread: secrets.unread, ..Self::default() }
    }
}
