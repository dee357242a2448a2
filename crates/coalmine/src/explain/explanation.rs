//! The explanation of a decision, for people and for programs.

use std::fmt;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use coalmine_core::policy::{CandidateAnswer, Explained, IdentitySource, Policy, Refusal, Rollout};
use coalmine_core::{Assignment, Edit, OverrideResult, Reason};
use serde::Serialize;

use super::request::RequestLine;
use super::source_name;
use crate::output::visible;

/// How a user comes to a variant.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explanation {
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<Candidate>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    asked: Vec<Lookup>,
    /// The identity that the filter issues: a random one.
    #[serde(skip_serializing_if = "Option::is_none")]
    issued: Option<String>,
    /// Whether the identity that is issued is another one at each run.
    #[serde(skip)]
    pub(super) is_random: bool,
    rollout: Option<String>,
    user: Option<String>,
    algorithm: Option<&'static str>,
    salt: Option<String>,
    bucket: Option<u32>,
    group: Option<u8>,
    ranges: Vec<Range>,
    variant: String,
    reason: &'static str,
    /// What follows from the reason, in a sentence.
    because: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Change>,
    /// What became of an override token, where the request had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    override_token: Option<&'static str>,
    #[serde(skip)]
    override_result: Option<OverrideResult>,
}

#[derive(Serialize)]
struct Candidate {
    rollout: String,
    matched: bool,
    why: String,
    #[serde(skip)]
    asked: bool,
}

/// A source of identity that was asked.
#[derive(Serialize)]
struct Lookup {
    source: String,
    value: Option<String>,
}

#[derive(Serialize)]
struct Range {
    from: u32,
    to: u32,
    variant: String,
}

/// A change of the request's headers.
#[derive(Serialize)]
struct Change {
    name: String,
    /// `null`: the header is removed.
    value: Option<String>,
}

// === impl Explanation ===

impl Explanation {
    /// The explanation for a user who is known already, in this rollout.
    pub(super) fn of_user(rollout: &Rollout, user: &str, at: Duration) -> Self {
        let assignment = rollout.assign(Some(user.as_bytes()), at);
        Self::new(&assignment, Some(user.to_owned()).filter(|user| !user.is_empty()), at)
    }

    /// The explanation of a request, which finds its rollout and its user itself; `given` says where a user was put.
    pub(super) fn of_request(
        policy: &Policy,
        line: RequestLine<'_>,
        explained: &Explained<'_>,
        given: Option<(&str, &IdentitySource)>,
        at: Duration,
    ) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let lookups = explained.lookups.iter().map(|lookup| Lookup {
            source: source_name(lookup.source),
            value: lookup.value.as_deref().map(text),
        });
        let found = explained.lookups.last().and_then(|lookup| lookup.value.as_deref()).map(text);
        let user = found.or_else(|| explained.issued.clone()).filter(|_| !explained.ambiguous);
        let given = given.map(|(user, source)| format!(", with {user:?} in {}", source_name(source)));
        let request = format!("{} {}{}", line.method, line.authority, line.path);
        let edit = |edit: &Edit<'_>| match edit {
            Edit::Set(name, value) => Change { name: (*name).to_owned(), value: Some(text(value)) },
            Edit::Remove(name) => Change { name: (*name).to_owned(), value: None },
        };
        let outcome = &explained.outcome;
        let mut explanation = Self {
            request: Some(request + &given.unwrap_or_default()),
            candidates: candidates(policy, explained),
            asked: lookups.collect(),
            issued: explained.issued.clone(),
            override_token: outcome.override_result.map(OverrideResult::as_str),
            override_result: outcome.override_result,
            headers: outcome.edits.iter().map(edit).collect(),
            ..Self::new(&outcome.assignment, user, at)
        };
        if explained.ambiguous && outcome.assignment.reason == Reason::NoIdentity {
            explanation.because =
                "a header that names the user is repeated, so no identity counts".to_owned();
        }
        explanation
    }

    fn new(assignment: &Assignment<'_>, user: Option<String>, at: Duration) -> Self {
        let rollout = assignment.rollout;
        let bucketed = rollout.filter(|_| assignment.bucketed.is_some());
        let mut start = 0;
        let ranges =
            bucketed.map_or(&[][..], |rollout| rollout.ranges(at).table()).iter().map(|&(end, variant)| {
                let from = std::mem::replace(&mut start, end);
                Range {
                    from,
                    to: end,
                    variant: rollout.map_or("", |rollout| rollout.variant_name(variant)).to_owned(),
                }
            });
        Self {
            request: None,
            candidates: Vec::new(),
            asked: Vec::new(),
            issued: None,
            is_random: false,
            rollout: rollout.map(|rollout| rollout.name().to_owned()),
            user,
            algorithm: bucketed.map(|rollout| rollout.algorithm().name()),
            salt: bucketed.map(|rollout| rollout.salt().to_owned()),
            bucket: assignment.bucketed.map(|bucketed| bucketed.bucket.number()),
            group: assignment.bucketed.map(|bucketed| bucketed.group.number()),
            ranges: ranges.collect(),
            variant: assignment.variant_name().to_owned(),
            reason: assignment.reason.as_str(),
            because: because(assignment),
            headers: Vec::new(),
            override_token: None,
            override_result: None,
        }
    }
}

