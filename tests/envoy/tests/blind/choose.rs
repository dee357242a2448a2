//! A client that tries to choose its variant over HTTP/1.1. Whatever it sends, an identity gets what it drew; all that
//! a client can do is to come without one (and be stable), or to be refused.

use std::time::Duration;

use coalmine_envoy_tests::{compile, together, user};
use coalmine_harness::{Lab, PolicyFile};

use super::wire::exchange;

pub(super) const ROUTE: &str = "x-coalmine-variant";

/// Somebody whom the shipped policy sends to stable, and somebody whom it sends to the canary.
pub(super) fn people() -> (String, String) {
    let policy = compile(&PolicyFile::shipped_policy().unwrap()).unwrap();
    let rollout = &policy.rollouts()[0];
    let of = |variant: &str| {
        let drawn =
            |user: &String| rollout.assign(Some(user.as_bytes()), Duration::ZERO).variant_name() == variant;
        (0..10_000).map(user).find(drawn).unwrap()
    };
    (of("stable"), of("canary"))
}

/// What is sent: `{u}` stands for the identity.
struct Attempt {
    what: &'static str,
    bytes: Vec<u8>,
    /// The identity may be lost on the way: then the user is stable.
    may_lose_identity: bool,
}

fn attempt(what: &'static str, text: impl AsRef<[u8]>) -> Attempt {
    Attempt { what, bytes: text.as_ref().to_vec(), may_lose_identity: false }
}

fn losing(what: &'static str, text: impl AsRef<[u8]>) -> Attempt {
    Attempt { may_lose_identity: true, ..attempt(what, text) }
}

/// A GET of this target with these further lines.
fn get(what: &'static str, target: &str, lines: &str) -> Attempt {
    attempt(
        what,
        format!(
            "GET {target} HTTP/1.1\r\nhost: shop.example\r\nx-user-id: {{u}}\r\n{lines}connection: close\r\n\r\n"
        ),
    )
}

fn line(what: &'static str, lines: &str) -> Attempt {
    get(what, "/", lines)
}

fn other_variants() -> Vec<Attempt> {
    let mut all = Vec::new();
    for other in [
        "canary",
        "stable",
        "",
        "baseline",
        "CANARY",
        " canary ",
        "canary,stable",
        "\"canary\"",
        "*",
        "caf\u{e9}",
    ] {
        for name in [ROUTE, "X-Coalmine-Variant", "X-COALMINE-VARIANT", "x-cOALMINE-vARIANT"] {
            all.push(line("the route header", &format!("{name}: {other}\r\n")));
        }
        all.push(line("twice", &format!("{ROUTE}: {other}\r\nX-Coalmine-Variant: canary\r\n")));
        all.push(line("thrice", &format!("{ROUTE}: stable\r\n{ROUTE}: {other}\r\n{ROUTE}: canary\r\n")));
    }
    all
}

