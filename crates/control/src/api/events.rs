//! What happens, as it happens: server-sent events.

use std::convert::Infallible;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::{Stream, StreamExt as _};
use tokio_stream::wrappers::BroadcastStream;

use super::caller::Sender;
use super::description::{self, Reads};
use super::{App, show};
use crate::server::Happening;

/// Each line of history of the rollouts that the sender may read. Who reads too slowly misses some, and is told so.
#[utoipa::path(
    get, path = "/v1/events", operation_id = "watchEvents",
    responses((status = 200, description = "Events `history`, each with a line, and `missed`", body = description::Event, content_type = "text/event-stream"), Reads)
)]
pub(super) async fn events(
    State(app): State<App>,
    sender: Sender,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut ending = app.ending.clone();
    let ended = async move { ending.comes().await };
    let stream = BroadcastStream::new(app.server.happenings())
        .filter_map(move |happening| {
            let event = match happening {
                Ok(Happening { rollout, logged }) => sender
                    .may_see(&rollout)
                    .then(|| {
                        Event::default().event("history").json_data(show::line(&rollout, 0, &logged)).ok()
                    })
                    .flatten(),
                Err(_) => Some(Event::default().event("missed").data("some events were missed; read again")),
            };
            async move { event.map(Ok) }
        })
        .take_until(Box::pin(ended));
    Sse::new(stream).keep_alive(KeepAlive::default())
}
