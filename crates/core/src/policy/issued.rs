//! An identity for who has none: a random cookie, issued to every such user alike.

use super::names;
use super::parts;
use crate::document::{Cursor, Fields, Known, quoted};

const COOKIE: Known =
    Known { fields: &["name", "maxAge", "path", "domain", "sameSite", "secure"], unsupported: &[] };
const DEFAULT_NAME: &str = "coalmine-id";
/// Thirty days: the lifetime of most rollouts.
const DEFAULT_MAX_AGE: u64 = 30 * 24 * 60 * 60;
/// 32 hexadecimal digits: 128 bits of the host's random source.
const DIGITS: usize = 32;

/// The cookie that a rollout issues.
#[derive(Debug)]
pub(super) struct IssuedCookie {
    pub(super) name: Box<str>,
    /// What stands behind the value in `Set-Cookie`.
    attributes: Box<str>,
}

/// When a browser sends the cookie with requests that another site caused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SameSite {
    Strict,
    Lax,
    None,
}

/// Whether Coalmine could have issued this value.
pub(super) fn is_issued(value: &[u8]) -> bool {
    value.len() == DIGITS && value.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The identity that these random bytes make.
pub(super) fn mint(random: [u8; 16]) -> String {
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

// === impl IssuedCookie ===

impl IssuedCookie {
    /// Reads the cookie of a rollout that issues one; a rollout that does not may not describe it.
    pub(super) fn read(rollout: &Fields<'_>, issues: bool) -> Option<Option<Self>> {
        match (rollout.get("cookie"), issues) {
            (Some(cursor), true) => Self::read_fields(&cursor.map(&COOKIE)?).map(Some),
            (None, true) => Some(Some(Self::default())),
            (Some(cursor), false) => {
                cursor.problem("describes the cookie that \"onMissingIdentity: issueCookie\" issues; this rollout issues none");
                None
            }
            (None, false) => Some(None),
        }
    }

    fn read_fields(fields: &Fields<'_>) -> Option<Self> {
        let name = fields.get("name").map_or_else(|| Some(DEFAULT_NAME.into()), |name| names::cookie(&name));
        let max_age = fields.get("maxAge").map_or(Some(DEFAULT_MAX_AGE), |age| {
            let seconds = age.duration()?;
            if seconds == 0 {
                age.problem("must be at least 1s: a cookie that ends at once keeps nobody");
                return None;
            }
            Some(seconds)
        });
        let path = fields
            .get("path")
            .map_or(Some("/"), |path| attribute(&path, "a path begins with /", |text| text.starts_with('/')));
        let domain = fields.get("domain").map(|domain| {
            attribute(&domain, "a domain is 1 to 253 of a-z, 0-9, '-' and '.'", |text| {
                (1..=253).contains(&text.len())
                    && text.bytes().all(|byte| {
                        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte)
                    })
            })
        });
        let words = [("Strict", SameSite::Strict), ("Lax", SameSite::Lax), ("None", SameSite::None)];
        let same_site = fields.get("sameSite").map_or(Some(SameSite::Lax), |word| word.word(&words));
        let secure = fields.get("secure").map_or(Some(true), |secure| secure.boolean());
        if same_site == Some(SameSite::None) && secure == Some(false) {
            fields.whole().problem(
                "browsers drop a cookie with \"sameSite: None\" that is not secure; set \"secure: true\"",
            );
            return None;
        }
        let domain = match domain {
            Some(domain) => Some(domain?),
            None => None,
        };
        Some(Self::new(name?, max_age?, path?, domain, same_site?, secure?))
    }

    fn new(
        name: Box<str>,
        max_age: u64,
        path: &str,
        domain: Option<&str>,
        same_site: SameSite,
        secure: bool,
    ) -> Self {
        let domain = domain.map(|domain| format!("; Domain={domain}")).unwrap_or_default();
        let same_site = match same_site {
            SameSite::Strict => "Strict",
            SameSite::Lax => "Lax",
            SameSite::None => "None",
        };
        let secure = if secure { "; Secure" } else { "" };
        let attributes =
            format!("; Max-Age={max_age}; Path={path}{domain}; SameSite={same_site}{secure}; HttpOnly");
        Self { name, attributes: attributes.into() }
    }

    /// The `Set-Cookie` that keeps this identity with the user.
    pub(super) fn set_cookie(&self, identity: &str) -> String {
        format!("{}={identity}{}", self.name, self.attributes)
    }

    /// The request's `Cookie` as it would be had the user come with this identity, so that hops behind draw alike.
    pub(super) fn cookies_with(&self, cookies: &[u8], identity: &str) -> Vec<u8> {
        let mut all = parts::without_cookie(cookies, self.name.as_bytes());
        if !all.is_empty() {
            all.extend_from_slice(b"; ");
        }
        all.extend_from_slice(self.name.as_bytes());
        all.push(b'=');
        all.extend_from_slice(identity.as_bytes());
        all
    }
}

impl Default for IssuedCookie {
    fn default() -> Self {
        Self::new(DEFAULT_NAME.into(), DEFAULT_MAX_AGE, "/", None, SameSite::Lax, true)
    }
}

/// The text of an attribute: nothing that could end it early.
fn attribute<'d>(cursor: &Cursor<'d>, rule: &str, holds: impl Fn(&str) -> bool) -> Option<&'d str> {
    let text = cursor.string()?;
    if holds(text) && text.bytes().all(|byte| byte.is_ascii_graphic() && !b";,".contains(&byte)) {
        return Some(text);
    }
    cursor.problem(format!("{} cannot be used: {rule}, without blanks, ';' and ','", quoted(text)));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_minted_counts_as_issued() {
        let identity = mint([0x0f; 16]);
        assert_eq!(identity, "0f".repeat(16));
        assert!(is_issued(identity.as_bytes()));
        for other in [&b""[..], b"0f", &b"0F".repeat(16), &b"0g".repeat(16), &b"00".repeat(17)] {
            assert!(!is_issued(other));
        }
    }

    #[test]
    fn the_cookie_joins_the_others() {
        let cookie = IssuedCookie::default();
        assert_eq!(cookie.cookies_with(b"", "1"), b"coalmine-id=1");
        assert_eq!(cookie.cookies_with(b"a=0; coalmine-id=x; b=2", "1"), b"a=0; b=2; coalmine-id=1");
        let expected = "coalmine-id=1; Max-Age=2592000; Path=/; SameSite=Lax; Secure; HttpOnly";
        assert_eq!(cookie.set_cookie("1"), expected);
    }
}