fn header_tricks() -> Vec<Attempt> {
    let many: String = (0..98).map(|number| format!("x-{number}: 1\r\n")).collect();
    vec![
        line("underscores", "x_coalmine_variant: canary\r\n"),
        line("mixed underscores", "X-Coalmine_Variant: canary\r\n"),
        line("a blank before the colon", "x-coalmine-variant : canary\r\n"),
        line("a folded line", "x-a: b\r\n x-coalmine-variant: canary\r\n"),
        line("a folded value", "x-coalmine-variant:\r\n canary\r\n"),
        line("a tab behind the name", "x-coalmine-variant\t: canary\r\n"),
        line("a bare line feed", "x-a: b\nx-coalmine-variant: canary\r\n"),
        line("a bare carriage return", "x-a: b\rx-coalmine-variant: canary\r\n"),
        line("a NUL", "x-coalmine-variant: can\0ary\r\n"),
        line("a name with a colon", ":x-coalmine-variant: canary\r\n"),
        line("the Kelvin sign for a k", "x-\u{212a}: 1\r\nx-coalmine-variant: canary\r\n"),
        line("encoded", "x%2dcoalmine%2dvariant: canary\r\n"),
        line("behind many headers", &format!("{many}x-coalmine-variant: canary\r\n")),
        line("named in Connection", "connection: x-coalmine-variant\r\nx-coalmine-variant: canary\r\n"),
        line("named in Connection, not sent", "connection: keep-alive, X-Coalmine-Variant\r\n"),
        line(
            "named with TE",
            "connection: te, x-coalmine-variant\r\nte: trailers\r\nx-coalmine-variant: canary\r\n",
        ),
        line(
            "named in Keep-Alive",
            "keep-alive: x-coalmine-variant\r\nproxy-connection: x-coalmine-variant\r\n",
        ),
        line(
            "other headers of ours",
            "x-coalmine-cluster: canary\r\nx-coalmine-bucket: 0\r\nx-coalmine-override: v1.checkout.canary.9999999999.x\r\n",
        ),
        line(
            "headers of Envoy",
            "x-envoy-upstream-alt-stat-name: canary\r\nx-envoy-original-dst-host: 127.0.0.1:1\r\nx-envoy-original-path: /canary\r\nx-envoy-internal: true\r\nx-envoy-expected-rq-timeout-ms: 1\r\n",
        ),
        line(
            "headers of other proxies",
            "x-forwarded-host: canary\r\nforwarded: for=canary;host=canary\r\nx-original-url: /canary\r\nx-rewrite-url: /canary\r\nx-http-method-override: CANARY\r\nx-canary: always\r\ncanary: true\r\nend-user: canary\r\n",
        ),
        line(
            "baggage",
            "baggage: x-coalmine-variant=canary\r\ntraceparent: 00-11111111111111111111111111111111-2222222222222222-01\r\n",
        ),
        line("a request id of its own", "x-request-id: 00000000-0000-4000-8000-000000000000\r\n"),
        losing(
            "the identity named in Connection",
            "GET / HTTP/1.1\r\nhost: a\r\nx-user-id: {u}\r\nconnection: close, x-user-id\r\n\r\n",
        ),
        losing(
            "a second identity",
            "GET / HTTP/1.1\r\nhost: a\r\nx-user-id: {u}\r\nX-User-Id: {u}\r\nconnection: close\r\n\r\n",
        ),
        losing(
            "no identity",
            "GET / HTTP/1.1\r\nhost: a\r\nx-coalmine-variant: canary\r\nconnection: close\r\n\r\n",
        ),
    ]
}

fn cookies_and_targets() -> Vec<Attempt> {
    vec![
        line(
            "cookies",
            "cookie: x-coalmine-variant=canary; coalmine-id=canary; coalmine-override=canary; canary=always\r\n",
        ),
        line("another's cookie beside the header", "cookie: sid=somebody-else\r\n"),
        line("a header in a cookie", "cookie: a=b\\r\\nx-coalmine-variant: canary\r\n"),
        get("the query", "/?x-coalmine-variant=canary&variant=canary&coalmine=canary&user=canary", ""),
        get("a header in the query", "/?%0d%0ax-coalmine-variant:%20canary", ""),
        get("path parameters", "/;x-coalmine-variant=canary/../canary", ""),
        get("a fragment", "/#x-coalmine-variant=canary", ""),
        get("an absolute target", "http://shop.example/", "x-coalmine-variant: canary\r\n"),
        get("an absolute target elsewhere", "http://canary/", ""),
        get("an absolute target with a user", "http://canary@shop.example/", ""),
        get("an absolute target of the other upstream", "http://127.0.0.1:8082/", ""),
        get("an authority as target", "shop.example:80", ""),
        get("a long target", &format!("/?{}", "x-coalmine-variant=canary&".repeat(400)), ""),
        get("two hosts", "/", "host: canary\r\n"),
        attempt("a method", "CANARY / HTTP/1.1\r\nhost: a\r\nx-user-id: {u}\r\nconnection: close\r\n\r\n"),
        attempt("OPTIONS *", "OPTIONS * HTTP/1.1\r\nhost: a\r\nx-user-id: {u}\r\nconnection: close\r\n\r\n"),
        attempt("CONNECT", "CONNECT canary:80 HTTP/1.1\r\nhost: canary:80\r\nx-user-id: {u}\r\n\r\n"),
        attempt(
            "HTTP/1.0",
            "GET / HTTP/1.0\r\nhost: a\r\nx-user-id: {u}\r\nx-coalmine-variant: canary\r\n\r\n",
        ),
        attempt("no version", "GET /\r\n\r\n"),
        line(
            "an upgrade to HTTP/2",
            "upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
        ),
        line(
            "a WebSocket",
            "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: x3JJHMbDL1EzLkh9GBhXDw==\r\nsec-websocket-version: 13\r\nx-coalmine-variant: canary\r\n",
        ),
    ]
}

