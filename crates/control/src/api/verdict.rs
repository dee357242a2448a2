//! What another tool asks: should this rollout go on? It is answered from the latest tick.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use coalmine_steer::Verdict;
use serde::Deserialize;

use super::caller::{Named, Sender};
use super::shapes::{ShownVerdict, Trouble};
use super::{App, show};
use crate::access::May;
use crate::rollout::Name;

/// How many ticks old the latest one may be before the judge cannot know.
const STALE_TICKS: u64 = 4;

#[derive(Deserialize)]
pub(super) struct WordPath {
    word: String,
}

pub(super) async fn get(
    State(app): State<App>,
    sender: Sender,
    Named(name): Named,
) -> Result<Json<ShownVerdict>, Trouble> {
    sender.must(May::Read, &name)?;
    verdict(&app, &name).await.map(Json)
}

/// 200 where the verdict is this word, `advance` also on `promote`; otherwise 409 with the sentence.
pub(super) async fn is(
    State(app): State<App>,
    sender: Sender,
    Named(name): Named,
    Path(WordPath { word }): Path<WordPath>,
) -> Result<Json<ShownVerdict>, Trouble> {
    sender.must(May::Read, &name)?;
    let asked = match word.as_str() {
        "advance" => Verdict::Advance,
        "hold" => Verdict::Hold,
        "rollback" => Verdict::Rollback,
        "promote" => Verdict::Promote,
        _ => return Err(Trouble::not_found("a verdict is advance, hold, rollback or promote")),
    };
    let found = verdict(&app, &name).await?;
    let goes_on = asked == Verdict::Advance && found.verdict == Verdict::Promote;
    if found.verdict == asked || goes_on {
        return Ok(Json(found));
    }
    Err(Trouble::new(StatusCode::CONFLICT, format!("{}: {}", found.verdict, found.message)))
}

async fn verdict(app: &App, name: &Name) -> Result<ShownVerdict, Trouble> {
    let stored = app.server.store().record(name).await?;
    let stored = stored.ok_or_else(|| Trouble::not_found(format!("there is no rollout {name}")))?;
    // Another server may tick; what it recorded says when.
    let ticked = stored.record.state.ticked.unwrap_or_default().max(app.server.view().at);
    if app.server.now().saturating_sub(ticked) > STALE_TICKS * app.server.tick() {
        let detail = "no server has judged this rollout for some time; try again";
        return Err(Trouble::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    }
    Ok(show::verdict(&stored.record))
}
