//! Errors, as `application/problem+json`. What begins with 4 is final; 503 means: try again.

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use coalmine_document::{Problem, SourceText};

use super::shapes::{Place, Trouble};
use crate::access::Denial;
use crate::config::Limits;
use crate::operations::Refused;
use crate::store::StoreError;

/// Seconds after which to try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
/// The most bytes of a refusal of the framework that are told.
const MAX_TOLD: usize = 4 << 10;
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"coalmine\"");
/// The same where a token came along, as RFC 6750 has it.
const BAD_TOKEN: HeaderValue = HeaderValue::from_static("Bearer realm=\"coalmine\", error=\"invalid_token\"");

// === impl Trouble ===

impl Trouble {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            detail: detail.into(),
            problems: Vec::new(),
            is_bad_token: false,
        }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// Why an operation was not done; `text` is the document that it was about, where it was about one.
    pub(crate) fn of(refused: Refused, text: &str) -> Self {
        match refused {
            Refused::Unknown => Self::not_found("there is no such rollout"),
            Refused::Invalid(problems) => {
                let source = SourceText::new("", text.to_owned());
                let places = problems.shown().iter().map(|problem| place(problem, &source)).collect();
                let detail = match problems.count() {
                    1 => "the document has a problem".to_owned(),
                    count => format!("the document has {count} problems"),
                };
                Self { problems: places, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
            }
            Refused::Refusal(why) => Self::new(StatusCode::CONFLICT, why),
            Refused::Changed => Self::new(StatusCode::PRECONDITION_FAILED, Refused::Changed.to_string()),
            Refused::Store(error) => error.into(),
        }
    }
}

/// What the framework refuses before a handler sees it, in the same words as everything else.
pub(super) async fn translated(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || response.headers().get(header::CONTENT_TYPE) == Some(&PROBLEM) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let detail = match status {
        StatusCode::PAYLOAD_TOO_LARGE => format!("a body has at most {} bytes", limits.body),
        StatusCode::METHOD_NOT_ALLOWED => "this path does not take this method; see \"Allow\"".to_owned(),
        _ => {
            let said = to_bytes(body, MAX_TOLD).await.unwrap_or_default();
            let said = String::from_utf8_lossy(&said).trim().to_owned();
            if said.is_empty() { "this request cannot be read".to_owned() } else { said }
        }
    };
    let mut translated = Trouble::new(status, detail).into_response();
    if let Some(allow) = parts.headers.get(header::ALLOW) {
        translated.headers_mut().insert(header::ALLOW, allow.clone());
    }
    translated
}

/// A problem with its line and column.
pub(super) fn place(problem: &Problem, source: &SourceText) -> Place {
    let mark = (!problem.span.is_empty()).then(|| source.mark(problem.span.start));
    Place {
        path: problem.path.to_string(),
        line: mark.as_ref().map_or(0, |mark| mark.line as usize),
        column: mark.as_ref().map_or(0, |mark| mark.column as usize),
        kind: problem.code.as_str().to_owned(),
        message: problem.message.clone(),
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Moved => {
                Self::new(StatusCode::CONFLICT, "somebody else changes it all the time; try again")
            }
            StoreError::Full(why) => Self::new(StatusCode::INSUFFICIENT_STORAGE, why),
            StoreError::Refused(why) => Self::new(StatusCode::CONFLICT, why),
            // What a database says may name hosts and files: it is in the log.
            StoreError::Away(_) | StoreError::Unreadable(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the store does not answer; proxies go on with what they have",
            ),
        }
    }
}

impl From<Denial> for Trouble {
    fn from(denial: Denial) -> Self {
        let status = match denial {
            Denial::Missing | Denial::Invalid(_) => StatusCode::UNAUTHORIZED,
            Denial::Away(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let is_bad_token = matches!(denial, Denial::Invalid(_));
        Self { is_bad_token, ..Self::new(status, denial.to_string()) }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let challenge = if self.is_bad_token { BAD_TOKEN } else { CHALLENGE };
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, PROBLEM);
        match status {
            StatusCode::SERVICE_UNAVAILABLE => headers.insert(header::RETRY_AFTER, RETRY_AFTER),
            StatusCode::UNAUTHORIZED => headers.insert(header::WWW_AUTHENTICATE, challenge),
            _ => None,
        };
        response
    }
}
