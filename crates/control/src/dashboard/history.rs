//! What happened to a rollout: the weight over time, and line by line.

use coalmine_steer::State;
use coalmine_steer::text::percent;
use maud::{Markup, html};

use super::chart::{self, Level};
use super::words;
use crate::rollout::Name;
use crate::server::Server;
use crate::store::{Entry, StoreError};

/// How many lines a page has.
const LINES: u32 = 25;
/// How many lines the picture is made of at most.
const DRAWN: u32 = 1_000;

/// A page of history.
pub(super) struct History {
    /// The latest lines, the newest first, for the picture.
    drawn: Vec<Entry>,
    /// The lines of the page, the newest first.
    lines: Vec<Entry>,
    before: Option<u64>,
}

// === impl History ===

impl History {
    /// The lines with a number below `before`, or the newest.
    pub(super) async fn read(server: &Server, name: &Name, before: Option<u64>) -> Result<Self, StoreError> {
        let drawn = server.store().history(name, None, DRAWN).await?;
        let lines = match before {
            Some(_) => server.store().history(name, before, LINES).await?,
            None => drawn.iter().take(LINES as usize).cloned().collect(),
        };
        Ok(Self { drawn, lines, before })
    }

    /// The weight over time.
    pub(super) fn picture(&self, state: &State, now: u64) -> Markup {
        let levels: Vec<Level> = self
            .drawn
            .iter()
            .rev()
            .map(|entry| Level { at: entry.logged.at, weight: f64::from(entry.logged.weight) / 10_000.0 })
            .collect();
        let Some(first) = levels.first() else { return html! {} };
        let peak = levels.iter().map(|level| level.weight).fold(0.0, f64::max);
        let top = chart::end(peak);
        let label = format!(
            "The canary's weight over time: {} % now, {} % at most. The history below has each change.",
            percent(state.weight),
            words::plain(peak)
        );
        html! {
            section aria-labelledby="weight" {
                h2 #weight { "Weight over time" }
                div.plot {
                    div.axis aria-hidden="true" {
                        span { (words::plain(top)) " %" } span { (words::plain(top / 2.0)) " %" } span { "0 %" }
                    }
                    (chart::steps(&levels, now.max(first.at + 1), top, &label))
                    div.ends { span { (words::time(first.at)) } span { "now" } }
                }
            }
        }
    }

    /// The lines, and ways to older and newer ones.
    pub(super) fn table(&self, name: &Name) -> Markup {
        let older = self.lines.last().map(|entry| entry.number).filter(|number| *number > 1);
        html! {
            section aria-labelledby="history" {
                h2 #history { "History" }
                table.cards role="table" {
                    caption.hidden { "What happened, the newest first. Times are UTC." }
                    thead role="rowgroup" {
                        tr role="row" {
                            th scope="col" role="columnheader" { "When (UTC)" }
                            th scope="col" role="columnheader" { "What" }
                            th.number scope="col" role="columnheader" { "Weight" }
                            th scope="col" role="columnheader" { "Who" }
                            th scope="col" role="columnheader" { "Why" }
                        }
                    }
                    tbody role="rowgroup" {
                        @for Entry { logged, .. } in &self.lines {
                            tr role="row" {
                                td.when role="cell" { (words::time(logged.at)) }
                                td role="cell" { (words::what(logged.what)) }
                                td.number role="cell" { (words::weight(logged.weight)) }
                                td role="cell" { (logged.by.as_deref().unwrap_or("the server")) }
                                td.why role="cell" { (logged.why) }
                            }
                        }
                    }
                }
                @if self.lines.is_empty() { p.dim { "Nothing has happened." } }
                nav.pages aria-label="Pages of history" {
                    @if self.before.is_some() { a #newest href={ "/rollouts/" (name) "#history" } { "Newest" } }
                    @if let Some(number) = older {
                        a #older href={ "/rollouts/" (name) "?before=" (number) "#history" } { "Older" }
                    }
                }
            }
        }
    }
}
