//! How things are called on pages.

use coalmine_document::number;
use coalmine_steer::text::{duration, percent};
use coalmine_steer::{Phase, Verdict, What};
use maud::{Markup, html};

use crate::api::shapes::Time;

/// A phase as a badge. The colour says nothing that the words do not.
pub(super) fn phase(phase: Phase) -> Markup {
    let (class, text) = match phase {
        Phase::Idle => ("idle", "Idle"),
        Phase::Progressing => ("going", "Progressing"),
        Phase::Paused => ("waits", "Paused"),
        Phase::WaitingForApproval => ("waits", "Waiting for approval"),
        Phase::Promoting => ("good", "Promoting"),
        Phase::RollingBack => ("bad", "Rolling back"),
        Phase::RolledBack => ("bad", "Rolled back"),
    };
    html! { span class={ "badge " (class) } { (text) } }
}

/// A verdict as a word.
pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Rollback => "rollback",
        Verdict::Hold => "hold",
        Verdict::Advance => "advance",
        Verdict::Promote => "promote",
    }
}

/// What a line of history says that happened.
pub(super) fn what(what: What) -> &'static str {
    match what {
        What::Started => "Started",
        What::Advanced => "Weight raised",
        What::Lowered => "Weight lowered",
        What::RollsBack => "Rollback begins",
        What::RolledBack => "Rolled back",
        What::Promotes => "Promotion begins",
        What::Promoted => "Promoted",
        What::Superseded => "Superseded",
        What::NewLife => "Evidence anew",
        What::PolicyChanged => "Policy changed",
        What::Verb => "Asked for",
    }
}

/// A weight in percent.
pub(super) fn weight(weight: u32) -> Markup {
    html! { (percent(weight)) " %" }
}

/// A share in percent, with as many digits as a person reads: `0.24 %`.
pub(super) fn share(share: f64) -> String {
    let value = share * 100.0;
    let decimals = if value >= 10.0 || value == 0.0 {
        1
    } else if value >= 0.1 {
        2
    } else {
        3
    };
    format!("{value:.decimals$} %")
}

/// A number without needless digits.
pub(super) fn plain(value: f64) -> String {
    number((value * 10_000.0).round() / 10_000.0)
}

/// A time for people and machines.
pub(super) fn time(at: u64) -> Markup {
    let whole = Time(at).to_string();
    let shown = whole.replace('T', " ").replace('Z', "");
    html! { time datetime=(whole) { (shown) } }
}

/// A time, and how long ago that is. Both or nothing, where it never was.
pub(super) fn since(at: u64, now: u64) -> Markup {
    html! {
        @if at > 0 { (time(at)) " (" (coarse(now.saturating_sub(at))) " ago)" } @else { "never" }
    }
}

/// A duration in its largest two units.
pub(super) fn coarse(seconds: u64) -> String {
    let unit = if seconds >= 86_400 {
        3_600
    } else if seconds >= 3_600 {
        60
    } else {
        1
    };
    duration(seconds / unit * unit)
}
