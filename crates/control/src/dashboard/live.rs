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
use crate::access::{Denial, May};
use crate::rollout::Name;

/// The least seconds between two beats where nothing is recorded, however often the server ticks.
const LEAST_BEAT: u64 = 2;
/// What an event says that has nothing to say: a browser does not tell of one without data.
const SOMETHING: &str = "-";
/// How many lines are read at a time.
const LINES: u32 = 100;

/// Who watches.
struct Watcher {
    dashboard: Dashboard,
    browser: Browser,
    /// How long the server waits for something to be recorded before it beats all the same.
    beat: Duration,
    recorded: watch::Receiver<()>,
    /// The position in history up to which they have been told.
    position: u64,
    /// Rollouts to tell of.
    changed: Vec<Name>,
    is_over: bool,
}

/// `changed` with the name of a rollout that they may see, `beat` when something was recorded and once per tick at least,
/// `over` when their session is over. Who has none gets nothing: a browser does not ask again then.
///
/// A `beat` says the seconds of a tick. Within twice as many there is another one, whatever tokens, permissions and the store
/// are waited for: so a page knows when it waits in vain.
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
    let beat = Duration::from_secs(dashboard.app.server.tick().max(LEAST_BEAT));
    let watcher =
        Watcher { dashboard, browser, beat, recorded, position, changed: Vec::new(), is_over: false };
    let first = stream::once(async move { Ok::<_, Infallible>(told(beat)) });
    let stream = stream::unfold(watcher, async |mut watcher| {
        Some((Ok::<_, Infallible>(watcher.next().await?), watcher))
    });
    let ended = async move { ending.comes().await };
    let stream = first.chain(stream).take_until(Box::pin(ended));
    Ok(Sse::new(stream).into_response())
}

fn told(beat: Duration) -> Event {
    Event::default().event("beat").data(beat.as_secs().to_string())
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
        let _ = tokio::time::timeout(self.beat, self.recorded.changed()).await;
        let looked = tokio::time::timeout(self.beat, self.look()).await;
        match looked {
            Ok(Err(Denial::Missing | Denial::Invalid(_))) => {
                self.is_over = true;
                Some(Event::default().event("over").data(SOMETHING))
            }
            // What cannot be known now, or not in time, is asked again at the next beat.
            Ok(Ok(()) | Err(Denial::Away(_))) | Err(_) => Some(told(self.beat)),
        }
    }

    /// Reads what is new. A store that does not answer has nothing new; the page says that it is away.
    ///
    /// # Errors
    /// Nobody watches who may, or that cannot be known now.
    async fn look(&mut self) -> Result<(), Denial> {
        // What somebody may see is asked each time: their token may be withdrawn meanwhile.
        let visitor = Visitor::of(&self.dashboard, self.browser.clone()).await?;
        let Ok(lines) = self.dashboard.app.server.store().lines(self.position, LINES).await else {
            return Ok(());
        };
        for line in lines {
            if visitor.sender.may(May::Read, &line.rollout).await? && !self.changed.contains(&line.rollout) {
                self.changed.push(line.rollout);
            }
            // It is behind them once it is known whether they may see it.
            self.position = line.position;
        }
        Ok(())
    }
}
