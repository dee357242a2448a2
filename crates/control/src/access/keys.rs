//! The keys of an issuer, from a JSON web key set, and what is signed with them.
//!
//! The verification is ring's. A crate for tokens was looked for: `jsonwebtoken` verifies with `rsa` or aws-lc, one for the
//! whole process, reads the clock itself, and keeps the last of two claims of one name; with ring in place of both, little
//! but base64 would be left of it.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use coalmine_document::{Node, Value, json};
use ring::signature::{
    self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

/// The most keys of an issuer.
const MAX_KEYS: usize = 100;
/// The least bytes of an RSA key's modulus: 2048 bits.
const MIN_RSA: usize = 256;

/// How a token may be signed. There is no `none` and nothing with a shared secret among it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

/// Every algorithm by its names.
const ALGORITHMS: [(&str, Algorithm); 10] = [
    ("RS256", Algorithm::Rs256),
    ("RS384", Algorithm::Rs384),
    ("RS512", Algorithm::Rs512),
    ("PS256", Algorithm::Ps256),
    ("PS384", Algorithm::Ps384),
    ("PS512", Algorithm::Ps512),
    ("ES256", Algorithm::Es256),
    ("ES384", Algorithm::Es384),
    ("EdDSA", Algorithm::EdDsa),
    // Its name since RFC 9864.
    ("Ed25519", Algorithm::EdDsa),
];

/// The keys of an issuer.
#[derive(Debug)]
pub(super) struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    /// The only algorithm that it is for, where it says so.
    only: Option<Algorithm>,
    public: Public,
}

/// A public key; a point with the byte before it that says that it is not compressed.
enum Public {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// What ring verifies with.
enum Scheme {
    Rsa(&'static RsaParameters),
    Point(&'static dyn VerificationAlgorithm),
}

/// What somebody has signed, and with which key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'t> {
    pub(super) algorithm: Algorithm,
    pub(super) key: Option<&'t str>,
    pub(super) text: &'t str,
    pub(super) signature: &'t [u8],
}

// === impl Algorithm ===

impl Algorithm {
    pub(super) fn of(name: &str) -> Option<Self> {
        ALGORITHMS.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }

