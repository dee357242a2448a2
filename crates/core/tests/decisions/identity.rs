//! Identities: every source with anything that a client may send, and the order of asking.
//!
//! The bucket shows which identity was found: two identities share a bucket once in a million, so a bucket stands for
//! the bytes that were hashed.

use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use coalmine_core::{Edit, Reason};

use crate::NOW;

const CLAIM: [&str; 5] = ["metadata", "filter_metadata", "envoy.filters.http.jwt_authn", "payload", "sub"];
const PEER: [&str; 2] = ["connection", "uri_san_peer_certificate"];
const ADDRESS: [&str; 2] = ["source", "address"];

/// A policy of one rollout with these sources, everybody in the canary.
fn policy(identity: &str) -> Policy {
    crate::policy(&[&format!(
        r#"{{"name": "r", "salt": "s", "identity": {identity}, "variants": [{{"name": "canary", "weight": 100}}]}}"#
    )])
}

fn get(path: &str) -> StaticRequest {
    StaticRequest::new("GET", "h", path)
}

/// A request to a path that need not be text.
fn get_bytes(path: &[u8]) -> StaticRequest {
    StaticRequest::default().with_header(":path", path)
}

/// The request is assigned as the user of this name, or as nobody.
#[track_caller]
fn assert_identity(policy: &Policy, request: &StaticRequest, expected: Option<&[u8]>) {
    let assignment = policy.decide(request, NOW).assignment;
    let expected = policy.rollouts()[0].assign(expected, NOW);
    assert_eq!((assignment.reason, assignment.bucketed), (expected.reason, expected.bucketed), "{request:?}");
    assert_eq!(assignment.variant_name(), expected.variant_name(), "{request:?}");
}

/// Values that no source changes: nothing is trimmed, folded or decoded, and no length is too much.
fn unchanged() -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> = [
        "a",
        "A",
        "0",
        "%61",
        "a+b",
        "alice@example.com",
        "äöü",
        "\u{feff}a",
        "a,b",
        "\"a\"",
        "../..",
        "${jndi:x}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    values.extend([b"\xff\xfe".to_vec(), b"a\xc3".to_vec(), vec![b'x'; 65_536], vec![0xff; 65_536]]);
    values
}

