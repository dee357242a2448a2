//! Rollouts: read, written, deleted; their history.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use coalmine_document::SourceText;
use serde::Deserialize;
use utoipa::IntoParams;

use super::caller::{NamePath, Named, Sender, whole};
use super::description::{Changes, Document, IfVersion, Reads};
use super::shapes::{Done, Line, Rollout, Trouble};
use super::{App, show, trouble};
use crate::access::{Deed, May};
use crate::operations::{self, Asked, Written};

/// The most lines of one answer, as the description says too.
const MAX_LINES: u32 = 1_000;
const LINES: u32 = 50;

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DryRun {
    /// Only say what would happen.
    #[serde(default)]
    pub(super) dry_run: bool,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Only lines with a smaller number.
    #[param(nullable = false, minimum = 0, maximum = 9_223_372_036_854_775_807u64, example = 1_000)]
    before: Option<i64>,
    /// The most lines of the answer, 50 unless given.
    #[param(nullable = false, minimum = 1, maximum = 1_000, example = 10)]
    limit: Option<u32>,
}

/// All rollouts that the token may read.
#[utoipa::path(
    get, path = "/v1/rollouts", operation_id = "listRollouts",
    responses((status = 200, description = "The rollouts, by name", body = Vec<Rollout>), Reads)
)]
pub(super) async fn list(State(app): State<App>, sender: Sender) -> Result<Json<Vec<Rollout>>, Trouble> {
    let view = app.server.view();
    let records = app.server.store().records().await?;
    let mut seen = Vec::new();
    for stored in &records {
        if sender.may(May::Read, &stored.record.name).await? {
            seen.push(show::rollout(stored, &view));
        }
    }
    Ok(Json(seen))
}

/// One rollout.
#[utoipa::path(
    get, path = "/v1/rollouts/{namespace}/{name}", operation_id = "getRollout",
    params(NamePath),
    responses(
        (status = 200, description = "The rollout", body = Rollout, headers(("ETag" = String, description = "Version of the record"))),
        Reads
    )
)]
pub(super) async fn get(
    State(app): State<App>,
    sender: Sender,
    Named(name): Named,
) -> Result<Response, Trouble> {
    sender.must(May::Read, &name).await?;
    let stored = app.server.store().record(&name).await?;
    let stored = stored.ok_or_else(|| Trouble::not_found(format!("there is no rollout {name}")))?;
    let shown = show::rollout(&stored, &app.server.view());
    Ok((etag(stored.version), Json(shown)).into_response())
}

/// Writes a rollout. The answer to a wrong document has every problem with its place.
#[utoipa::path(
    put, path = "/v1/rollouts/{namespace}/{name}", operation_id = "putRollout",
    params(NamePath, DryRun, IfVersion),
    request_body(
        description = "The document, as it stands in its file: YAML or JSON, whatever the content type says",
        content((Document = "application/json"), (Document = "application/yaml"))
    ),
    responses(
        (status = 200, description = "Changed, or the same already", body = Done, headers(("ETag" = String, description = "Version of the record"))),
        (status = 201, description = "New", body = Done, headers(("ETag" = String, description = "Version of the record"))),
        Changes
    )
)]
pub(super) async fn put(
    State(app): State<App>,
    sender: Sender,
    Named(name): Named,
    Query(DryRun { dry_run }): Query<DryRun>,
    headers: HeaderMap,
    text: String,
) -> Result<Response, Trouble> {
    sender.must(May::Write, &name).await?;
    let by = sender.by();
    let asked = Asked { by: &by, expected: expected(&headers)?, release: None, dry_run, answer: None };
    let written = operations::write(&app.server, &name, &text, &asked).await;
    let written = written.map_err(|refused| Trouble::of(refused, &text))?;
    let status = if written.is_new && !dry_run { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, etag(written.stored.version), Json(done(&app, &written, &text, dry_run))).into_response())
}

