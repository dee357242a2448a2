//! A split in a output.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::correlation::Correlation;
use super::split::{SplitOutput, VariantOutput};
use super::statistics::ChiSquare;

/// How wide the longest bar is.
const BAR: usize = 40;
/// An eighth of a character after the other.
const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Below this, chance is a poor explanation.
const RARE: f64 = 0.001;
const COLOURS: [AnsiColor; 5] =
    [AnsiColor::Green, AnsiColor::Yellow, AnsiColor::Blue, AnsiColor::Magenta, AnsiColor::Cyan];

pub(super) fn text(splits: &[SplitOutput], correlations: &[Correlation], users: u64) -> String {
    let mut text = String::new();
    for split in splits {
        rollout(&mut text, split, users);
        text.push('\n');
    }
    for correlation in correlations {
        let [first, second] = &correlation.rollouts;
        let _ = writeln!(
            text,
            "{first} and {second}: correlation {:+.4}, p {} {}",
            correlation.correlation,
            p(correlation.p),
            verdict(
                correlation.p,
                "their buckets are independent",
                "their buckets are not independent: give them different salts"
            )
        );
    }
    text
}

fn rollout(text: &mut String, split: &SplitOutput, users: u64) {
    let bold = Style::new().bold();
    let _ = writeln!(text, "{bold}{}{bold:#}: {users} users", split.rollout);
    if !split.enabled {
        let _ = writeln!(text, "  switched off (enabled: false): all users are stable");
        return;
    }
    let width = split.variants.iter().map(|variant| variant.name.len()).max().unwrap_or_default();
    for (index, variant) in split.variants.iter().enumerate() {
        let style = Style::new()
            .fg_color(Some((*COLOURS.get(index % COLOURS.len()).unwrap_or(&AnsiColor::White)).into()));
        let VariantOutput { name, users, share, low, high, weight, .. } = variant;
        let length = (share * BAR as f64).round() as usize;
        let bar = format!("{}{}", "█".repeat(length), "·".repeat(BAR.saturating_sub(length)));
        let _ = writeln!(
            text,
            "  {name:<width$}  {style}{bar}{style:#} {:>8.4} %  weight {weight} %  95 %: {:.4} to {:.4}  {users} users",
            share * 100.0,
            low * 100.0,
            high * 100.0,
        );
    }
    let highest = split.histogram.iter().copied().max().unwrap_or_default().max(1);
    let bars: String = split
        .histogram
        .iter()
        .map(|&count| {
            let eighth = (count as f64 / highest as f64 * 7.0).round() as usize;
            EIGHTHS.get(eighth).copied().unwrap_or('█')
        })
        .collect();
    let _ = writeln!(text, "  buckets {bars}");
    for (number, what) in [(split.pinned, "pinned"), (split.without_identity, "without an identity")] {
        if number > 0 {
            let _ = writeln!(text, "  {number} {what}: not in the shares");
        }
    }
    let _ = writeln!(
        text,
        "  split against weights: {}",
        test(split.split, "as the weights say", "not what the weights say")
    );
    let _ = writeln!(
        text,
        "  buckets against each other: {}",
        test(split.buckets, "even", "uneven: are there users who occur more than once?")
    );
    if !split.enough_users {
        let _ =
            writeln!(text, "  a variant is expected to have fewer than 5 users: too few for a chi-square");
    }
}

fn test(test: Option<ChiSquare>, fine: &str, rare: &str) -> String {
    match test {
        Some(ChiSquare { statistic, degrees_of_freedom, p: value }) => format!(
            "chi-square {statistic:.2} with {degrees_of_freedom} degree{} of freedom, p {} {}",
            if degrees_of_freedom == 1 { "" } else { "s" },
            p(value),
            verdict(value, fine, rare)
        ),
        None => "nothing to compare".to_owned(),
    }
}

fn p(value: f64) -> String {
    if value < 0.0001 { "< 0.0001".to_owned() } else { format!("{value:.4}") }
}

fn verdict(value: f64, fine: &str, rare: &str) -> String {
    format!("({})", if value < RARE { rare } else { fine })
}
