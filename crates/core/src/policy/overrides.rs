//! Overrides: a variant forced for one request by a signed, expiring token.

use std::time::Duration;

use super::own::HeaderNames;
use super::reading::Reading;
use super::secrets::SecretReader;
use super::variants::Variants;
use crate::Request;
use crate::decision::OverrideResult;
use crate::document::{Cursor, Known, Value};
use crate::ranges::Variant;
use crate::token::{MAX_LIFETIME, Secret, Token};

const OVERRIDE: Known = Known { fields: &["header", "cookie", "secret"], unsupported: &[] };
const SECRET_RULE: &str = "a secret of at least 32 bytes";
/// Two are needed while one replaces the other.
const MAX_SECRETS: usize = 8;

/// Where a rollout's tokens come in and who signs them.
#[derive(Debug)]
pub(super) struct Override {
    header: Option<Box<str>>,
    cookie: Option<Box<str>>,
    /// The first one signs, each one is believed.
    pub(super) secrets: Vec<Secret>,
}

// === impl Override ===

impl Override {
    pub(super) fn read<'d>(
        cursor: &Cursor<'d>,
        headers: &mut HeaderNames<'d>,
        secrets: &mut SecretReader<'_>,
    ) -> Option<Self> {
        let cursor = cursor.unshown();
        let fields = cursor.map(&OVERRIDE)?;
        let header = fields.get("header").map(|header| headers.read_override(&header));
        let cookie = fields.get("cookie").map(|cookie| headers.read_override_cookie(&cookie));
        if header.is_none() && cookie.is_none() {
            cursor.problem("needs a way in: header, cookie or both");
        }
        let secret =
            fields.required("secret", "what tokens are signed with, as {env: COALMINE_OVERRIDE_SECRET}")?;
        let items = match secret.value() {
            Value::List(_) => secret.filled_list("give one secret, or two while one replaces the other")?,
            _ => vec![secret.clone()],
        };
        if items.len() > MAX_SECRETS {
            secret.problem(format!("has {} secrets; at most {MAX_SECRETS}", items.len()));
        }
        let mut read =
            |item: &Cursor<'_>| secrets.read(item, SECRET_RULE, |text| Secret::new(text.as_bytes()));
        let secrets: Vec<Option<Option<Secret>>> = items.iter().map(&mut read).collect();
        let secrets: Option<Vec<Option<Secret>>> = secrets.into_iter().collect();
        let given = |name: Option<Option<Box<str>>>| name.map_or(Some(None), |name| name.map(Some));
        Some(Self {
            header: given(header)?,
            cookie: given(cookie)?,
            secrets: secrets?.into_iter().flatten().collect(),
        })
    }

    /// What the request's token comes to; `None` where it has none. If the header is there, the cookie is not tried.
    pub(super) fn judge<'p>(
        &'p self,
        rollout: &str,
        variants: &Variants,
        request: &Reading<'p, '_, impl Request>,
    ) -> Option<(OverrideResult, Option<Variant>)> {
        let token = match &self.header {
            Some(header) if request.header(header, |value| value.is_some()) => {
                if request.is_repeated(header) {
                    return Some((OverrideResult::Malformed, None));
                }
                request.header(header, |value| value.map(<[u8]>::to_vec))
            }
            _ => request.cookie(self.cookie.as_deref()?),
        };
        let token = token?;
        let Some(token) = Token::parse(&token) else { return Some((OverrideResult::Malformed, None)) };
        let variant = variants.by_name(token.variant);
        let result = self.believe(&token, rollout, variant, request.host().now());
        Some((result, variant.filter(|_| result == OverrideResult::Accepted)))
    }

    /// The checks of a token that has the right form, in the order that is documented.
    fn believe(
        &self,
        token: &Token<'_>,
        rollout: &str,
        variant: Option<Variant>,
        now: Duration,
    ) -> OverrideResult {
        if !token.is_signed_by(&self.secrets) {
            OverrideResult::Signature
        } else if token.rollout != rollout {
            OverrideResult::Rollout
        } else if variant.is_none() {
            OverrideResult::Variant
        } else if now >= token.expiry {
            OverrideResult::Expired
        } else if token.expiry > now + MAX_LIFETIME {
            OverrideResult::TooFar
        } else {
            OverrideResult::Accepted
        }
    }
}
