//! Pictures, as SVG without text and without style: a page puts words beside them, and a sheet gives them colours.

use maud::{Markup, html};

/// How wide and high a picture is inside. It is stretched to the page.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 100.0;

/// The weight at a time, until the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Level {
    /// In seconds since 1970.
    pub(super) at: u64,
    /// In percent.
    pub(super) weight: f64,
}

/// The smallest usual end of an axis that has this value, in percent.
pub(super) fn end(value: f64) -> f64 {
    [1.0, 2.0, 5.0, 10.0, 25.0, 50.0].into_iter().find(|end| value <= *end).unwrap_or(100.0)
}

/// Levels as steps, the earliest first, until this time. `top` is the end of the axis, `label` what it shows.
pub(super) fn steps(levels: &[Level], until: u64, top: f64, label: &str) -> Markup {
    let from = levels.first().map_or(until, |level| level.at);
    let long = until.saturating_sub(from).max(1) as f64;
    let across = |at: u64| at.saturating_sub(from) as f64 / long * WIDTH;
    let down = |weight: f64| HEIGHT - (weight / top).clamp(0.0, 1.0) * HEIGHT;
    let mut line = String::new();
    for (place, level) in levels.iter().enumerate() {
        let (x, y) = (across(level.at), down(level.weight));
        line += &if place == 0 { format!("M{x:.1} {y:.1}") } else { format!("H{x:.1}V{y:.1}") };
    }
    line += &format!("H{WIDTH}");
    html! {
        svg.steps viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
            @for part in [0.0, 0.5, 1.0] {
                path.grid d={ "M0 " (HEIGHT * part) "H" (WIDTH) } {}
            }
            path.area d={ (line) "V" (HEIGHT) "H0Z" } {}
            path.line d=(line) {}
        }
    }
}

/// A rate in its interval, and a bound where there is one: shares from 0 to `top`.
pub(super) fn interval(low: f64, rate: f64, high: f64, bound: Option<f64>, top: f64) -> Markup {
    let across = |share: f64| (share / top).clamp(0.0, 1.0) * WIDTH;
    html! {
        svg.interval viewBox={ "0 0 " (WIDTH) " 20" } preserveAspectRatio="none" aria-hidden="true" {
            path.grid d={ "M0 10H" (WIDTH) } {}
            path.band d={ "M" (across(low)) " 10H" (across(high).max(across(low) + 1.0)) } {}
            path.rate d={ "M" (across(rate)) " 3V17" } {}
            @if let Some(bound) = bound { path.bound d={ "M" (across(bound)) " 0V20" } {} }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_stands_until_the_next_one() {
        let levels = [(0, 0.0), (50, 5.0), (75, 10.0)].map(|(at, weight)| Level { at, weight });
        let drawn = steps(&levels, 100, 10.0, "<weight>").into_string();
        assert!(drawn.contains("d=\"M0.0 100.0H500.0V50.0H750.0V0.0H1000\""), "{drawn}");
        assert!(drawn.contains("aria-label=\"&lt;weight&gt;\""), "{drawn}");
    }

    #[test]
    fn what_is_beyond_a_picture_stands_at_its_end() {
        let drawn = interval(0.0, 0.5, f64::INFINITY, Some(2.0), 1.0).into_string();
        assert!(drawn.contains("M1000 0V20") && drawn.contains("M0 10H1000\""), "{drawn}");
        assert_eq!([0.5, 5.0, 30.0, 99.0].map(end), [1.0, 5.0, 50.0, 100.0]);
    }
}
