//! The last look in words.

use std::fmt::Write as _;

use coalmine_judge::assessment::{Users, odds};
use coalmine_judge::trust::Check;
use coalmine_judge::{Config, Finding, GuardAssessment, GuardConfig};

use super::guards;
use super::look::{Look, rates};

/// Why the verdict is as it is.
pub(super) fn text(look: &Look, config: &Config) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "\nVerdict after {} batches: {}.", look.assessment.looks, look.verdict);
    for reason in &look.reasons {
        let _ = writeln!(text, "  because {reason}");
    }
    for (guard, config) in look.assessment.guards.iter().zip(&config.guards) {
        describe(&mut text, guard, config);
    }
    let _ = writeln!(text, "\nCan the data be believed?");
    for (name, check) in look.assessment.trust.checks() {
        let words = match check {
            Check::NotChecked => "not checked: the evidence does not have what it needs".to_owned(),
            Check::Fine => "nothing to doubt".to_owned(),
            Check::Doubt(doubt) => doubt.to_string(),
        };
        let _ = writeln!(text, "  {name}: {words}");
    }
    text
}

fn describe(text: &mut String, guard: &GuardAssessment, config: &GuardConfig) {
    let _ = writeln!(text, "\n{}: {}.", guard.name, guards::words(config));
    let arms = rates(guard.counts);
    for (name, counts, rate) in
        [("stable", guard.counts.stable, arms.stable), ("canary", guard.counts.canary, arms.canary)]
    {
        let interval = match rate {
            Some([low, rate, high]) => {
                format!("{rate:.3} %, at every look at once between {low:.3} and {high:.3} % (95 %)")
            }
            None => "no rate".to_owned(),
        };
        let _ = writeln!(text, "  {name}: {} bad of {} requests, {interval}", counts.bad, counts.all);
    }
    let high = match guard.ratio.high.is_finite() {
        true => format!("and {:.2}", guard.ratio.high),
        false => "and any number".to_owned(),
    };
    let _ = writeln!(
        text,
        "  The canary's rate is between {:.2} {high} times that of stable (95 %).",
        guard.ratio.low
    );
    let side = |text: &mut String, what: &str, evidence: coalmine_judge::assessment::Evidence| {
        let proved = if evidence.is_proof() { "proved" } else { "not proved" };
        let _ = writeln!(
            text,
            "  {what}: evidence {} to 1 of {} to 1 needed: {proved}.",
            odds(evidence.log),
            odds(evidence.needed)
        );
    };
    side(text, "Harm", guard.harm);
    side(text, "Safety", guard.safe);
    let _ = match guard.finding {
        Finding::Harm { at } => writeln!(text, "  Harm was proved at look {at}."),
        Finding::Safe => writeln!(text, "  The canary is good enough."),
        Finding::Undecided => writeln!(
            text,
            "  Undecided: {}.",
            guard.missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        ),
    };
    let _ = match guard.users {
        Users::NotChecked => writeln!(
            text,
            "  The evidence has no hash groups, so one noisy user cannot be told from a bad version."
        ),
        Users::Checked => {
            writeln!(text, "  Harm is judged without the canary's worst two of 16 groups of users.")
        }
        Users::FewInCanary => writeln!(
            text,
            "  There is evidence for harm in at most two of 16 groups of users: perhaps a few users, not the version."
        ),
        Users::HiddenByGroup(group) => writeln!(
            text,
            "  Harm would be proved without group {group}: a few users of stable may hide it. A person should look."
        ),
    };
}
