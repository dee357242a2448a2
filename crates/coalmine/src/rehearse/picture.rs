//! Rehearsals as pictures: weights over time, or how many ended and when.

use coalmine_steer::{Outcome, What};

use super::play::{Moved, Played, Said};
use super::runs::Ends;
use crate::chart::{Axis, Chart, WIDTH, page};

const WEIGHT: &str = "#2b6cb0";
const BAD: &str = "#c0392b";
const GOOD: &str = "#2f855a";
const OTHER: &str = "#718096";

fn minutes(seconds: u64) -> f64 {
    seconds as f64 / 60.0
}

/// The weight, and the bad requests of the canary's users so far.
pub(super) fn of_one(played: &Played) -> String {
    let end = minutes(played.seconds);
    let mut body = String::new();
    let mut chart = Chart::new(
        "canary's weight in percent, by minutes since the start",
        16.0,
        Axis::linear(0.0, end),
        Axis::linear(0.0, 100.0),
    );
    chart.line(&stairs(&played.moves), WEIGHT, "weight");
    for line in &played.lines {
        let (colour, name) = match line.what {
            Said::Happened(What::RollsBack) => (BAD, "rolls back"),
            Said::Happened(What::Promotes) if line.weight < 1_000_000 => (GOOD, "promotes"),
            Said::Happened(What::NewLife) => (OTHER, "evidence anew"),
            _ => continue,
        };
        chart.mark(minutes(line.seconds), colour, name);
    }
    let next = chart.draw(&mut body);
    let most = played.exposure.bad.max(1) as f64;
    let mut chart = Chart::new(
        "bad requests of the canary's users so far",
        next,
        Axis::linear(0.0, end),
        Axis::linear(0.0, most),
    );
    let points: Vec<(f64, f64)> =
        played.moves.iter().map(|moved| (minutes(moved.seconds), moved.exposure.bad as f64)).collect();
    chart.line(&points, BAD, "bad requests");
    let height = chart.draw(&mut body);
    page(&body, WIDTH, height + 8.0)
}

/// A weight holds until it changes: two points for each change.
fn stairs(moves: &[Moved]) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for moved in moves {
        let (at, weight) = (minutes(moved.seconds), f64::from(moved.weight) / 10_000.0);
        match points.last() {
            Some((_, before)) if *before == weight => {}
            Some((_, before)) => {
                let before = *before;
                points.extend([(at, before), (at, weight)]);
            }
            None => points.push((at, weight)),
        }
    }
    let last = moves.last().zip(points.last().copied());
    points.extend(last.map(|(moved, (_, weight))| (minutes(moved.seconds), weight)));
    points
}

/// The share of rehearsals that have been promoted, and rolled back, over time.
pub(super) fn of_many(ends: &Ends) -> String {
    let runs = ends.all.len().max(1) as f64;
    let latest = ends.all.iter().filter(|end| end.outcome.is_some()).map(|end| end.seconds).max();
    let end = minutes(latest.unwrap_or(ends.limit));
    let mut chart = Chart::new(
        "ended rehearsals in percent, by minutes since the start",
        16.0,
        Axis::linear(0.0, end),
        Axis::linear(0.0, 100.0),
    );
    for (outcome, colour, name) in
        [(Outcome::Promoted, GOOD, "promoted"), (Outcome::RolledBack, BAD, "rolled back")]
    {
        let mut seconds: Vec<u64> =
            ends.all.iter().filter(|end| end.outcome == Some(outcome)).map(|end| end.seconds).collect();
        seconds.sort_unstable();
        let mut points = vec![(0.0, 0.0)];
        for (place, seconds) in seconds.iter().enumerate() {
            points.push((minutes(*seconds), 100.0 * place as f64 / runs));
            points.push((minutes(*seconds), 100.0 * (place + 1) as f64 / runs));
        }
        points.push((end, 100.0 * seconds.len() as f64 / runs));
        chart.line(&points, colour, name);
    }
    let mut body = String::new();
    let height = chart.draw(&mut body);
    page(&body, WIDTH, height + 8.0)
}
