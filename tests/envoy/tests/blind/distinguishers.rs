//! Whether an answer tells which arm gave it: full answers of both arms, side by side.

use std::collections::BTreeMap;
use std::io;

use coalmine_core::policy::Policy;
use coalmine_envoy_tests::{USER, compile, together, user_with};
use coalmine_harness::{Answer, Body, Lab, LabBuilder, PolicyFile, Protocol, Upstream, wait};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::{Method, Request, Response};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::wire::exchange;

const HOST: &str = "shop.example";
/// What every request is asked for more than once: what differs by chance must not pass for a tell, nor hide one.
const ROUNDS: usize = 3;

/// What is asked of an application, by path. It is one code on both arms; its version is what it says of itself.
const CASES: [(&str, &str); 15] = [
    ("GET", "/"),
    ("GET", "/?x=1"),
    ("GET", "/not-found"),
    ("GET", "/moved"),
    ("GET", "/created"),
    ("GET", "/empty"),
    ("GET", "/not-modified"),
    ("GET", "/refused"),
    ("GET", "/fault"),
    ("GET", "/busy"),
    ("GET", "/reset"),
    ("HEAD", "/"),
    ("HEAD", "/not-found"),
    ("OPTIONS", "/"),
    ("POST", "/grpc"),
];

/// The application of an arm. With a version it tells it, as many do, in three headers.
async fn application(version: Option<&'static str>) -> Upstream {
    Upstream::answering(0, move |request| answer(&request, version)).await.unwrap()
}

fn answer(request: &Request<Incoming>, version: Option<&'static str>) -> io::Result<Response<Body>> {
    let text = |text: &'static str| Full::new(Bytes::from(text)).boxed_unsync();
    let builder = Response::builder().header("content-type", "text/plain").header("x-shop", "1");
    let response = match request.uri().path() {
        "/not-found" => builder.status(404).body(text("nothing here\n")),
        "/moved" => builder.status(302).header("location", "/elsewhere").body(text("")),
        "/created" => {
            builder.status(201).header("set-cookie", "a=1").header("set-cookie", "b=2").body(text("made\n"))
        }
        "/empty" => builder.status(204).body(text("")),
        "/not-modified" => builder.status(304).header("etag", "\"1\"").body(text("")),
        "/refused" => builder.status(401).header("www-authenticate", "Basic").body(text("who?\n")),
        "/fault" => builder.status(500).body(text("a fault\n")),
        "/busy" => builder.status(503).header("retry-after", "1").body(text("busy\n")),
        "/reset" => return Err(io::Error::other("the application ends the connection")),
        "/grpc" => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "5".parse().unwrap());
            trailers.insert("grpc-message", "nobody".parse().unwrap());
            let body = Full::new(Bytes::from_static(b"\0\0\0\0\x01x"));
            let body = body.with_trailers(std::future::ready(Some(Ok(trailers))));
            Response::builder().header("content-type", "application/grpc").body(body.boxed_unsync())
        }
        _ => builder.header("cache-control", "no-store").body(text("welcome\n")),
    };
    let mut response = response.unwrap();
    if let Some(version) = version {
        for name in ["server", "x-app-version", "x-served-by"] {
            response.headers_mut().insert(name, version.parse().unwrap());
        }
    }
    Ok(response)
}

/// The policy that is shipped with `configuration`, with more in its rollout.
fn policy(configuration: &str, response: Option<Value>) -> String {
    let mut policy: Value = serde_json::from_str(&PolicyFile::policy_of(configuration).unwrap()).unwrap();
    policy["rollouts"][0]["variants"][0]["weight"] = json!(50);
    if let Some(response) = response {
        policy["rollouts"][0]["response"] = response;
    }
    policy.to_string()
}

/// An answer without what differs from one request to the next: header names in the order in which they came, each
/// with its value, and the body.
fn shape(names_and_values: impl Iterator<Item = (String, String)>, status: &str, rest: &str) -> String {
    let mut shape = format!("{status}\n");
    for (name, value) in names_and_values {
        let value = match name.to_ascii_lowercase().as_str() {
            "date" => "(a date)".to_owned(),
            "x-request-id" => value.chars().map(|letter| if letter == '-' { '-' } else { 'x' }).collect(),
            _ => value,
        };
        shape += &format!("{name}: {value}\n");
    }
    shape + "\n" + rest
}

