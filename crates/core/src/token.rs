//! Override tokens: `v1.<rollout>.<variant>.<expiry>.<MAC>`, the expiry in Unix seconds, the MAC an HMAC-SHA256 over
//! everything before its dot, in base64url without padding.

use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use coalmine_document::is_label;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The longest lifetime of a token.
pub const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// The least bytes of a secret.
pub const MIN_SECRET: usize = 32;

const VERSION: &str = "v1";
/// Three labels of 63 (namespace, rollout, variant) and a slash, twenty digits of a u64, 43 of the MAC, the version and
/// the dots.
const MAX_TOKEN: usize = 2 + 63 + 1 + 63 + 63 + 20 + 43 + 4;

/// A secret that signs tokens. It is never printed.
#[derive(Clone)]
pub struct Secret(Hmac<Sha256>);

/// What a token says. Nothing of it is verified yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'t> {
    /// The rollout that it is for.
    pub rollout: &'t str,
    /// The variant that it forces.
    pub variant: &'t str,
    /// When it ends, since 1970.
    pub expiry: Duration,
    signed: &'t str,
    mac: &'t str,
}

// === impl Secret ===

impl Secret {
    /// A secret of these bytes; `None` for fewer than [`MIN_SECRET`].
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < MIN_SECRET {
            return None;
        }
        Hmac::new_from_slice(bytes).ok().map(Self)
    }

    /// A token that forces `variant` of `rollout` until `expiry`, which counts in whole seconds since 1970.
    pub fn mint(&self, rollout: &str, variant: &str, expiry: Duration) -> String {
        let signed = format!("{VERSION}.{rollout}.{variant}.{}", expiry.as_secs());
        let mac = self.mac(&signed);
        format!("{signed}.{mac}")
    }

    fn mac(&self, signed: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(signed.as_bytes());
        Base64UrlUnpadded::encode_string(&mac.finalize().into_bytes())
    }
}

/// Says that there is a secret, not which.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

// === impl Token ===

impl<'t> Token<'t> {
    /// The parts of a token; `None` for what has not its form.
    pub fn parse(text: &'t [u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= MAX_TOKEN)?;
        let (signed, mac) = text.rsplit_once('.')?;
        let mut parts = signed.split('.');
        let (version, rollout, variant, expiry) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let canonical = expiry == "0" || !expiry.starts_with('0');
        let digits = canonical && !expiry.is_empty() && expiry.bytes().all(|byte| byte.is_ascii_digit());
        if parts.next().is_some()
            || version != VERSION
            || !is_rollout_name(rollout)
            || !is_label(variant)
            || !digits
        {
            return None;
        }
        Some(Self { rollout, variant, expiry: Duration::from_secs(expiry.parse().ok()?), signed, mac })
    }

    /// Whether one of these secrets has signed it. The comparison takes the same time wherever the two differ, and
    /// it compares the encoded text, so that one MAC has one spelling.
    pub fn is_signed_by(&self, secrets: &[Secret]) -> bool {
        secrets.iter().fold(false, |signed, secret| {
            let matches: bool = secret.mac(self.signed).as_bytes().ct_eq(self.mac.as_bytes()).into();
            signed | matches
        })
    }
}

/// Whether a text can be the name of a rollout: `NAME` or `NAMESPACE/NAME`, labels both.
pub(crate) fn is_rollout_name(text: &str) -> bool {
    let (namespace, name) = text.split_once('/').unwrap_or(("-", text));
    is_label(namespace) && is_label(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    /// The MAC was computed with Python's hmac and base64 modules.
    #[test]
    fn the_form_is_the_documented_one() {
        let token =
            Secret::new(SECRET).unwrap().mint("checkout", "canary", Duration::from_secs(1_800_000_000));
        assert_eq!(token, "v1.checkout.canary.1800000000.YrCeTNJMX2cTthdHc9vNFUuq7cyXDohAtPiMer9gGH8");
        let parsed = Token::parse(token.as_bytes()).unwrap();
        assert_eq!(
            (parsed.rollout, parsed.variant, parsed.expiry.as_secs()),
            ("checkout", "canary", 1_800_000_000)
        );
        assert!(parsed.is_signed_by(&[Secret::new(&[7; 32]).unwrap(), Secret::new(SECRET).unwrap()]));
        assert!(!parsed.is_signed_by(&[Secret::new(&[7; 32]).unwrap()]));
        assert!(!parsed.is_signed_by(&[]));
    }

    #[test]
    fn what_has_not_the_form_is_no_token() {
        for text in [
            "",
            "v1",
            "v1.a.b.1",
            "v2.a.b.1.x",
            "v1./a.b.1.x",
            "v1.a/.b.1.x",
            "v1.a/b/c.b.1.x",
            "v1.a.b/c.1.x",
            "v1.A.b.1.x",
            "v1.a..1.x",
            "v1.a.b.01.x",
            "v1.a.b.+1.x",
            "v1.a.b.-1.x",
            "v1.a.b.c.1.x",
            "v1.a.b.99999999999999999999.x",
            "v1.a.b. 1.x",
        ] {
            assert_eq!(Token::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Token::parse(b"v1.a.b.1.\xff"), None);
        assert_eq!(Token::parse(&[b'v'; 100_000]), None);
    }

    #[test]
    fn a_secret_is_long_and_stays_secret() {
        assert!(Secret::new(&[0; 31]).is_none());
        assert_eq!(format!("{:?}", Secret::new(&[0; 32])), "Some(Secret(..))");
    }
}
