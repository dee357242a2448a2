//! Who looks, and what their forms say.

use axum::Form;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::Dashboard;
use super::page::Stop;
use super::session::{Id, LASTS};
use crate::access::{Denial, May};
use crate::api::caller::Sender;
use crate::api::site::{ANOTHER_HOST, SITE, is_our_host, is_our_page};
use crate::rollout::Name;

/// A browser, whether somebody has signed in with it or not.
#[derive(Clone, Debug)]
pub(super) struct Browser {
    /// The number in its cookie.
    pub(super) id: Id,
    /// Whether it has none yet.
    is_new: bool,
}

/// Somebody who may see something.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) browser: Browser,
    pub(super) sender: Sender,
    /// Whether they may see all rollouts, and the proxies.
    pub(super) sees_all: bool,
    /// Whether they may say verbs about all rollouts.
    pub(super) operates_all: bool,
    /// Whether they have signed in; where the server has no tokens, nobody has to.
    pub(super) has_session: bool,
}

/// What a form says. Fields that it does not have are empty.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields {
    code: String,
    pub(super) message: String,
    /// What the person saw when they were asked.
    pub(super) seen: String,
    pub(super) new_users: Option<String>,
    pub(super) thaw: Option<String>,
    pub(super) token: String,
    pub(super) actor: String,
    pub(super) next: String,
}

/// A form that one of our pages sent.
pub(super) struct Posted {
    pub(super) browser: Browser,
    pub(super) fields: Fields,
}

// === impl Browser ===

impl Browser {
    fn of(dashboard: &Dashboard, parts: &Parts) -> Result<Self, Stop> {
        if !is_our_host(&dashboard.app, parts) {
            return Err(Stop::new(StatusCode::MISDIRECTED_REQUEST, ANOTHER_HOST));
        }
        let wanted = cookie_name(dashboard);
        let known = cookies(&parts.headers).find_map(
            |(name, value)| {
                if name == wanted { Id::read(value) } else { None }
            },
        );
        match known {
            Some(id) => Ok(Self { id, is_new: false }),
            None => {
                let id = Id::new().ok_or_else(|| {
                    Stop::new(StatusCode::SERVICE_UNAVAILABLE, "the system gives no random numbers")
                })?;
                // A cookie is not sent along where another site leads here, so it may be there all the same.
                Ok(Self { id, is_new: !is_led_here(&parts.headers) })
            }
        }
    }

    /// The cookie that it is to have, where it has none.
    pub(super) fn cookie(&self, dashboard: &Dashboard) -> Option<HeaderValue> {
        if self.is_new { cookie(dashboard, &self.id) } else { None }
    }
}

impl FromRequestParts<Dashboard> for Browser {
    type Rejection = Stop;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Dashboard) -> Result<Self, Stop> {
        Self::of(dashboard, parts)
    }
}

// === impl Visitor ===

impl Visitor {
    /// Who looks with this browser.
    ///
    /// # Errors
    /// Nobody who may, or that cannot be known now: why. A session whose token is withdrawn is over.
    pub(super) async fn of(dashboard: &Dashboard, browser: Browser) -> Result<Self, Denial> {
        let now = dashboard.app.server.now();
        let session = dashboard.sessions.get(&browser.id, now);
        let token = session.as_ref().map(|session| session.token.as_str());
        match dashboard.app.tokens.caller(token, now).await {
            Ok(caller) => {
                let actor = session.as_ref().and_then(|session| session.actor.as_deref());
                let sender = Sender::acting(caller, actor);
                let sees_all = sender.may_everywhere(May::Read).await?;
                let operates_all = sees_all && sender.may_everywhere(May::Operate).await?;
                Ok(Self { browser, sender, sees_all, operates_all, has_session: session.is_some() })
            }
            Err(denial) => {
                if matches!(denial, Denial::Invalid(_)) {
                    dashboard.sessions.end(&browser.id);
                }
                Err(denial)
            }
        }
    }

    /// Their code, for forms.
    pub(super) fn code(&self, dashboard: &Dashboard) -> String {
        dashboard.sessions.code(&self.browser.id)
    }
}

impl FromRequestParts<Dashboard> for Visitor {
    type Rejection = Stop;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Dashboard) -> Result<Self, Stop> {
        let browser = Browser::of(dashboard, parts)?;
        Self::of(dashboard, browser).await.map_err(|denial| Stop::denied(&denial, parts.uri.path()))
    }
}

// === impl Posted ===

impl FromRequest<Dashboard> for Posted {
    type Rejection = Stop;

    async fn from_request(request: Request, dashboard: &Dashboard) -> Result<Self, Stop> {
        let (parts, body) = request.into_parts();
        let browser = Browser::of(dashboard, &parts)?;
        if !is_our_page(&dashboard.app, &parts) {
            return Err(Stop::new(
                StatusCode::FORBIDDEN,
                "another site has sent this form; nothing was done",
            ));
        }
        let read = Form::<Fields>::from_request(Request::from_parts(parts, body), dashboard).await;
        let Form(fields) = read.map_err(|refused| Stop::new(refused.status(), refused.body_text()))?;
        if !dashboard.sessions.is_code(&browser.id, &fields.code) {
            let why = "this form is too old, or is not of this browser; nothing was done. Go back, load the page \
                       again, and send it once more";
            return Err(Stop::new(StatusCode::FORBIDDEN, why));
        }
        Ok(Self { browser, fields })
    }
}

/// The path that a form leads back to: only pages of ours.
pub(super) fn path_back(next: &str) -> String {
    let name = next.strip_prefix("/rollouts/").and_then(|rest| rest.parse::<Name>().ok());
    match name {
        Some(name) => format!("/rollouts/{name}"),
        None if next == "/proxies" => next.to_owned(),
        None => "/".to_owned(),
    }
}

/// The cookie of a session, for as long as a session lasts.
pub(super) fn cookie(dashboard: &Dashboard, id: &Id) -> Option<HeaderValue> {
    written(dashboard, id.as_str(), LASTS)
}

/// The cookie that takes away the one before.
pub(super) fn no_cookie(dashboard: &Dashboard) -> Option<HeaderValue> {
    written(dashboard, "", 0)
}

/// Whether a link on another site led here: then a browser sends no cookie along, though it may have one.
pub(super) fn is_led_here(headers: &HeaderMap) -> bool {
    headers.get(SITE).is_some_and(|site| site == "cross-site" || site == "same-site")
}

fn written(dashboard: &Dashboard, value: &str, age: u64) -> Option<HeaderValue> {
    let name = cookie_name(dashboard);
    let secure = if is_secure(dashboard) { "; Secure" } else { "" };
    HeaderValue::from_str(&format!(
        "{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"
    ))
    .ok()
}

fn cookie_name(dashboard: &Dashboard) -> &'static str {
    if is_secure(dashboard) { "__Host-coalmine" } else { "coalmine" }
}

/// Whether people come by TLS, that of the server or that of a proxy before it.
fn is_secure(dashboard: &Dashboard) -> bool {
    let is_https = |url: &String| url.starts_with("https://");
    dashboard.app.has_tls || dashboard.app.public_url.as_ref().is_some_and(is_https)
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='))
}