fn shape_of_bytes(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let (status, lines) = head.split_once("\r\n").unwrap_or((head, ""));
    let lines = lines.lines().filter_map(|line| line.split_once(": "));
    shape(lines.map(|(name, value)| (name.to_owned(), value.to_owned())), status, body)
}

fn shape_of_answer(answer: &Answer) -> String {
    let fields = |headers: &HeaderMap| -> Vec<(String, String)> {
        let text =
            |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
    };
    let trailers = answer.trailers.as_ref().map(fields).unwrap_or_default();
    let rest = shape(trailers.into_iter(), &String::from_utf8_lossy(&answer.body), "");
    shape(fields(&answer.headers).into_iter(), answer.status.as_str(), &rest)
}

/// Two users, one of each arm.
struct Users {
    stable: String,
    canary: String,
}

impl Users {
    fn of(policy: &Policy) -> Self {
        let of = |variant| user_with(policy, HOST, variant).unwrap();
        Self { stable: of("stable"), canary: of("canary") }
    }
}

/// Every shape that this user's answers to one request have, over HTTP/1.1.
async fn over_http1(lab: &Lab, user: &str, request: &str) -> Vec<String> {
    let mut shapes = Vec::new();
    for _ in 0..ROUNDS {
        let bytes = request.replace("{u}", user);
        shapes.push(shape_of_bytes(&exchange(lab.address(), bytes.as_bytes()).await));
    }
    shapes
}

async fn over_http2(lab: &Lab, user: &str, method: &str, path: &str) -> Vec<String> {
    let mut connection = lab.connect(Protocol::Http2).await.unwrap();
    let mut shapes = Vec::new();
    for _ in 0..ROUNDS {
        let request = Request::builder().method(method.parse::<Method>().unwrap());
        let request = request.uri(format!("http://{HOST}{path}")).header(USER, user);
        let request = match path {
            "/grpc" => request.header("content-type", "application/grpc").header("te", "trailers"),
            _ => request,
        };
        let answer = connection.send(request.body(Empty::new()).unwrap()).await;
        shapes.push(answer.map_or_else(|error| format!("{error:#}"), |answer| shape_of_answer(&answer)));
    }
    shapes
}

/// The cases where the answers of the two arms differ, each with one answer of both.
async fn tells(lab: &Lab, users: &Users) -> BTreeMap<String, [String; 2]> {
    let asked = together(CASES.into_iter().map(|(method, path)| async move {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {HOST}\r\nx-user-id: {{u}}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        let mut arms = Vec::new();
        for user in [&users.stable, &users.canary] {
            arms.push((
                over_http1(lab, user, &request).await,
                over_http2(lab, user, method, path).await,
            ));
        }
        (format!("{method} {path}"), arms)
    }));
    let mut tells = BTreeMap::new();
    let mut compare = |what: String, stable: &[String], canary: &[String]| {
        if stable != canary {
            tells.insert(what, [stable[0].clone(), canary[0].clone()]);
        }
    };
    for (what, arms) in asked.await {
        compare(format!("HTTP/1.1 {what}"), &arms[0].0, &arms[1].0);
        compare(format!("HTTP/2 {what}"), &arms[0].1, &arms[1].1);
    }
    // What the proxy answers by itself.
    let by_itself = [
        (
            "a header too large",
            format!(
                "GET / HTTP/1.1\r\nhost: {HOST}\r\nx-user-id: {{u}}\r\nx: {}\r\n\r\n",
                "x".repeat(70_000)
            ),
        ),
        (
            "no route",
            format!("OPTIONS * HTTP/1.1\r\nhost: {HOST}\r\nx-user-id: {{u}}\r\nconnection: close\r\n\r\n"),
        ),
        (
            "an upgrade",
            format!(
                "GET / HTTP/1.1\r\nhost: {HOST}\r\nx-user-id: {{u}}\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
            ),
        ),
        ("HTTP/1.0", "GET / HTTP/1.0\r\nx-user-id: {u}\r\n\r\n".to_owned()),
        ("a bad request", "GET / HTTP/1.1\r\nx-user-id: {u}\r\n\r\n".to_owned()),
    ];
    let asked = together(by_itself.into_iter().map(|(what, request)| async move {
        let stable = over_http1(lab, &users.stable, &request).await;
        (what, stable, over_http1(lab, &users.canary, &request).await)
    }));
    for (what, stable, canary) in asked.await {
        println!("{what}: {}", stable[0].lines().next().unwrap_or_default());
        compare(what.to_owned(), &stable, &canary);
    }
    tells
}

