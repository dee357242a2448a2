//! What the API refuses, and how it says so.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::fleets::FLEET;
use crate::server::Delivery;

/// Every way in which something is refused before a handler of ours sees it, or by one.
const REFUSED: [(Method, &str, u16); 15] = [
    (Method::GET, "/", 404),
    (Method::GET, "/v1/rollouts/SHOP/checkout", 404),
    (Method::GET, "/v1/rollouts/shop/check_out", 404),
    (Method::GET, "/v1/rollouts/shop/%ff", 404),
    (Method::GET, "/v1/rollouts/shop/checkout", 404),
    (Method::DELETE, "/v1/rollouts/shop/checkout", 404),
    (Method::POST, "/v1/rollouts/shop/checkout/start", 404),
    (Method::POST, "/v1/rollouts/shop/checkout/dance", 404),
    (Method::GET, "/v1/rollouts/shop/checkout/releases/one", 400),
    (Method::GET, "/v1/rollouts/shop/checkout/history?limit=all", 400),
    (Method::GET, "/v1/rollouts/shop/checkout/history?page=2", 400),
    (Method::POST, "/v1/rollouts/shop/checkout/start?dryRun=maybe", 400),
    (Method::GET, "/v1/policy/latest", 400),
    (Method::PATCH, "/v1/rollouts/shop/checkout", 405),
    (Method::GET, "/v1/rollouts/shop/checkout/start", 405),
];

fn assert_is_problem(answer: &Answer, what: &str) {
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json", "{what}");
    assert_eq!(answer.body["status"], answer.status, "{what}");
    for field in ["title", "detail"] {
        assert!(answer.body[field].as_str().is_some_and(|text| !text.is_empty()), "{what}: {}", answer.body);
    }
}

