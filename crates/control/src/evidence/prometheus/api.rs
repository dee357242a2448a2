//! A Prometheus' API: one query at one time.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Identity, StatusCode};

use crate::config::{Credentials, PrometheusAddress};
use crate::evidence::answer::{self, sentence};
use crate::tls;

/// The most bytes of an answer.
const MAX_BYTES: usize = 128 << 20;
/// The most bytes that are shown of what a Prometheus says about an error.
const MAX_SHOWN: usize = 300;

/// Who asks a Prometheus.
pub(in crate::evidence) struct Api {
    url: String,
    client: Client,
}

// === impl Api ===

impl Api {
    /// Asks this Prometheus, which the configuration calls `place`, each time within this time.
    ///
    /// # Errors
    /// A certificate or a secret will not do: a sentence, without the secret.
    pub(in crate::evidence) fn new(
        address: &PrometheusAddress,
        place: &str,
        within: Duration,
    ) -> Result<Self, String> {
        let mut builder = tls::client(address.url.starts_with("http://")).timeout(within);
        if let Some(pem) = &address.ca {
            let ca = Certificate::from_pem(pem.as_bytes());
            let why = |_| format!("{place}.ca is no certificate in PEM");
            builder = builder.tls_certs_merge([ca.map_err(why)?]);
        }
        if let Some(pem) = &address.identity {
            let identity = Identity::from_pem(pem.0.as_bytes());
            let why = |_| format!("{place}.certificate and key are no certificate and key in PEM");
            builder = builder.identity(identity.map_err(why)?);
        }
        let mut headers = HeaderMap::new();
        if let Some(credentials) = &address.credentials {
            let value = authorization(credentials);
            headers.insert(
                AUTHORIZATION,
                value.ok_or_else(|| format!("the token of {place} has a line break or the like"))?,
            );
        }
        let client = builder.default_headers(headers).build().map_err(|error| sentence(&error))?;
        Ok(Self { url: format!("{}/api/v1/query", address.url), client })
    }

    /// The answer to a query at this time, in seconds since 1970.
    ///
    /// # Errors
    /// There is none: a sentence.
    pub(in crate::evidence) async fn ask(&self, query: &str, now: u64) -> Result<Vec<u8>, String> {
        let time = now.to_string();
        let form = [("query", query), ("time", time.as_str())];
        let request = self.client.post(&self.url).form(&form);
        let response = request.send().await.map_err(|error| sentence(&error))?;
        let status = response.status();
        let answer = answer::bytes(response, MAX_BYTES, "answer").await?;
        if status != StatusCode::OK {
            let said = String::from_utf8_lossy(&answer);
            let shown: String = said.chars().filter(|it| !it.is_control()).take(MAX_SHOWN).collect();
            return Err(format!("it answers {status}: {shown}"));
        }
        Ok(answer)
    }
}

/// The header that shows who asks; none where a secret in it has a line break or the like.
pub(in crate::evidence) fn authorization(credentials: &Credentials) -> Option<HeaderValue> {
    let text = match credentials {
        Credentials::Bearer(token) => format!("Bearer {token}"),
        Credentials::Basic { user, password } => {
            use base64ct::{Base64, Encoding as _};
            format!("Basic {}", Base64::encode_string(format!("{user}:{password}").as_bytes()))
        }
    };
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
