//! How a decision came about, for people: what [`Policy::decide`] asked, step by step. No request pays for it.

use super::reading::Reading;
use super::{Policy, Refusal, Rollout, Source};
use crate::Request;
use crate::decision::{Outcome, Reason};

/// A decision and the way to it.
#[derive(Debug)]
pub struct Trace<'p> {
    /// The rollouts that the request's host may concern, in the order of asking. The first that nothing refuses is the
    /// one that matched.
    pub candidates: Vec<Candidate<'p>>,
    /// The sources of the rollout that matched that were asked, in their order; only the last may have had a value.
    pub asked: Vec<Asked<'p>>,
    /// What came of it.
    pub outcome: Outcome<'p>,
}

/// A rollout that the request's host may concern.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'p> {
    /// The rollout.
    pub rollout: &'p Rollout,
    /// Its first condition that does not hold.
    pub refused: Option<Refusal<'p>>,
}

/// A source that was asked who the user is.
#[derive(Clone, Debug)]
pub struct Asked<'p> {
    /// The source.
    pub source: &'p Source,
    /// Its answer; `None` also for an empty one.
    pub value: Option<Vec<u8>>,
}

// === impl Policy ===

impl Policy {
    /// Decides about this request, and tells how.
    pub fn trace(&self, request: &impl Request) -> Trace<'_> {
        let reading = Reading::new(request);
        let authority = request.header(":authority").unwrap_or_default();
        let candidates = self
            .candidates(&authority)
            .map(|rollout| Candidate { rollout, refused: rollout.matching.refused_by(&reading) })
            .collect();
        let outcome = self.decide(request);
        let sources = outcome
            .decision
            .rollout
            .filter(|_| !matches!(outcome.decision.reason, Reason::Disabled | Reason::Override))
            .map_or(&[][..], |rollout| rollout.sources());
        let mut asked: Vec<Asked<'_>> = Vec::new();
        for source in sources {
            let value = source.identity(&reading);
            let is_last = value.is_some();
            asked.push(Asked { source, value });
            if is_last {
                break;
            }
        }
        Trace { candidates, asked, outcome }
    }
}