#[tokio::test]
async fn every_refusal_is_a_problem_in_json() {
    let world = World::new().await;
    for (method, path, status) in REFUSED {
        let answer = world.ask(ADMIN, method.clone(), path, &[], "").await;
        let what = format!("{method} {path}");
        assert_eq!(answer.status, status, "{what}: {}", answer.body);
        assert_is_problem(&answer, &what);
    }
    let wrong = world.ask(ADMIN, Method::PATCH, PATH, &[], "").await;
    assert!(wrong.headers[header::ALLOW].to_str().unwrap().contains("PUT"), "it says what would be right");
    let large = world.put(&"x".repeat(world.app.limits.body + 1)).await;
    assert_eq!(large.status, 413);
    assert_is_problem(&large, "a large body");
    assert!(large.body["detail"].as_str().unwrap().contains("1048576 bytes"), "{}", large.body);
    for (token, status) in [("", 401), ("guess-0123456789", 401), (READER, 403)] {
        let answer = world.ask(token, Method::DELETE, PATH, &[], "").await;
        assert_eq!(answer.status, status);
        assert_is_problem(&answer, token);
        assert_eq!(answer.headers.contains_key(header::WWW_AUTHENTICATE), status == 401);
        assert!(!answer.body.to_string().contains("0123456789"), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_told_without_its_address() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    world.store.set_away(true);
    let paths = ["/v1/rollouts", PATH, "/v1/policy", "/v1/freeze"];
    for path in paths {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 503, "{path}");
        assert_is_problem(&answer, path);
        assert!(answer.headers.contains_key(header::RETRY_AFTER), "{path}");
        assert!(!answer.body.to_string().contains("db.internal"), "{}", answer.body);
    }
    assert_eq!(world.post("start", &[("idempotency-key", "k")], "").await.status, 503);
    world.store.set_away(false);
    assert_eq!(world.post("start", &[("idempotency-key", "k")], "").await.status, 202);
}

#[tokio::test]
async fn a_secret_is_never_in_an_answer() {
    let world = World::new().await;
    let secret = "geheim-0123456789abcdef";
    let inline = ROLLOUT.replace(
        "  variants",
        &format!("  algorithm: siphash-2-4\n  key: {secret}\n  override: {{secret: {secret}}}\n  variants"),
    );
    let refused = world.put(&inline).await;
    assert_eq!(refused.status, 422);
    let paths: Vec<&str> =
        refused.body["problems"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap()).collect();
    assert!(paths.contains(&"policy.key"), "{paths:?}");
    assert!(!refused.body.to_string().contains(secret), "{}", refused.body);
    // What a token may look like, where a body or a header is not what it should be.
    for (header, value) in [("authorization", format!("Digest {secret}")), ("if-match", secret.to_owned())] {
        let request =
            Request::put(PATH).header(header, value).header("authorization", format!("Bearer {ADMIN}"));
        let answer = answer(&world.app, request.body(Body::from(ROLLOUT)).unwrap()).await;
        assert!((400..500).contains(&answer.status), "{header}: {}", answer.status);
        assert!(!answer.body.to_string().contains(secret), "{}", answer.body);
    }
    assert!(!format!("{:?}", world.app).contains(ADMIN));
}

#[tokio::test]
async fn hostile_bodies_and_headers_are_refused_and_harm_nothing() {
    let world = World::new().await;
    let deep = "[".repeat(100_000);
    let anchors: String = (1..40).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}, *a{0}]\n", n - 1)).collect();
    let bodies: [Vec<u8>; 7] = [
        vec![0xff, 0xfe, 0x00],
        deep.clone().into_bytes(),
        format!("{{\"policy\": {deep}").into_bytes(),
        format!("a0: &a0 [x]\n{anchors}").into_bytes(),
        "policy: &p {a: *p}\nplan: {}\n".into(),
        "plan: {steps: [.nan, .inf, -1, 1e400]}\npolicy: {}\n".into(),
        "\u{feff}{\"policy\":{},\"policy\":{},\"plan\":{}}".into(),
    ];
    for body in bodies {
        for (method, path) in [(Method::PUT, PATH.to_owned()), (Method::POST, format!("{PATH}/start"))] {
            let request = Request::builder().method(method).uri(&path);
            let request = request.header("authorization", format!("Bearer {ADMIN}"));
            let answer = answer(&world.app, request.body(Body::from(body.clone())).unwrap()).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            assert!((400..500).contains(&answer.status), "{path} {shown}: {}", answer.status);
            assert_is_problem(&answer, &shown);
        }
    }
    assert_eq!(world.put(ROLLOUT).await.status, 201);
    let long = "9".repeat(10_000);
    let hostile: [(&str, &[u8], u16); 10] = [
        ("authorization", b"Bearer \xff\xfe", 401),
        ("authorization", b"Bearer", 401),
        ("authorization", b"Basic ====", 401),
        ("idempotency-key", b"\xc3\xa4", 400),
        ("idempotency-key", long.as_bytes(), 400),
        ("if-match", b"\xff", 400),
        ("if-match", long.as_bytes(), 400),
        ("if-match", b"\"1\", \"2\"", 400),
        ("if-none-match", b"\"7\"", 400),
        ("host", b"\xff\xfe", 202),
    ];
    for (name, value, status) in hostile {
        let mut request = Request::post(format!("{PATH}/start")).header(name, value);
        if name != "authorization" {
            request = request.header("authorization", format!("Bearer {ADMIN}"));
        }
        let answer = answer(&world.app, request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
    }
    let actor = "x".repeat(5_000);
    assert_eq!(world.post("pause", &[("coalmine-actor", &actor)], "").await.status, 202);
    let line = &world.get(&format!("{PATH}/history?limit=1")).await.body[0];
    assert!(line["by"].as_str().unwrap().len() < 200, "{line}");
    let message = format!("{{\"message\": \"{}\"}}", "x".repeat(1_001));
    assert_eq!(world.post("resume", &[], &message).await.status, 400);
}

/// What health and metrics answer.
async fn admin(app: &App, path: &str) -> (u16, String) {
    said(admin_router(app.clone()), path).await
}

