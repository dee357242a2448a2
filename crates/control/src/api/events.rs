//! What happens, as it happens: server-sent events, read from history.
//!
//! A stream is a position in the history of all rollouts. So it misses nothing, whether another server recorded it, or its
//! reader is slow, or was away and comes back with the position of what it read last.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::watch;

use super::caller::{Sender, token, whole};
use super::description::{self, Reads};
use super::shapes::Trouble;
use super::{App, show};
use crate::access::{Denial, May, Tokens};
use crate::server::Server;
use crate::store::Recorded;

const LAST: &str = "last-event-id";
/// How many lines are read at a time.
const LINES: u32 = 100;
/// How long a store that does not answer is left alone.
const RETRY: Duration = Duration::from_secs(1);

/// Who follows history.
struct Follower {
    server: Arc<Server>,
    tokens: Tokens,
    /// What the sender has shown.
    token: Option<String>,
    recorded: watch::Receiver<()>,
    /// The position up to which it has been told.
    position: u64,
    /// What it is to be told.
    events: VecDeque<Event>,
}

/// Each line of history of the rollouts that the sender may read, from now on, or behind the event that it got last.
#[utoipa::path(
    get, path = "/v1/events", operation_id = "watchEvents",
    params(("Last-Event-ID" = Option<String>, Header, nullable = false, pattern = "^[0-9]{1,18}$", description = "The `id` of the event that was read last: it goes on behind that one; 0 for all that history has")),
    responses((status = 200, description = "Events `history`, each with a line, and `missed` where history has no longer what was to come", body = description::Event, content_type = "text/event-stream"), Reads)
)]
pub(super) async fn events(
    State(app): State<App>,
    _: Sender,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Trouble> {
    let recorded = app.server.recorded();
    let last = app.server.store().last_line().await?;
    let after = match headers.get(LAST) {
        None => last,
        Some(value) => value.to_str().ok().and_then(whole).ok_or_else(|| {
            Trouble::bad_request("Last-Event-ID is no id of an event here, as 7; leave it out to begin now")
        })?,
    };
    let mut follower = Follower {
        server: app.server,
        tokens: app.tokens,
        token: token(&headers),
        recorded,
        position: after,
        events: VecDeque::new(),
    };
    // The store has another history, as one that was lost or is an older copy.
    if after > last {
        follower.miss(last);
    }
    let mut ending = app.ending;
    let ended = async move { ending.comes().await };
    let stream = stream::unfold(follower, async |mut follower| Some((Ok(follower.next().await?), follower)));
    Ok(Sse::new(stream.take_until(Box::pin(ended))).keep_alive(KeepAlive::default()))
}

// === impl Follower ===

impl Follower {
    /// The next event; none once the sender's token is good no longer.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            // What is recorded from here on is seen at the next reading.
            self.recorded.mark_unchanged();
            match self.server.store().lines(self.position, LINES).await {
                Ok(lines) if lines.is_empty() => {
                    // The server holds the other end.
                    let _ = self.recorded.changed().await;
                }
                // A stream may be older than what its token was good for.
                Ok(lines) => match self.tokens.caller(self.token.as_deref(), self.server.now()).await {
                    Ok(caller) => {
                        let sender = Sender::acting(caller, None);
                        for line in &lines {
                            if self.take(line, &sender).await.is_err() {
                                tokio::time::sleep(RETRY).await;
                                break;
                            }
                        }
                    }
                    Err(Denial::Missing | Denial::Invalid(_)) => return None,
                    Err(Denial::Away(_)) => tokio::time::sleep(RETRY).await,
                },
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// Takes a line, which is told to those who may read it.
    ///
    /// # Errors
    /// Whether they may cannot be known now: its turn comes again.
    async fn take(&mut self, line: &Recorded, sender: &Sender) -> Result<(), Denial> {
        let is_seen = sender.may(May::Read, &line.rollout).await?;
        if line.is_after_gap {
            self.miss(line.position.saturating_sub(1));
        }
        self.position = line.position;
        if is_seen {
            let event = Event::default().event("history").id(line.position.to_string());
            self.events.extend(event.json_data(show::line(&line.rollout, line.number, &line.logged)));
        }
        Ok(())
    }

    /// Lines up to this position are not there any more.
    fn miss(&mut self, until: u64) {
        self.position = until;
        let event = Event::default().event("missed").id(until.to_string());
        self.events.push_back(event.data("history no longer has some lines; read again what they changed"));
    }
}
