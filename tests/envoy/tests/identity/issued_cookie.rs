//! A cookie for the user who has no name: good for the request that made it, and kept from then on.

use std::collections::BTreeSet;

use coalmine_envoy_tests::alive::{by_reason, decided};
use coalmine_harness::server::ECHO;
use coalmine_harness::{Answer, Connection, Lab, Protocol, Server};
use http_body_util::Empty;
use serde_json::json;

use super::shop::{Seen, Shop, issuing};
use super::{document, drawn};

const HOST: &str = "cookies.test";

fn policy() -> String {
    let mut other = issuing("other");
    other["cookie"] = json!({
        "name": "shop-id", "maxAge": "1h", "path": "/shop", "domain": "shop.example", "sameSite": "Strict", "secure": false,
    });
    let mut disabled = issuing("disabled");
    disabled["enabled"] = json!(false);
    let mut never = issuing("never");
    never["variants"] = json!([{"name": "canary", "weight": 0}]);
    document(&[issuing("cookies"), other, disabled, never])
}

/// A shop that takes long headers.
async fn start() -> Shop {
    Shop::start(&policy(), |lab| lab.edit(|bootstrap| bootstrap.max_request_headers_kb(96)).unwrap()).await
}

async fn connect(shop: &Shop, protocol: Protocol) -> Connection {
    shop.lab.connect(protocol).await.unwrap()
}

async fn visit(connection: &mut Connection, host: &str, cookies: &[&[u8]]) -> Seen {
    let request = hyper::Request::get(format!("http://{host}{ECHO}")).header("host", host);
    let request = cookies.iter().fold(request, |request, cookie| request.header("cookie", *cookie));
    let answer = connection.send(request.body(Empty::new()).unwrap()).await.unwrap();
    Seen::of(answer)
}

