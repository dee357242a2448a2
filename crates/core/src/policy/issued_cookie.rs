//! An identity for a user without one: a random cookie, issued to every such user alike.

use coalmine_document::{Cursor, Fields, Known, quoted};

use super::extract;
use super::names;

const COOKIE: Known = Known::new(&["name", "maxAge", "path", "domain", "sameSite", "secure"]);
const DEFAULT_NAME: &str = "coalmine-id";
/// Thirty days: the lifetime of most rollouts.
const DEFAULT_MAX_AGE: u64 = 30 * 24 * 60 * 60;
/// The longest attribute that browsers take (RFC 6265bis, section 5.6). Name and value stay below its limit of 4096.
const MAX_ATTRIBUTE: usize = 1024;
/// 32 hexadecimal digits: 128 bits of the host's random source.
const DIGITS: usize = 32;

/// The cookie that a rollout issues.
#[derive(Debug)]
pub(super) struct IssuedCookie {
    pub(super) name: Box<str>,
    /// Whether the document names it.
    pub(super) is_named: bool,
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
    pub(super) fn read(rollout: &Fields<'_, '_>, issues: bool) -> Option<Self> {
        match (rollout.get("cookie"), issues) {
            (Some(cursor), true) => Some(Self::read_fields(&cursor.fields(&COOKIE))),
            (None, true) => Some(Self::default()),
            (Some(cursor), false) => {
                cursor.conflict("describes the cookie that \"onMissingIdentity: issueCookie\" issues; this rollout issues none");
                None
            }
            (None, false) => None,
        }
    }

    fn read_fields(fields: &Fields<'_, '_>) -> Self {
        let name = fields.get("name").map_or_else(|| DEFAULT_NAME.into(), |name| names::cookie(&name));
        let max_age = fields.get("maxAge").and_then(|age| {
            let seconds = age.duration();
            if seconds == Some(0) {
                age.problem("must be at least 1s: a cookie that ends at once keeps no user");
            }
            seconds
        });
        let path = fields.get("path").map_or("/", |path| {
            attribute(&path, "a path begins with / and has at most 1024 bytes", |text| {
                text.starts_with('/') && text.len() <= MAX_ATTRIBUTE
            })
        });
        let domain = fields.get("domain").map(|domain| {
            attribute(
                &domain,
                "a domain has two or more labels of a-z, 0-9 and '-', as shop.example",
                is_domain,
            )
        });
        let words = [("Strict", SameSite::Strict), ("Lax", SameSite::Lax), ("None", SameSite::None)];
        let same_site = fields.get("sameSite").and_then(|word| word.word(&words)).unwrap_or(SameSite::Lax);
        let secure = fields.get("secure");
        let is_secure = secure.is_none_or(|secure| secure.boolean());
        let is_false =
            secure.is_some_and(|secure| matches!(secure.value(), coalmine_document::Value::Bool(false)));
        if same_site == SameSite::None && is_false {
            fields.whole().conflict(
                "browsers drop a cookie with \"sameSite: None\" that is not secure; set \"secure: true\"",
            );
        }
        if let Some(why) = refused_prefix(&name, is_false, path != "/" || domain.is_some()) {
            fields.whole().conflict(why);
        }
        let cookie = Self::new(name, max_age.unwrap_or(DEFAULT_MAX_AGE), path, domain, same_site, is_secure);
        Self { is_named: fields.get("name").is_some(), ..cookie }
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
        Self { name, is_named: false, attributes: attributes.into() }
    }

    /// The `Set-Cookie` that keeps this identity with the user.
    pub(super) fn set_cookie(&self, identity: &str) -> String {
        format!("{}={identity}{}", self.name, self.attributes)
    }

    /// The request's `Cookie` as it would be had the user come with this identity, so that hops behind draw alike.
    pub(super) fn cookies_with(&self, cookies: &[u8], identity: &str) -> Vec<u8> {
        let mut all = extract::without_cookie(cookies, self.name.as_bytes());
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

/// What keeps browsers from taking a cookie of this name: they compare the beginning in any case (RFC 6265bis, section
/// 5.7).
fn refused_prefix(name: &str, is_insecure: bool, is_wide: bool) -> Option<&'static str> {
    let begins =
        |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if begins("__Host-") && (is_insecure || is_wide) {
        return Some(
            "browsers drop a cookie with a name in __Host- unless it is secure, has no domain and has the path /",
        );
    }
    if (begins("__Secure-") || begins("__Http-")) && is_insecure {
        return Some(
            "browsers drop a cookie with a name in __Secure- or __Http- that is not secure; set \"secure: true\"",
        );
    }
    None
}

/// Whether a browser could take this as the domain of a cookie. It takes off one dot in front.
fn is_domain(text: &str) -> bool {
    let name = text.strip_prefix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        names::bytes(label, 63, allowed) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= 253 && name.contains('.') && name.split('.').all(is_label)
}

/// The text of an attribute: nothing that could end it early.
fn attribute<'d>(cursor: &Cursor<'d, '_>, rule: &str, holds: impl Fn(&str) -> bool) -> &'d str {
    let Some(text) = cursor.string_of("a string") else { return "" };
    if !(holds(text) && text.bytes().all(|byte| byte.is_ascii_graphic() && !b";,".contains(&byte))) {
        cursor.problem(format!("{} cannot be used: {rule}, without blanks, ';' and ','", quoted(text)));
    }
    text
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
