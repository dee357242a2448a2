//! A claim of a verified token, with Envoy's own filter as the verifier and an issuer that serves its keys.

use coalmine_envoy_tests::alive::{by_reason, decided};
use coalmine_envoy_tests::{compile, user};
use coalmine_harness::issuer::{Issuer, seconds_from_now, unsigned_token};
use coalmine_harness::raw::RawRequest;
use coalmine_harness::{Lab, LabBuilder, PolicyFile, Server, get};
use serde_json::{Value, json};

use super::{document, drawn, only, rollout};

const EXAMPLE: &str = "envoy/jwt";
const HOST: &str = "shop.example";

/// The example, with an issuer that exists.
struct Verified {
    issuer: Issuer,
    keys: Server,
}

impl Verified {
    async fn new() -> Self {
        let issuer = Issuer::new().unwrap();
        let keys = issuer.serve().await.unwrap();
        Self { issuer, keys }
    }

    fn lab(&self) -> LabBuilder {
        let port = format!("port_value: {}", self.keys.address().port());
        Lab::example(EXAMPLE).unwrap().edit(|bootstrap| bootstrap.replace("port_value: 8083", &port)).unwrap()
    }

    /// A good token with these claims.
    fn token(&self, claims: &Value) -> String {
        self.issuer.token(payload(claims)).unwrap()
    }
}

/// These claims, and those that the example asks for; the former win.
fn payload(claims: &Value) -> String {
    let mut all = json!({
        "iss": "https://login.shop.example",
        "aud": "shop",
        "exp": seconds_from_now(600).unwrap(),
    });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    all.to_string()
}

fn bearer(host: &str, token: &str) -> RawRequest {
    RawRequest::get(host, "/").header("authorization", format!("Bearer {token}"))
}

/// The status, and the variant that answered.
async fn ask(lab: &Lab, request: RawRequest) -> (u16, String) {
    let answer = request.send(lab.address()).await.unwrap();
    (answer.status, answer.body.trim_end().to_owned())
}

