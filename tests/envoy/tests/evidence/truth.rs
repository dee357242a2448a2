//! What the access log says, and the counters that follow from it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use coalmine_core::Reason;
use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use coalmine_envoy_tests::USER;
use coalmine_harness::Metrics;
use serde_json::Value;

use super::HOST;
use super::kinds::{Kind, THRESHOLDS};

/// How long Envoy may take between the end of a request and the filter's look at it, where there were no headers, in
/// microseconds: the one time that the access log does not have.
const UNSEEN: u64 = 50_000;
/// The classes that count as bad.
const BAD: [&str; 3] = ["5xx", "broken", "server"];
/// The statuses of gRPC that the caller has to answer for.
const GRPC_CLIENT: [&str; 9] = ["1", "3", "5", "6", "7", "9", "10", "11", "16"];
/// The flags of a client that left.
const GONE: [&str; 3] = ["DC", "DPE", "DR"];
/// The flags of what ended before its time otherwise.
const BROKEN: [&str; 10] = ["DT", "LR", "OM", "SI", "UC", "UF", "UMSDR", "UPE", "UR", "UT"];

/// The labels of a counter, with their values.
type Labels = Vec<(&'static str, String)>;

/// Counters by name and labels. Each lies between two numbers, which are mostly one.
#[derive(Default)]
pub(super) struct Truth {
    counters: BTreeMap<(&'static str, Labels), Bounds>,
    /// How many requests are evidence.
    pub(super) requests: u64,
    /// Of each threshold, how many requests the access log cannot tell for slow or not.
    pub(super) undecided: [u64; THRESHOLDS.len()],
    /// When the first filter saw the first pass of requests that were redirected internally, by their ids.
    redirected: BTreeMap<String, u64>,
    /// How far apart the two ends of each known time are, in microseconds; of answers with headers.
    widths: Vec<u64>,
}

#[derive(Clone, Copy, Default)]
struct Bounds {
    least: u64,
    most: u64,
}

/// A line of the access log.
struct Line(Value);

/// Who sent a request: the variant and the group, by the one rule.
type Drawn = (String, String);

/// The lines that are in the file by now, once there are so many.
pub(super) fn lines(path: &Path, count: usize) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(path).ok()?;
    let lines = text.matches('\n').count();
    (lines >= count).then(|| text.lines().take(lines).map(str::to_owned).collect())
}

// === impl Truth ===

impl Truth {
    /// What these lines of the access log come to.
    pub(super) fn of(lines: &[String], kinds: &[Kind], policy: &Policy) -> Result<Self> {
        let kinds: BTreeMap<&str, &Kind> = kinds.iter().map(|kind| (kind.name.as_str(), kind)).collect();
        let mut drawn = BTreeMap::new();
        let mut truth = Self::default();
        let parsed = lines.iter().map(|text| Ok(Line(serde_json::from_str(text).context(text.clone())?)));
        let lines: Vec<Line> = parsed.collect::<Result<_>>()?;
        for line in lines.iter().filter(|line| line.is_redirected()) {
            truth.redirected.insert(line.text("request_id").to_owned(), line.clock("began_before")?);
        }
        let mut problems: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in &lines {
            if let Err(problem) = truth.take(line, &kinds, policy, &mut drawn) {
                let kind = format!("{}: {problem}", line.text("kind"));
                problems.entry(kind).or_default().push(line.0.to_string());
            }
        }
        // One line of each kind will do.
        let problems =
            problems.iter().map(|(what, lines)| format!("{} times {what}: {}\n", lines.len(), lines[0]));
        let problems: String = problems.collect();
        ensure!(problems.is_empty(), "{problems}");
        Ok(truth)
    }

    fn take(
        &mut self,
        line: &Line,
        kinds: &BTreeMap<&str, &Kind>,
        policy: &Policy,
        all_drawn: &mut BTreeMap<String, Drawn>,
    ) -> Result<()> {
        let kind = kinds.get(line.text("kind")).context("no such kind")?;
        if line.is_redirected() {
            ensure!(kind.passes > 1, "it was redirected");
            return Ok(());
        }
        let (reason, variant) = (line.text("reason"), line.text("variant"));
        ensure!(reason == line.text("sort"), "the reason is another one");
        self.add("coalmine_requests_total", &[("variant", variant), ("reason", reason)], 1, 1);
        let class = line.class()?;
        // On a busy machine a timeout may come first; then the access log names it.
        let is_timed_out = line.text("details").contains("timeout");
        ensure!(
            class == kind.class || is_timed_out,
            "it is {class} by the access log, and was sent to be {}",
            kind.class
        );
        if reason != Reason::Bucket.as_str() {
            return Ok(());
        }
        let user = line.text("user");
        if !all_drawn.contains_key(user) {
            all_drawn.insert(user.to_owned(), draw(policy, user)?);
        }
        let (drawn, group) = &all_drawn[user];
        ensure!(variant == drawn, "its user draws {drawn}");
        ensure!(
            ![("canary", "stable"), ("stable", "canary")].contains(&(variant, line.text("cluster"))),
            "a leak"
        );

        self.requests += 1;
        self.add("coalmine_responses_total", &[("variant", variant), ("class", class)], 1, 1);
        self.add("coalmine_all_total", &[("variant", variant), ("group", group)], 1, 1);
        self.add("coalmine_response_milliseconds_count", &[("variant", variant)], 1, 1);
        if BAD.contains(&class) {
            self.add("coalmine_bad_total", &[("variant", variant), ("group", group)], 1, 1);
        }
        let (least, most) = line.took(self.redirected.get(line.text("request_id")).copied())?;
        if !line.text("answered_before").is_empty() {
            self.widths.push(most.saturating_sub(least));
        }
        for (place, threshold) in THRESHOLDS.into_iter().enumerate() {
            let name = format!("{threshold}ms");
            let mut labels = vec![("variant", variant), ("threshold", &*name)];
            if place == 0 {
                labels.push(("group", group));
            }
            let is_slow = |took: u64| u64::from(took > threshold * 1000);
            self.undecided[place] += is_slow(most) - is_slow(least);
            self.add("coalmine_slow_total", &labels, is_slow(least), is_slow(most));
        }
        Ok(())
    }

    fn add(&mut self, name: &'static str, labels: &[(&'static str, &str)], least: u64, most: u64) {
        let labels = labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect();
        let bounds = self.counters.entry((name, labels)).or_default();
        bounds.least += least;
        bounds.most += most;
    }

    /// The counters that are not as they should be, a line each.
    pub(super) fn differences(&self, metrics: &Metrics) -> Vec<String> {
        let mut differences = Vec::new();
        let mut totals: BTreeMap<&str, Bounds> = BTreeMap::new();
        let mut compare = |name: &str, labels: &[(&str, &str)], bounds: Bounds| {
            let found = metrics.sum(name, labels).unwrap_or_default();
            if !(bounds.least as f64..=bounds.most as f64).contains(&found) {
                let Bounds { least, most } = bounds;
                differences
                    .push(format!("{name}{labels:?} is {found}; the access log has {least} to {most}"));
            }
        };
        for ((name, labels), bounds) in &self.counters {
            let labels: Vec<(&str, &str)> = labels.iter().map(|(label, value)| (*label, &**value)).collect();
            compare(name, &labels, *bounds);
            let total = totals.entry(name).or_default();
            total.least += bounds.least;
            total.most += bounds.most;
        }
        // And no other series has anything.
        totals.into_iter().for_each(|(name, total)| compare(name, &[], total));
        differences
    }

    /// What was found, for people.
    pub(super) fn summary(&self) -> String {
        let mut sums: BTreeMap<String, Bounds> = BTreeMap::new();
        for ((_, labels), bounds) in &self.counters {
            let Some((label, value)) =
                labels.iter().find(|(label, _)| ["class", "threshold"].contains(label))
            else {
                continue;
            };
            let sum = sums.entry(format!("{label} {value}")).or_default();
            sum.least += bounds.least;
            sum.most += bounds.most;
        }
        let sums = sums.iter().map(|(what, Bounds { least, most })| match least == most {
            true => format!("{what}: {least}"),
            false => format!("{what}: {least} to {most}"),
        });
        let mut widths = self.widths.clone();
        widths.sort_unstable();
        let width = |percent: usize| widths.get(widths.len() * percent / 100).copied().unwrap_or_default();
        format!(
            "{} are evidence; {}; undecided {:?}; half of the times are known to {} us, 99 % to {} us",
            self.requests,
            sums.collect::<Vec<_>>().join(", "),
            self.undecided,
            width(50),
            width(99)
        )
    }
}

