//! Who sends a request, and what it is about.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use base64ct::{Base64, Encoding as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::App;
use super::shapes::Trouble;
use crate::access::{Caller, Deed, Denial, May, Pattern};
use crate::rollout::Name;

/// The header in which a tool says for which person it acts.
const ACTOR: &str = "coalmine-actor";
/// The most characters of a person's name.
const MAX_ACTOR: usize = 128;

/// Who sends a request, as its token says.
#[derive(Debug)]
pub(crate) struct Sender {
    caller: Caller,
    actor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct NamePath {
    /// Namespace of the rollout.
    #[param(pattern = "^[a-z0-9-]{1,63}$", example = "shop")]
    namespace: String,
    /// Name of the rollout in its namespace.
    #[param(pattern = "^[a-z0-9-]{1,63}$", example = "checkout")]
    name: String,
}

/// The rollout that a path names.
pub(super) struct Named(pub(super) Name);

// === impl Sender ===

impl Sender {
    /// Who sends a request with these headers and this token.
    pub(super) async fn of(app: &App, headers: &HeaderMap, token: Option<&str>) -> Result<Self, Trouble> {
        let caller = app.tokens.caller(token, app.server.now()).await?;
        Ok(Self::acting(caller, headers.get(ACTOR).and_then(|value| value.to_str().ok())))
    }

    /// Who sends a request for a person, where that is said.
    pub(crate) fn acting(caller: Caller, actor: Option<&str>) -> Self {
        let actor = actor.map(|text| text.chars().filter(|it| !it.is_control()).take(MAX_ACTOR).collect());
        let actor = actor.filter(|actor: &String| !actor.trim().is_empty());
        Self { caller, actor }
    }

    /// Who history says it was.
    pub(crate) fn by(&self) -> String {
        match &self.actor {
            Some(actor) => format!("{} ({actor})", self.caller.name()),
            None => self.caller.name().to_owned(),
        }
    }

    /// The name of the token alone.
    pub(super) fn token(&self) -> &str {
        self.caller.name()
    }

    /// Whether they may do this to a rollout.
    ///
    /// # Errors
    /// That cannot be known now.
    pub(crate) async fn may(&self, deed: impl Into<Deed>, name: &Name) -> Result<bool, Denial> {
        self.caller.may(deed, &[Pattern::One(name.clone())]).await
    }

    /// Whether they may do this to all rollouts.
    ///
    /// # Errors
    /// That cannot be known now.
    pub(crate) async fn may_everywhere(&self, may: May) -> Result<bool, Denial> {
        self.caller.may(may, &[Pattern::Every]).await
    }

    pub(crate) async fn must(&self, deed: impl Into<Deed>, name: &Name) -> Result<(), Trouble> {
        let deed = deed.into();
        if self.may(deed, name).await? {
            return Ok(());
        }
        let detail = format!("the token {} may not {deed} {name}", self.caller.name());
        Err(Trouble::new(StatusCode::FORBIDDEN, detail))
    }

    pub(crate) async fn must_everywhere(&self, may: May) -> Result<(), Trouble> {
        if self.may_everywhere(may).await? {
            return Ok(());
        }
        let detail =
            format!("the token {} may not {may} every rollout, which this needs", self.caller.name());
        Err(Trouble::new(StatusCode::FORBIDDEN, detail))
    }
}

impl FromRequestParts<App> for Sender {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Trouble> {
        Self::of(app, &parts.headers, token(&parts.headers).as_deref()).await
    }
}

/// The token of a bearer header, or the password of a basic one.
pub(crate) fn token(headers: &HeaderMap) -> Option<String> {
    let (scheme, value) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(Base64::decode_vec(value).ok()?).ok()?;
    pair.split_once(':').map(|(_, password)| password.to_owned())
}

/// A number in digits alone: what is read as a number may have a sign.
pub(super) fn whole(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// What a body says: the fields of an object. Without a body, or with null, nothing is said.
pub(super) fn said<T: Default + DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    if text.trim().is_empty() {
        return Ok(T::default());
    }
    // Fields may be read of a list too, one by one, which nobody means.
    serde_json::from_str::<Option<serde_json::Map<String, serde_json::Value>>>(text)?;
    serde_json::from_str::<Option<T>>(text).map(Option::unwrap_or_default)
}

// === impl Named ===

impl FromRequestParts<App> for Named {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Trouble> {
        let place = Path::<NamePath>::from_request_parts(parts, app).await;
        let Path(place) = place.map_err(|_| Trouble::not_found("this path names no rollout"))?;
        match Name::new(&place.namespace, &place.name) {
            Ok(name) => Ok(Self(name)),
            Err(error) => Err(Trouble::not_found(format!("the name {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        token(&headers)
    }

    #[test]
    fn a_token_comes_as_bearer_or_as_the_password_of_basic() {
        assert_eq!(of("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(of("bearer  abc ").as_deref(), Some("abc"));
        assert_eq!(of(&format!("Basic {}", Base64::encode_string(b"any:a:b"))).as_deref(), Some("a:b"));
        for odd in ["abc", "Digest abc", "Basic !!!", &format!("Basic {}", Base64::encode_string(b"none"))] {
            assert_eq!(of(odd), None, "{odd}");
        }
    }
}
