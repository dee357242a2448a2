//! Who issues JSON web tokens: a key, its JWKS on a server, and tokens, good and bad.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use hyper::Response;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::server::{Server, full};

/// The name of every issuer's key, so that only the key itself tells two issuers apart.
const KEY_ID: &str = "key-1";

/// A key for ES256.
#[derive(Debug)]
pub struct Issuer {
    key: EcdsaKeyPair,
    random: SystemRandom,
}

// === impl Issuer ===

impl Issuer {
    /// An issuer with a new key.
    pub fn new() -> Result<Self> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| anyhow!("no key"))?;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random);
        let key = key.map_err(|error| anyhow!("no key: {error}"))?;
        Ok(Self { key, random })
    }

    /// The public key, as the proxy fetches it.
    pub fn jwks(&self) -> Result<Value> {
        // An uncompressed point: a byte that says so, then both coordinates.
        let (_, point) = self.key.public_key().as_ref().split_first().ok_or_else(|| anyhow!("no point"))?;
        let (x, y) = point.split_at(32);
        let [x, y] = [x, y].map(Base64UrlUnpadded::encode_string);
        let key =
            json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID, "x": x, "y": y});
        Ok(json!({"keys": [key]}))
    }

    /// Serves the public key, under any path.
    pub async fn serve(&self) -> Result<Server> {
        let jwks = self.jwks()?.to_string();
        let answering = move |_| {
            let response = Response::new(full(jwks.clone()));
            Box::pin(std::future::ready(response)) as crate::server::Answer
        };
        Server::serve(0, Arc::new(answering)).await
    }

    /// A token with this payload, which is signed as it is, be it JSON or not.
    pub fn token(&self, payload: impl AsRef<[u8]>) -> Result<String> {
        let signed = unsigned(&json!({"alg": "ES256", "typ": "JWT", "kid": KEY_ID}), payload.as_ref());
        let signature = self.key.sign(&self.random, signed.as_bytes()).map_err(|_| anyhow!("cannot sign"))?;
        Ok(format!("{signed}.{}", Base64UrlUnpadded::encode_string(signature.as_ref())))
    }
}

/// A token that nobody has signed, and that says so.
pub fn unsigned_token(payload: &str) -> String {
    unsigned(&json!({"alg": "none", "typ": "JWT"}), payload.as_bytes()) + "."
}

/// The number of seconds that tokens count their time in, so many seconds from now.
pub fn seconds_from_now(seconds: i64) -> Result<i64> {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    Ok(now + seconds)
}

fn unsigned(header: &Value, payload: &[u8]) -> String {
    let [header, payload] = [header.to_string().as_bytes(), payload].map(Base64UrlUnpadded::encode_string);
    format!("{header}.{payload}")
}