/// A body that is said to end at two places, and a second request in what is left.
fn smuggling() -> Vec<Attempt> {
    let inner = "GET / HTTP/1.1\r\nhost: a\r\nx-user-id: {u}\r\nx-coalmine-variant: canary\r\n\r\n";
    let post = |what, headers: &str, body: &str| {
        attempt(
            what,
            format!(
                "POST / HTTP/1.1\r\nhost: a\r\nx-user-id: {{u}}\r\n{headers}connection: close\r\n\r\n{body}"
            ),
        )
    };
    let (length, inner_chunk) = (inner.len(), format!("0\r\n\r\n{inner}"));
    vec![
        post(
            "a length and chunks",
            &format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
            &inner_chunk,
        ),
        post("two lengths", &format!("content-length: 0\r\ncontent-length: {length}\r\n"), inner),
        post("a list of lengths", "content-length: 0, 5\r\n", inner),
        post("a signed length", "content-length: +0\r\n", inner),
        post("an odd coding", "transfer-encoding: xchunked\r\n", &inner_chunk),
        post("two codings", "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", &inner_chunk),
        post("a coding with a vertical tab", "transfer-encoding:\x0bchunked\r\n", &inner_chunk),
        post(
            "trailers",
            "transfer-encoding: chunked\r\ntrailer: x-coalmine-variant\r\n",
            "1\r\nx\r\n0\r\nx-coalmine-variant: canary\r\n\r\n",
        ),
        post(
            "trailers that name somebody",
            "transfer-encoding: chunked\r\n",
            "1\r\nx\r\n0\r\nx-user-id: somebody\r\nX-Coalmine-Variant: canary\r\n\r\n",
        ),
        post(
            "a chunk extension",
            "transfer-encoding: chunked\r\n",
            "1;x-coalmine-variant=canary\r\nx\r\n0\r\n\r\n",
        ),
        post(
            "waiting to continue",
            "expect: 100-continue\r\nx-coalmine-variant: canary\r\ncontent-length: 1\r\n",
            "x",
        ),
    ]
}

/// Every answer that an upstream server gave on this connection.
fn variants(answer: &str) -> Vec<&str> {
    answer.lines().filter(|line| line.starts_with("stable") || line.starts_with("canary")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http1_nobody_does() {
    let (stable, canary) = people();
    let lab = Lab::builder().unwrap().start(&PolicyFile::shipped_policy().unwrap()).await.unwrap();
    let attempts: Vec<Attempt> = [other_variants(), header_tricks(), cookies_and_targets(), smuggling()]
        .into_iter()
        .flatten()
        .collect();
    let users = [(&stable, "stable"), (&canary, "canary")];
    let both = attempts.iter().flat_map(|attempt| users.map(|(user, drawn)| (attempt, user, drawn)));
    let exchanges = both.map(|(attempt, user, drawn)| {
        let text = String::from_utf8(attempt.bytes.clone()).unwrap().replace("{u}", user);
        let address = lab.address();
        async move { (attempt, user, drawn, exchange(address, text.as_bytes()).await) }
    });
    let (mut served, mut refused) = (0, 0);
    for (Attempt { what, may_lose_identity, .. }, user, drawn, answer) in together(exchanges).await {
        let variants = variants(&answer);
        for variant in &variants {
            let fits = *variant == drawn || (*may_lose_identity && *variant == "stable");
            assert!(fits, "{what}: {user}, who drew {drawn}, got `{variant}`\n{answer}");
        }
        if variants.is_empty() {
            // Refused by Envoy, with a reason, or cut off: not by an upstream server, and not by a crash.
            let status = answer.split(' ').nth(1).unwrap_or("closed");
            assert!(!["500", "502", "503"].contains(&status), "{what}: {answer}");
            refused += 1;
        } else {
            served += 1;
        }
    }
    println!("{} attempts by two users: {served} served by their draw, {refused} refused", attempts.len());
    assert!(served > refused, "most of them get through, so that something is shown");
    assert!(!lab.envoy().log().unwrap().contains("failed"), "the filter lives");
}

/// Two users on one connection, one right behind the other, in both orders: each has his own variant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_user_before_on_the_connection_is_forgotten() {
    let (stable, canary) = people();
    let lab = Lab::builder().unwrap().start(&PolicyFile::shipped_policy().unwrap()).await.unwrap();
    let one = |user: &str, more: &str| {
        format!("GET / HTTP/1.1\r\nhost: a\r\nx-user-id: {user}\r\nx-coalmine-variant: canary\r\n{more}\r\n")
    };
    let close = "connection: close\r\n";
    for (first, second, expected) in
        [(&stable, &canary, ["stable", "canary"]), (&canary, &stable, ["canary", "stable"])]
    {
        let answer = exchange(lab.address(), (one(first, "") + &one(second, close)).as_bytes()).await;
        assert_eq!(variants(&answer), expected, "{answer}");
    }
}
