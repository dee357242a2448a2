//! Verbs, releases, and the freeze of everything.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use coalmine_document::parts_per_million;
use coalmine_steer::{Request, Verb};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use utoipa::IntoParams;

use super::caller::{NamePath, Named, Sender, said};
use super::description::{Changes, IfVersion, Reads};
use super::rollouts::{DryRun, done, expected};
use super::shapes::{Done, Freeze, Reason, Release, Said, Trouble};
use super::{App, begun, show};
use crate::access::{Deed, May};
use crate::operations::{self, Asked, Refused, Written};
use crate::rollout::Name;
use crate::store::Answer;

const KEY: &str = "idempotency-key";
/// The most characters of an idempotency key.
const MAX_KEY: usize = 256;
/// The most characters of a message.
pub(crate) const MAX_MESSAGE: usize = 1_000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct VerbPath {
    /// The verb.
    #[param(schema_with = super::description::verb)]
    verb: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct ReleasePath {
    /// Number of the release, from 1.
    #[param(minimum = 0, example = 1)]
    number: u64,
}

/// Says a verb: 202 with the place of the release. With an idempotency key the same request has the same answer.
#[utoipa::path(
    post, path = "/v1/rollouts/{namespace}/{name}/{verb}", operation_id = "sayVerb",
    params(
        NamePath, VerbPath, DryRun, IfVersion,
        ("Idempotency-Key" = Option<String>, Header, nullable = false, min_length = 1, max_length = 256, pattern = "^[ -~]+$", description = "Of the token's own, 1 to 256 characters: the same key has the same answer for 30 days. Another verb with the key of a start is about the release that this start has begun"),
        ("Coalmine-Actor" = Option<String>, Header, nullable = false, description = "The person for whom a tool acts, for history")
    ),
    request_body(content = Option<Said>, description = "May be empty, except with weights", example = json!({"message": "build 7"})),
    responses(
        (status = 200, description = "It is so already, or only what would happen", body = Done, headers(("Location" = String, description = "The release"))),
        (status = 202, description = "It goes on", body = Done, headers(("Location" = String, description = "The release")),
            links(
                ("release" = (operation_id = "getRelease", parameters(
                    ("namespace" = "$request.path.namespace"), ("name" = "$request.path.name"),
                    ("number" = "$response.body#/rollout/release/release")))),
                ("verdict" = (operation_id = "getVerdict", parameters(
                    ("namespace" = "$request.path.namespace"), ("name" = "$request.path.name"))))
            )),
        Changes
    )
)]
pub(super) async fn act(
    State(app): State<App>,
    sender: Sender,
    Named(name): Named,
    Path(VerbPath { verb }): Path<VerbPath>,
    Query(DryRun { dry_run }): Query<DryRun>,
    parts: Parts,
    text: String,
) -> Result<Response, Trouble> {
    sender.must(Deed::say(&verb), &name).await?;
    let said: Said = read(&text)?;
    is_short(&said.message)?;
    let request = Request { verb: verb_of(&verb, &said)?, by: sender.by(), message: said.message };
    let is_start = matches!(request.verb, Verb::Start { .. });
    if is_start && said.release.is_some() {
        return Err(Trouble::bad_request("start begins a release, and is about none; leave out \"release\""));
    }
    let given = key(&parts)?;
    let key = given.map(|given| begun::place(&sender, parts.uri.path(), given));
    let digest = digest(&[parts.uri.path(), parts.uri.query().unwrap_or_default(), &text]);
    if let Some(answer) = answered(&app, key.as_deref()).await? {
        return repeat(answer, &digest);
    }
    let begun = match given.filter(|_| !is_start) {
        Some(given) => begun::release(&app, &begun::place(&sender, &path_of(&name, "start"), given)).await?,
        None => None,
    };
    let base = app.base(&parts);
    let answer = |written: &Written| Answer {
        key: key.clone().unwrap_or_default(),
        at: app.server.now(),
        request: digest.clone(),
        status: status(written, false).as_u16(),
        body: serde_json::to_string(&done(&app, written, "", false)).unwrap_or_default(),
        location: location(&base, &name, written),
    };
    let asked = Asked {
        by: &request.by,
        expected: expected(&parts.headers)?,
        release: said.release.or(begun),
        dry_run,
        answer: key.is_some().then_some(&answer),
    };
    match operations::act(&app.server, &name, &request, &asked).await {
        Ok(written) => {
            let status = status(&written, dry_run);
            let body = Json(done(&app, &written, "", dry_run)).into_response();
            // A release that would be there is not.
            let place = location(&base, &name, &written).filter(|_| !dry_run);
            Ok(with_location(status, place, body))
        }
        // Two at a time with one key: the other one was faster, has the answer, and may be why this one makes no sense.
        Err(refused) => match answered(&app, key.as_deref()).await? {
            Some(answer) => repeat(answer, &digest),
            None => {
                let is_final = matches!(refused, Refused::Refusal(_)) && !dry_run;
                if let Some(key) = key.filter(|_| is_start && is_final) {
                    begun::remember(&app, &name, &key).await?;
                }
                Err(Trouble::of(refused, ""))
            }
        },
    }
}

