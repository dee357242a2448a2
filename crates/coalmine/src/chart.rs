//! Charts as SVG: lines, bands and levels, with their names beside them.

use std::fmt::Write as _;

/// How wide a picture of charts is.
pub(crate) const WIDTH: f64 = 760.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 600.0;
const HEIGHT: f64 = 150.0;

/// A range of numbers along a side of a chart.
#[derive(Clone, Copy)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
}

/// A chart that is being drawn.
pub(crate) struct Chart {
    title: String,
    top: f64,
    x: Axis,
    y: Axis,
    body: String,
    /// Height, colour and text of the names at the right.
    names: Vec<(f64, &'static str, String)>,
}

// === impl Axis ===

impl Axis {
    pub(crate) fn linear(low: f64, high: f64) -> Self {
        Self { low, high: if high > low { high } else { low + 1.0 } }
    }

    /// Where a value of the horizontal axis is on the page.
    pub(crate) fn at(self, value: f64) -> f64 {
        LEFT + self.share(value) * (RIGHT - LEFT)
    }

    fn share(self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// Round numbers inside, some five of them.
    fn ticks(self) -> Vec<f64> {
        let rough = (self.high - self.low) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|number| number as f64 * step).collect()
    }
}

// === impl Chart ===

impl Chart {
    pub(crate) fn new(title: &str, top: f64, x: Axis, y: Axis) -> Self {
        Self { title: title.to_owned(), top: top + 24.0, x, y, body: String::new(), names: Vec::new() }
    }

    fn height(&self, value: f64) -> f64 {
        self.top + (1.0 - self.y.share(value)) * HEIGHT
    }

    fn point(&self, x: f64, y: f64) -> String {
        format!("{:.1},{:.1}", self.x.at(x), self.height(y))
    }

    /// A line through points, with its name at the end.
    pub(crate) fn line(&mut self, points: &[(f64, f64)], colour: &'static str, name: &str) {
        let path: Vec<String> = points.iter().map(|(x, y)| self.point(*x, *y)).collect();
        let _ = writeln!(
            self.body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        if let Some((_, y)) = points.last() {
            self.names.push((self.height(*y), colour, name.to_owned()));
        }
    }

    /// A line with an interval around it: low, middle and high.
    pub(crate) fn band(&mut self, points: &[(f64, [f64; 3])], colour: &'static str, name: &str) {
        let low = points.iter().map(|(x, [low, _, _])| self.point(*x, *low));
        let high = points.iter().rev().map(|(x, [_, _, high])| self.point(*x, *high));
        let path: Vec<String> = low.chain(high).collect();
        let _ = writeln!(
            self.body,
            "<polygon points=\"{}\" fill=\"{colour}\" fill-opacity=\"0.18\"/>",
            path.join(" ")
        );
        let middle: Vec<(f64, f64)> = points.iter().map(|(x, [_, middle, _])| (*x, *middle)).collect();
        self.line(&middle, colour, name);
    }

    /// A level over the whole width.
    pub(crate) fn level(&mut self, value: f64, colour: &'static str, name: &str) {
        let y = self.height(value);
        let _ = writeln!(
            self.body,
            "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" stroke-dasharray=\"5 4\"/>"
        );
        self.names.push((y, colour, name.to_owned()));
    }

    /// A moment, over the whole height.
    pub(crate) fn mark(&mut self, at: f64, colour: &'static str, name: &str) {
        let x = self.x.at(at);
        let _ = writeln!(
            self.body,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\" font-size=\"11\">{name}</text>",
            self.top,
            self.top + HEIGHT,
            x + 4.0,
            self.top + 12.0
        );
    }

    /// Writes the chart; where the next one may begin.
    pub(crate) fn draw(mut self, body: &mut String) -> f64 {
        let bottom = self.top + HEIGHT;
        let _ = writeln!(
            body,
            "<text x=\"16\" y=\"{:.1}\" font-weight=\"bold\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#a0aec0\"/>",
            self.top - 10.0,
            self.title,
            self.top,
            RIGHT - LEFT
        );
        for tick in self.y.ticks() {
            let y = self.height(tick);
            let _ = writeln!(
                body,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" font-size=\"11\">{}</text>\
                 <line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#e2e8f0\"/>",
                LEFT - 6.0,
                y + 4.0,
                number(tick)
            );
        }
        for tick in self.x.ticks() {
            let _ = writeln!(
                body,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"11\">{}</text>",
                self.x.at(tick),
                bottom + 14.0,
                number(tick)
            );
        }
        body.push_str(&self.body);
        // Names that would stand on one another are moved apart.
        self.names.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut free = self.top;
        for (y, colour, name) in &self.names {
            let y = y.max(free);
            free = y + 14.0;
            let _ = writeln!(
                body,
                "<text x=\"{}\" y=\"{:.1}\" fill=\"{colour}\" font-size=\"12\">{name}</text>",
                RIGHT + 8.0,
                y + 4.0
            );
        }
        bottom + 32.0
    }
}

/// The whole picture. It has a background of its own, so it can be read on light and dark pages.
pub(crate) fn page(body: &str, width: f64, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height:.0}\" width=\"{width}\" \
         height=\"{height:.0}\" font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"#222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

/// A text that may stand in SVG.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A number with at most four decimals, and none that say nothing.
pub(crate) fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
