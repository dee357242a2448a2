//! What stood at one look, for people and for programs.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use coalmine_judge::assessment::odds;
use coalmine_judge::{Arms, Assessment, Counts, Finding, interval};
use serde::Serialize;

use coalmine_steer::Verdict;

/// One look.
pub(super) struct Look {
    pub(super) time: String,
    pub(super) weight: Option<f64>,
    pub(super) verdict: Verdict,
    pub(super) reasons: Vec<String>,
    pub(super) assessment: Assessment,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LookOutput<'a> {
    time: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
    verdict: Verdict,
    reasons: &'a [String],
    guards: Vec<GuardOutput<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GuardOutput<'a> {
    name: &'a str,
    finding: &'static str,
    /// Natural logarithms of the evidence, and of what is needed.
    harm: f64,
    harm_needed: f64,
    safe: f64,
    safe_needed: f64,
    stable: ArmOutput,
    canary: ArmOutput,
    /// Canary's rate divided by stable's; no upper end where nothing bounds it.
    ratio: [Option<f64>; 2],
    missing: Vec<String>,
}

#[derive(Serialize)]
struct ArmOutput {
    all: u64,
    bad: u64,
}

// === impl Look ===

impl Look {
    /// One line: time, weight, counts and evidence of each guard, verdict and why.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{:>5}  {:20}", self.assessment.looks, crate::output::visible(&self.time));
        let weight = self.weight.map_or_else(String::new, |weight| format!("{weight} %"));
        let _ = write!(text, "  {weight:>7}");
        for guard in &self.assessment.guards {
            let _ = write!(
                text,
                "  {}: canary {} stable {}  harm {}:1 safe {}:1",
                guard.name,
                rate(guard.counts.canary),
                rate(guard.counts.stable),
                odds(guard.harm.log),
                odds(guard.safe.log)
            );
        }
        let colour = match self.verdict {
            Verdict::Rollback => AnsiColor::Red,
            Verdict::Hold => AnsiColor::Yellow,
            Verdict::Advance => AnsiColor::Blue,
            Verdict::Promote => AnsiColor::Green,
        };
        let style = Style::new().fg_color(Some(colour.into()));
        let _ = write!(text, "  {style}{}{style:#}", self.verdict);
        if !self.reasons.is_empty() {
            let _ = write!(text, " ({})", self.reasons.join("; "));
        }
        text.push('\n');
        text
    }

    pub(super) fn output(&self) -> LookOutput<'_> {
        let guards = self.assessment.guards.iter().map(|guard| GuardOutput {
            name: &guard.name,
            finding: finding(guard.finding),
            harm: guard.harm.log,
            harm_needed: guard.harm.needed,
            safe: guard.safe.log,
            safe_needed: guard.safe.needed,
            stable: arm(guard.counts.stable),
            canary: arm(guard.counts.canary),
            ratio: [Some(guard.ratio.low), Some(guard.ratio.high).filter(|high| high.is_finite())],
            missing: guard.missing.iter().map(ToString::to_string).collect(),
        });
        LookOutput {
            time: &self.time,
            weight: self.weight,
            verdict: self.verdict,
            reasons: &self.reasons,
            guards: guards.collect(),
        }
    }
}

pub(super) fn finding(finding: Finding) -> &'static str {
    match finding {
        Finding::Harm { .. } => "harm",
        Finding::Safe => "safe",
        Finding::Undecided => "undecided",
    }
}

fn arm(counts: Counts) -> ArmOutput {
    ArmOutput { all: counts.all, bad: counts.bad }
}

/// Counts as a share of 100: `3/600 0.50 %`.
pub(super) fn rate(counts: Counts) -> String {
    let share = counts.rate().map_or_else(String::new, |rate| format!(" {:.2} %", 100.0 * rate));
    format!("{}/{}{share}", counts.bad, counts.all)
}

/// Rates of both arms with their 95 % intervals, in percent; none without requests.
pub(super) fn rates(counts: Arms<Counts>) -> Arms<Option<[f64; 3]>> {
    counts.map(|counts| {
        let interval = interval::rate(*counts, 0.05, 2000.0)?;
        Some([interval.low, counts.rate()?, interval.high].map(|value| 100.0 * value))
    })
}