/// One release, for ever.
#[utoipa::path(
    get, path = "/v1/rollouts/{namespace}/{name}/releases/{number}", operation_id = "getRelease",
    params(NamePath, ReleasePath),
    responses((status = 200, description = "The release", body = Release), Reads)
)]
pub(super) async fn release(
    State(app): State<App>,
    sender: Sender,
    Named(name): Named,
    Path(ReleasePath { number }): Path<ReleasePath>,
) -> Result<Json<Release>, Trouble> {
    sender.must(May::Read, &name).await?;
    let found = app.server.store().release(&name, number).await?;
    let found = found.ok_or_else(|| Trouble::not_found(format!("{name} has no release {number}")))?;
    Ok(Json(show::release(&name, &found)))
}

/// Whether everything is frozen.
#[utoipa::path(
    get, path = "/v1/freeze", operation_id = "getFreeze",
    responses((status = 200, description = "Why, where it is", body = Freeze), Reads)
)]
pub(super) async fn frozen(State(app): State<App>, _: Sender) -> Result<Json<Freeze>, Trouble> {
    Ok(Json(Freeze { message: app.server.store().frozen().await? }))
}

/// Freezes everything: nothing goes up; judging and rollbacks go on.
#[utoipa::path(
    put, path = "/v1/freeze", operation_id = "freeze",
    request_body(content = Option<Reason>, description = "May be empty", example = json!({"message": "an incident"})),
    responses((status = 200, description = "Frozen", body = Freeze), Changes)
)]
pub(super) async fn freeze(
    State(app): State<App>,
    sender: Sender,
    text: String,
) -> Result<Json<Freeze>, Trouble> {
    let Reason { message: why } = read(&text)?;
    let message = freeze_for(&app, &sender, &why).await?;
    Ok(Json(Freeze { message: Some(message) }))
}

/// Ends the freeze.
#[utoipa::path(
    delete, path = "/v1/freeze", operation_id = "thaw",
    responses((status = 200, description = "Nothing is frozen", body = Freeze), Changes)
)]
pub(super) async fn thaw(State(app): State<App>, sender: Sender) -> Result<Json<Freeze>, Trouble> {
    end_freeze(&app, &sender).await?;
    Ok(Json(Freeze::default()))
}

/// Freezes everything, and tells what is said of it.
pub(crate) async fn freeze_for(app: &App, sender: &Sender, why: &str) -> Result<String, Trouble> {
    sender.must_everywhere(May::Operate).await?;
    is_short(why)?;
    let by = sender.by();
    let message = if why.is_empty() { format!("by {by}") } else { format!("by {by} ({why})") };
    operations::freeze(&app.server, Some(&message)).await.map_err(|refused| Trouble::of(refused, ""))?;
    tracing::warn!("everything is frozen {message}");
    Ok(message)
}

