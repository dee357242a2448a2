//! Cookies that are issued to users without an identity.

use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use coalmine_core::{Edit, Outcome, Reason};

use crate::NOW;

/// What the random bytes below make.
const ISSUED: &str = "000102030405060708090a0b0c0d0e0f";
const OTHER: &str = "ffffffffffffffffffffffffffffffff";
const ATTRIBUTES: &str = "Max-Age=2592000; Path=/; SameSite=Lax; Secure; HttpOnly";

/// A rollout that issues a cookie; with the canary at this weight.
fn rollout(name: &str, weight: u32, fields: &str) -> String {
    format!(
        r#"{{"name": "{name}", "onMissingIdentity": "issueCookie", {fields}
            "variants": [{{"name": "canary", "weight": {weight}}}]}}"#
    )
}

fn policy(weight: u32, fields: &str) -> Policy {
    crate::policy(&[&rollout("r", weight, fields)])
}

fn get() -> StaticRequest {
    StaticRequest::new("GET", "h", "/").with_random(std::array::from_fn(|place| place as u8))
}

fn with_cookies(cookies: impl AsRef<[u8]>) -> StaticRequest {
    get().with_header("cookie", cookies)
}

/// What the request's `Cookie` becomes, where it changes.
fn cookies(outcome: &Outcome<'_>) -> Option<String> {
    outcome.edits.iter().find_map(|edit| match edit {
        Edit::Set("cookie", value) => Some(String::from_utf8_lossy(value).into_owned()),
        _ => None,
    })
}

#[test]
fn a_user_without_an_identity_is_issued_one_and_gets_its_bucket() {
    for (weight, variant) in [(0, "stable"), (100, "canary")] {
        let policy = policy(weight, "");
        let outcome = policy.decide(&get(), NOW);
        assert_eq!(
            outcome.set_cookies.last().cloned(),
            Some(format!("coalmine-id={ISSUED}; {ATTRIBUTES}")),
            "at {weight}"
        );
        assert_eq!(cookies(&outcome), Some(format!("coalmine-id={ISSUED}")));
        assert_eq!((outcome.assignment.variant_name(), outcome.assignment.reason), (variant, Reason::Bucket));
        assert_eq!(
            outcome.assignment.bucketed,
            policy.rollouts()[0].assign(Some(ISSUED.as_bytes()), NOW).bucketed
        );
        // The user who returns with it is the same, and is left alone.
        let again = policy.decide(&with_cookies(format!("coalmine-id={ISSUED}")), NOW);
        assert_eq!((again.set_cookies.last(), cookies(&again)), (None, None));
        assert_eq!(again.assignment.bucketed, outcome.assignment.bucketed);
    }
}

#[test]
fn only_what_could_have_been_issued_is_an_identity() {
    let policy = policy(100, "");
    for cookie in [ISSUED, OTHER] {
        let outcome = policy.decide(&with_cookies(format!("a=0; coalmine-id={cookie}; b=1")), NOW);
        assert_eq!(
            outcome.assignment.bucketed,
            policy.rollouts()[0].assign(Some(cookie.as_bytes()), NOW).bucketed
        );
        assert_eq!(outcome.set_cookies.last(), None, "{cookie}");
    }
    let shifted = format!(" {}", &ISSUED[1..]);
    for value in [
        "",
        "a",
        &ISSUED[1..],
        &format!("{ISSUED}0"),
        &ISSUED.to_uppercase(),
        &ISSUED.replace('0', "g"),
        &format!("\"{ISSUED}\""),
        &ISSUED.replace('0', "%30"),
        &ISSUED.replace('0', "\0"),
        &"ä".repeat(16),
        &shifted[..31],
        &"0".repeat(65_536),
    ] {
        let outcome = policy.decide(&with_cookies(format!("coalmine-id={value}")), NOW);
        assert!(outcome.set_cookies.last().is_some(), "{value:.40}");
        assert_eq!(cookies(&outcome), Some(format!("coalmine-id={ISSUED}")), "{value:.40}");
    }
    let not_text = policy.decide(&with_cookies([b"coalmine-id=", &[0xff; 32][..]].concat()), NOW);
    assert!(not_text.set_cookies.last().is_some());
    // The name is compared as it is, and the first of that name counts.
    for cookies in [format!("Coalmine-Id={ISSUED}"), format!("coalmine-id=x; coalmine-id={ISSUED}")] {
        assert!(policy.decide(&with_cookies(&cookies), NOW).set_cookies.last().is_some(), "{cookies}");
    }
}

