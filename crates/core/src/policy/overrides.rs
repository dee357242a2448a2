//! Overrides: a variant forced for one request by a signed, expiring token.

use std::time::Duration;

use coalmine_document::{Cursor, Fields, Known, Value};

use super::cached_request::CachedRequest;
use super::names;
use super::secrets::SecretReader;
use super::variants::Variants;
use crate::Request;
use crate::split::Variant;
use crate::token::{MAX_LIFETIME, Secret, Token};

const OVERRIDE: Known =
    Known { fields: &["header", "cookie", "secret"], secret: &["secret"], unsupported: &[] };
const SECRET_RULE: &str = "a secret of at least 32 bytes";
/// Two are needed while one replaces the other.
const MAX_SECRETS: usize = 8;

/// What became of an override token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OverrideResult {
    /// It has not the form of a token, or its header was sent twice.
    Malformed,
    /// No secret of the rollout has signed it.
    Signature,
    /// It is for another rollout.
    Rollout,
    /// The rollout has no such variant.
    Variant,
    /// Its time is over.
    Expired,
    /// It would be valid for more than a day.
    TooFar,
    /// It decides.
    Accepted,
}

/// Where a rollout's tokens come in and which secrets sign them.
#[derive(Debug)]
pub(super) struct Override {
    pub(super) header: Option<Box<str>>,
    pub(super) cookie: Option<Box<str>>,
    /// The first one signs new tokens; a token that any of them has signed is accepted.
    pub(super) secrets: Vec<Secret>,
}

// === impl OverrideResult ===

impl OverrideResult {
    /// Every result, in the order of the checks.
    pub const ALL: [Self; 7] = [
        Self::Malformed,
        Self::Signature,
        Self::Rollout,
        Self::Variant,
        Self::Expired,
        Self::TooFar,
        Self::Accepted,
    ];

    /// How metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Signature => "signature",
            Self::Rollout => "rollout",
            Self::Variant => "variant",
            Self::Expired => "expired",
            Self::TooFar => "tooFar",
            Self::Accepted => "accepted",
        }
    }

    /// Its place in [`OverrideResult::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

// === impl Override ===

impl Override {
    /// Reads a rollout's override, where it has one.
    pub(super) fn read(rollout: &Fields<'_, '_>, secrets: &mut SecretReader<'_>) -> Option<Self> {
        let cursor = rollout.get("override")?.guarded();
        let fields = cursor.fields(&OVERRIDE);
        let header = fields.get("header").map(|header| names::managed_header(&header));
        let cookie = fields.get("cookie").map(|cookie| names::cookie(&cookie));
        if header.is_none() && cookie.is_none() && fields.is_map() {
            cursor.problem("needs a way in: header, cookie or both");
        }
        let secret =
            fields.required("secret", "what tokens are signed with, as {env: COALMINE_OVERRIDE_SECRET}");
        let secrets = secret.map_or_else(Vec::new, |secret| {
            let secret = secret.secret();
            let mut read =
                |item: &Cursor<'_, '_>| secrets.read(item, SECRET_RULE, |text| Secret::new(text.as_bytes()));
            let Value::List(items) = secret.value() else { return Vec::from_iter(read(&secret)) };
            if items.len() > MAX_SECRETS {
                secret.too_large(format!("has {} secrets; at most {MAX_SECRETS}", items.len()));
            }
            let items = secret.filled_items("give one secret, or two while one replaces the other");
            items.filter_map(|item| read(&item)).collect()
        });
        Some(Self { header, cookie, secrets })
    }

    /// Verifies the request's token; `None` where it has none. If the header is there, the cookie is not tried.
    pub(super) fn verify<'p>(
        &'p self,
        rollout: &str,
        variants: &Variants,
        request: &CachedRequest<'p, '_, impl Request>,
        now: Duration,
    ) -> Option<(OverrideResult, Option<Variant>)> {
        let in_header = self.header.as_deref().and_then(|header| Some((header, request.header(header)?)));
        let token = match in_header {
            Some((header, _)) if request.is_repeated(header) => {
                return Some((OverrideResult::Malformed, None));
            }
            Some((_, token)) => token,
            None => request.cookie(self.cookie.as_deref()?)?,
        };
        let Some(token) = Token::parse(token) else { return Some((OverrideResult::Malformed, None)) };
        let variant = variants.by_name(token.variant);
        let result = self.check(&token, rollout, variant, now);
        Some((result, variant.filter(|_| result == OverrideResult::Accepted)))
    }

    /// The checks of a token that has the right form, in the order that is documented.
    fn check(
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
        } else if token.expiry > now.saturating_add(MAX_LIFETIME) {
            OverrideResult::TooFar
        } else {
            OverrideResult::Accepted
        }
    }
}
