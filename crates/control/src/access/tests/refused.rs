//! Tokens that are refused, and why.

use ring::hmac;

use super::issuer::{encoded, set};
use super::*;

/// A good token, but for what is changed in its claims.
fn but(signer: &Signer, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = claims();
    change(&mut claims);
    signer.token(&claims)
}

/// The claims as a text, with this text behind the first brace.
fn with_text(text: &str) -> String {
    claims().to_string().replacen('{', &format!("{{{text}"), 1)
}

/// A token that is signed with a secret that everybody knows: the public key.
fn with_public_key_as_secret(signer: &Signer) -> String {
    let text = format!("{}.{}", encoded(r#"{"alg":"HS256","kid":"rsa"}"#), encoded(claims().to_string()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, signer.public().to_string().as_bytes());
    format!("{text}.{}", encoded(hmac::sign(&key, text.as_bytes())))
}

#[tokio::test]
async fn a_token_with_anything_wrong_is_refused_and_told_why() {
    let (rsa, other) = (Signer::rsa("rsa"), Signer::p256("p256"));
    let tokens = trusting(&[&rsa, &other], &[rule(ISSUER, KeySource::Discovered)]);
    let good = rsa.token(&claims());
    assert!(tokens.caller(Some(&good), NOW).await.is_ok());

    let parts: Vec<&str> = good.split('.').collect();
    let with = |place: usize, part: &str| {
        let mut parts = parts.clone();
        parts[place] = part;
        parts.join(".")
    };
    let mut wrong = parts[2].to_owned();
    wrong.replace_range(10..11, if wrong.as_bytes()[10] == b'A' { "B" } else { "A" });
    let stranger = Signer::p256("p256");
    let evil = json!({"alg": "ES256", "kid": "p256", "jwk": stranger.public(), "jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/"});
    let header = |text: &str| rsa.signed(text, &claims().to_string());
    let text = claims().to_string();
    let refused = [
        (
            "none",
            format!("{}.{}.", encoded(r#"{"alg":"none"}"#), parts[1]),
            "its algorithm \"none\" is not accepted",
        ),
        ("None", header(r#"{"alg":"None"}"#), "its algorithm \"None\" is not accepted"),
        (
            "a public key as a secret",
            with_public_key_as_secret(&rsa),
            "its algorithm \"HS256\" is not accepted",
        ),
        ("no algorithm", header(r#"{"kid":"rsa"}"#), "its header has no \"alg\""),
        ("a wrong signature", with(2, &wrong), "its signature does not hold"),
        ("no signature", with(2, ""), "its signature does not hold"),
        ("other claims", with(1, &encoded(text.replace("shop", "bank"))), "its signature does not hold"),
        ("another's key of the same name", stranger.token(&claims()), "its signature does not hold"),
        ("a key that came along", stranger.signed(&evil.to_string(), &text), "its signature does not hold"),
        (
            "an unknown key",
            header(r#"{"alg":"RS256","kid":"old"}"#),
            "the key that it is signed with is none",
        ),
        ("a key's name that is none", header(r#"{"alg":"RS256","kid":7}"#), "its \"kid\" is no text"),
        ("an algorithm of another kind", header(r#"{"alg":"RS256","kid":"p256"}"#), "is not that of its key"),
        (
            "an algorithm without a key",
            header(r#"{"alg":"EdDSA"}"#),
            "the key that it is signed with is none",
        ),
        (
            "an extension",
            header(r#"{"alg":"RS256","kid":"rsa","crit":["b64"],"b64":false}"#),
            "says \"crit\"",
        ),
        (
            "another issuer",
            rsa.token(&issuer::claims_of("https://other.example")),
            "its issuer \"https://other.example\" is not",
        ),
        (
            "an issuer that begins alike",
            rsa.token(&issuer::claims_of("https://issuer.example/")),
            "is not known here",
        ),
        ("no issuer", but(&rsa, |it| it["iss"] = json!(null)), "it has no \"iss\""),
        ("a list of issuers", but(&rsa, |it| it["iss"] = json!([ISSUER])), "it has no \"iss\""),
        (
            "another audience",
            but(&rsa, |it| it["aud"] = json!("bank")),
            "its audience \"bank\" is not one of coalmine",
        ),
        (
            "other audiences",
            but(&rsa, |it| it["aud"] = json!(["bank", "coalmine2"])),
            "its audience \"bank\" is not one of",
        ),
        ("no audience", but(&rsa, |it| it["aud"] = json!([])), "it has no audience"),
        ("expired", but(&rsa, |it| it["exp"] = json!(NOW - 40)), "it expired 40 s ago"),
        ("expires now", but(&rsa, |it| it["exp"] = json!(NOW)), "it expired 0 s ago"),
        (
            "expired long ago",
            but(&rsa, |it| it["exp"] = json!(-1e300)),
            "it expired 18446744073709551615 s ago",
        ),
        ("never expires", but(&rsa, |it| it["exp"] = json!(null)), "its \"exp\" is no number"),
        (
            "says nothing of the end",
            rsa.signed(r#"{"alg":"RS256","kid":"rsa"}"#, &text.replace("exp", "end")),
            "it has no \"exp\"",
        ),
        ("a text as the end", but(&rsa, |it| it["exp"] = json!("2040-01-01")), "its \"exp\" is no number"),
        ("not yet", but(&rsa, |it| it["nbf"] = json!(NOW + 61)), "it is not valid for another 61 s"),
        (
            "not made yet",
            but(&rsa, |it| it["iat"] = json!(NOW + 3_600)),
            "it is not valid for another 3600 s",
        ),
        (
            "valid for too long",
            but(&rsa, |it| it["exp"] = json!(NOW + 86_400)),
            "it is valid for more than 24 h",
        ),
        (
            "a name that begins alike",
            but(&rsa, |it| it["sub"] = json!("repo:acme/shop-evil:ref:refs/heads/main")),
            "its sub \"repo:acme/shop-evil:ref:refs/heads/main\" is not what github wants",
        ),
        (
            "a name that ends alike",
            but(&rsa, |it| it["sub"] = json!("x:repo:acme/shop:ref:refs/heads/main")),
            "is not what github wants",
        ),
        (
            "another case",
            but(&rsa, |it| it["sub"] = json!("Repo:acme/shop:ref:refs/heads/main")),
            "is not what github wants",
        ),
        (
            "another branch",
            but(&rsa, |it| it["ref"] = json!("refs/heads/main2")),
            "its ref \"refs/heads/main2\" is not",
        ),
        ("no branch", but(&rsa, |it| it["ref"] = json!(null)), "it has no text as \"ref\""),
        (
            "an object as a branch",
            but(&rsa, |it| it["ref"] = json!({"refs/heads/main": 1})),
            "it has no text as \"ref\"",
        ),
        (
            "a claim twice",
            rsa.signed(r#"{"alg":"RS256","kid":"rsa"}"#, &with_text(r#""sub":"repo:acme/bank:x","#)),
            "its payload says \"sub\" twice",
        ),
        (
            "an algorithm twice",
            header(r#"{"alg":"none","alg":"RS256","kid":"rsa"}"#),
            "its header says \"alg\" twice",
        ),
        ("a header that is none", with(0, "!!!"), "its header is no base64url"),
        ("a header that is no JSON", header("no JSON"), "its header is no JSON"),
        ("a header that is a list", header("[]"), "its header is no object"),
        ("a payload that is none", with(1, "a"), "its payload is no base64url"),
        ("a payload that is no JSON", rsa.signed(r#"{"alg":"RS256"}"#, "\u{0}"), "its payload is no JSON"),
        ("a payload that is a text", rsa.signed(r#"{"alg":"RS256"}"#, "\"x\""), "its payload is no object"),
        ("a deep payload", rsa.signed(r#"{"alg":"RS256"}"#, &"[".repeat(4_000)), "its payload is no JSON"),
        ("padding", format!("{good}="), "its signature is no base64url"),
        ("a blank", good.replacen('.', ". ", 1), "its payload is no base64url"),
        ("nothing in it", "..".to_owned(), "its header is no JSON"),
        ("huge", but(&rsa, |it| it["x"] = json!("x".repeat(16 << 10))), "it has more than 16384 bytes"),
    ];
    for (what, token, expected) in refused {
        let denial = why(&tokens, &token).await;
        assert!(
            denial.starts_with("this token is refused: ") && denial.contains(expected),
            "{what}: {denial}"
        );
    }
    // What is none at all is not told about issuers.
    for none in ["", ".", "a.b", "a.b.c.d", &format!("{good}.x"), "admin-012345678"] {
        assert_eq!(why(&tokens, none).await, "this token is not known here", "{none}");
    }
}

#[tokio::test]
async fn clocks_may_differ_a_little() {
    let signer = Signer::ed25519("a");
    let tokens = trusting(&[&signer], &[rule(ISSUER, KeySource::Discovered)]);
    for (issued, begins, expires) in [(60, 60, 61), (60, 0, 86_000), (-86_000, 0, 1), (0, 0, 86_400)] {
        let token = but(&signer, |it| {
            let at = |seconds: i64| json!(i64::try_from(NOW).unwrap() + seconds);
            (it["iat"], it["nbf"], it["exp"]) = (at(issued), at(begins), at(expires));
        });
        let caller = tokens.caller(Some(&token), NOW).await;
        assert!(caller.is_ok(), "{issued} {begins} {expires}: {caller:?}");
    }
}

/// The same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    /// The text with one or a few bytes changed, taken out, doubled or exchanged.
    fn change(&mut self, text: &str) -> Option<String> {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=self.roll(3) {
            let (here, there) = (self.roll(bytes.len()), self.roll(bytes.len()));
            match self.roll(5) {
                0 => drop(bytes.remove(here)),
                1 => bytes.insert(here, bytes[there]),
                2 => bytes.swap(here, there),
                3 => bytes[here] = b"._-=AZaz09 {\"\x00\xff"[self.roll(15)],
                _ => bytes[here] ^= 1 << self.roll(8),
            }
        }
        (bytes != text.as_bytes()).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[tokio::test]
async fn a_token_that_is_changed_anywhere_is_refused() {
    let signers = [Signer::ed25519("a"), Signer::p256("b"), Signer::rsa("c")];
    let all: Vec<&Signer> = signers.iter().collect();
    let tokens = trusting(&all, &[rule(ISSUER, KeySource::Discovered)]);
    let mut dice = Dice(20_261_126);
    let mut verified = 0;
    for signer in &signers {
        let good = signer.token(&claims());
        assert!(tokens.caller(Some(&good), NOW).await.is_ok());
        // Every bit of every character: one that is not looked at would make two tokens of one.
        for (place, bit) in (0..good.len()).flat_map(|place| (0..7).map(move |bit| (place, bit))) {
            let mut bytes = good.clone().into_bytes();
            bytes[place] ^= 1 << bit;
            let changed = String::from_utf8(bytes).unwrap();
            let denial = tokens.caller(Some(&changed), NOW).await;
            assert!(denial.is_err(), "{place} {bit}: {changed}");
            verified += usize::from(denial.unwrap_err().to_string().contains("signature does not hold"));
        }
        for _ in 0..2_000 {
            let Some(changed) = dice.change(&good) else { continue };
            let caller = tokens.caller(Some(&changed), NOW).await;
            assert!(caller.is_err(), "{changed}: {caller:?}");
        }
    }
    assert!(verified > 1_000, "only {verified} came as far as their signature");
}

#[test]
fn a_set_of_keys_that_is_changed_anywhere_crashes_nothing() {
    let signers = [Signer::ed25519("a"), Signer::p256("b"), Signer::p384("c"), Signer::rsa("d")];
    let all: Vec<&Signer> = signers.iter().collect();
    let good = set(&all);
    let tokens: Vec<String> = signers.iter().map(|signer| signer.token(&claims())).collect();
    let mut dice = Dice(11);
    for round in 0..2_000 {
        let Some(changed) = dice.change(&good) else { continue };
        let Ok(keys) = keys::Keys::read(changed.as_bytes()) else { continue };
        let token = &tokens[round % tokens.len()];
        let _ = keys.verify(jwt::Jwt::read(token).unwrap().signed());
    }
}
