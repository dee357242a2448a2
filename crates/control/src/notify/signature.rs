//! Signatures of notices, by the rules of Standard Webhooks: a receiver has a library for them in its language.
//!
//! `webhook-signature` is `v1,` and the base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`. The receiver refuses a timestamp that
//! is more than five minutes away from its own clock, and an id that it has had before: so nothing can be sent again.

use std::fmt;

use base64ct::{Base64, Encoding as _};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// The least and the most bytes of a secret.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What notices are signed with.
pub(super) struct Secret {
    bytes: Vec<u8>,
}

// === impl Secret ===

impl Secret {
    /// What is wrong with a text that is none, and what would be right.
    pub(super) const FORM: &str =
        "is not whsec_ and the base64 of 24 to 64 bytes; make one by `echo whsec_$(openssl rand -base64 32)`";

    /// The secret that is written so, `whsec_` and the base64 of 24 to 64 bytes; none where it is not written so.
    pub(super) fn new(text: &str) -> Option<Self> {
        let bytes = Base64::decode_vec(text.strip_prefix(PREFIX)?).ok()?;
        BYTES.contains(&bytes.len()).then_some(Self { bytes })
    }

    /// The headers of what is sent now.
    pub(super) fn headers(&self, id: &str, now: u64, body: &str) -> HeaderMap {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.bytes);
        let signed = hmac::sign(&key, format!("{id}.{now}.{body}").as_bytes());
        let signature = format!("v1,{}", Base64::encode_string(signed.as_ref()));
        let headers = [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", now.to_string()),
            ("webhook-signature", signature),
        ];
        // Names of rollouts, numbers and base64 are all good in a header.
        let read = |(name, value): (&'static str, String)| {
            Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?))
        };
        headers.into_iter().filter_map(read).collect()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_standard() {
        // The example of the specification of Standard Webhooks.
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let headers =
            secret.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(headers["webhook-id"], "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(headers["webhook-timestamp"], "1614265330");
        assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_long_and_in_base64_and_shows_nowhere() {
        for bad in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!!"] {
            assert!(Secret::new(bad).is_none(), "{bad}");
        }
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