/// The value and the attributes of the one `Set-Cookie` of this name.
fn set_cookie<'a>(answer: &'a Answer, name: &str) -> Option<(&'a str, &'a str)> {
    let all: Vec<&str> =
        answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    assert!(all.len() <= 1, "{all:?}");
    let pair = all.first()?.strip_prefix(name).unwrap().strip_prefix('=').unwrap();
    pair.split_once("; ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_good_at_once_and_kept_by_who_returns() {
    let shop = start().await;
    let mut connection = connect(&shop, Protocol::Http1).await;
    let (mut attributes, mut names, mut values) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut canaries = 0;
    for _ in 0..60 {
        let first = visit(&mut connection, HOST, &[]).await;
        let (value, rest) = set_cookie(&first.answer, "coalmine-id").unwrap();
        assert!(value.len() == 32 && value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        assert_eq!(first.variant, drawn(&shop.policy, "cookies", Some(value.as_bytes())));
        assert_eq!(first.cookies, [format!("coalmine-id={value}")], "hops behind draw alike");
        canaries += usize::from(first.variant == "canary");
        attributes.insert(rest.to_owned());
        names.insert(first.answer.headers.keys().map(|name| name.as_str().to_owned()).collect::<Vec<_>>());
        values.insert(value.to_owned());

        let cookie = format!("coalmine-id={value}");
        let second = visit(&mut connection, HOST, &[cookie.as_bytes()]).await;
        assert_eq!(second.variant, first.variant);
        assert_eq!(set_cookie(&second.answer, "coalmine-id"), None, "it is not renewed");
        assert_eq!(second.cookies, [cookie]);
    }
    assert_eq!(values.len(), 60, "no value comes twice");
    assert!((5..=55).contains(&canaries), "{canaries} of 60 in the canary");
    let expected = "Max-Age=2592000; Path=/; SameSite=Lax; Secure; HttpOnly";
    assert_eq!(
        attributes.iter().map(String::as_str).collect::<Vec<_>>(),
        [expected],
        "the same for both arms"
    );
    assert_eq!(names.len(), 1, "the same headers for both arms: {names:?}");
    let metrics = decided(&shop.lab, 120).await.unwrap();
    assert_eq!(by_reason(&metrics, "cookies", "bucket"), 120);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attribute_is_the_policys() {
    let shop = start().await;
    let mut connection = connect(&shop, Protocol::Http1).await;
    let seen = visit(&mut connection, "other.test", &[]).await;
    let (_, attributes) = set_cookie(&seen.answer, "shop-id").unwrap();
    assert_eq!(attributes, "Max-Age=3600; Path=/shop; Domain=shop.example; SameSite=Strict; HttpOnly");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gets_one_and_who_does_not() {
    let shop = start().await;
    let mut connection = connect(&shop, Protocol::Http1).await;
    let good = "0123456789abcdef".repeat(2);
    let issued = format!("coalmine-id={good}");
    let both = format!("coalmine-id=x; coalmine-id={good}");
    for (host, cookies, gets) in [
        (HOST, "", true),
        (HOST, "a=1", true),
        (HOST, "sid=alice", false),
        (HOST, "sid=", true),
        (HOST, issued.as_str(), false),
        // Values that Coalmine cannot have issued count as missing, the first one of the name counts.
        (HOST, "coalmine-id=", true),
        (HOST, "coalmine-id=x", true),
        (HOST, "coalmine-id=0123456789ABCDEF0123456789ABCDEF", true),
        (HOST, "coalmine-id=\"0123456789abcdef0123456789abcdef\"", true),
        (HOST, "coalmine-id=0123456789abcdef0123456789abcdef0", true),
        (HOST, &both, true),
        // At weight 0 too, or the first step of a ramp would draw anew; where the rollout is switched off, never.
        ("never.test", "", true),
        ("disabled.test", "", false),
        ("elsewhere.test", "", false),
    ] {
        let seen = visit(&mut connection, host, &[cookies.as_bytes()]).await;
        assert_eq!(set_cookie(&seen.answer, "coalmine-id").is_some(), gets, "{cookies:?} at {host}");
    }
    decided(&shop.lab, 14).await.unwrap();
}

/// The other cookies of the request: none may be lost, whatever the protocol makes of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_cookies_reach_the_application() {
    let shop = start().await;
    let mut wrong = Vec::new();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for (sent, kept) in [
            (&[&b"a=1"[..]][..], vec!["a=1"]),
            (&[b"a=1; b=2"], vec!["a=1", "b=2"]),
            (&[b"a=1", b"b=2"], vec!["a=1", "b=2"]),
            (&[b"a=1", b"b=2; c=3", b"d=4"], vec!["a=1", "b=2", "c=3", "d=4"]),
            (&[b"coalmine-id=x; a=1", b"coalmine-id=y; b=2"], vec!["a=1", "b=2"]),
            (&[b"a=1,2", b"b=\"3\""], vec!["a=1,2", "b=\"3\""]),
            (&[b"a=1", b"sid=alice"], vec!["a=1", "sid=alice"]),
        ] {
            let host = HOST;
            let mut connection = connect(&shop, protocol).await;
            let seen = visit(&mut connection, host, sent).await;
            let got: Vec<&str> = seen.cookies.iter().flat_map(|line| line.split("; ")).collect();
            let mut expected: Vec<String> = kept.iter().map(|&pair| pair.to_owned()).collect();
            let issued = set_cookie(&seen.answer, "coalmine-id");
            if issued.is_some() == kept.contains(&"sid=alice") {
                wrong.push(format!("{protocol:?} {kept:?}: issued {issued:?}"));
            }
            if let Some((value, _)) = issued {
                expected.push(format!("coalmine-id={value}"));
                if seen.variant != drawn(&shop.policy, "cookies", Some(value.as_bytes())) {
                    wrong.push(format!("{protocol:?} {sent:?}: {}", seen.variant));
                }
            }
            if got != expected {
                wrong.push(format!(
                    "{protocol:?} {kept:?}: the application got {:?}, expected {expected:?}",
                    seen.cookies
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    decided(&shop.lab, 14).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_cookies() {
    let shop = start().await;
    let mut connection = connect(&shop, Protocol::Http1).await;
    let many = b"coalmine-id=x; ".repeat(2000);
    let long = [b"coalmine-id=".as_slice(), &b"0".repeat(64 * 1024)].concat();
    let user = "0".repeat(64 * 1024);
    let seen = visit(&mut connection, HOST, &[format!("sid={user}").as_bytes()]).await;
    assert_eq!(seen.variant, drawn(&shop.policy, "cookies", Some(user.as_bytes())), "a user of 64 KiB");
    let mut sent = 1;
    for cookies in [&b"\xff\xfe=\x80"[..], b"coalmine-id=\xff", b";;;;", b"=", b"coalmine-id", &many, &long] {
        let seen = visit(&mut connection, HOST, &[cookies]).await;
        let (value, _) = set_cookie(&seen.answer, "coalmine-id").unwrap();
        assert_eq!(seen.variant, drawn(&shop.policy, "cookies", Some(value.as_bytes())));
        let told = seen.cookies.join("; ");
        assert!(told.ends_with(&format!("coalmine-id={value}")), "{told:.80}");
        assert_eq!(told.matches("coalmine-id=").count(), 1, "the pairs of that name are cut out: {told:.80}");
        sent += 1;
    }
    decided(&shop.lab, sent).await.unwrap();
}

/// Where the proxy answers by itself, the user gets the cookie too: else the next request would draw anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_the_proxy_itself_has_it_too() {
    let servers = [Server::start("stable", 0).await.unwrap(), Server::start("canary", 0).await.unwrap()];
    let lab = Lab::builder().unwrap().servers(servers[0].address(), servers[1].address());
    let lab = lab.start(&policy()).await.unwrap();
    for server in servers {
        server.end().await;
    }
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut connection = lab.connect(protocol).await.unwrap();
        let request = hyper::Request::get(format!("http://{HOST}/")).header("host", HOST);
        let answer = connection.send(request.body(Empty::new()).unwrap()).await.unwrap();
        assert_eq!(answer.status, 503, "nobody is there");
        assert!(set_cookie(&answer, "coalmine-id").is_some());
    }
}
