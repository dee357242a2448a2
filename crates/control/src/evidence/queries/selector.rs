//! Counters in a Prometheus, selected by labels. They are read raw, with their own times: the difference is taken here.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use futures_util::future::try_join_all;

use super::Arms;
use super::counters::{Answer, Counter, Standing, What};
use crate::config::{Part, PrometheusAddress};
use crate::evidence::prometheus::{Api, WINDOW, series};
use crate::rollout::Name;

/// What stands for the variant in a selector; it must.
const VARIANT: &str = "$variant";

/// A selector of PromQL, as `payments_total{app="$name",version="$variant"}`, in which `$namespace`, `$name` and `$variant`
/// stand for those of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    text: String,
    /// What `$variant` stands for, of each variant that the counters call otherwise.
    names: BTreeMap<String, String>,
}

/// A text that is no [`Selector`]: a sentence that follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotASelector(&'static str);

/// All of it, and its good or bad part, in one Prometheus.
pub(super) struct Selectors {
    api: Api,
    all: Selector,
    part: Part,
}

// === impl Selector ===

impl FromStr for Selector {
    type Err = NotASelector;

    fn from_str(text: &str) -> Result<Self, NotASelector> {
        let mut quote = None;
        let mut is_escaped = false;
        let mut braces = 0_u32;
        for character in text.chars() {
            match (quote, character) {
                (Some(_), _) if is_escaped => is_escaped = false,
                (Some('"' | '\''), '\\') => is_escaped = true,
                (Some(end), _) if end == character => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'' | '`') => quote = Some(character),
                (None, '{') => braces += 1,
                (None, '}') => braces = braces.checked_sub(1).ok_or(NotASelector("has a } too many"))?,
                (None, '(' | '[' | '+' | '/' | '*' | '<' | '>' | '@' | '#' | '\n') => {
                    return Err(NotASelector(
                        "is more than a selector of counters: no function, range or arithmetic; the server takes the differences",
                    ));
                }
                (None, _) => {}
            }
        }
        if quote.is_some() || braces > 0 {
            return Err(NotASelector("ends in the middle of its labels"));
        }
        if !text.contains(VARIANT) {
            return Err(NotASelector("does not say which variant; write $variant where its name stands"));
        }
        Ok(Self { text: text.trim().to_owned(), names: BTreeMap::new() })
    }
}

impl Selector {
    /// The same, with what `$variant` stands for, of each variant that the counters call otherwise.
    pub fn naming(self, names: BTreeMap<String, String>) -> Self {
        Self { names, ..self }
    }

    /// The selector of one variant of a rollout. No name of either has a character that means anything in a text of PromQL.
    pub(super) fn of(&self, rollout: &Name, variant: &str) -> String {
        let text = self.text.replace("$namespace", rollout.namespace()).replace("$name", rollout.name());
        text.replace(VARIANT, self.names.get(variant).map_or(variant, String::as_str))
    }
}

impl fmt::Display for NotASelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

// === impl Selectors ===

impl Selectors {
    pub(super) fn new(
        address: &PrometheusAddress,
        place: &str,
        within: Duration,
        all: Selector,
        part: Part,
    ) -> Result<Self, String> {
        Ok(Self { api: Api::new(address, place, within)?, all, part })
    }

    pub(super) async fn ask(&self, now: u64, arms: Arms<'_>) -> Result<Answer, String> {
        let (what, part) = match &self.part {
            Part::Bad(selector) => (What::Bad, selector),
            Part::Good(selector) => (What::Good, selector),
        };
        let kinds = [(What::All, &self.all), (what, part)];
        let asked = arms.variants.iter().enumerate().flat_map(|(arm, variant)| {
            kinds.map(|(what, selector)| self.read(now, arm, what, selector.of(arms.rollout, variant)))
        });
        let answer: Answer = try_join_all(asked).await?.into_iter().flatten().collect();
        if !answer.keys().any(|counter| counter.what == What::All) {
            return Err(format!("no series is selected for {arms}"));
        }
        Ok(answer)
    }

    async fn read(
        &self,
        now: u64,
        arm: usize,
        what: What,
        selector: String,
    ) -> Result<Vec<(Counter, Standing)>, String> {
        let answer = self.api.ask(&format!("{selector}[{WINDOW}]"), now).await?;
        let mut read = Vec::new();
        for series in series::read(&answer)? {
            let Some((at, value)) = series.latest()? else { continue };
            let labels = series.metric.iter().map(|(name, value)| format!("{name}={value}"));
            let labels: Vec<String> = labels.collect();
            let counter = Counter { arm, what, series: labels.join("\u{1}") };
            read.push((counter, Standing::of(at as u64, value)?));
        }
        Ok(read)
    }
}

/// Without the address.
impl fmt::Debug for Selectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selectors").field("all", &self.all).field("part", &self.part).finish_non_exhaustive()
    }
}
