//! What the judge knows of a release: both arms, each guard with its threshold, and whether the counts can be believed.

use coalmine_judge::assessment::{Users, odds};
use coalmine_judge::config::Margin;
use coalmine_judge::interval::{self, Interval};
use coalmine_judge::trust::Check;
use coalmine_judge::{Arms, Assessment, Counts, Finding, GuardAssessment};
use coalmine_steer::plan::{Guard, GuardSource};
use coalmine_steer::text::thousands;
use coalmine_steer::{Plan, State, remembered};
use maud::{Markup, html};

use super::{chart, words};

/// Of an interval, the chance that it ever misses the rate, and the requests at which it is narrowest.
const ALPHA: f64 = 0.05;
const BEST_AT: f64 = 2_000.0;

/// What is known of the latest release.
pub(super) fn show(plan: &Plan, state: &State) -> Markup {
    let judge = state.release.as_ref().and_then(|release| remembered(plan, &release.life).ok());
    let Some(judge) = judge else {
        return html! {
            section aria-labelledby="evidence" {
                h2 #evidence { "Evidence" }
                p.dim { "Nothing has been judged yet." }
                @for guard in &plan.guards { (planned(guard)) }
            }
        };
    };
    let assessment = judge.assess();
    html! {
        section aria-labelledby="evidence" {
            h2 #evidence { "Evidence" }
            div.guards {
                @for (guard, found) in plan.guards.iter().zip(&assessment.guards) { (of_guard(guard, found)) }
            }
            p.dim.small {
                "Rates are sums over the release. An interval has the rates that are not excluded: it may be looked at as \
                 often as one likes, and misses the rate in 5 % of releases at most."
            }
        }
        (checks(&assessment))
    }
}

fn planned(guard: &Guard) -> Markup {
    html! { p { strong { (guard.name) } ": " (what(guard)) ". " (thresholds(guard, None)) } }
}

fn of_guard(guard: &Guard, found: &GuardAssessment) -> Markup {
    let (class, finding) = match found.finding {
        Finding::Harm { .. } => ("bad", "Harm is proved"),
        Finding::Safe => ("good", "Proved good enough"),
        Finding::Undecided => ("going", "Not decided yet"),
    };
    let stable = found.counts.stable.rate();
    let bound = stable.map(|rate| guard.worse_than.bound(rate));
    let intervals = found.counts.map(|counts| interval::rate(*counts, ALPHA, BEST_AT));
    let most = [intervals.stable, intervals.canary].into_iter().flatten().map(|it| it.high);
    let top = chart::end(most.chain(bound).fold(0.0, f64::max) * 100.0) / 100.0;
    html! {
        article.guard aria-label={ "Guard " (guard.name) } {
            h3 { (guard.name) " " span class={ "badge " (class) } { (finding) } }
            p.dim { (what(guard)) }
            div.scroll tabindex="0" role="region" aria-label={ "Rates of " (guard.name) } {
                table {
                    thead {
                        tr {
                            th scope="col" { "Arm" }
                            th.number scope="col" { "Requests" }
                            th.number scope="col" { (noun(guard)) }
                            th.number scope="col" { "Rate" }
                            th.number scope="col" { "Interval" }
                            th scope="col" { "0 to " (words::share(top)) }
                        }
                    }
                    tbody {
                        (arm("stable", found.counts, intervals.stable, false, bound, top))
                        (arm("canary", found.counts, intervals.canary, true, bound, top))
                    }
                }
            }
            ul.plain {
                li { (thresholds(guard, bound)) }
                li {
                    "Evidence for harm: " (odds(found.harm.log)) " of " (odds(found.harm.needed)) " to 1 needed; that it is \
                     good enough: " (odds(found.safe.log)) " of " (odds(found.safe.needed)) " to 1."
                }
                li { "The canary's rate is " (ratio(found.ratio)) "." }
                @for missing in &found.missing { li { "Missing: " (missing) "." } }
                @if let Some(users) = users(found.users) { li { (users) } }
            }
        }
    }
}

