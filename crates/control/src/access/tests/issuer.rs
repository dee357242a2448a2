//! Who makes tokens: keys, what is signed with them, and a server that has the keys, well or badly.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{AUDIENCE, ISSUER, NOW, SUBJECT};

/// A key of nobody but these tests; ring makes none of its kind.
const RSA: &[u8] = include_bytes!("rsa.pem");

/// A key and its name.
pub(crate) struct Signer {
    pub(super) id: Option<&'static str>,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// What is signed as a good token says it, from [`ISSUER`].
pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": SUBJECT, "ref": "refs/heads/main",
        "iat": NOW - 5, "nbf": NOW - 5, "exp": NOW + 300,
    })
}

/// The same from another issuer.
pub(crate) fn claims_of(issuer: &str) -> Value {
    let mut claims = claims();
    claims["iss"] = json!(issuer);
    claims
}

pub(super) fn encoded(part: impl AsRef<[u8]>) -> String {
    Base64UrlUnpadded::encode_string(part.as_ref())
}

/// A JSON web key set.
pub(super) fn set(signers: &[&Signer]) -> String {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.public()).collect();
    json!({"keys": keys}).to_string()
}

// === impl Signer ===

impl Signer {
    pub(super) fn rsa(id: &'static str) -> Self {
        let der = PrivatePkcs8KeyDer::from_pem_slice(RSA).unwrap();
        Self { id: Some(id), pair: Pair::Rsa(RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap()) }
    }

    pub(super) fn p256(id: &'static str) -> Self {
        Self { id: Some(id), pair: Pair::P256(ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING)) }
    }

    pub(super) fn p384(id: &'static str) -> Self {
        Self { id: Some(id), pair: Pair::P384(ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING)) }
    }

    pub(crate) fn ed25519(id: &'static str) -> Self {
        let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { id: Some(id), pair: Pair::Ed25519(Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap()) }
    }

    /// The same key, without a name.
    pub(super) fn without_id(self) -> Self {
        Self { id: None, ..self }
    }

    /// The algorithm that it signs by unless something else is said.
    pub(super) fn usual(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::P384(_) => "ES384",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    /// Its public key as others see it.
    pub(crate) fn public(&self) -> Value {
        let point = |curve, point: &[u8]| {
            let (x, y) = point[1..].split_at(point.len() / 2);
            json!({"kty": "EC", "crv": curve, "x": encoded(x), "y": encoded(y)})
        };
        let mut key = match &self.pair {
            Pair::Rsa(pair) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "n": encoded(public.n), "e": encoded(public.e)})
            }
            Pair::P256(pair) => point("P-256", pair.public_key().as_ref()),
            Pair::P384(pair) => point("P-384", pair.public_key().as_ref()),
            Pair::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(pair.public_key())})
            }
        };
        key["use"] = json!("sig");
        if let Some(id) = self.id {
            key["kid"] = json!(id);
        }
        key
    }

    /// A token as it should be.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.token_by(self.usual(), claims)
    }

    pub(super) fn token_by(&self, algorithm: &str, claims: &Value) -> String {
        let mut header = json!({"alg": algorithm, "typ": "JWT"});
        if let Some(id) = self.id {
            header["kid"] = json!(id);
        }
        self.signed(&header.to_string(), &claims.to_string())
    }

    /// These texts, signed by the algorithm that the header names, or by the usual one.
    pub(super) fn signed(&self, header: &str, payload: &str) -> String {
        let named: Value = serde_json::from_str(header).unwrap_or_default();
        let text = format!("{}.{}", encoded(header), encoded(payload));
        let signature = self.sign(named["alg"].as_str().unwrap_or_default(), text.as_bytes());
        format!("{text}.{}", encoded(signature))
    }

    fn sign(&self, algorithm: &str, text: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let padding: &dyn signature::RsaEncoding = match algorithm {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signed = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, text, &mut signed).unwrap();
                signed
            }
            Pair::P256(pair) | Pair::P384(pair) => pair.sign(&random, text).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(text).as_ref().to_vec(),
        }
    }
}

fn ecdsa(algorithm: &'static signature::EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(algorithm, pair.as_ref(), &random).unwrap()
}

/// What a server answers that should have keys.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// This set of keys, after this long.
    Keys(String, Duration),
    /// Its description has this issuer and this address of keys, in the place of its own.
    Described(String, String),
    /// This status and this place to go to.
    Status(u16, String),
    /// This text for everything.
    Text(String),
}

/// An issuer on loopback, until it is dropped.
pub(crate) struct Issuer {
    pub(crate) url: String,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    url: String,
    answer: Mutex<Answer>,
    /// How often its keys were fetched.
    fetched: AtomicUsize,
}

// === impl Issuer ===

impl Issuer {
    /// One with these keys.
    pub(crate) async fn of(signers: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = Mutex::new(Answer::Keys(set(signers), Duration::ZERO));
        let shared = Arc::new(Shared { url: url.clone(), answer, fetched: AtomicUsize::new(0) });
        let router = Router::new().fallback(answered).with_state(shared.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, serving }
    }

    /// From now on, it answers like this.
    pub(crate) fn answer(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    /// From now on, it has these keys.
    pub(super) fn keys(&self, signers: &[&Signer]) {
        self.answer(Answer::Keys(set(signers), Duration::ZERO));
    }

    /// How often its keys were asked for.
    pub(super) fn fetched(&self) -> usize {
        self.shared.fetched.load(Ordering::SeqCst)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answered(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    let answer = shared.answer.lock().unwrap().clone();
    let description = |issuer: &str, keys: &str| json!({"issuer": issuer, "jwks_uri": keys}).to_string();
    let is_keys = uri.path() == "/keys";
    if is_keys {
        shared.fetched.fetch_add(1, Ordering::SeqCst);
    }
    match answer {
        Answer::Keys(keys, after) if is_keys => {
            tokio::time::sleep(after).await;
            keys.into_response()
        }
        Answer::Keys(..) => description(&shared.url, &format!("{}/keys", shared.url)).into_response(),
        Answer::Described(issuer, keys) => description(&issuer, &keys).into_response(),
        Answer::Status(status, place) => {
            (StatusCode::from_u16(status).unwrap(), [(header::LOCATION, place)]).into_response()
        }
        Answer::Text(text) => text.into_response(),
    }
}