/// Hops behind hash the same cookie: what was there under its name is cut out, the rest stays byte for byte.
#[test]
fn the_cookies_of_the_request_are_rewritten() {
    let policy = policy(100, r#""cookie": {"name": "id"},"#);
    for (sent, expected) in [
        ("", "id=NEW"),
        ("a=0", "a=0; id=NEW"),
        ("id=x", "id=NEW"),
        ("id=x; a=0", "a=0; id=NEW"),
        ("a=0; id=x; b=1", "a=0; b=1; id=NEW"),
        ("a=0;id=x;id=y;b=1", "a=0;b=1; id=NEW"),
        ("a=\"1;2\"; Id=x;\tb", "a=\"1;2\"; Id=x;\tb; id=NEW"),
        ("id", "id; id=NEW"),
    ] {
        let outcome = policy.decide(&with_cookies(sent), NOW);
        assert_eq!(cookies(&outcome), Some(expected.replace("NEW", ISSUED)), "{sent}");
    }
}

/// Over HTTP/1.1 cookies may come in several headers. They become one, and none of them is lost.
#[test]
fn cookies_of_several_headers_become_one() {
    let policy = policy(100, r#""cookie": {"name": "id"},"#);
    for (first, second, expected) in [
        ("a=0", "b=1", "a=0; b=1; id=NEW"),
        ("a=0", "id=x; b=1", "a=0; b=1; id=NEW"),
        ("id=x", "id=y", "id=NEW"),
    ] {
        let outcome = policy.decide(&with_cookies(first).with_header("cookie", second), NOW);
        assert_eq!(cookies(&outcome), Some(expected.replace("NEW", ISSUED)), "{first} and {second}");
    }
}

#[test]
fn the_attributes_are_the_documents() {
    let set_cookie = |cookie: &str| {
        policy(0, &format!("\"cookie\": {cookie},")).decide(&get(), NOW).set_cookies.pop().unwrap()
    };
    assert_eq!(set_cookie("{}"), format!("coalmine-id={ISSUED}; {ATTRIBUTES}"));
    assert_eq!(
        set_cookie(
            r#"{"name": "__Secure-id", "maxAge": "7d", "path": "/shop", "domain": "shop.example", "sameSite": "Strict", "secure": true}"#
        ),
        format!(
            "__Secure-id={ISSUED}; Max-Age=604800; Path=/shop; Domain=shop.example; SameSite=Strict; Secure; HttpOnly"
        )
    );
    assert_eq!(
        set_cookie(r#"{"secure": false, "maxAge": "90s"}"#),
        format!("coalmine-id={ISSUED}; Max-Age=90; Path=/; SameSite=Lax; HttpOnly")
    );
    assert_eq!(
        set_cookie(r#"{"sameSite": "None", "maxAge": "2h"}"#),
        format!("coalmine-id={ISSUED}; Max-Age=7200; Path=/; SameSite=None; Secure; HttpOnly")
    );
}

#[test]
fn the_issued_cookie_is_the_last_source() {
    let policy = policy(100, r#""identity": [{"header": "x-user-id"}, {"cookie": "sid"}],"#);
    let bucket = |identity: &str| policy.rollouts()[0].assign(Some(identity.as_bytes()), NOW).bucketed;
    let known = [
        (get().with_header("x-user-id", "alice"), "alice"),
        (with_cookies(format!("sid=bob; coalmine-id={OTHER}")), "bob"),
        (with_cookies(format!("sid=; coalmine-id={OTHER}")), OTHER),
    ];
    for (request, identity) in known {
        let outcome = policy.decide(&request, NOW);
        assert_eq!(outcome.assignment.bucketed, bucket(identity));
        assert_eq!((outcome.set_cookies.last(), cookies(&outcome)), (None, None), "{identity}");
    }
    assert!(policy.decide(&with_cookies("sid="), NOW).set_cookies.last().is_some());
}

/// A client that sends an identity header twice is guessing and gets nothing; where all are stable nobody asks.
#[test]
fn a_repeated_identity_header_is_issued_nothing() {
    let sources = r#""identity": [{"header": "x-user-id"}],"#;
    let twice = get().with_header("x-user-id", "").with_header("x-user-id", "a");
    let leaving = policy(100, sources);
    let outcome = leaving.decide(&twice, NOW);
    assert_eq!(
        (outcome.assignment.reason, outcome.assignment.variant_name()),
        (Reason::NoIdentity, "stable")
    );
    assert_eq!((outcome.set_cookies.last(), &outcome.edits[..]), (None, &[][..]));
    let staying = policy(0, sources);
    assert!(staying.decide(&twice, NOW).set_cookies.last().is_some());
}

#[test]
fn nothing_is_issued_by_a_rollout_that_does_not_decide() {
    let disabled = policy(100, r#""enabled": false,"#);
    let outcome = disabled.decide(&get(), NOW);
    assert_eq!(outcome.assignment.reason, Reason::Disabled);
    assert_eq!((outcome.set_cookies.last(), &outcome.edits[..]), (None, &[][..]));
    let elsewhere = policy(100, r#""match": {"hosts": ["elsewhere"]},"#);
    let outcome = elsewhere.decide(&get(), NOW);
    assert_eq!(outcome.assignment.reason, Reason::NoMatch);
    assert_eq!((outcome.set_cookies.last(), &outcome.edits[..]), (None, &[][..]));
    let asking_for_stable = crate::policy(&[
        r#"{"name": "r", "onMissingIdentity": "stable", "identity": [{"cookie": "coalmine-id"}],
            "variants": [{"name": "canary", "weight": 100}]}"#,
    ]);
    assert_eq!(asking_for_stable.decide(&get(), NOW).set_cookies.last(), None);
}

/// Without random bytes there is no cookie, and the request is served.
#[test]
fn a_host_without_random_bytes_leaves_everybody_stable() {
    let outcome_of = policy(100, "");
    let outcome = outcome_of.decide(&StaticRequest::new("GET", "h", "/"), NOW);
    assert_eq!(
        (outcome.assignment.reason, outcome.assignment.variant_name()),
        (Reason::NoIdentity, "stable")
    );
    assert_eq!((outcome.set_cookies.last(), &outcome.edits[..]), (None, &[][..]));
}

/// A user who was issued a cookie by one rollout is known to the other.
#[test]
fn two_rollouts_with_one_cookie_share_its_value() {
    let both = crate::policy(&[
        &rollout("a", 100, r#""match": {"hosts": ["a"]},"#),
        &rollout("b", 100, r#""match": {"hosts": ["b"]},"#),
        &rollout("c", 100, r#""match": {"hosts": ["c"]}, "cookie": {"name": "other-id"},"#),
    ]);
    let at = |host: &str| StaticRequest::new("GET", host, "/").with_random([0xff; 16]);
    let cookie = both.decide(&at("a"), NOW).set_cookies.pop().unwrap();
    let pair = cookie.split(';').next().unwrap();
    assert_eq!(pair, format!("coalmine-id={OTHER}"));
    let outcome = both.decide(&at("b").with_header("cookie", pair), NOW);
    assert_eq!(outcome.set_cookies.last(), None);
    assert_eq!(outcome.assignment.bucketed, both.rollouts()[1].assign(Some(OTHER.as_bytes()), NOW).bucketed);
    assert!(both.decide(&at("c").with_header("cookie", pair), NOW).set_cookies.last().is_some());
}

/// Random for everybody, and never twice the same: two users who come without an identity are two.
#[test]
fn different_bytes_are_different_users() {
    let policy = policy(50, "");
    let buckets: std::collections::BTreeSet<u32> = (0..=255_u8)
        .map(|byte| {
            policy.decide(&get().with_random([byte; 16]), NOW).assignment.bucketed.unwrap().bucket.number()
        })
        .collect();
    assert_eq!(buckets.len(), 256);
}

/// A host may not tell an empty header from none when it joins all values; an empty one alone repeats nothing.
#[test]
fn one_empty_identity_header_is_none_and_two_are_a_guess() {
    let policy = policy(100, r#""identity": [{"header": "x-user-id"}],"#);
    let once = policy.decide(&get().with_header("x-user-id", ""), NOW);
    assert!(once.set_cookies.last().is_some());
    assert_eq!(once.assignment.variant_name(), "canary");
    let twice = policy.decide(&get().with_header("x-user-id", "").with_header("x-user-id", "a"), NOW);
    assert_eq!((twice.set_cookies.last(), twice.assignment.reason), (None, Reason::NoIdentity));
}

#[test]
fn a_token_to_the_canary_issues_no_cookie_to_a_client_that_guesses() {
    let secret = "0123456789abcdef0123456789abcdef";
    let policy = policy(
        0,
        &format!(
            r#""identity": [{{"header": "x-user-id"}}], "override": {{"header": "x-over", "secret": "{secret}"}},"#
        ),
    );
    let token = coalmine_core::token::Secret::new(secret.as_bytes()).unwrap();
    let token = token.mint("r", "canary", NOW + std::time::Duration::from_secs(60));
    let nobody = get().with_header("x-over", &token);
    let outcome = policy.decide(&nobody, NOW);
    assert_eq!((outcome.assignment.reason, outcome.set_cookies.last().is_some()), (Reason::Override, true));
    let outcome = policy.decide(&nobody.with_header("x-user-id", "").with_header("x-user-id", "a"), NOW);
    assert_eq!((outcome.assignment.reason, outcome.set_cookies.last()), (Reason::Override, None));
}