fn builder(configuration: &str, stable: &Upstream, canary: &Upstream) -> LabBuilder {
    Lab::example(configuration).unwrap().servers(stable.address(), canary.address())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applications_that_answer_alike_are_not_told_apart() {
    for configuration in ["envoy", "envoy/streams"] {
        let (stable, canary) = (application(None).await, application(None).await);
        let policy = policy(configuration, None);
        let users = Users::of(&compile(&policy).unwrap());
        let lab = builder(configuration, &stable, &canary).start(&policy).await.unwrap();
        let tells = tells(&lab, &users).await;
        assert!(tells.is_empty(), "{configuration}: {tells:#?}");
        // Both arms have had their part in it, and nothing in an answer measures time or names an arm.
        for arm in ["stable", "canary"] {
            let sent = lab.envoy().stat(&format!("cluster.{arm}.upstream_rq_total")).await.unwrap();
            assert!(sent >= (2 * ROUNDS * CASES.len()) as u64, "{sent} requests to {arm}");
        }
        for user in [&users.stable, &users.canary] {
            let request =
                format!("GET / HTTP/1.1\r\nhost: {HOST}\r\nx-user-id: {user}\r\nconnection: close\r\n\r\n");
            let answer = exchange(lab.address(), request.as_bytes()).await;
            println!("{answer}");
            for word in ["x-envoy-upstream-service-time", "canary", "stable", "coalmine"] {
                assert!(!answer.contains(word), "{configuration}: {answer}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_tell_a_version_are_taken_out() {
    let (stable, canary) = (application(Some("shop/1")).await, application(Some("shop/2")).await);
    let removed = json!({"removeHeaders": ["X-App-Version", "x-served-by", "server"]});
    for configuration in ["envoy", "envoy/streams"] {
        let policy = policy(configuration, Some(removed.clone()));
        let users = Users::of(&compile(&policy).unwrap());
        let lab = builder(configuration, &stable, &canary).start(&policy).await.unwrap();
        let tells = tells(&lab, &users).await;
        assert!(tells.is_empty(), "{configuration}: {tells:#?}");
    }
}

/// The comparison finds what is there: without the names in the policy, the same applications are told apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_that_the_comparison_finds_them() {
    let (stable, canary) = (application(Some("shop/1")).await, application(Some("shop/2")).await);
    let policy = policy("envoy", None);
    let users = Users::of(&compile(&policy).unwrap());
    let lab = builder("envoy", &stable, &canary).start(&policy).await.unwrap();
    let tells = tells(&lab, &users).await;
    // All but the one that ends without an answer; what the proxy answers by itself tells nothing.
    let told: Vec<&str> = tells.keys().map(String::as_str).collect();
    assert_eq!(told.len(), 2 * (CASES.len() - 1), "{told:?}");
    assert!(tells.values().all(|[stable, canary]| stable.contains("shop/1") && canary.contains("shop/2")));
    // Envoy writes its own name over that of the server, whatever the policy says.
    assert!(tells.values().all(|[stable, _]| stable.contains("server: envoy")), "{tells:#?}");
}

/// When nobody listens behind the proxy, its own answer names no arm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arm_that_is_down_is_not_named() {
    let policy = policy("envoy", None);
    let users = Users::of(&compile(&policy).unwrap());
    let (stable, canary) = (application(None).await, application(None).await);
    let lab = builder("envoy", &stable, &canary).start(&policy).await.unwrap();
    for arm in [stable, canary] {
        let address = arm.address();
        drop(arm);
        let gone = || async { TcpStream::connect(address).await.is_err().then_some(()) };
        wait::until("nobody behind the proxy", gone).await.unwrap();
    }
    let tells = tells(&lab, &users).await;
    assert!(tells.is_empty(), "{tells:#?}");
    let shapes = over_http2(&lab, &users.canary, "GET", "/").await;
    println!("{}", shapes[0]);
    assert!(shapes[0].starts_with("503"), "{shapes:?}");
}