#[test]
fn a_header_is_taken_as_it_is() {
    let policy = policy(r#"[{"header": "X-User-Id"}]"#);
    for value in unchanged() {
        assert_identity(&policy, &get("/").with_header("x-user-id", &value), Some(&value));
    }
    for value in [&b"\0"[..], b"a\0b", b" a ", b"\t"] {
        assert_identity(&policy, &get("/").with_header("x-user-id", value), Some(value));
    }
    assert_identity(&policy, &get("/").with_header("x-user-id", ""), None);
    assert_identity(&policy, &get("/"), None);
    assert_identity(&policy, &get("/").with_header("x-user-id2", "a").with_header("user-id", "a"), None);
}

#[test]
fn a_cookie_is_the_first_of_its_name() {
    let policy = policy(r#"[{"cookie": "sid"}]"#);
    let with = |cookies: &[u8]| get("/").with_header("cookie", cookies);
    for value in unchanged() {
        assert_identity(&policy, &with(&[b"a=0; sid=", &value[..], b"; b=1"].concat()), Some(&value));
    }
    for (cookies, expected) in [
        (&b"sid=a; sid=b"[..], Some(&b"a"[..])),
        (b"sid=; sid=b", None),
        (b"SID=a", None),
        (b"sid=a=b", Some(b"a=b")),
        (b"sid=a\0b", Some(b"a\0b")),
        (b" \t sid=a \t ;", Some(b"a")),
        (b"sid =a", None),
        (b"sid", None),
        (b";;;=;sid=a", Some(b"a")),
        (b"xsid=b,sid=c", None),
        (b"\xff=1; sid=a", Some(b"a")),
        (b"", None),
    ] {
        assert_identity(&policy, &with(cookies), expected);
    }
    let many = b"a=1; ".repeat(13_107);
    assert_identity(&policy, &with(&[&many[..], b"sid=a"].concat()), Some(b"a"));
}

#[test]
fn a_parameter_is_the_first_of_its_name() {
    let policy = policy(r#"[{"queryParameter": "user"}]"#);
    for value in unchanged() {
        let path = [b"/p?a=0&user=", &value[..], b"&user=b"].concat();
        assert_identity(&policy, &get_bytes(&path), Some(&value));
    }
    for (path, expected) in [
        (&b"/?user=a"[..], Some(&b"a"[..])),
        (b"/?user=a&user=b", Some(b"a")),
        (b"/?user&user=b", None),
        (b"/?user=", None),
        (b"/?User=a", None),
        (b"/?%75ser=a", None),
        (b"/?user%3da", None),
        (b"/?user=a=b", Some(b"a=b")),
        (b"/?user=a;user=b", Some(b"a;user=b")),
        (b"/?user=a?user=b", Some(b"a?user=b")),
        (b"/?x?user=a", None),
        (b"/?user=a#b", Some(b"a")),
        (b"/#?user=a", None),
        (b"/user=a", None),
        (b"/?user=a\0b", Some(b"a\0b")),
        (b"?user=a", Some(b"a")),
        (b"/?&&&user=a", Some(b"a")),
        (b"", None),
    ] {
        assert_identity(&policy, &get_bytes(path), expected);
    }
}

#[test]
fn a_claim_is_text_or_a_whole_number() {
    let policy = policy(r#"[{"jwtClaim": "sub"}]"#);
    let with = |value: &[u8]| get("/").with_property(&CLAIM, value);
    for text in ["a", "%61", " a ", "äöü", "user0001", "550e8400-e29b-41d4-a716-446655440000"] {
        assert_identity(&policy, &with(text.as_bytes()), Some(text.as_bytes()));
    }
    let huge = vec![b'x'; 65_536];
    assert_identity(&policy, &with(&huge), Some(&huge));
    for (number, expected) in [
        (4711.0_f64, Some("4711")),
        (-1.0, Some("-1")),
        (0.0, Some("0")),
        (1.5, None),
        (f64::NAN, None),
        (1e300, None),
    ] {
        assert_identity(&policy, &with(&number.to_le_bytes()), expected.map(str::as_bytes));
    }
    // Booleans, null, lists and maps come as such bytes; NUL and what is not UTF-8 is no text.
    for other in [&b""[..], b"\x00", b"\x01", b"a\0b", b"\xff", b"\x0a\x03\x12\x01a"] {
        assert_identity(&policy, &with(other), None);
    }
    // What nobody has verified is no claim.
    let token = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.";
    assert_identity(&policy, &get("/").with_header("authorization", token), None);
}

#[test]
fn a_claim_is_found_by_its_path_and_its_payload() {
    let policy = policy(r#"[{"jwtClaim": {"path": ["realm", "tenant"], "payload": "keycloak"}}]"#);
    let at = |payload: &str, path: &[&str]| {
        let path = [&CLAIM[..3], &[payload], path].concat();
        get("/").with_property(&path, "a")
    };
    assert_identity(&policy, &at("keycloak", &["realm", "tenant"]), Some(b"a"));
    assert_identity(&policy, &at("payload", &["realm", "tenant"]), None);
    assert_identity(&policy, &at("keycloak", &["realm.tenant"]), None);
    assert_identity(&policy, &at("keycloak", &["realm"]), None);
}

#[test]
fn a_peer_is_what_its_certificate_says() {
    let policy = policy(r#"[{"peer": true}]"#);
    for value in unchanged() {
        assert_identity(&policy, &get("/").with_property(&PEER, &value), Some(&value));
    }
    assert_identity(&policy, &get("/").with_property(&PEER, ""), None);
    // Anybody can send this.
    let forwarded = "By=x;URI=spiffe://cluster.local/ns/shop/sa/a";
    assert_identity(&policy, &get("/").with_header("x-forwarded-client-cert", forwarded), None);
}

#[test]
fn an_address_is_without_its_port() {
    let policy = policy(r#"[{"sourceIp": true}]"#);
    for (address, expected) in [
        (&b"10.0.0.1:443"[..], Some(&b"10.0.0.1"[..])),
        (b"10.0.0.1:1", Some(b"10.0.0.1")),
        (b"[2001:db8::1]:443", Some(b"2001:db8::1")),
        (b"[::ffff:10.0.0.1]:443", Some(b"::ffff:10.0.0.1")),
        (b"10.0.0.1", None),
        (b"2001:db8::1:x", None),
        (b":443", None),
        (b"[]:443", None),
        (b"/var/run/socket", None),
        (b"\xff", None),
        (b"", None),
    ] {
        assert_identity(&policy, &get("/").with_property(&ADDRESS, address), expected);
    }
    assert_identity(&policy, &get("/").with_header("x-forwarded-for", "10.0.0.1"), None);
}

/// Every source in turn: the first one with a value names the user, and an empty one is passed over.
#[test]
fn the_sources_are_asked_in_their_order() {
    let sources = [
        r#"{"header": "x-user-id"}"#,
        r#"{"cookie": "sid"}"#,
        r#"{"jwtClaim": "sub"}"#,
        r#"{"queryParameter": "user"}"#,
        r#"{"peer": true}"#,
        r#"{"sourceIp": true}"#,
    ];
    let names = ["by-header", "by-cookie", "by-claim", "by-query", "by-peer", "10.0.0.1"];
    for shift in 0..sources.len() {
        let rotated = |index: usize| (index + shift) % sources.len();
        let order: Vec<&str> = (0..sources.len()).map(|index| sources[rotated(index)]).collect();
        let policy = policy(&format!("[{}]", order.join(", ")));
        for missing in 0..=sources.len() {
            let has = |source: usize| !(0..missing).any(|index| rotated(index) == source);
            let value = |source: usize| if has(source) { names[source] } else { "" };
            let address = if has(5) { "10.0.0.1:1" } else { "" };
            let request = get(&format!("/?user={}", value(3)))
                .with_header("x-user-id", value(0))
                .with_header("cookie", format!("sid={}", value(1)))
                .with_property(&CLAIM, value(2))
                .with_property(&PEER, value(4))
                .with_property(&ADDRESS, address);
            let expected = (missing < sources.len()).then(|| names[rotated(missing)].as_bytes());
            assert_identity(&policy, &request, expected);
        }
    }
}

/// A client that sends an identity header twice is guessing: stable, whatever the other sources say.
#[test]
fn a_repeated_header_ends_the_search() {
    let policy = policy(r#"[{"header": "x-user-id"}, {"cookie": "sid"}]"#);
    let twice = |first: &str, second: &str| {
        get("/")
            .with_header("x-user-id", first)
            .with_header("x-user-id", second)
            .with_header("cookie", "sid=c")
    };
    for request in [twice("a", "b"), twice("a", "a"), twice("a", ""), twice("", "a"), twice("", "")] {
        let outcome = policy.decide(&request, NOW);
        assert_eq!(outcome.assignment.reason, Reason::NoIdentity, "{request:?}");
        assert_eq!(outcome.assignment.variant_name(), "stable", "{request:?}");
        assert_eq!(outcome.assignment.bucketed, None, "{request:?}");
        assert_eq!(outcome.edits, [], "{request:?}");
    }
}

/// A header behind the source that named the user was not asked, so its repetition says nothing.
#[test]
fn a_repeated_header_that_was_not_asked_is_nothing() {
    let policy = policy(r#"[{"cookie": "sid"}, {"header": "x-user-id"}]"#);
    let request =
        get("/").with_header("cookie", "sid=c").with_header("x-user-id", "a").with_header("x-user-id", "b");
    assert_identity(&policy, &request, Some(b"c"));
    assert_eq!(policy.decide(&request, NOW).edits, [Edit::Set("x-coalmine-variant", b"canary"[..].into())]);
    // It is asked where the cookie says nothing.
    let asked = get("/").with_header("x-user-id", "a").with_header("x-user-id", "b");
    assert_identity(&policy, &asked, None);
}

/// Finding out costs a call, so it is looked into only for users who would leave stable.
#[test]
fn a_repeated_header_counts_by_its_first_value_where_it_is_stable() {
    let policy = crate::policy(&[
        r#"{"name": "r", "identity": [{"header": "x-user-id"}], "variants": [{"name": "canary", "weight": 0}],
            "pins": {"canary": ["tester"], "stable": ["bob"]}}"#,
    ]);
    let twice = |first: &str| get("/").with_header("x-user-id", first).with_header("x-user-id", "x");
    assert_eq!(policy.decide(&twice("alice"), NOW).assignment.reason, Reason::Bucket);
    assert_eq!(policy.decide(&twice("bob"), NOW).assignment.reason, Reason::Pinned);
    assert_eq!(
        policy.decide(&twice("tester"), NOW).assignment.reason,
        Reason::NoIdentity,
        "a pin does not help"
    );
}

/// A header that Envoy would join is one value here; only a second header is a repetition.
#[test]
fn a_comma_is_no_repetition() {
    let policy = policy(r#"[{"header": "x-user-id"}]"#);
    assert_identity(&policy, &get("/").with_header("x-user-id", "a,b"), Some(b"a,b"));
}