fn ok(variant: &str) -> (u16, String) {
    (200, variant.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_routes_by_the_subject_of_a_verified_token() {
    let document = PolicyFile::policy_of(EXAMPLE).unwrap();
    let policy = compile(&document).unwrap();
    let verified = Verified::new().await;
    let lab = verified.lab().start(&document).await.unwrap();
    let users: Vec<String> = (0..200).map(user).collect();
    for user in &users {
        let token = verified.token(&json!({"sub": user}));
        let expected = drawn(&policy, "checkout", Some(user.as_bytes()));
        assert_eq!(ask(&lab, bearer(HOST, &token)).await, ok(expected), "{user}");
    }
    decided(&lab, users.len()).await.unwrap();
}

/// Strings as they are, whole numbers as decimal text, anything else names nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_claim_may_be() {
    let nested = json!({"path": ["realm", "tenant"]});
    let uid = json!("uid");
    let known = [
        ("string", &uid, json!({"uid": "alice"}), "alice"),
        ("eight-characters", &uid, json!({"uid": "user0001"}), "user0001"),
        ("eight-bytes", &uid, json!({"uid": "\u{e4}\u{f6}\u{fc}\u{df}"}), "\u{e4}\u{f6}\u{fc}\u{df}"),
        ("eight-digits", &uid, json!({"uid": "12345678"}), "12345678"),
        ("blanks", &uid, json!({"uid": " a b "}), " a b "),
        ("encoded", &uid, json!({"uid": "%61%00"}), "%61%00"),
        ("zero", &uid, json!({"uid": 0}), "0"),
        ("number", &uid, json!({"uid": 42}), "42"),
        ("double", &uid, json!({"uid": 42.0}), "42"),
        ("negative", &uid, json!({"uid": -7}), "-7"),
        ("large", &uid, json!({"uid": 4_503_599_627_370_495_u64}), "4503599627370495"),
        ("nested", &nested, json!({"realm": {"tenant": "north"}}), "north"),
        ("nested-number", &nested, json!({"realm": {"tenant": 7}}), "7"),
        (
            "dotted",
            &json!("https://shop.example/user"),
            json!({"https://shop.example/user": "alice"}),
            "alice",
        ),
    ];
    let nobody = [
        ("absent", &uid, json!({})),
        ("empty", &uid, json!({"uid": ""})),
        ("true", &uid, json!({"uid": true})),
        ("false", &uid, json!({"uid": false})),
        ("null", &uid, json!({"uid": null})),
        ("list", &uid, json!({"uid": ["alice"]})),
        ("empty-list", &uid, json!({"uid": []})),
        ("object", &uid, json!({"uid": {"name": "alice"}})),
        ("empty-object", &uid, json!({"uid": {}})),
        ("fraction", &uid, json!({"uid": 1.5})),
        ("too-large", &uid, json!({"uid": 9_007_199_254_740_993_u64})),
        ("nul", &uid, json!({"uid": "a\0b"})),
        ("not-nested", &nested, json!({"realm": "north"})),
        ("half-way", &nested, json!({"realm": {}})),
        ("through-a-list", &nested, json!({"realm": ["tenant"]})),
    ];
    let claim = |path: &&Value| json!({"jwtClaim": path});
    let rollouts: Vec<Value> = known
        .iter()
        .map(|(name, path, _, expected)| only(name, claim(path), expected))
        .chain(nobody.iter().map(|(name, path, _)| rollout(name, claim(path), 100)))
        .collect();
    let verified = Verified::new().await;
    let lab = verified.lab().start(&document(&rollouts)).await.unwrap();
    let mut wrong = Vec::new();
    for (name, _, claims, _) in &known {
        let found = ask(&lab, bearer(&format!("{name}.test"), &verified.token(claims))).await;
        if found != ok("canary") {
            wrong.push(format!("{name}: {claims} is not the identity of the pin: {found:?}"));
        }
    }
    for (name, _, claims) in &nobody {
        let found = ask(&lab, bearer(&format!("{name}.test"), &verified.token(claims))).await;
        if found != ok("stable") {
            wrong.push(format!("{name}: {claims} names somebody: {found:?}"));
        }
    }
    let metrics = decided(&lab, known.len() + nobody.len()).await.unwrap();
    for (name, ..) in &nobody {
        if by_reason(&metrics, name, "noIdentity") != 1 {
            wrong.push(format!("{name}: not counted as noIdentity"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_payload_key() {
    let source = json!({"jwtClaim": {"path": ["sub"], "payload": "shop_token"}});
    let verified = Verified::new().await;
    let (default, renamed) = ("payload_in_metadata: payload", "payload_in_metadata: shop_token");
    let lab = verified
        .lab()
        .edit(|bootstrap| bootstrap.replace(default, renamed))
        .unwrap()
        .start(&document(&[
            only("named", source, "alice"),
            rollout("default", json!({"jwtClaim": "sub"}), 100),
        ]))
        .await
        .unwrap();
    let token = verified.token(&json!({"sub": "alice"}));
    assert_eq!(ask(&lab, bearer("named.test", &token)).await, ok("canary"));
    assert_eq!(
        ask(&lab, bearer("default.test", &token)).await,
        ok("stable"),
        "nothing is kept under payload"
    );
    decided(&lab, 2).await.unwrap();
}

/// Tokens that are not good, each with a subject that would be in the canary.
fn bad_tokens(verified: &Verified) -> Vec<(&'static str, String)> {
    let alice = json!({"sub": "alice"});
    let good = verified.token(&alice);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let other = verified.token(&json!({"sub": "bob"}));
    let other_payload = other.split('.').nth(1).unwrap();
    vec![
        ("forged by another key", Issuer::new().unwrap().token(payload(&alice)).unwrap()),
        ("of another issuer", verified.token(&json!({"sub": "alice", "iss": "https://login.evil.example"}))),
        ("for another audience", verified.token(&json!({"sub": "alice", "aud": "bank"}))),
        ("expired", verified.token(&json!({"sub": "alice", "exp": seconds_from_now(-3600).unwrap()}))),
        ("not yet valid", verified.token(&json!({"sub": "alice", "nbf": seconds_from_now(3600).unwrap()}))),
        ("unsigned", unsigned_token(&payload(&alice))),
        ("with the payload exchanged", format!("{header}.{other_payload}.{signature}")),
        ("without its signature", format!("{signed}.")),
        ("of two parts", signed.to_owned()),
        ("of words", "alice".to_owned()),
        ("whose payload is no JSON", verified.issuer.token("alice").unwrap()),
        ("whose subject is a number", verified.token(&json!({"sub": 42}))),
        ("whose payload is not UTF-8", verified.issuer.token(b"{\"sub\": \"\xff\xfe\"}").unwrap()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_token_is_refused_and_none_is_nobody() {
    let verified = Verified::new().await;
    let everybody = document(&[rollout("known", json!({"jwtClaim": "sub"}), 100)]);
    let lab = verified.lab().start(&everybody).await.unwrap();
    for (what, token) in bad_tokens(&verified) {
        let expected = if what == "for another audience" { 403 } else { 401 };
        assert_eq!(ask(&lab, bearer("known.test", &token)).await.0, expected, "a token {what}");
    }
    assert_eq!(ask(&lab, RawRequest::get("known.test", "/")).await, ok("stable"));
    let good = verified.token(&json!({"sub": "alice"}));
    assert_eq!(ask(&lab, bearer("known.test", &good)).await, ok("canary"));
    let metrics = decided(&lab, 2).await.unwrap();
    assert_eq!(by_reason(&metrics, "known", "noIdentity"), 1, "the request without a token");
}

/// The other way to configure the verifier: a bad token is let in, and is as good as none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_token_that_is_let_in_is_nobody() {
    let verified = Verified::new().await;
    let everybody = document(&[rollout("known", json!({"jwtClaim": "sub"}), 100)]);
    let (strict, lenient) = ("{allow_missing: {}}", "{allow_missing_or_failed: {}}");
    let lab = verified
        .lab()
        .edit(|bootstrap| bootstrap.replace(strict, lenient))
        .unwrap()
        .start(&everybody)
        .await
        .unwrap();
    let bad = bad_tokens(&verified);
    for (what, token) in &bad {
        assert_eq!(ask(&lab, bearer("known.test", token)).await, ok("stable"), "a token {what}");
    }
    let metrics = decided(&lab, bad.len()).await.unwrap();
    assert_eq!(by_reason(&metrics, "known", "noIdentity"), bad.len() as u64);
}

/// Without a verifier even a good token is only a header that somebody sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_nobody_verified_is_nobody() {
    let verified = Verified::new().await;
    let everybody = document(&[rollout("known", json!({"jwtClaim": "sub"}), 100)]);
    let lab = Lab::builder().unwrap().start(&everybody).await.unwrap();
    let good = verified.token(&json!({"sub": "alice"}));
    assert_eq!(ask(&lab, bearer("known.test", &good)).await, ok("stable"));
    assert_eq!(
        ask(&lab, bearer("known.test", &unsigned_token(&payload(&json!({"sub": "alice"}))))).await,
        ok("stable")
    );
    let in_query = RawRequest::get("known.test", format!("/?access_token={good}"));
    assert_eq!(ask(&lab, in_query).await, ok("stable"));
    let metrics = decided(&lab, 3).await.unwrap();
    assert_eq!(by_reason(&metrics, "known", "noIdentity"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_tokens() {
    let verified = Verified::new().await;
    let document = document(&[
        rollout("half", json!({"jwtClaim": "sub"}), 50),
        only("alice", json!({"jwtClaim": "sub"}), "alice"),
    ]);
    let policy = compile(&document).unwrap();
    let lab = verified
        .lab()
        .edit(|bootstrap| bootstrap.max_request_headers_kb(96))
        .unwrap()
        .start(&document)
        .await
        .unwrap();
    let mut sent = 0;
    // Base64 makes a third more of it.
    for length in [1, 4096, 64 * 1024] {
        let subject = "a".repeat(length);
        let expected = ok(drawn(&policy, "half", Some(subject.as_bytes())));
        let token = verified.token(&json!({"sub": subject}));
        assert_eq!(ask(&lab, bearer("half.test", &token)).await, expected, "a subject of {length} bytes");
        sent += 1;
    }
    let alice = verified.token(&json!({"sub": "alice"}));
    let bob = verified.token(&json!({"sub": "bob"}));
    // A token in the query is Envoy's to take too.
    let in_query = RawRequest::get("alice.test", format!("/?access_token={alice}"));
    assert_eq!(ask(&lab, in_query).await, ok("canary"));
    sent += 1;
    // Twice: Envoy does not guess whose request it is.
    for tokens in [[&alice, &bob], [&bob, &alice], [&alice, &alice]] {
        let twice = bearer("half.test", tokens[0]).header("authorization", format!("Bearer {}", tokens[1]));
        assert_eq!(ask(&lab, twice).await.0, 401, "two tokens");
    }
    let huge = verified.token(&json!({"sub": "a".repeat(97 * 1024)}));
    assert_eq!(ask(&lab, bearer("half.test", &huge)).await.0, 431, "more than the proxy takes");
    // A claim that is given twice.
    let once = payload(&json!({"sub": "bob"}));
    let twice = once.replace("\"sub\":\"bob\"", "\"sub\":\"bob\",\"sub\":\"alice\"");
    assert_eq!(ask(&lab, bearer("alice.test", &verified.issuer.token(&twice).unwrap())).await.0, 401);
    assert_eq!(
        lab.ask(get("alice.test").header("authorization", "Bearer")).await.unwrap().variant(),
        Some("stable")
    );
    decided(&lab, sent + 1).await.unwrap();
}
