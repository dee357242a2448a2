//! Keys and secrets: where they come from, what will not do, and that no problem shows one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::cell::RefCell;
use std::time::Duration;

use coalmine_core::Reason;
use coalmine_core::document::{Problems, json as json_document};
use coalmine_core::policy::{Environment, Policy};
use coalmine_core::request::StaticRequest;
use serde_json::{Value, json};

const KEY: &str = "000102030405060708090a0b0c0d0e0f";
const SECRET: &str = "0123456789-of-the-tests-0123456789";

fn document(key: Value, secret: Value) -> String {
    json!({"rollouts": [{
        "name": "checkout",
        "identity": [{"header": "x-user-id"}],
        "algorithm": "siphash-2-4",
        "key": key,
        "variants": [{"name": "canary", "weight": 100}],
        "override": {"header": "x-over", "secret": secret},
    }]})
    .to_string()
}

fn variable(name: &str) -> Option<String> {
    match name {
        "KEY" => Some(KEY.to_owned()),
        "SECRET" => Some(SECRET.to_owned()),
        "EMPTY" => Some(String::new()),
        "SHORT" => Some("zq7f".to_owned()),
        "LINE" => Some(format!("{KEY}\n")),
        "LINES" => Some(format!("{KEY}\n\n")),
        "BLANK" => Some(format!("{KEY} ")),
        "WINDOWS_LINE" => Some(format!("{KEY}\r\n")),
        "SECRET_LINE" => Some(format!("{SECRET}\n")),
        "SECRET_WINDOWS_LINE" => Some(format!("{SECRET}\r\n")),
        "SHORT_LINE" => Some(format!("{}\n", &SECRET[..31])),
        _ => None,
    }
}

fn read(key: Value, secret: Value) -> Result<Policy, Problems> {
    let node = json_document::read(document(key, secret).as_bytes()).unwrap();
    Policy::from_document(&node, Environment::Read(&variable))
}

fn refused(key: Value, secret: Value) -> String {
    read(key, secret).expect_err("this will not do").to_string()
}

#[test]
fn secrets_are_in_the_document_or_in_the_environment() {
    for key in [json!(KEY), json!(KEY.to_uppercase()), json!({"env": "KEY"})] {
        for secret in
            [json!(SECRET), json!([SECRET]), json!({"env": "SECRET"}), json!([{"env": "SECRET"}, SECRET])]
        {
            let policy = read(key.clone(), secret.clone()).unwrap();
            assert_eq!(policy.rollouts()[0].override_secrets().len(), secret.as_array().map_or(1, Vec::len));
            assert!(policy.rollouts()[0].bucketer().is_some());
            assert_eq!(policy.unread(), [""; 0]);
            let shown = format!("{policy:?}").to_lowercase();
            assert!(!shown.contains(KEY) && !shown.contains(SECRET), "{shown}");
        }
    }
}

#[test]
fn unread_secrets_are_named_and_nobody_leaves_stable() {
    let document = document(json!({"env": "KEY"}), json!([{"env": "SECRET"}, {"env": "OTHER"}]));
    let policy = Policy::from_json(document.as_bytes()).unwrap();
    assert_eq!(policy.unread(), ["KEY", "SECRET", "OTHER"]);
    let request = StaticRequest::new("GET", "a", "/").with_header("x-user-id", "alice");
    let assignment = policy.decide(&request, Duration::ZERO).assignment;
    assert_eq!((assignment.variant_name(), assignment.reason), ("stable", Reason::NoKey));
}

#[test]
fn what_one_proxy_lacks_is_its_own_trouble_and_not_the_documents() {
    let read = |key, secret| {
        let node = json_document::read(document(key, secret).as_bytes()).unwrap();
        let lacking = RefCell::new(Vec::new());
        let lacks = |what: &str| lacking.borrow_mut().push(what.to_owned());
        let environment = Environment::OfProxy { look_up: &variable, lacks: &lacks };
        (Policy::from_document(&node, environment).unwrap(), lacking.take())
    };
    let (complete, lacking) = read(json!({"env": "KEY"}), json!({"env": "SECRET"}));
    assert!(lacking.is_empty() && complete.rollouts()[0].draws());
    let (policy, lacking) = read(json!({"env": "SHORT"}), json!([SECRET, {"env": "NO_SECRET"}]));
    assert_eq!(
        lacking,
        [
            "the variable \"SHORT\" must be 32 hexadecimal digits; it has 4 bytes",
            "the environment has no variable \"NO_SECRET\"",
        ]
    );
    assert!(!policy.rollouts()[0].draws());
    let secret = coalmine_core::token::Secret::new(SECRET.as_bytes()).unwrap();
    let token = secret.mint("checkout", "canary", Duration::from_secs(60));
    let request = StaticRequest::new("GET", "a", "/").with_header("x-user-id", "alice");
    let assignment = policy.decide(&request, Duration::ZERO).assignment;
    assert_eq!((assignment.variant_name(), assignment.reason), ("stable", Reason::NoKey));
    let assignment = policy.decide(&request.with_header("x-over", &token), Duration::ZERO).assignment;
    assert_eq!(assignment.reason, Reason::Override, "the secret that is there still signs");
}