async fn said(router: Router, path: &str) -> (u16, String) {
    let response = router.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn whoever_asks_for_metrics_all_the_time_keeps_nobody_from_readiness() {
    let world = World::new().await;
    let slots = |most| Slots::new(most, world.app.limits.time);
    let (metrics, readiness) = (slots(METRICS), slots(READINESS));
    let ask = |path| said(admin_routes(world.app.clone(), metrics.clone(), readiness.clone()), path);
    let taken = metrics.free.acquire_many(METRICS as u32).await.unwrap();
    assert_eq!(ask("/metrics").await.0, 503);
    assert_eq!((ask("/readyz").await.0, ask("/healthz").await.0), (200, 200));
    let _ready = readiness.free.acquire_many(READINESS as u32).await.unwrap();
    assert_eq!((ask("/readyz").await.0, ask("/healthz").await.0), (503, 200));
    drop(taken);
    assert_eq!(ask("/metrics").await.0, 200);
}

/// The metrics of the server in docs/metrics.md, each with its labels.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let text = include_str!("../../../../../docs/metrics.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `coalmine_server_"));
    let read = |row: &str| {
        let mut cells = row.split(" | ");
        let name = cells.next().unwrap().trim_end_matches('`').to_owned();
        let labels = cells.next().unwrap().split('`').filter(|it| it.chars().all(char::is_alphabetic));
        (name, labels.filter(|it| *it != "none" && !it.is_empty()).map(str::to_owned).collect())
    };
    rows.map(read).collect()
}

#[tokio::test]
async fn every_metric_is_documented_with_its_labels_and_nothing_else_is() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    world.app.server.timings().ticked(Duration::from_millis(20));
    world.app.server.look(|view| drop(view.plugins.insert(FLEET.to_owned(), Delivery::default())));
    let (_, text) = admin(&world.app, "/metrics").await;
    let documented = documented();
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE coalmine_server_"));
    let shown = |line: &str| {
        let (name, kind) = line.split_once(' ').unwrap();
        if kind == "counter" { format!("{name}_total") } else { name.to_owned() }
    };
    let there: BTreeSet<String> = kinds.map(shown).collect();
    assert_eq!(there, documented.keys().cloned().collect());
    for line in text.lines().filter_map(|line| line.strip_prefix("coalmine_server_")) {
        let (name, labels) = line.split_once('{').unwrap_or((line.split(' ').next().unwrap(), ""));
        let of = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let labels: BTreeSet<String> = labels
            .split("\",")
            .filter_map(|label| label.split_once("=\"").map(|(name, _)| name.to_owned()))
            .filter(|label| of.is_none() || label != "le")
            .collect();
        assert_eq!(Some(&labels), documented.get(of.unwrap_or(name)), "{line}");
    }
    assert!(text.contains("coalmine_server_tick_seconds_bucket{le=\"0.03\"} 1\n"), "{text}");
}

#[tokio::test]
async fn requests_are_counted_by_route_and_no_client_makes_a_series() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    for path in [PATH, "/v1/rollouts/shop/none", "/v1/rollouts/SHOP/none", "/x", "/y"] {
        world.get(path).await;
    }
    let odd = Method::from_bytes(b"DANCE").unwrap();
    world.ask(ADMIN, odd, PATH, &[], "").await;
    let (_, text) = admin(&world.app, "/metrics").await;
    let route = "route=\"/v1/rollouts/{namespace}/{name}\"";
    for (labels, count) in [
        (format!("{route},method=\"PUT\",code=\"201\""), 1),
        (format!("{route},method=\"GET\",code=\"200\""), 1),
        (format!("{route},method=\"GET\",code=\"404\""), 2),
        ("route=\"other\",method=\"GET\",code=\"404\"".to_owned(), 2),
        (format!("{route},method=\"other\",code=\"405\""), 1),
    ] {
        let line = format!("coalmine_server_requests_total{{{labels}}} {count}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
    assert_eq!(text.matches("coalmine_server_requests_total{").count(), 5, "{text}");
    assert!(!text.contains(ADMIN), "no secret");
}
