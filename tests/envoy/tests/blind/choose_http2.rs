//! A client that tries to choose its variant over HTTP/2, with fields that no library would send.

use coalmine_envoy_tests::together;
use coalmine_harness::{Lab, PolicyFile};

use super::choose::{ROUTE, people};
use super::wire::Http2Request;

/// An attempt: what it is, the request of a user, and whether the identity may be lost on the way.
type Attempt = (&'static str, Http2Request, bool);

fn attempts(user: &str) -> Vec<Attempt> {
    let plain = || Http2Request::get("shop.example", "/").field("x-user-id", user);
    let with = |name: &str, value: &str| plain().field(name, value);
    let kept = |what, request| (what, request, false);
    vec![
        kept("nothing special", plain()),
        kept("the route header", with(ROUTE, "canary")),
        kept("the route header, to stable", with(ROUTE, "stable")),
        kept("twice", with(ROUTE, "stable").field(ROUTE, "canary")),
        kept("in capitals", with("X-Coalmine-Variant", "canary")),
        kept("underscores", with("x_coalmine_variant", "canary")),
        kept("before the pseudo-headers", plain().field_first(ROUTE, "canary")),
        kept("a line break in a value", with("x-a", "b\r\nx-coalmine-variant: canary")),
        kept("a line feed in a value", with("x-a", "b\nx-coalmine-variant: canary")),
        kept(
            "a whole request in a value",
            with("x-a", "b\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\nx-coalmine-variant: canary\r\n\r\n"),
        ),
        kept("a line break in a name", plain().field("x-a: b\r\nx-coalmine-variant", "canary")),
        kept("a colon in a name", plain().field("x-coalmine-variant:", "canary")),
        kept("a blank behind a name", plain().field("x-coalmine-variant ", "canary")),
        kept("a NUL in a value", plain().field("x-a", b"b\0x-coalmine-variant: canary")),
        kept("an empty name", plain().field("", "x-coalmine-variant: canary")),
        kept("an unknown pseudo-header", plain().field_first(":x-coalmine-variant", "canary")),
        kept("a pseudo-header behind the others", with(":path", "/canary")),
        kept("two paths", plain().field_first(":path", "/?x-coalmine-variant=canary")),
        kept("two authorities", plain().field_first(":authority", "canary")),
        kept("a host beside the authority", with("host", "canary")),
        kept("a status in a request", with(":status", "200")),
        kept("a protocol", plain().field_first(":protocol", "websocket")),
        kept(
            "a line break in the path",
            Http2Request::get("a", "/ HTTP/1.1\r\nx-coalmine-variant: canary\r\nx: ")
                .field("x-user-id", user),
        ),
        kept(
            "a blank in the path",
            Http2Request::get("a", "/ x-coalmine-variant: canary").field("x-user-id", user),
        ),
        kept(
            "a line break in the method",
            Http2Request::get("a", "/")
                .field_first(":method", "GET / HTTP/1.1\r\nx-coalmine-variant: canary\r\n\r\nGET")
                .field("x-user-id", user),
        ),
        kept(
            "a line break in the authority",
            Http2Request::get("a\r\nx-coalmine-variant: canary", "/").field("x-user-id", user),
        ),
        kept("connection", with("connection", "x-coalmine-variant").field(ROUTE, "canary")),
        kept("transfer-encoding", with("transfer-encoding", "chunked")),
        kept("an upgrade", with("upgrade", "h2c")),
        kept("te", with("te", "x-coalmine-variant")),
        kept("trailers", plain().trailer(ROUTE, "canary")),
        kept("trailers in capitals", plain().trailer("X-Coalmine-Variant", "canary")),
        kept("pseudo-headers in trailers", plain().trailer(":path", "/canary").trailer(ROUTE, "canary")),
        kept("trailers that name somebody", plain().trailer("x-user-id", "somebody")),
        kept("a length that lies", with("content-length", "1").trailer(ROUTE, "canary")),
        kept(
            "crumbs of cookies",
            with("cookie", "x-coalmine-variant=canary").field("cookie", "sid=somebody-else"),
        ),
        ("a second identity", with("x-user-id", user), true),
        ("a second identity, empty", with("x-user-id", ""), true),
        ("no identity", Http2Request::get("a", "/").field(ROUTE, "canary"), true),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http2_nobody_does() {
    let (stable, canary) = people();
    let lab = Lab::builder().unwrap().start(&PolicyFile::shipped_policy().unwrap()).await.unwrap();
    let users = [(&stable, "stable"), (&canary, "canary")];
    let both = users.into_iter().flat_map(|(user, drawn)| {
        attempts(user)
            .into_iter()
            .map(move |(what, request, may_lose)| (what, request, may_lose, user, drawn))
    });
    let exchanges = both.map(|(what, request, may_lose, user, drawn)| {
        let address = lab.address();
        async move { (what, may_lose, user, drawn, request.send(address).await) }
    });
    let (mut served, mut refused) = (0, 0);
    for (what, may_lose_identity, user, drawn, answer) in together(exchanges).await {
        let body = answer.body.as_str();
        if !body.starts_with("stable") && !body.starts_with("canary") {
            assert!(!body.contains("upstream connect error"), "{what}: {answer:?}");
            println!("{what}: {answer:?}");
            refused += 1;
            continue;
        }
        let fits = body == format!("{drawn}\n") || (may_lose_identity && body == "stable\n");
        assert!(fits, "{what}: {user}, who drew {drawn}, got {answer:?}");
        served += 1;
    }
    println!("{served} served by their draw, {refused} refused");
    assert!(served >= 20, "{served} of the attempts get through, so that something is shown");
    assert!(!lab.envoy().log().unwrap().contains("failed"), "the filter lives");
}
