//! What another tool asks: should this rollout go on? It is answered from the latest tick.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use coalmine_steer::Verdict;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::caller::{NamePath, Named, Sender, said, token};
use super::description::{Conflict, Reads};
use super::shapes::{ShownVerdict, Trouble};
use super::show::percent;
use super::{App, show};
use crate::access::May;
use crate::rollout::{Name, Record};

/// How many ticks old the latest one may be before the judge cannot know.
const STALE_TICKS: u64 = 4;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct WordPath {
    /// The verdict that is wanted.
    #[param(schema_with = super::description::verdict)]
    word: String,
}

/// What Flagger's hooks post; other tools may leave it out.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct Hook {
    /// Name of the Canary.
    name: Option<String>,
    /// Namespace of the Canary.
    namespace: Option<String>,
    /// What the Canary says beside; `token` is the token where no header has one.
    metadata: Option<BTreeMap<String, String>>,
}

// === impl Hook ===

impl Hook {
    fn read(text: &str) -> Result<Self, Trouble> {
        // What is wrong with it is not told: it may hold a token.
        said(text).map_err(|_| {
            Trouble::bad_request(
                "the body is not what a hook posts, as {\"name\": \"checkout\", \"namespace\": \"shop\"}",
            )
        })
    }

    /// A hook that was copied from another Canary must not be answered for this one.
    fn is_about(&self, name: &Name) -> Result<(), Trouble> {
        let fits = |given: &Option<String>, own: &str| given.as_ref().is_none_or(|given| given == own);
        if fits(&self.name, name.name()) && fits(&self.namespace, name.namespace()) {
            return Ok(());
        }
        let detail = format!("the hook is of another Canary than {name}, which its address names");
        Err(Trouble::bad_request(detail))
    }
}

/// The verdict on a rollout, 200 on `hold` too.
#[utoipa::path(
    get, path = "/v1/rollouts/{namespace}/{name}/verdict", operation_id = "getVerdict",
    params(NamePath),
    responses((status = 200, description = "The verdict of the latest tick", body = ShownVerdict), Reads)
)]
pub(super) async fn get(
    State(app): State<App>,
    sender: Sender,
    Named(name): Named,
) -> Result<Json<ShownVerdict>, Trouble> {
    sender.must(May::Read, &name).await?;
    verdict(&app, &name).await.map(Json)
}

/// 200 where the verdict is this word, `advance` also on `promote`; otherwise 409 with the sentence.
#[utoipa::path(
    post, path = "/v1/rollouts/{namespace}/{name}/verdict/{word}", operation_id = "askVerdict",
    params(NamePath, WordPath),
    request_body(content = Option<Hook>, description = "What Flagger's hooks post; may be empty", example = json!({"name": "checkout", "namespace": "shop"})),
    responses((status = 200, description = "It is this word", body = ShownVerdict), Conflict, Reads)
)]
pub(super) async fn is(
    State(app): State<App>,
    Named(name): Named,
    Path(WordPath { word }): Path<WordPath>,
    headers: HeaderMap,
    text: String,
) -> Result<Json<ShownVerdict>, Trouble> {
    let hook = Hook::read(&text);
    let in_body = hook.as_ref().ok().and_then(|hook| hook.metadata.as_ref()?.get("token"));
    let sender = Sender::of(&app, &headers, token(&headers).as_ref().or(in_body).map(String::as_str)).await?;
    sender.must(May::Read, &name).await?;
    hook?.is_about(&name)?;
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
    let mut shown = show::verdict(&stored.record);
    // Harm is harm at every weight.
    if let Some(why) = unjudged(app, &stored.record).filter(|_| shown.verdict != Verdict::Rollback) {
        (shown.verdict, shown.message) = (Verdict::Hold, why);
    }
    Ok(shown)
}

/// Why the latest tick says nothing of the weight that another controller holds by now. The verdict on the earlier weight, such as
/// `advance` at 0 %, would send it on before the new weight is judged.
fn unjudged(app: &App, record: &Record) -> Option<String> {
    let spec = record.spec().ok()?;
    spec.workloads.as_ref()?.held_by.as_ref()?;
    match app.server.cluster()?.observe(&record.name, &spec, &app.server.operator()).held {
        None => Some("the weight that the other controller holds cannot be read here".to_owned()),
        Some(held) if held == record.state.weight => None,
        Some(held) => {
            Some(format!("the other controller holds {} % by now, which is not judged yet", percent(held)))
        }
    }
}