/// Deletes a rollout, once all its users are on stable.
#[utoipa::path(
    delete, path = "/v1/rollouts/{namespace}/{name}", operation_id = "deleteRollout",
    params(NamePath, DryRun, IfVersion),
    responses((status = 202, description = "Its users go to stable, and then it is gone", body = Done), Changes)
)]
pub(super) async fn delete(
    State(app): State<App>,
    sender: Sender,
    Named(name): Named,
    Query(DryRun { dry_run }): Query<DryRun>,
    headers: HeaderMap,
) -> Result<Response, Trouble> {
    sender.must(Deed::DELETE, &name).await?;
    let by = sender.by();
    let asked = Asked { by: &by, expected: expected(&headers)?, release: None, dry_run, answer: None };
    let written = operations::remove(&app.server, &name, &asked).await;
    let written = written.map_err(|refused| Trouble::of(refused, ""))?;
    Ok((StatusCode::ACCEPTED, Json(done(&app, &written, "", dry_run))).into_response())
}

/// What happened to a rollout, the newest first.
#[utoipa::path(
    get, path = "/v1/rollouts/{namespace}/{name}/history", operation_id = "getHistory",
    params(NamePath, Page),
    responses((status = 200, description = "Lines of history", body = Vec<Line>), Reads)
)]
pub(super) async fn history(
    State(app): State<App>,
    sender: Sender,
    Named(name): Named,
    Query(page): Query<Page>,
) -> Result<Json<Vec<Line>>, Trouble> {
    sender.must(May::Read, &name).await?;
    let limit = page.limit.unwrap_or(LINES);
    if !(1..=MAX_LINES).contains(&limit) {
        return Err(Trouble::bad_request(format!("limit is {limit}, and 1 to {MAX_LINES} are possible")));
    }
    let before = page.before.map(u64::try_from).transpose();
    let before =
        before.map_err(|_| Trouble::bad_request("before is negative, and lines are numbered from 1"))?;
    let lines = app.server.store().history(&name, before, limit).await?;
    Ok(Json(lines.iter().map(|entry| show::line(&name, entry.number, &entry.logged)).collect()))
}

/// What was done, in the words of the API.
pub(super) fn done(app: &App, written: &Written, text: &str, dry_run: bool) -> Done {
    let source = SourceText::new("", text.to_owned());
    let mut rollout = show::rollout(&written.stored, &app.server.view());
    if !written.conditions.is_empty() {
        rollout.conditions = written.conditions.iter().map(Into::into).collect();
    }
    Done {
        changed: written.is_changed,
        created: written.is_new,
        dry_run,
        rollout,
        remarks: written.remarks.iter().map(|problem| trouble::place(problem, &source)).collect(),
    }
}

fn etag(version: u64) -> [(header::HeaderName, HeaderValue); 1] {
    let value = HeaderValue::from_str(&format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"\""));
    [(header::ETAG, value)]
}

/// The version that a request wants the record to have: `If-Match: "7"`, or `If-None-Match: *` for none.
pub(super) fn expected(headers: &HeaderMap) -> Result<Option<u64>, Trouble> {
    let version = headers
        .get(header::IF_MATCH)
        .map(|value| version(value).ok_or_else(|| Trouble::bad_request("If-Match is no version, as \"7\"")));
    let none = headers.get(header::IF_NONE_MATCH).map(|value| match value == "*" {
        true => Ok(0),
        false => Err(Trouble::bad_request("If-None-Match is only known as *")),
    });
    match (version.transpose()?, none.transpose()?) {
        (Some(_), Some(_)) => {
            let detail = "If-Match wants a record, and If-None-Match none; say one of them";
            Err(Trouble::new(StatusCode::PRECONDITION_FAILED, detail))
        }
        (version, none) => Ok(version.or(none)),
    }
}

/// The version of an `ETag`: digits in quotes, which a shell may have taken off.
fn version(etag: &HeaderValue) -> Option<u64> {
    let text = etag.to_str().ok()?;
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    whole(text)
}