    /// All names, for a sentence.
    pub(super) fn names() -> String {
        ALGORITHMS.map(|(name, _)| name).join(", ")
    }
}

// === impl Keys ===

impl Keys {
    /// The keys of a set. Those that nothing can be verified with are left out, as the standard wants it: keys for
    /// encryption, secrets, and kinds that are not known.
    ///
    /// # Errors
    /// It is no set of keys: a sentence.
    pub(super) fn read(text: &[u8]) -> Result<Self, String> {
        let set = json::read(text).map_err(|_| "it is no JSON")?;
        let Some(Node { value: Value::List(keys), .. }) = set.get("keys") else {
            return Err("it is no set of keys, as {\"keys\": [..]}".to_owned());
        };
        if keys.len() > MAX_KEYS {
            return Err(format!("it has {} keys, and at most {MAX_KEYS} are taken", keys.len()));
        }
        Ok(Self(keys.iter().filter_map(Key::read).collect()))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the key that this names is here; of one that names none, whether any key fits.
    pub(super) fn know(&self, signed: Signed<'_>) -> bool {
        match signed.key {
            Some(id) => self.0.iter().any(|key| key.is(id)),
            None => self.0.iter().any(|key| key.scheme(signed.algorithm).is_some()),
        }
    }

    /// Whether this is signed with one of them.
    ///
    /// # Errors
    /// It is not: a sentence.
    pub(super) fn verify(&self, signed: Signed<'_>) -> Result<(), &'static str> {
        if !self.know(signed) {
            return Err("the key that it is signed with is none of its issuer's");
        }
        let named = self.0.iter().filter(|key| signed.key.is_none_or(|id| key.is(id)));
        let fitting: Vec<_> =
            named.filter_map(|key| key.scheme(signed.algorithm).map(|scheme| (key, scheme))).collect();
        match fitting.len() {
            0 => return Err("its algorithm, \"alg\", is not that of its key"),
            2.. if signed.key.is_none() => {
                return Err("it does not say by \"kid\" which key of its issuer it is signed with");
            }
            _ => {}
        }
        match fitting.iter().any(|(key, scheme)| key.has_signed(scheme, signed)) {
            true => Ok(()),
            false => Err("its signature does not hold"),
        }
    }
}

// === impl Key ===

impl Key {
    fn read(node: &Node) -> Option<Self> {
        // SPIFFE calls the use of its keys its own way.
        let is_for_signatures = match node.get("use") {
            Some(word) => matches!(word.text(), Some("sig" | "jwt-svid")),
            None => true,
        };
        let may_verify = match node.get("key_ops") {
            Some(words) => words.items().iter().any(|word| word.text() == Some("verify")),
            None => true,
        };
        let only = match node.get("alg") {
            Some(name) => Some(Algorithm::of(name.text()?)?),
            None => None,
        };
        let id = match node.get("kid") {
            Some(id) => Some(id.text()?.to_owned()),
            None => None,
        };
        let public = Public::read(node).filter(|_| is_for_signatures && may_verify)?;
        Some(Self { id, only, public })
    }

    fn is(&self, id: &str) -> bool {
        self.id.as_deref() == Some(id)
    }

    /// How it verifies what was signed by this algorithm, which has to be one of its kind.
    fn scheme(&self, algorithm: Algorithm) -> Option<Scheme> {
        if self.only.is_some_and(|only| only != algorithm) {
            return None;
        }
        Some(match (&self.public, algorithm) {
            (Public::Rsa { .. }, Algorithm::Rs256) => Scheme::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            (Public::Rsa { .. }, Algorithm::Rs384) => Scheme::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            (Public::Rsa { .. }, Algorithm::Rs512) => Scheme::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            (Public::Rsa { .. }, Algorithm::Ps256) => Scheme::Rsa(&signature::RSA_PSS_2048_8192_SHA256),
            (Public::Rsa { .. }, Algorithm::Ps384) => Scheme::Rsa(&signature::RSA_PSS_2048_8192_SHA384),
            (Public::Rsa { .. }, Algorithm::Ps512) => Scheme::Rsa(&signature::RSA_PSS_2048_8192_SHA512),
            (Public::P256(_), Algorithm::Es256) => Scheme::Point(&signature::ECDSA_P256_SHA256_FIXED),
            (Public::P384(_), Algorithm::Es384) => Scheme::Point(&signature::ECDSA_P384_SHA384_FIXED),
            (Public::Ed25519(_), Algorithm::EdDsa) => Scheme::Point(&signature::ED25519),
            _ => return None,
        })
    }

    fn has_signed(&self, scheme: &Scheme, signed: Signed<'_>) -> bool {
        let text = signed.text.as_bytes();
        match (scheme, &self.public) {
            (Scheme::Rsa(parameters), Public::Rsa { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, text, signed.signature).is_ok()
            }
            (
                Scheme::Point(algorithm),
                Public::P256(point) | Public::P384(point) | Public::Ed25519(point),
            ) => UnparsedPublicKey::new(*algorithm, point).verify(text, signed.signature).is_ok(),
            _ => false,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("only", &self.only).finish_non_exhaustive()
    }
}

// === impl Public ===

impl Public {
    fn read(node: &Node) -> Option<Self> {
        let part = |name| Base64UrlUnpadded::decode_vec(node.get(name)?.text()?).ok();
        let point = |size| {
            let (x, y) = (part("x")?, part("y")?);
            let has_size = x.len() == size && y.len() == size;
            has_size.then(|| [vec![4], x, y].concat())
        };
        let curve = node.get("crv").and_then(Node::text);
        match (node.get("kty")?.text()?, curve) {
            ("RSA", _) => {
                // Some issuers write the zero that makes a number positive elsewhere; ring wants none.
                let mut n = part("n")?;
                n.drain(..n.iter().take_while(|byte| **byte == 0).count());
                (n.len() >= MIN_RSA).then_some(Self::Rsa { n, e: part("e")? })
            }
            ("EC", Some("P-256")) => point(32).map(Self::P256),
            ("EC", Some("P-384")) => point(48).map(Self::P384),
            ("OKP", Some("Ed25519")) => part("x").filter(|x| x.len() == 32).map(Self::Ed25519),
            _ => None,
        }
    }
}
