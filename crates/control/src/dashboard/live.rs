//! What happens, as it happens: server-sent events that say which page is to be read again, and nothing else.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response, Sse};
use futures_util::{StreamExt as _, stream};
use tokio::sync::watch;

use super::Dashboard;
use super::page::Stop;
use super::visitor::{Browser, Visitor};
use crate::rollout::Name;

/// The least seconds between two events that only say that the server is there and may have ticked.
const BEAT: u64 = 2;
/// What an event says that has nothing to say: a browser does not tell of one without data.
const SOMETHING: &str = "-";
/// How many lines are read at a time.
const LINES: u32 = 100;

/// Who watches.
struct Watcher {
    dashboard: Dashboard,
    browser: Browser,
    recorded: watch::Receiver<()>,
    /// The position in history up to which they have been told.
    position: u64,
    /// Rollouts to tell of.
    changed: Vec<Name>,
    is_over: bool,
}

/// `changed` with the name of a rollout that they may see, `beat` at each tick, `over` when their session is over. Who has
/// none gets nothing: a browser does not ask again then.
pub(super) async fn events(
    State(dashboard): State<Dashboard>,
    visitor: Result<Visitor, Stop>,
) -> Result<Response, Stop> {
    let visitor = match visitor {
        Err(Stop::SignIn(_)) => return Ok(StatusCode::NO_CONTENT.into_response()),
        visitor => visitor?,
    };
    let recorded = dashboard.app.server.recorded();
    let position = dashboard.app.server.store().last_line().await?;
    let mut ending = dashboard.app.ending.clone();
    let browser = visitor.browser;
    let watcher = Watcher { dashboard, browser, recorded, position, changed: Vec::new(), is_over: false };
    let first = stream::once(async { Ok::<_, Infallible>(Event::default().event("beat").data(SOMETHING)) });
    let stream = stream::unfold(watcher, async |mut watcher| {
        Some((Ok::<_, Infallible>(watcher.next().await?), watcher))
    });
    let ended = async move { ending.comes().await };
    let stream = first.chain(stream).take_until(Box::pin(ended));
    Ok(Sse::new(stream).into_response())
}

// === impl Watcher ===

impl Watcher {
    async fn next(&mut self) -> Option<Event> {
        if let Some(name) = self.changed.pop() {
            return Some(Event::default().event("changed").data(name.as_str()));
        }
        if self.is_over {
            return None;
        }
        let beat = Duration::from_secs(self.dashboard.app.server.tick().max(BEAT));
        let _ = tokio::time::timeout(beat, self.recorded.changed()).await;
        // What somebody may see is asked each time: their token may be withdrawn meanwhile.
        let Ok(visitor) = Visitor::of(&self.dashboard, self.browser.clone()).await else {
            self.is_over = true;
            return Some(Event::default().event("over").data(SOMETHING));
        };
        if let Ok(lines) = self.dashboard.app.server.store().lines(self.position, LINES).await {
            for line in lines {
                self.position = line.position;
                if visitor.sender.may_see(&line.rollout).await && !self.changed.contains(&line.rollout) {
                    self.changed.push(line.rollout);
                }
            }
        }
        Some(Event::default().event("beat").data(SOMETHING))
    }
}