/// The variant and the group of a user.
fn draw(policy: &Policy, user: &str) -> Result<Drawn> {
    let request = StaticRequest::new("GET", HOST, "/").with_header(USER, user);
    let assignment = policy.decide(&request, std::time::Duration::ZERO).assignment;
    let bucketed = assignment.bucketed.context("nobody")?;
    Ok((assignment.variant_name().to_owned(), bucketed.group.number().to_string()))
}

// === impl Line ===

impl Line {
    fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    /// Whether it is about a pass that another one follows.
    fn is_redirected(&self) -> bool {
        self.text("details") == "internal_redirect"
    }

    fn class(&self) -> Result<&'static str> {
        let has_any = |flags: &[&str]| self.text("flags").split(',').any(|flag| flags.contains(&flag));
        let early = if has_any(&GONE) { Some("gone") } else { has_any(&BROKEN).then_some("broken") };
        let code = self.0["code"].as_u64().context("no code")?;
        let is_grpc =
            self.text("type").strip_prefix("application/grpc").is_some_and(|rest| !rest.starts_with('-'));
        if is_grpc && code == 200 {
            let status =
                [self.text("trailer"), self.text("header")].into_iter().find(|status| !status.is_empty());
            return Ok(match status {
                Some("0") => "ok",
                Some(status) if GRPC_CLIENT.contains(&status) => "client",
                Some(_) => "server",
                None => early.unwrap_or("broken"),
            });
        }
        Ok(match code {
            0 => early.unwrap_or("broken"),
            401 | 403 if is_grpc => "client",
            _ if is_grpc => "server",
            101 => "2xx",
            200..300 => early.unwrap_or("2xx"),
            300..400 => early.unwrap_or("3xx"),
            400..500 => "4xx",
            _ => "5xx",
        })
    }

    /// The time until the headers, or to the end where there are none, as the filter must have measured it: at least and
    /// at most, in microseconds. It counts from the first pass, where there was one before this.
    fn took(&self, first_pass: Option<u64>) -> Result<(u64, u64)> {
        let start = self.clock("start")?;
        let (before, behind) = match first_pass {
            None => (self.clock("began_before")?, self.clock("began_behind")?),
            Some(began) => (start, began),
        };
        ensure!(before <= behind, "it began behind its first pass");
        // What is written has lost less than one microsecond.
        let between =
            |first: u64, last: u64| (first.saturating_sub(behind + 1), (last + 1).saturating_sub(before));
        if let (Ok(first), Ok(last)) = (self.clock("answered_behind"), self.clock("answered_before")) {
            return Ok(between(first, last));
        }
        // Whole milliseconds.
        let end = start + self.0["duration"].as_u64().context("no duration")? * 1000;
        Ok(between(end.saturating_sub(1000), end + 1000 + UNSEEN))
    }

    fn clock(&self, field: &str) -> Result<u64> {
        self.text(field).parse().with_context(|| format!("no {field}"))
    }
}