fn arm(
    name: &str,
    counts: Arms<Counts>,
    interval: Option<Interval>,
    is_canary: bool,
    bound: Option<f64>,
    top: f64,
) -> Markup {
    let own = if is_canary { counts.canary } else { counts.stable };
    html! {
        tr {
            th scope="row" { (name) }
            td.number { (thousands(own.all)) }
            td.number { (thousands(own.bad)) }
            @match (own.rate(), interval) {
                (Some(rate), Some(Interval { low, high })) => {
                    td.number { (words::share(rate)) }
                    td.number { (words::share(low)) " – " (words::share(high)) }
                    td.picture { (chart::interval(low, rate, high, bound.filter(|_| is_canary), top)) }
                }
                _ => { td.number { "–" } td.number { "–" } td {} }
            }
        }
    }
}

fn what(guard: &Guard) -> String {
    match &guard.source {
        GuardSource::Errors => "responses that are errors".to_owned(),
        GuardSource::SlowerThan(milliseconds) => format!("responses slower than {milliseconds} ms"),
        GuardSource::Query(query) => format!("what the query counts: {query}"),
    }
}

fn noun(guard: &Guard) -> &'static str {
    match guard.source {
        GuardSource::Errors => "Errors",
        GuardSource::SlowerThan(_) => "Slow",
        GuardSource::Query(_) => "Bad",
    }
}

fn thresholds(guard: &Guard, bound: Option<f64>) -> String {
    let now = bound.map(|bound| format!(" (now {})", words::share(bound.min(1.0)))).unwrap_or_default();
    let (worse, safe) = (margin(guard.worse_than), margin(guard.safe_within));
    format!("Harm is proved above {worse}{now}; good enough is proved below {safe}.")
}

fn margin(Margin { times, plus }: Margin) -> String {
    let points = words::plain(plus * 100.0);
    let noun = if points == "1" { "point" } else { "points" };
    format!("{} × stable's rate + {points} {noun}", words::plain(times))
}

fn ratio(Interval { low, high }: Interval) -> String {
    let number = |value: f64| format!("{value:.2}");
    match (low > 0.0, high.is_finite()) {
        (true, true) => format!("{} to {} times stable's", number(low), number(high)),
        (true, false) => format!("at least {} times stable's", number(low)),
        (false, true) => format!("at most {} times stable's", number(high)),
        (false, false) => "not bounded yet".to_owned(),
    }
}

fn users(users: Users) -> Option<String> {
    match users {
        Users::NotChecked => {
            Some("Whether a few users make the difference is not checked: there are no groups.".to_owned())
        }
        Users::Checked => None,
        Users::FewInCanary => {
            Some("Only a few users of the canary have the difference, so it decides nothing.".to_owned())
        }
        Users::HiddenByGroup(group) => Some(format!(
            "Harm would be proved without group {group}, where a few users of stable may hide it. The rollout holds."
        )),
    }
}

/// What each check is about.
fn about(check: &str) -> &'static str {
    match check {
        "silence" => "Both arms have requests while they have users",
        "leak" => "The canary serves the requests that were drawn for it, and no others",
        "hang" => "The canary's requests end",
        "sample ratio" => "The canary has the share of requests that its weight says",
        _ => "",
    }
}

fn checks(assessment: &Assessment) -> Markup {
    html! {
        section aria-labelledby="checks" {
            h2 #checks { "Can the counts be believed?" }
            div.scroll tabindex="0" role="region" aria-label="Checks of the counts" {
                table {
                    thead { tr { th scope="col" { "Check" } th scope="col" { "Asks" } th scope="col" { "Says" } } }
                    tbody {
                        @for (name, check) in assessment.trust.checks() {
                            tr {
                                th scope="row" { (name) }
                                td { (about(name)) }
                                td {
                                    @match check {
                                        Check::NotChecked => span.dim { "not checked" },
                                        Check::Fine => span.badge.good { "fine" },
                                        Check::Doubt(doubt) => { span.badge.bad { "doubted" } " " (doubt) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