#[test]
fn a_variable_that_is_missing_is_named() {
    assert_eq!(
        refused(json!({"env": "NO_KEY"}), json!([SECRET, {"env": "NO_SECRET"}])).lines().collect::<Vec<_>>(),
        [
            "rollouts[0].key.env: the environment has no variable \"NO_KEY\"",
            "rollouts[0].override.secret[1].env: the environment has no variable \"NO_SECRET\"",
        ]
    );
    // One that is empty, too short or has more behind it is there, and is no good.
    for (name, found) in [
        ("EMPTY", "0 bytes"),
        ("SHORT", "4 bytes"),
        ("LINES", "34 bytes, the last of them a line break"),
        ("BLANK", "33 bytes, the last of them a blank"),
    ] {
        let problems = refused(json!({"env": name}), json!(SECRET));
        assert_eq!(
            problems,
            format!(
                "rollouts[0].key.env: the variable \"{name}\" must be 32 hexadecimal digits; it has {found}"
            )
        );
    }
    assert_eq!(
        refused(json!(KEY), json!({"env": "SHORT_LINE"})),
        "rollouts[0].override.secret.env: the variable \"SHORT_LINE\" must be a secret of at least 32 bytes; it has 32 bytes, the last of them a line break"
    );
}

/// `echo` ends what it writes with a line break, and `$(..)` takes it off: minting and verifying have to agree.
#[test]
fn one_line_break_at_the_end_of_a_variable_is_no_part_of_the_secret() {
    let drawn = |policy: &Policy| policy.rollouts()[0].bucketer().unwrap().bucket(b"alice");
    let plain = read(json!({"env": "KEY"}), json!({"env": "SECRET"})).unwrap();
    let token = |policy: &Policy| {
        policy.rollouts()[0].override_secrets()[0].mint("checkout", "canary", Duration::from_secs(60))
    };
    for (key, secret) in [("LINE", "SECRET_LINE"), ("WINDOWS_LINE", "SECRET_WINDOWS_LINE")] {
        let policy = read(json!({"env": key}), json!({"env": secret})).unwrap();
        assert_eq!(drawn(&policy), drawn(&plain), "{key}");
        assert_eq!(token(&policy), token(&plain), "{secret}");
    }
    let refused = refused(json!(format!("{KEY}\n")), json!(SECRET));
    assert!(
        refused.contains("must be 32 hexadecimal digits"),
        "in the document every byte counts: {refused}"
    );
}

#[test]
fn what_will_not_do_is_never_shown() {
    let bad =
        ["zq7f", "zq7f-with-a-dash", "zq7f\nline", "zq7f\u{1f511}", " zq7f ", "zq7f$(x)", "zq7f{}[]\"'"];
    for bad in bad {
        for value in [
            json!(bad),
            json!({"env": bad.replace("zq7f", "zq7f-")}),
            json!({"env": [bad]}),
            json!({"env": {"env": bad}}),
            json!({"env": "SHORT"}),
            json!([[bad]]),
            json!([{"value": bad}]),
        ] {
            for problems in [refused(value.clone(), json!(SECRET)), refused(json!(KEY), value.clone())] {
                assert!(!problems.contains("zq7f"), "{problems}");
                assert!(!problems.contains(KEY) && !problems.contains(SECRET), "{problems}");
            }
        }
    }
    // A key in the place of the name of a variable.
    for key in [KEY, "deadbeefdeadbeefdeadbeefdeadbeef"] {
        let problems = refused(json!({"env": key}), json!({"env": key}));
        assert!(!problems.contains(key), "{problems}");
    }
}

#[test]
fn a_key_belongs_to_the_keyed_algorithm_alone_and_is_not_shown_elsewhere_either() {
    let keyed = document(json!("zq7f"), json!(SECRET)).replace("siphash-2-4", "coalmine-v1");
    let problems = Policy::from_json(keyed.as_bytes()).unwrap_err().to_string();
    assert_eq!(problems, "rollouts[0].key: coalmine-v1 has no key; only siphash-2-4 has");
}

#[test]
fn nine_secrets_are_too_many_and_none_too_few() {
    let nine: Vec<&str> = vec![SECRET; 9];
    assert!(refused(json!(KEY), json!(nine)).contains("has 9 secrets; at most 8"));
    assert!(read(json!(KEY), json!(nine[..8])).is_ok());
    assert!(refused(json!(KEY), json!([])).contains("rollouts[0].override.secret"));
}
