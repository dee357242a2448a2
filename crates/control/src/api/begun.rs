//! Which release a verb is about that comes with the idempotency key of a start.
//!
//! A pipeline may post `rollback` after a `start` that was refused, as Spinnaker does with the headers of the `start`, and what it
//! approves is what it has shown to a person. It means the release that it has begun, and never one of somebody else.

use axum::http::StatusCode;

use super::App;
use super::caller::Sender;
use super::shapes::{Done, Trouble};
use crate::operations::{self, Refused};
use crate::rollout::Name;
use crate::store::Answer;

/// Where answers of this key of somebody's are kept. The keys of two tokens have nothing to do with one another, nor those of
/// two verbs. None of the parts holds a line break.
pub(super) fn place(sender: &Sender, path: &str, key: &str) -> String {
    format!("{}\n{path}\n{key}", sender.token())
}

/// Where it is kept that a start with this key was refused.
fn place_of_refusal(start: &str) -> String {
    format!("{start}\nrefused")
}

/// Remembers that a start was refused, by the place of its answers.
pub(super) async fn remember(app: &App, name: &Name, start: &str) -> Result<(), Trouble> {
    let refusal = Answer {
        key: place_of_refusal(start),
        at: app.server.now(),
        request: String::new(),
        status: StatusCode::CONFLICT.as_u16(),
        body: String::new(),
        location: None,
    };
    operations::keep(&app.server, name, &refusal).await.map_err(|refused| Trouble::of(refused, ""))
}

/// Number of the release that a start with this place has begun; none where no such start is known.
///
/// # Errors
/// That start has begun none: the verb is about nothing.
pub(super) async fn release(app: &App, start: &str) -> Result<Option<u64>, Trouble> {
    let refuse = |why: &str| Err(Trouble::of(Refused::Refusal(why.to_owned()), ""));
    if let Some(answer) = app.server.store().answer(start).await? {
        let done: Option<Done> = serde_json::from_str(&answer.body).ok();
        return match done {
            Some(done) if !done.changed => refuse(
                "the start with this key has begun no release: another one went on already, and this is not about that one",
            ),
            done => Ok(done.and_then(|done| Some(done.rollout.release?.release))),
        };
    }
    match app.server.store().answer(&place_of_refusal(start)).await? {
        Some(_) => refuse(
            "the start with this key was refused: the release that goes on is another one, and this is not about that one",
        ),
        None => Ok(None),
    }
}
