//! Keys that are fetched from an issuer, which may exchange them, be slow, be away, or be somebody else.

use std::time::{Duration, Instant};

use super::fetch::Fetched;
use super::issuer::{Answer, claims_of, set};
use super::*;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// Takes the tokens of this issuer.
fn tokens(issuer: &Issuer, keys: KeySource) -> Tokens {
    crate::tls::choose_provider();
    let tokens = Tokens::new(Vec::new());
    tokens.set(Vec::new(), &[rule(&issuer.url, keys)]).unwrap();
    tokens
}

/// A token of this issuer that is valid at that time.
fn token(signer: &Signer, issuer: &Issuer, now: u64) -> String {
    let mut claims = claims_of(&issuer.url);
    (claims["iat"], claims["nbf"], claims["exp"]) = (json!(now), json!(now), json!(now + 300));
    signer.token(&claims)
}

async fn denied(tokens: &Tokens, token: &str, now: u64) -> String {
    tokens.caller(Some(token), now).await.unwrap_err().to_string()
}

#[tokio::test]
async fn keys_are_found_by_the_description_or_at_their_address_and_kept() {
    let signer = Signer::p256("a");
    let issuer = Issuer::of(&[&signer]).await;
    for keys in [KeySource::Discovered, KeySource::Url(format!("{}/keys", issuer.url))] {
        let before = issuer.fetched();
        let tokens = tokens(&issuer, keys);
        for now in [NOW, NOW + 1, NOW + 599] {
            let caller = tokens.caller(Some(&token(&signer, &issuer, now)), now).await;
            assert!(caller.is_ok(), "{caller:?}");
        }
        assert_eq!(issuer.fetched() - before, 1);
        let later = NOW + 600;
        assert!(tokens.caller(Some(&token(&signer, &issuer, later)), later).await.is_ok());
        assert_eq!(issuer.fetched() - before, 2, "after ten minutes they are fetched again");
    }
}