fn candidates(policy: &Policy, explained: &Explained<'_>) -> Vec<Candidate> {
    let matched = explained.outcome.assignment.rollout_name();
    let mut all: Vec<Candidate> = explained
        .candidates
        .iter()
        .map(|candidate| {
            let why = match candidate.answer {
                CandidateAnswer::Matched => "its host and every condition hold".to_owned(),
                CandidateAnswer::NotAsked => format!("not asked: {matched} matched before it"),
                CandidateAnswer::Refused(Refusal::Path) => "none of its paths is the request's".to_owned(),
                CandidateAnswer::Refused(Refusal::Method) => {
                    "none of its methods is the request's".to_owned()
                }
                CandidateAnswer::Refused(Refusal::Header(name)) => {
                    format!("its condition on header {name} does not hold")
                }
            };
            let rollout = candidate.rollout.name().to_owned();
            Candidate {
                rollout,
                matched: candidate.answer == CandidateAnswer::Matched,
                why,
                asked: candidate.answer != CandidateAnswer::NotAsked,
            }
        })
        .collect();
    let by_host = |rollout: &&Rollout| {
        !explained.candidates.iter().any(|candidate| candidate.rollout.index() == rollout.index())
    };
    all.extend(policy.rollouts().iter().filter(by_host).map(|rollout| Candidate {
        rollout: rollout.name().to_owned(),
        matched: false,
        why: "none of its hosts is the request's".to_owned(),
        asked: true,
    }));
    all
}

fn because(assignment: &Assignment<'_>) -> String {
    match assignment.reason {
        Reason::Bucket => match assignment.bucketed {
            Some(bucketed) => format!("bucket {} lies in its range", bucketed.bucket),
            None => "the bucket lies in its range".to_owned(),
        },
        Reason::Pinned => "the policy pins this identity, whatever its bucket".to_owned(),
        Reason::NoIdentity => {
            "no source names the user, and a request without an identity is stable".to_owned()
        }
        Reason::Disabled => "the rollout is switched off (enabled: false)".to_owned(),
        Reason::NoMatch => "no rollout matches this request".to_owned(),
        Reason::Override => "a signed override token forces it".to_owned(),
        Reason::NoKey => "the key of the rollout was not read".to_owned(),
    }
}

/// What became of an override token, in a sentence.
fn override_sentence(result: OverrideResult) -> &'static str {
    match result {
        OverrideResult::Malformed => "the value is not a token, or its header is repeated",
        OverrideResult::Signature => "no secret of this rollout has signed the token",
        OverrideResult::Rollout => "the token is for another rollout",
        OverrideResult::Variant => "the rollout has no such variant",
        OverrideResult::Expired => "the token has expired",
        OverrideResult::TooFar => "the token would be valid for more than a day",
        OverrideResult::Accepted => "the token is accepted",
    }
}

const LABEL: Style = Style::new().bold();

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |label: &str, text: &str| {
            let label = format!("{label:<10}");
            writeln!(f, "{LABEL}{label}{LABEL:#}  {}", visible(text))
        };
        if let Some(request) = &self.request {
            line("request", request)?;
        }
        for (index, candidate) in self.candidates.iter().enumerate() {
            let label = if index == 0 { "rollouts" } else { "" };
            let mark = match (candidate.matched, candidate.asked) {
                (true, _) => "matches, ",
                (false, true) => "no, ",
                (false, false) => "",
            };
            line(label, &format!("{}: {mark}{}", candidate.rollout, candidate.why))?;
        }
        if let (Some(rollout), true) = (&self.rollout, self.request.is_none()) {
            line("rollout", rollout)?;
        }
        for (index, lookup) in self.asked.iter().enumerate() {
            let label = if index == 0 { "identity" } else { "" };
            let value =
                lookup.value.as_ref().map_or_else(|| "nothing".to_owned(), |value| format!("{value:?}"));
            line(label, &format!("{}: {value}", lookup.source))?;
        }
        if let Some(issued) = &self.issued {
            let random = if self.is_random { ", random: another one at the next run" } else { "" };
            line("issued", &format!("{issued}{random}"))?;
        }
        if let (Some(user), true) = (&self.user, self.asked.is_empty()) {
            line("user", user)?;
        }
        if let (Some(algorithm), Some(salt), Some(bucket)) = (self.algorithm, &self.salt, self.bucket) {
            line("draw", &format!("{algorithm} under salt {salt:?}: bucket {bucket} of 0..=999999"))?;
        }
        for (index, range) in self.ranges.iter().enumerate() {
            let is_here = self.bucket.is_some_and(|bucket| (range.from..range.to).contains(&bucket));
            let label = if index == 0 { "ranges" } else { "" };
            let here = if is_here { "  <- here" } else { "" };
            line(label, &format!("{:>6}..={:<6}  {}{here}", range.from, range.to - 1, range.variant))?;
        }
        if let Some(result) = self.override_result {
            line("override", override_sentence(result))?;
        }
        for (index, change) in self.headers.iter().enumerate() {
            let label = if index == 0 { "headers" } else { "" };
            match &change.value {
                Some(value) => line(label, &format!("{}: {value}", change.name))?,
                None => line(label, &format!("{} is removed: the client sent it", change.name))?,
            }
        }
        let colour = if self.variant == "stable" { AnsiColor::Green } else { AnsiColor::Yellow };
        let style = Style::new().bold().fg_color(Some(colour.into()));
        let label = format!("{:<10}", "variant");
        writeln!(
            f,
            "{LABEL}{label}{LABEL:#}  {style}{}{style:#}, reason {}: {}",
            self.variant, self.reason, self.because
        )
    }
}
