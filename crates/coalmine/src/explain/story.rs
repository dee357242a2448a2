//! A decision, told.

use std::fmt;

use anstyle::{AnsiColor, Style};
use coalmine_core::decision::{Decision, OverrideResult};
use coalmine_core::policy::{Policy, Refusal, Rollout, Source, Trace};
use coalmine_core::{Edit, Reason};
use serde::Serialize;

use super::request::RequestLine;
use super::source_name;
use crate::terminal::visible;

/// How a user comes to a variant.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Story {
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<Candidate>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    asked: Vec<Asked>,
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
}

#[derive(Serialize)]
struct Candidate {
    rollout: String,
    matched: bool,
    why: String,
}

#[derive(Serialize)]
struct Asked {
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

// === impl Story ===

impl Story {
    /// Of somebody who is known already, in this rollout.
    pub(super) fn of_user(rollout: &Rollout, user: &str) -> Self {
        let decision = rollout.assign(Some(user.as_bytes()));
        Self::new(&decision, Some(user.to_owned()).filter(|user| !user.is_empty()))
    }

    /// Of a request, which finds its rollout and its user itself; `given` says where a user was put.
    pub(super) fn of_request(
        policy: &Policy,
        line: RequestLine<'_>,
        trace: &Trace<'_>,
        given: Option<(&str, &Source)>,
    ) -> Self {
        let decision = &trace.outcome.decision;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let asked: Vec<Asked> = trace
            .asked
            .iter()
            .map(|asked| Asked { source: source_name(asked.source), value: asked.value.as_deref().map(text) })
            .collect();
        let user = trace.asked.last().and_then(|asked| asked.value.as_deref()).map(text);
        let mut story = Self::new(decision, user);
        let given = given.map(|(user, source)| format!(", with {user:?} in {}", source_name(source)));
        let request = format!("{} {}{}", line.method, line.authority, line.path);
        story.request = Some(request + &given.unwrap_or_default());
        story.candidates = candidates(policy, trace);
        story.asked = asked;
        if decision.reason == Reason::NoIdentity && story.user.is_some() {
            story.because =
                "a header that names the user came twice: somebody is guessing, so nobody is drawn for"
                    .to_owned();
        }
        let edit = |edit: &Edit<'_>| match edit {
            Edit::Set(name, value) => Change { name: (*name).to_owned(), value: Some(text(value)) },
            Edit::Remove(name) => Change { name: (*name).to_owned(), value: None },
        };
        story.override_token = trace.outcome.override_result.map(OverrideResult::as_str);
        story.headers = trace.outcome.edits.iter().map(edit).collect();
        story
    }

    fn new(decision: &Decision<'_>, user: Option<String>) -> Self {
        let rollout = decision.rollout;
        let draws = rollout.filter(|_| decision.lot.is_some());
        let mut start = 0;
        let ranges =
            draws.map_or(&[][..], |rollout| rollout.ranges().table()).iter().map(|&(end, variant)| {
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
            rollout: rollout.map(|rollout| rollout.name().to_owned()),
            user,
            algorithm: draws.map(|rollout| rollout.algorithm().name()),
            salt: draws.map(|rollout| rollout.salt().to_owned()),
            bucket: decision.lot.map(|lot| lot.bucket.number()),
            group: decision.lot.map(|lot| lot.group.number()),
            ranges: ranges.collect(),
            variant: decision.variant_name().to_owned(),
            reason: decision.reason.as_str(),
            because: because(decision),
            headers: Vec::new(),
            override_token: None,
        }
    }
}

fn candidates(policy: &Policy, trace: &Trace<'_>) -> Vec<Candidate> {
    let matched = trace.outcome.decision.rollout.map(Rollout::index);
    let mut told = Vec::new();
    for candidate in &trace.candidates {
        let is_matched = Some(candidate.rollout.index()) == matched;
        let why = match candidate.refused {
            None if is_matched => "its host and every condition hold".to_owned(),
            None => "would match, but an earlier one does".to_owned(),
            Some(Refusal::Path) => "none of its paths is the request's".to_owned(),
            Some(Refusal::Method) => "none of its methods is the request's".to_owned(),
            Some(Refusal::Header(name)) => format!("its condition on header {name} does not hold"),
        };
        told.push(Candidate { rollout: candidate.rollout.name().to_owned(), matched: is_matched, why });
    }
    for rollout in policy.rollouts() {
        if !trace.candidates.iter().any(|candidate| candidate.rollout.index() == rollout.index()) {
            let why = "none of its hosts is the request's".to_owned();
            told.push(Candidate { rollout: rollout.name().to_owned(), matched: false, why });
        }
    }
    told
}

fn because(decision: &Decision<'_>) -> String {
    let issues = decision.rollout.is_some_and(Rollout::issues_cookie);
    match decision.reason {
        Reason::Bucket => match decision.lot {
            Some(lot) => format!("bucket {} lies in its range", lot.bucket),
            None => "the bucket lies in its range".to_owned(),
        },
        Reason::Pinned => "the policy pins this identity, whatever it draws".to_owned(),
        Reason::NoIdentity if issues => {
            "nothing names the user; a random identity is issued in a cookie, and drawn for from then on"
                .to_owned()
        }
        Reason::NoIdentity => "nothing names the user, and nobody is drawn for without a name".to_owned(),
        Reason::Disabled => "the rollout is switched off (enabled: false)".to_owned(),
        Reason::NoMatch => "no rollout speaks of this request".to_owned(),
        Reason::Override => "a signed override token forces it".to_owned(),
        Reason::NoPolicy => "there is no key to draw with".to_owned(),
    }
}

const LABEL: Style = Style::new().bold();

impl fmt::Display for Story {
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
            let mark = if candidate.matched { "matches" } else { "no" };
            line(label, &format!("{}: {mark}, {}", candidate.rollout, candidate.why))?;
        }
        if let (Some(rollout), true) = (&self.rollout, self.request.is_none()) {
            line("rollout", rollout)?;
        }
        for (index, asked) in self.asked.iter().enumerate() {
            let label = if index == 0 { "identity" } else { "" };
            let value =
                asked.value.as_ref().map_or_else(|| "nothing".to_owned(), |value| format!("{value:?}"));
            line(label, &format!("{}: {value}", asked.source))?;
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
        if let Some(result) = self.override_token {
            line("override", &format!("the token is {result}"))?;
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
