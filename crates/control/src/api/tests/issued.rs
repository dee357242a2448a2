//! Callers whose tokens somebody else makes.

use base64ct::Encoding as _;

use super::*;
use crate::access::tests::issuer::{Answer as Issued, Issuer, Signer, claims_of};
use crate::access::tests::{NOW, rule};
use crate::access::{KeySource, Pattern};

/// An API that takes the tokens of this issuer beside its own.
async fn world(issuer: &Issuer) -> World {
    crate::tls::choose_provider();
    let world = World::new().await;
    world.clock.store(NOW, Ordering::Relaxed);
    let admin = vec![Token::new("admin", ADMIN, May::Write, vec![Pattern::Every])];
    world.app.tokens.set(admin, &[rule(&issuer.url, KeySource::Discovered)]).unwrap();
    world
}

#[tokio::test]
async fn history_has_the_name_that_a_token_says() {
    let signer = Signer::ed25519("a");
    let issuer = Issuer::of(&[&signer]).await;
    let world = world(&issuer).await;
    assert_eq!(world.put(ROLLOUT).await.status, 201);
    let token = signer.token(&claims_of(&issuer.url));
    let ask = async |method, path: &str| world.ask(&token, method, path, &[], "").await;
    assert_eq!(ask(Method::PUT, PATH).await.status, 403);
    assert_eq!(ask(Method::GET, "/v1/proxies").await.status, 403);
    assert_eq!(ask(Method::GET, "/v1/rollouts/bank/payments").await.status, 403);
    let actor = [("coalmine-actor", "Ada"), ("idempotency-key", "build-1")];
    let path = format!("{PATH}/start");
    assert_eq!(world.ask(&token, Method::POST, &path, &actor, "").await.status, 202);
    let again = world.ask(&token, Method::POST, &path, &actor, "").await;
    assert_eq!(again.status, 202, "the same key has the same answer: {}", again.body);
    let history = ask(Method::GET, &format!("{PATH}/history")).await.body;
    let last = &history[0];
    assert_eq!(last["by"], "github:repo:acme/shop:ref:refs/heads/main (Ada)", "{history}");
    assert!(history.to_string().matches("\"started\"").count() <= 1, "{history}");
    // As the password of Basic, and in a hook of Flagger.
    let basic = base64ct::Base64::encode_string(format!("any:{token}").as_bytes());
    let basic = [("authorization", format!("Basic {basic}"))];
    let basic = basic.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(world.ask("", Method::GET, PATH, &basic, "").await.status, 200);
    let hook = json!({"name": "checkout", "namespace": "shop", "metadata": {"token": token}}).to_string();
    let verdict = format!("{PATH}/verdict/hold");
    assert_eq!(world.ask("", Method::POST, &verdict, &[], &hook).await.status, 200);
}

#[tokio::test]
async fn a_token_that_is_refused_says_why_and_one_that_nobody_can_verify_comes_again() {
    let signer = Signer::ed25519("a");
    let issuer = Issuer::of(&[&signer]).await;
    issuer.answer(Issued::Status(503, String::new()));
    let world = world(&issuer).await;
    let mut claims = claims_of(&issuer.url);
    let ask = async |token: &str| world.ask(token, Method::GET, "/v1/rollouts", &[], "").await;
    let away = ask(&signer.token(&claims)).await;
    assert_eq!((away.status, away.headers.contains_key(header::RETRY_AFTER)), (503, true));
    let told = away.body["detail"].as_str().unwrap();
    assert!(told.ends_with("cannot be had: it answers 503 Service Unavailable; try again"), "{told}");
    assert_eq!(ask(ADMIN).await.status, 200, "tokens of its own need no issuer");
    issuer.answer(Issued::Keys(json!({"keys": [signer.public()]}).to_string(), Duration::ZERO));
    world.clock.fetch_add(5, Ordering::Relaxed);
    assert_eq!(ask(&signer.token(&claims)).await.status, 200);
    claims["aud"] = json!("elsewhere");
    let refused = ask(&signer.token(&claims)).await;
    let expected = "this token is refused: its audience \"elsewhere\" is not one of coalmine";
    assert_eq!((refused.status, &refused.body["detail"]), (401, &json!(expected)));
    let challenge = |answer: &Answer| answer.headers[header::WWW_AUTHENTICATE].to_str().unwrap().to_owned();
    assert_eq!(challenge(&refused), "Bearer realm=\"coalmine\", error=\"invalid_token\"");
    assert_eq!(challenge(&ask("guess").await), challenge(&refused));
    assert_eq!(challenge(&ask("").await), "Bearer realm=\"coalmine\"", "there was no token");
}
