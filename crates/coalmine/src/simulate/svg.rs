//! A split as a picture for a page.

use std::fmt::Write as _;

use super::split::SplitOutput;
use crate::chart::page;

const WIDTH: f64 = 720.0;
const ROW: usize = 28;
const LEFT: usize = 140;
const SCALE: f64 = 440.0;
const HISTOGRAM: usize = 60;
const COLOURS: [&str; 5] = ["#4c9a6a", "#d9a441", "#4f7cac", "#a5669b", "#5aa9b0"];

/// One block for each rollout: shares with their intervals and a mark at the weight, and the buckets.
pub(super) fn drawing(splits: &[SplitOutput], users: u64) -> String {
    let mut body = String::new();
    let mut y = 16;
    for split in splits {
        y = block(&mut body, split, users, y);
    }
    page(&body, WIDTH, y as f64)
}

/// Draws a rollout from `y` down; where the next one begins.
fn block(body: &mut String, split: &SplitOutput, users: u64, mut y: usize) -> usize {
    // Names are of a-z, 0-9 and '-': nothing to escape.
    let _ = writeln!(
        body,
        "<text x=\"16\" y=\"{}\" font-weight=\"bold\">{}: {users} users</text>",
        y + 12,
        split.rollout
    );
    y += ROW;
    for (index, variant) in split.variants.iter().enumerate() {
        let colour = COLOURS.get(index % COLOURS.len()).copied().unwrap_or("#888");
        let at = |share: f64| LEFT as f64 + share * SCALE;
        let (middle, weight) = (y + 8, at(variant.expected_share));
        let _ = writeln!(
            body,
            "<text x=\"16\" y=\"{}\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"16\" fill=\"{colour}\"/>\
             <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\" stroke=\"#222\" stroke-width=\"2\"/>\
             <line x1=\"{weight:.1}\" x2=\"{weight:.1}\" y1=\"{}\" y2=\"{}\" stroke=\"#c0392b\" stroke-width=\"2\"/>\
             <text x=\"{}\" y=\"{}\">{:.4} % (weight {} %)</text>",
            y + 13,
            variant.name,
            variant.share * SCALE,
            at(variant.low),
            at(variant.high),
            y - 2,
            y + 18,
            LEFT + SCALE as usize + 10,
            y + 13,
            variant.share * 100.0,
            variant.weight,
        );
        y += ROW;
    }
    let highest = split.histogram.iter().copied().max().unwrap_or_default().max(1);
    let step = SCALE / split.histogram.len().max(1) as f64;
    let _ = writeln!(body, "<text x=\"16\" y=\"{}\">buckets</text>", y + HISTOGRAM);
    for (index, &count) in split.histogram.iter().enumerate() {
        let height = count as f64 / highest as f64 * HISTOGRAM as f64;
        let x = LEFT as f64 + index as f64 * step;
        let top = (y + HISTOGRAM) as f64 - height;
        let _ = writeln!(
            body,
            "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"#9aa5b1\"/>",
            step - 0.6
        );
    }
    y + HISTOGRAM + ROW
}
