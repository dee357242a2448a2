//! The description of the API in OpenAPI 3.1, made from the handlers.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, Content, Header, Info, OpenApi, OpenApiBuilder, Ref, RefOr, Response as Described,
    ResponseBuilder, SecurityRequirement,
};
use utoipa::{IntoParams, IntoResponses, PartialSchema, ToSchema};

use super::shapes::Trouble;
use crate::rollout::Name;

const ABOUT: &str = "Rollouts, releases and verdicts. 4xx are final; 503 means: try again. Health and metrics are on a \
                     port of their own.";
const PROBLEM: &str = "application/problem+json";

/// What a request may say of the version that it is about.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes headers, and is never made")]
pub(super) struct IfVersion {
    /// The `ETag` of the record, as `"7"`; its quotes may be missing.
    #[param(rename = "If-Match", nullable = false, pattern = "^(\"[0-9]{1,18}\"|[0-9]{1,18})$")]
    if_match: Option<String>,
    /// `*`: only where there is no such rollout yet.
    #[param(rename = "If-None-Match", required = false, schema_with = any)]
    if_none_match: Option<String>,
}

/// A rollout as people write it. What is in its parts stands in docs/policy.md and docs/rollout.md; every problem is told
/// with its place.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "Document", example = json!({
    "policy": {"identity": [{"header": "x-user-id"}], "variants": [{"name": "canary"}]},
    "plan": {"steps": [1, 5, 25, 50], "guards": {"errors": {}}},
}))]
#[expect(dead_code, reason = "it describes a body, which is read with all its places")]
pub(super) struct Document {
    /// Its name, as in the address; it may be left out.
    #[schema(value_type = String, required = false, example = "shop/checkout")]
    name: Option<String>,
    /// The workloads of both versions, on Kubernetes.
    #[schema(value_type = Object, required = false)]
    workloads: Option<serde_json::Value>,
    /// Whom it concerns, and who somebody is.
    #[schema(value_type = Object)]
    policy: serde_json::Value,
    /// How it goes on; or `weights`.
    #[schema(value_type = Object, required = false)]
    plan: Option<serde_json::Value>,
    /// The weights that the file owns, by variant; or `plan`.
    #[schema(value_type = BTreeMap<String, f64>, required = false)]
    weights: Option<serde_json::Value>,
}

/// An event of the stream, field by field.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes events, and is never made")]
pub(super) struct Event {
    /// Its position, for `Last-Event-ID`.
    #[schema(pattern = "^[0-9]{1,18}$")]
    id: String,
    /// What it is.
    #[schema(schema_with = event)]
    event: String,
    /// Of `history`, a `Line` in JSON; of `missed`, a sentence.
    data: String,
}

/// How every request that reads may be refused.
pub(super) struct Reads;

/// How one that changes something may be refused beside.
pub(super) struct Changes;

/// It is not so now.
pub(super) struct Conflict;

/// The description of this API.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "getOpenApi", security(()),
    responses((status = 200, description = "This document", body = serde_json::Value))
)]
pub(super) async fn openapi() -> Response {
    static DOCUMENT: LazyLock<Option<Bytes>> =
        LazyLock::new(|| serde_json::to_vec(&super::routes().into_openapi()).ok().map(Bytes::from));
    match DOCUMENT.clone() {
        Some(document) => {
            let json = HeaderValue::from_static("application/json");
            ([(header::CONTENT_TYPE, json)], document).into_response()
        }
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// What is said of all of it; the routes add themselves.
pub(super) fn base() -> OpenApi {
    let mut info = Info::new("Coalmine", env!("CARGO_PKG_VERSION"));
    info.description = Some(ABOUT.to_owned());
    let mut components = Components::new();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("A token of the server's configuration, or a JWT of an issuer that it trusts"));
    let bearer = SecurityScheme::Http(bearer.build());
    let basic = SecurityScheme::Http(Http::new(HttpAuthScheme::Basic));
    components.add_security_scheme("bearer", bearer);
    components.add_security_scheme("basic", basic);
    components.schemas.extend([(Trouble::name().into_owned(), Trouble::schema())]);
    let mut nested = Vec::new();
    Trouble::schemas(&mut nested);
    components.schemas.extend(nested);
    let none = Vec::<String>::new();
    let security = ["bearer", "basic"].map(|scheme| SecurityRequirement::new(scheme, none.clone()));
    OpenApiBuilder::new().info(info).components(Some(components)).security(Some(security)).build()
}

/// The words of a verdict.
pub(super) fn verdict() -> Schema {
    words(&["rollback", "hold", "advance", "promote"], false)
}

/// The verbs.
pub(super) fn verb() -> Schema {
    words(
        &["start", "pause", "hold", "resume", "advance", "approve", "rollback", "promote", "weights"],
        false,
    )
}

/// How a release ended, or null.
pub(super) fn outcome() -> Schema {
    words(&["Promoted", "RolledBack", "Superseded"], true)
}

fn any() -> Schema {
    words(&["*"], false)
}

fn event() -> Schema {
    words(&["history", "missed"], false)
}

fn words(words: &[&str], or_null: bool) -> Schema {
    let null = or_null.then_some(None);
    let values = words.iter().map(|word| Some((*word).to_owned())).chain(null);
    let kind = match or_null {
        true => SchemaType::from_iter([Type::String, Type::Null]),
        false => SchemaType::new(Type::String),
    };
    ObjectBuilder::new().schema_type(kind).enum_values(Some(values)).build().into()
}

fn refusals(refusals: &[(&str, &str)]) -> BTreeMap<String, RefOr<Described>> {
    let described = |status: &str, about: &str| {
        let schema = Ref::from_schema_name(Trouble::name());
        let response = ResponseBuilder::new().description(about).content(PROBLEM, Content::new(Some(schema)));
        let response = match status {
            "401" => response.header("WWW-Authenticate", Header::default()),
            "503" => response.header("Retry-After", seconds()),
            _ => response,
        };
        RefOr::T(response.build())
    };
    refusals.iter().map(|(status, about)| ((*status).to_owned(), described(status, about))).collect()
}

fn seconds() -> Header {
    let mut header = Header::new(ObjectBuilder::new().schema_type(SchemaType::new(Type::Integer)));
    header.description = Some("Seconds after which to try again".to_owned());
    header
}

// === impl Reads ===

const READS: [(&str, &str); 6] = [
    ("400", "A body, a header or a query that is none"),
    ("401", "No token, or one that is not good here"),
    ("403", "The token may not do this, or a page of another site has sent it"),
    ("404", "There is no such thing"),
    ("421", "Without tokens: this host is not one of this server's"),
    ("503", "Try again"),
];

impl IntoResponses for Reads {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        refusals(&READS)
    }
}

// === impl Changes ===

impl IntoResponses for Changes {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        let mut all = refusals(&READS);
        all.append(&mut Conflict::responses());
        all.append(&mut refusals(&[
            ("412", "The record has another version"),
            ("413", "The body is too large"),
            ("422", "The document has problems, or the idempotency key belongs to another request"),
            ("507", "The disk is full, or a record would be too large"),
        ]));
        all
    }
}

// === impl Conflict ===

impl IntoResponses for Conflict {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        refusals(&[("409", "It makes no sense now, or would do harm")])
    }
}

// === impl Name ===

impl PartialSchema for Name {
    fn schema() -> RefOr<Schema> {
        let name = ObjectBuilder::new().schema_type(SchemaType::new(Type::String));
        Schema::from(name.pattern(Some("^[a-z0-9-]{1,63}/[a-z0-9-]{1,63}$"))).into()
    }
}

impl ToSchema for Name {}
