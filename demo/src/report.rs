//! What was measured, and which promises it keeps.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use coalmine_harness::Binomial;
use console::style;

use crate::crowd::{Change, Visit};
use coalmine_harness::Preview;

const CONFIDENCE: f64 = 0.999;
/// How soon a new policy must be in force, in milliseconds.
const SOON: u128 = 2000;

/// What each user got.
type Seen = HashMap<String, Vec<&'static str>>;

/// Prints the results, and remembers whether a promise was broken.
#[derive(Debug, Default)]
pub(crate) struct Report {
    broken: usize,
}

// === impl Report ===

impl Report {
    pub(crate) fn title(&self, envoy: &str, workers: u32, users: usize) {
        let title = format!("Coalmine on Envoy {envoy}, {workers} workers, {} users", grouped(users));
        println!("\n{}", style(title).bold());
    }

    /// The first part: the split at rest.
    pub(crate) fn split(&mut self, weight: u32, visits: &[Visit], preview: &Preview) -> Result<()> {
        let mut seen: Seen = HashMap::new();
        for visit in visits {
            seen.entry(visit.user.clone()).or_default().extend(visit.variant);
        }
        println!("\nThe canary at {weight} %: {} requests on open connections\n", grouped(visits.len()));
        self.table(weight, &seen)?;
        self.sticky(&[&seen]);
        self.as_previewed(&[(&seen, preview)]);
        let tried = visits.iter().filter(|visit| visit.forged.is_some()).count();
        let honoured =
            visits.iter().filter(|visit| visit.forged.is_some() && visit.forged == visit.variant).count();
        self.promise(
            tried > 0 && honoured == 0,
            "blind",
            &format!("forged headers tried: {}, honoured: {}", grouped(tried), grouped(honoured)),
        );
        let failed = visits.iter().filter(|visit| visit.variant.is_none()).count();
        self.promise(failed == 0, "safe", &format!("requests failed: {}", grouped(failed)));
        Ok(())
    }

    /// The second part: the weight changes under load.
    pub(crate) fn change(
        &mut self,
        weights: [u32; 2],
        change: &Change,
        previews: [&Preview; 2],
    ) -> Result<()> {
        let [before, after] = weights;
        let requests = grouped(change.requests);
        println!(
            "\nThe canary from {before} to {after} %: {requests} requests before, during and after the change\n"
        );
        let ([old, new], [old_preview, new_preview]) = (&change.seen, previews);
        self.table(after, new)?;
        let (mut joined, mut left, mut missing) = (0, 0, 0);
        let users = old.keys().chain(new.keys()).collect::<HashSet<_>>();
        for user in &users {
            match (only(old.get(*user)), only(new.get(*user))) {
                (Some("stable"), Some("canary")) => joined += 1,
                (Some("canary"), Some("stable")) => left += 1,
                (Some(_), Some(_)) => {}
                _ => missing += 1,
            }
        }
        let everybody = if missing == 0 { String::new() } else { format!(", unclear: {}", grouped(missing)) };
        self.promise(
            left == 0 && missing == 0,
            "monotone",
            &format!(
                "users moved to canary: {}, back to stable: {}{everybody}",
                grouped(joined),
                grouped(left)
            ),
        );
        self.sticky(&[old, new]);
        self.as_previewed(&[(old, old_preview), (new, new_preview)]);
        let delay = change.delay.as_millis();
        self.promise(
            delay <= SOON,
            "live",
            &format!("the new policy was in force {delay} ms after the rename"),
        );
        self.promise(change.failed == 0, "safe", &format!("requests failed: {}", grouped(change.failed)));
        Ok(())
    }

    /// The last line; whether every promise was kept.
    pub(crate) fn verdict(&self) -> bool {
        if self.broken == 0 {
            println!("\n{}", style("Every promise was kept.").green().bold());
        } else {
            println!("\n{}", style(format!("Promises broken: {}", self.broken)).red().bold());
        }
        self.broken == 0
    }

    /// Shares of users, with what an exact split may come out as.
    fn table(&mut self, weight: u32, seen: &Seen) -> Result<()> {
        let users = seen.len();
        let canary = seen.values().filter(|variants| variants.contains(&"canary")).count();
        let interval = Binomial { users: users as u64, weight: f64::from(weight) }.interval(CONFIDENCE)?;
        let (low, high) = (usize::try_from(interval.0)?, usize::try_from(interval.1)?);
        println!("  variant   weight     users     share   expected share of users (binomial, 99.9 %)");
        for (variant, weight, count, low, high) in [
            ("stable", 100 - weight, users - canary, users - high, users - low),
            ("canary", weight, canary, low, high),
        ] {
            println!(
                "  {variant:<9} {weight:>4} % {:>9} {:>9}   {} to {}",
                grouped(count),
                percent(count, users),
                percent(low, users),
                percent(high, users)
            );
        }
        println!();
        let inside = (low..=high).contains(&canary);
        let text =
            if inside { "the canary's share is within its interval" } else { "the canary's share is off" };
        self.promise(inside, "exact", text);
        Ok(())
    }

    /// Under each policy for itself.
    fn sticky(&mut self, seen: &[&Seen]) {
        let both = seen
            .iter()
            .flat_map(|seen| seen.values())
            .filter(|variants| only(Some(variants)).is_none())
            .count();
        self.promise(both == 0, "sticky", &format!("users that saw both variants: {}", grouped(both)));
    }

    /// Under each policy for itself.
    fn as_previewed(&mut self, seen: &[(&Seen, &Preview)]) {
        let (mut right, mut all) = (Vec::new(), true);
        for (seen, preview) in seen {
            let said =
                |(user, variants): &(&String, &Vec<_>)| only(Some(variants)) == Some(preview.variant(user));
            let count = seen.iter().filter(said).count();
            all &= count == seen.len();
            right.push(format!("{} of {}", grouped(count), grouped(seen.len())));
        }
        let text = format!("users that got what `coalmine assign` said: {}", right.join(", then "));
        self.promise(all, "foretold", &text);
    }

    pub(crate) fn promise(&mut self, kept: bool, name: &str, text: &str) {
        let mark = if kept { style("kept").green() } else { style("BROKEN").red().bold() };
        println!("  {mark:<6} {name:<9} {text}");
        self.broken += usize::from(!kept);
    }
}

/// The variant that somebody got every time.
fn only(variants: Option<&Vec<&'static str>>) -> Option<&'static str> {
    let (first, rest) = variants?.split_first()?;
    rest.iter().all(|variant| variant == first).then_some(*first)
}

fn percent(part: usize, whole: usize) -> String {
    format!("{:.2} %", part as f64 * 100.0 / whole.max(1) as f64)
}

/// A number with commas: 5,000.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
