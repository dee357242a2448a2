//! A parameter of the query.

use coalmine_envoy_tests::alive::{by_reason, decided};
use coalmine_envoy_tests::{compile, user};
use coalmine_harness::Lab;
use coalmine_harness::raw::RawRequest;
use serde_json::json;

use super::{document, drawn, rollout};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_parameter_of_the_name_is_the_user() {
    let by_parameter = |name: &str, weight| rollout(name, json!({"queryParameter": "user"}), weight);
    let document = document(&[by_parameter("half", 50), by_parameter("known", 100)]);
    let policy = compile(&document).unwrap();
    let lab = Lab::builder()
        .unwrap()
        .edit(|bootstrap| bootstrap.max_request_headers_kb(96))
        .unwrap()
        .start(&document)
        .await
        .unwrap();
    let mut cases: Vec<(Vec<u8>, Option<Vec<u8>>)> = (0..100)
        .map(|index| (format!("/?user={}", user(index)).into_bytes(), Some(user(index).into_bytes())))
        .collect();
    // The longest target that the upstream server takes has 64 KiB in all.
    let huge = "a".repeat(64 * 1024 - 10);
    for (target, identity) in [
        ("/a/b?x=1&user=alice&y", Some("alice")),
        ("/?user=alice&user=bob", Some("alice")),
        ("/?user=&user=bob", None),
        ("/?user", None),
        ("/?user=", None),
        ("/?", None),
        ("/", None),
        ("/?User=alice", None),
        ("/?xuser=alice", None),
        ("/?%75ser=alice", None),
        ("/?user=%61lice", Some("%61lice")),
        ("/?user=%00", Some("%00")),
        ("/?user=a+b", Some("a+b")),
        ("/?user=a=b", Some("a=b")),
        ("/?user=a;user=b", Some("a;user=b")),
        ("/?user=a?user=b", Some("a?user=b")),
        ("/?x?user=b", None),
        ("/user=alice", None),
        ("/;user=alice", None),
        ("/?&&&=&&user=alice&", Some("alice")),
        (&format!("/?user={huge}"), Some(&huge)),
        (&format!("/?{}user=alice", "a&".repeat(20_000)), Some("alice")),
    ] {
        cases.push((target.into(), identity.map(Into::into)));
    }
    for (target, identity) in &cases {
        let shown = String::from_utf8_lossy(target.get(..40).unwrap_or(target)).into_owned();
        let expected = drawn(&policy, "half", identity.as_deref());
        let known = if identity.is_some() { "canary" } else { "stable" };
        for (host, expected) in [("half.test", expected), ("known.test", known)] {
            let answer = RawRequest::get(host, target).send(lab.address()).await.unwrap();
            assert_eq!((answer.status, answer.body.trim_end()), (200, expected), "{shown} at {host}");
        }
    }
    // What no target may hold never gets to a filter.
    for target in [&b"/?user=\0"[..], b"/?user=\xff\xfe", b"/?user=a b"] {
        let answer = RawRequest::get("known.test", target).send(lab.address()).await.unwrap();
        assert_eq!(answer.status, 400, "{target:?}");
    }
    let huge = format!("/?user={}", "a".repeat(97 * 1024));
    let answer = RawRequest::get("known.test", huge).send(lab.address()).await.unwrap();
    assert_eq!(answer.status, 431, "more than the proxy takes");
    let metrics = decided(&lab, 2 * cases.len()).await.unwrap();
    let nobody = cases.iter().filter(|(_, identity)| identity.is_none()).count() as u64;
    assert_eq!(by_reason(&metrics, "known", "noIdentity"), nobody);
}