/// Ends the freeze.
pub(crate) async fn end_freeze(app: &App, sender: &Sender) -> Result<(), Trouble> {
    sender.must_everywhere(May::Operate).await?;
    operations::freeze(&app.server, None).await.map_err(|refused| Trouble::of(refused, ""))?;
    tracing::warn!("nothing is frozen any more, says {}", sender.by());
    Ok(())
}

fn read<T: Default + DeserializeOwned>(text: &str) -> Result<T, Trouble> {
    said(text).map_err(|error| {
        let example = "{\"message\": \"..\"}";
        Trouble::bad_request(format!("the body is not what this takes, as {example}: {error}"))
    })
}

pub(crate) fn is_short(message: &str) -> Result<(), Trouble> {
    if message.chars().count() > MAX_MESSAGE {
        return Err(Trouble::bad_request(format!("the message has more than {MAX_MESSAGE} characters")));
    }
    Ok(())
}

fn verb_of(word: &str, said: &Said) -> Result<Verb, Trouble> {
    let verb = match word {
        "start" => Verb::Start { new_users: said.new_users },
        "pause" => Verb::Pause,
        "hold" => Verb::HoldNoRollback,
        "resume" => Verb::Resume,
        "advance" => Verb::Advance,
        "approve" => Verb::Approve,
        "rollback" => Verb::Rollback,
        "promote" => Verb::Promote,
        "weights" => {
            let percent = said
                .canary
                .ok_or_else(|| Trouble::bad_request("the body says no weight, as {\"canary\": 5}"))?;
            Verb::Weight(
                parts_per_million(percent).map_err(|why| Trouble::bad_request(format!("canary {why}")))?,
            )
        }
        other => {
            let known = "start, pause, hold, resume, advance, approve, rollback, promote, weights";
            let shown: String = other.chars().filter(|it| it.is_ascii_graphic()).take(40).collect();
            return Err(Trouble::not_found(format!("there is no verb {shown}; there are {known}")));
        }
    };
    let is_start = matches!(verb, Verb::Start { .. });
    let is_weight = matches!(verb, Verb::Weight(_));
    if said.new_users && !is_start || said.canary.is_some() && !is_weight {
        return Err(Trouble::bad_request("newUsers belongs to start, and canary to weights"));
    }
    Ok(verb)
}

fn key(parts: &Parts) -> Result<Option<&str>, Trouble> {
    let Some(value) = parts.headers.get(KEY) else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| (1..=MAX_KEY).contains(&text.len()));
    text.map(Some).ok_or_else(|| {
        Trouble::bad_request(format!("an idempotency key has 1 to {MAX_KEY} characters of ASCII"))
    })
}

/// 202 where something goes on now, 200 where nothing does.
fn status(written: &Written, dry_run: bool) -> StatusCode {
    if dry_run || !written.is_changed { StatusCode::OK } else { StatusCode::ACCEPTED }
}

async fn answered(app: &App, key: Option<&str>) -> Result<Option<Answer>, Trouble> {
    match key {
        Some(key) => Ok(app.server.store().answer(key).await?),
        None => Ok(None),
    }
}

fn repeat(answer: Answer, digest: &str) -> Result<Response, Trouble> {
    if answer.request != digest {
        let detail = "this idempotency key belongs to another request; take a new one";
        return Err(Trouble::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
    }
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::ACCEPTED);
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok(with_location(status, answer.location, (json, answer.body).into_response()))
}

fn location(base: &str, name: &Name, written: &Written) -> Option<String> {
    let release = written.release.as_ref()?;
    Some(format!("{base}{}", path_of(name, &format!("releases/{}", release.release))))
}

fn path_of(name: &Name, what: &str) -> String {
    format!("/v1/rollouts/{name}/{what}")
}

fn with_location(status: StatusCode, location: Option<String>, mut response: Response) -> Response {
    *response.status_mut() = status;
    if let Some(value) = location.and_then(|location| HeaderValue::from_str(&location).ok()) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    response
}

fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
