//! Looks as a picture for a page: evidence, rates with intervals, and the moment of decision.

use std::fmt::Write as _;

use coalmine_judge::{Config, Finding};

use super::look::{Look, rates};
use crate::chart::{Axis, Chart, WIDTH, escaped, page};
use coalmine_steer::Verdict;

const STABLE: &str = "#2b6cb0";
const CANARY: &str = "#b7791f";
const HARM: &str = "#c0392b";
const SAFE: &str = "#2f855a";

/// One block of two charts for each guard, and a strip of verdicts.
pub(super) fn drawing(looks: &[Look], config: &Config) -> String {
    let mut body = String::new();
    let mut y = 16.0;
    let x = Axis::linear(0.0, looks.len().max(1) as f64);
    for (place, guard) in config.guards.iter().enumerate() {
        let each = |of: &dyn Fn(&coalmine_judge::GuardAssessment) -> f64| -> Vec<(f64, f64)> {
            looks
                .iter()
                .enumerate()
                .filter_map(|(look, at)| Some((look as f64 + 1.0, of(at.assessment.guards.get(place)?))))
                .collect()
        };
        let tens = std::f64::consts::LN_10;
        let (harm, safe) = (each(&|guard| guard.harm.log / tens), each(&|guard| guard.safe.log / tens));
        let needed = [config.harm_threshold() / tens, config.safe_threshold() / tens];
        let values = harm.iter().chain(&safe).map(|(_, value)| *value).chain(needed);
        let highest = values.clone().fold(1.0f64, f64::max).min(12.0);
        let lowest = values.fold(-1.0f64, f64::min).max(-6.0);
        let name = escaped(&guard.name);
        let mut chart = Chart::new(
            &format!("{name}: evidence, in powers of ten"),
            y,
            x,
            Axis::linear(lowest.floor(), highest.ceil()),
        );
        chart.level(needed[0], HARM, "harm is proved");
        chart.level(needed[1], SAFE, "safety is proved");
        chart.line(&harm, HARM, "harm");
        chart.line(&safe, SAFE, "safety");
        let decided = looks.iter().find_map(|look| match look.assessment.guards.get(place)?.finding {
            Finding::Harm { at } => Some(at as f64),
            _ => None,
        });
        if let Some(at) = decided {
            chart.mark(at, HARM, &format!("harm proved at look {at}"));
        }
        y = chart.draw(&mut body);

        let arms: Vec<_> =
            looks.iter().filter_map(|look| Some(rates(look.assessment.guards.get(place)?.counts))).collect();
        let points = |canary: bool| -> Vec<(f64, [f64; 3])> {
            let arm = arms.iter().enumerate().filter_map(|(look, arms)| {
                Some((look as f64 + 1.0, if canary { arms.canary? } else { arms.stable? }))
            });
            arm.collect()
        };
        let (stable, canary) = (points(false), points(true));
        // The first intervals are wide and say nothing: the axis fits the last ones and all rates.
        let last = [&stable, &canary].into_iter().filter_map(|arm| arm.last()).map(|(_, [_, _, high])| *high);
        let top =
            stable.iter().chain(&canary).map(|(_, [_, rate, _])| *rate).chain(last).fold(0.01f64, f64::max);
        let mut chart = Chart::new(
            &format!("{name}: share of bad requests so far, in percent, with 95 % intervals"),
            y,
            x,
            Axis::linear(0.0, 1.1 * top),
        );
        chart.band(&stable, STABLE, "stable");
        chart.band(&canary, CANARY, "canary");
        if let Some(at) = decided {
            chart.mark(at, HARM, "");
        }
        y = chart.draw(&mut body);
    }
    y = strip(&mut body, looks, x, y);
    page(&body, WIDTH, y)
}

/// The verdict at every look.
fn strip(body: &mut String, looks: &[Look], x: Axis, y: f64) -> f64 {
    let _ = writeln!(
        body,
        "<text x=\"16\" y=\"{:.0}\" font-weight=\"bold\">verdict at every look</text>",
        y + 12.0
    );
    let mut begin = 0;
    let mut end = 0;
    while let Some(first) = looks.get(begin) {
        while looks.get(end).is_some_and(|look| look.verdict == first.verdict) {
            end += 1;
        }
        let colour = match first.verdict {
            Verdict::Rollback => HARM,
            Verdict::Hold => "#a0aec0",
            Verdict::Advance => STABLE,
            Verdict::Promote => SAFE,
        };
        let (left, right) = (x.at(begin as f64), x.at(end as f64));
        let _ = writeln!(
            body,
            "<rect x=\"{left:.1}\" y=\"{:.0}\" width=\"{:.1}\" height=\"14\" fill=\"{colour}\">\
             <title>{} from look {} to {end}</title></rect>",
            y + 20.0,
            right - left,
            first.verdict,
            begin + 1,
        );
        if right - left > 60.0 {
            let _ = writeln!(
                body,
                "<text x=\"{left:.1}\" y=\"{:.0}\" font-size=\"11\">{}</text>",
                y + 46.0,
                first.verdict
            );
        }
        begin = end;
    }
    let times =
        looks.first().zip(looks.last()).map(|(first, last)| (escaped(&first.time), escaped(&last.time)));
    if let Some((first, last)) = times.filter(|(first, _)| !first.is_empty()) {
        let _ = writeln!(
            body,
            "<text x=\"16\" y=\"{:.0}\" font-size=\"11\">from {first} to {last}</text>",
            y + 64.0
        );
    }
    y + 76.0
}