#[tokio::test]
async fn many_requests_at_once_fetch_once() {
    let signer = Signer::ed25519("a");
    let issuer = Issuer::of(&[&signer]).await;
    issuer.answer(Answer::Keys(set(&[&signer]), Duration::from_millis(100)));
    let tokens = tokens(&issuer, KeySource::Discovered);
    let token = token(&signer, &issuer, NOW);
    let callers = (0..50).map(|_| tokens.caller(Some(&token), NOW));
    let callers = futures_util::future::join_all(callers).await;
    assert!(callers.iter().all(Result::is_ok), "{callers:?}");
    assert_eq!(issuer.fetched(), 1);
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_any_more_leaves_the_fetch_to_the_next() {
    let signer = Signer::ed25519("a");
    let issuer = Issuer::of(&[&signer]).await;
    issuer.answer(Answer::Keys(set(&[&signer]), Duration::from_millis(100)));
    let tokens = tokens(&issuer, KeySource::Discovered);
    let token = token(&signer, &issuer, NOW);
    let given_up = tokio::time::timeout(Duration::from_millis(5), tokens.caller(Some(&token), NOW)).await;
    assert!(given_up.is_err());
    assert!(tokens.caller(Some(&token), NOW).await.is_ok());
    assert_eq!(issuer.fetched(), 1);
}

#[tokio::test]
async fn a_new_key_is_taken_at_once_and_unknown_ones_ask_seldom() {
    let (old, new) = (Signer::p256("old"), Signer::ed25519("new"));
    let issuer = Issuer::of(&[&old]).await;
    let tokens = tokens(&issuer, KeySource::Discovered);
    assert!(tokens.caller(Some(&token(&old, &issuer, NOW)), NOW).await.is_ok());
    issuer.keys(&[&new]);
    // Somebody who makes up keys does not make the server ask.
    let guess = Signer::ed25519("guess");
    for second in 1..30 {
        let now = NOW + second;
        assert!(denied(&tokens, &token(&guess, &issuer, now), now).await.contains("is none of its issuer's"));
    }
    assert_eq!(issuer.fetched(), 1);
    let now = NOW + 30;
    assert!(tokens.caller(Some(&token(&new, &issuer, now)), now).await.is_ok());
    assert!(denied(&tokens, &token(&old, &issuer, now), now).await.contains("is none of its issuer's"));
    assert_eq!(issuer.fetched(), 2);
}

#[tokio::test]
async fn keys_stay_in_force_for_a_day_while_the_issuer_is_away() {
    let (signer, guess) = (Signer::p256("a"), Signer::p256("b"));
    let issuer = Issuer::of(&[&signer]).await;
    let tokens = tokens(&issuer, KeySource::Discovered);
    let at = async |now| tokens.caller(Some(&token(&signer, &issuer, now)), now).await;
    assert!(at(NOW).await.is_ok());
    for answer in [
        Answer::Status(503, String::new()),
        Answer::Text("no JSON".to_owned()),
        Answer::Text("{}".to_owned()),
        Answer::Described("https://other.example".to_owned(), format!("{}/keys", issuer.url)),
    ] {
        issuer.answer(answer);
        assert!(at(NOW + HOUR).await.is_ok() && at(NOW + DAY - 1).await.is_ok());
    }
    let now = NOW + 2 * HOUR;
    assert!(denied(&tokens, &token(&guess, &issuer, now), now).await.contains("is none of its issuer's"));
    let away = at(NOW + DAY).await.unwrap_err();
    assert!(
        matches!(&away, Denial::Away(why) if why.contains("cannot be had: its /.well-known")),
        "{away:?}"
    );
    issuer.keys(&[&signer]);
    assert!(at(NOW + DAY + 30).await.is_ok());
}

#[tokio::test]
async fn a_clock_that_is_put_back_does_not_keep_keys_for_ever() {
    let (old, new) = (Signer::p256("a"), Signer::p256("a"));
    let issuer = Issuer::of(&[&old]).await;
    let tokens = tokens(&issuer, KeySource::Discovered);
    let ahead = NOW + 365 * DAY;
    assert!(tokens.caller(Some(&token(&old, &issuer, ahead)), ahead).await.is_ok());
    issuer.keys(&[&new]);
    let denial = denied(&tokens, &token(&old, &issuer, NOW), NOW).await;
    assert!(denial.contains("its signature does not hold"), "{denial}");
    assert!(tokens.caller(Some(&token(&new, &issuer, NOW)), NOW).await.is_ok());
    assert_eq!(issuer.fetched(), 2);
}

#[tokio::test]
async fn an_issuer_that_takes_its_keys_back_is_believed() {
    let signer = Signer::p256("a");
    let issuer = Issuer::of(&[&signer]).await;
    let tokens = tokens(&issuer, KeySource::Discovered);
    assert!(tokens.caller(Some(&token(&signer, &issuer, NOW)), NOW).await.is_ok());
    issuer.keys(&[]);
    let now = NOW + 600;
    assert!(denied(&tokens, &token(&signer, &issuer, now), now).await.contains("is none of its issuer's"));
}

#[tokio::test]
async fn an_answer_that_is_no_set_of_keys_is_told() {
    let signer = Signer::p256("a");
    let issuer = Issuer::of(&[&signer]).await;
    let keys = |url: &str| Answer::Described(issuer.url.clone(), url.to_owned());
    let many: Vec<Value> = (0..101).map(|_| signer.public()).collect();
    for (source, answer, expected) in [
        (KeySource::Discovered, Answer::Status(404, String::new()), "it answers 404 Not Found"),
        (
            KeySource::Discovered,
            Answer::Status(302, format!("{}/keys", issuer.url)),
            "nobody is followed elsewhere",
        ),
        (KeySource::Discovered, Answer::Text("[".to_owned()), "openid-configuration is no JSON"),
        (
            KeySource::Discovered,
            Answer::Described(format!("{}/", issuer.url), String::new()),
            "is that of another issuer",
        ),
        (
            KeySource::Discovered,
            keys("http://issuer.example/keys"),
            "its \"jwks_uri\" must be a URL with https",
        ),
        (KeySource::Discovered, keys("file:///etc/passwd"), "its \"jwks_uri\" must be a URL with https"),
        (KeySource::Discovered, keys("nowhere"), "its \"jwks_uri\" is no URL"),
        (
            KeySource::Url(format!("{}/keys", issuer.url)),
            Answer::Text("[]".to_owned()),
            "it is no set of keys",
        ),
        (
            KeySource::Url(format!("{}/keys", issuer.url)),
            Answer::Text(json!({"keys": many}).to_string()),
            "it has 101 keys, and at most 100",
        ),
        (
            KeySource::Url(format!("{}/keys", issuer.url)),
            Answer::Text(" ".repeat((256 << 10) + 1)),
            "its set of keys has more than 256 KiB",
        ),
        (KeySource::Url("http://127.0.0.1:1/keys".to_owned()), Answer::Text(String::new()), "refused"),
    ] {
        issuer.answer(answer.clone());
        let tokens = tokens(&issuer, source);
        let denial = tokens.caller(Some(&token(&signer, &issuer, NOW)), NOW).await.unwrap_err();
        let Denial::Away(why) = denial else { panic!("{denial:?}") };
        assert!(why.contains(expected), "{expected}: {why}");
    }
}

#[tokio::test]
async fn a_slow_issuer_keeps_nobody_waiting_for_long() {
    let signer = Signer::p256("a");
    let issuer = Issuer::of(&[&signer]).await;
    issuer.answer(Answer::Keys(set(&[&signer]), Duration::from_secs(3_600)));
    crate::tls::choose_provider();
    let fetched = Fetched::new(&issuer.url, None, Duration::from_secs(1)).map(Arc::new).unwrap();
    let begun = Instant::now();
    let asked = (0..10).map(|_| fetched.keys(NOW, |_| true));
    for keys in futures_util::future::join_all(asked).await {
        assert_eq!(keys.unwrap_err(), "it does not answer in time");
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(issuer.fetched(), 1);
    // Soon after, nobody waits at all.
    assert!(fetched.keys(NOW + 4, |_| true).await.is_err());
    assert_eq!(issuer.fetched(), 1);
    issuer.keys(&[&signer]);
    assert!(fetched.keys(NOW + 5, |_| true).await.is_ok());
}

#[tokio::test]
async fn rules_are_exchanged_and_keys_are_kept() {
    let signer = Signer::p256("a");
    let issuer = Issuer::of(&[&signer]).await;
    let tokens = tokens(&issuer, KeySource::Discovered);
    let good = token(&signer, &issuer, NOW);
    assert!(tokens.caller(Some(&good), NOW).await.is_ok());
    let other = Rule { audience: "other".to_owned(), ..rule(&issuer.url, KeySource::Discovered) };
    tokens.set(Vec::new(), &[other]).unwrap();
    assert!(denied(&tokens, &good, NOW).await.contains("is not one of other"));
    assert_eq!(issuer.fetched(), 1, "of the same issuer they are known");
    let no_keys = KeySource::File { path: "jwks.json".to_owned(), text: "{\"keys\": []}".to_owned() };
    for (source, expected) in [
        (no_keys, "oidc: the issuer of github: jwks.json has no key"),
        (
            KeySource::File { path: "a.json".to_owned(), text: "x".to_owned() },
            "a.json holds no keys: it is no JSON",
        ),
    ] {
        let error = tokens.set(Vec::new(), &[rule(&issuer.url, source)]).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    assert!(denied(&tokens, &good, NOW).await.contains("is not one of other"), "those before are in force");
    tokens.set(Vec::new(), &[]).unwrap();
    assert!(tokens.caller(None, NOW).await.is_ok(), "nothing is asked for any more");
}

#[test]
fn keys_come_by_https_or_from_this_host() {
    for good in [
        "https://a.example",
        "https://a.example:8443/x?y=z",
        "http://127.0.0.1:1",
        "http://[::1]:1",
        "http://localhost/x",
    ] {
        assert!(address(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "a.example",
        "http://a.example",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "https://u:p@a.example",
        "https://u@a.example",
        "https://a.example/#x",
        "ftp://127.0.0.1",
        "http://10.0.0.1",
    ] {
        assert!(address(bad).is_err(), "{bad}");
    }
}
