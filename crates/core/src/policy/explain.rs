//! How a decision came about, for people: [`Policy::decide`], observed. No request in a proxy pays for it.

use std::time::Duration;

use super::assignment::Outcome;
use super::compile::Policy;
use super::identity::IdentitySource;
use super::match_rules::Refusal;
use super::observer::Observer;
use super::rollout::Rollout;
use crate::Request;

/// A decision and the steps that led to it.
#[derive(Debug)]
pub struct Explained<'p> {
    /// The rollouts that the request's host may concern, in the order of asking.
    pub candidates: Vec<Candidate<'p>>,
    /// The sources of the rollout that matched that were asked, in their order; only the last may have had a value.
    pub lookups: Vec<SourceLookup<'p>>,
    /// The identity that was issued, where no source had one.
    pub issued: Option<String>,
    /// Whether the identity does not count because one of the headers that were asked for it is repeated.
    pub ambiguous: bool,
    /// What came of it.
    pub outcome: Outcome<'p>,
}

/// A rollout that the request's host may concern.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'p> {
    /// The rollout.
    pub rollout: &'p Rollout,
    /// What came of asking it.
    pub answer: CandidateAnswer<'p>,
}

/// What came of asking a rollout whether it speaks of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CandidateAnswer<'p> {
    /// It does: it is the one that decides.
    Matched,
    /// Its first condition that does not hold.
    Refused(Refusal<'p>),
    /// It was not asked: another one matched before.
    NotAsked,
}

/// A source that was asked for the identity.
#[derive(Clone, Debug)]
pub struct SourceLookup<'p> {
    /// The source.
    pub source: &'p IdentitySource,
    /// Its answer; `None` also for an empty one.
    pub value: Option<Vec<u8>>,
}

/// Keeps what a decision tells.
#[derive(Default)]
struct Recorder<'p> {
    candidates: Vec<Candidate<'p>>,
    lookups: Vec<SourceLookup<'p>>,
    issued: Option<String>,
    ambiguous: bool,
}

// === impl Policy ===

impl Policy {
    /// Decides about this request at this time, and tells how.
    pub fn explain(&self, request: &impl Request, now: Duration) -> Explained<'_> {
        let mut recorder = Recorder::default();
        let outcome = self.decide_observed(request, now, &mut recorder);
        let Recorder { candidates, lookups, issued, ambiguous } = recorder;
        Explained { candidates, lookups, issued, ambiguous, outcome }
    }
}

// === impl Recorder ===

impl<'p> Observer<'p> for Recorder<'p> {
    fn candidate(&mut self, rollout: &'p Rollout, refusal: Option<Refusal<'p>>) {
        let answer = refusal.map_or(CandidateAnswer::Matched, CandidateAnswer::Refused);
        self.candidates.push(Candidate { rollout, answer });
    }

    fn not_asked(&mut self, rollouts: impl Iterator<Item = &'p Rollout>) {
        let answer = CandidateAnswer::NotAsked;
        self.candidates.extend(rollouts.map(|rollout| Candidate { rollout, answer }));
    }

    fn source(&mut self, source: &'p IdentitySource, value: Option<&[u8]>) {
        self.lookups.push(SourceLookup { source, value: value.map(<[u8]>::to_vec) });
    }

    fn issued(&mut self, identity: &str) {
        self.issued = Some(identity.to_owned());
    }

    fn ambiguous(&mut self) {
        self.ambiguous = true;
    }
}
