//! What the simulation found, as a table and as a picture.

use std::fmt::Write as _;
use std::time::Duration;

use super::simulation::{Row, Setup};
use crate::chart::{Axis, Chart, WIDTH, number, page};
use crate::judge::guards::words;

const COLOURS: [&str; 6] = ["#718096", "#2b6cb0", "#b7791f", "#c0392b", "#2f855a", "#805ad5"];

pub(super) fn text(setup: &Setup, rows: &[Row], runs: u64, seed: u64) -> String {
    let mut text = String::new();
    let weights: Vec<String> = setup.weights.iter().map(|weight| percent(*weight)).collect();
    let _ = writeln!(
        text,
        "{} % of users in turn, {} in all: the canary gets about {:.0} requests",
        weights.join(", "),
        time(setup.duration()),
        setup.canary_requests()
    );
    for guard in &setup.config.guards {
        let _ = writeln!(text, "{}: {}", guard.name, words(guard));
    }
    let _ = writeln!(
        text,
        "\n{:>10} {:>12} {:>14} {:>14} {:>10} {:>14}",
        "canary", "rolled back", "half by", "90 % by", "safe", "bad requests"
    );
    for (place, row) in rows.iter().enumerate() {
        let by = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), time);
        let _ = writeln!(
            text,
            "{:>10} {:>12} {:>14} {:>14} {:>10} {:>14.1}{}",
            format!("{} %", percent(row.canary)),
            format!("{:.1} %", 100.0 * row.rolled_back),
            by(row.median_seconds),
            by(row.ninety_percent_seconds),
            format!("{:.1} %", 100.0 * row.safe),
            row.bad_requests,
            if place == 0 { "  as good as stable" } else { "" },
        );
    }
    let _ = writeln!(text, "\n{runs} simulated rollouts a line, seed {seed}.");
    for row in rows.iter().skip(1).filter(|row| row.rolled_back < 0.8) {
        let _ = writeln!(
            text,
            "Not enough for {} %: {:.0} of 100 such canaries go on. Longer steps or larger weights find more.",
            percent(row.canary),
            100.0 * (1.0 - row.rolled_back)
        );
    }
    text
}

/// The chance of a rollback over time, a line for each rate.
pub(super) fn drawing(setup: &Setup, rows: &[Row]) -> String {
    let minutes = setup.duration() / 60.0;
    let mut chart = Chart::new(
        "chance of a rollback in percent, by minutes since the start",
        16.0,
        Axis::linear(0.0, minutes),
        Axis::linear(0.0, 100.0),
    );
    let step = minutes / setup.weights.len().max(1) as f64;
    for (place, weight) in setup.weights.iter().enumerate() {
        chart.mark(place as f64 * step, "#718096", &format!("{} %", percent(*weight)));
    }
    for (row, colour) in rows.iter().zip(COLOURS.iter().cycle()) {
        let points: Vec<(f64, f64)> = row
            .by_look
            .iter()
            .enumerate()
            .map(|(look, share)| ((look as f64 + 1.0) * setup.every / 60.0, 100.0 * share))
            .collect();
        chart.line(&points, colour, &format!("{} % bad", percent(row.canary)));
    }
    let mut body = String::new();
    let height = chart.draw(&mut body);
    page(&body, WIDTH, height + 8.0)
}

fn percent(share: f64) -> String {
    number(100.0 * share)
}

fn time(seconds: f64) -> String {
    humantime::format_duration(Duration::from_secs(seconds.round() as u64)).to_string()
}
