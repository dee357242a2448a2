//! What the server is trusted with: it is in no log, metric, answer, event or line of history, whatever goes wrong.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::Lab;
use crate::server::Serving;

/// What every secret here has in it.
const CANARY: &str = "geheim";

const CONFIG: &str = "
tokens:
- {name: admin, value: {env: ADMIN}, may: write}
- {name: reader, value: {file: reader.txt}, may: read, rollouts: [shop/*]}
evidence: {prometheus: {url: 'http://127.0.0.1:1', user: coalmine, password: {env: PROMETHEUS}}}
gates: {smoke: {env: GATE}}
notifiers: {oncall: {env: NOTIFIER}}
";
const ROLLOUT: &str = "
name: shop/checkout
policy:
  identity: [{header: x-user-id}]
  variants: [{name: canary}]
plan: {steps: [{weight: 5, gate: smoke}], notify: [oncall]}
";
const ADMIN: &str = "admin-geheim-0123456789";
const VARIABLES: [(&str, &str); 5] = [
    ("ADMIN", ADMIN),
    ("PROMETHEUS", "prometheus-geheim"),
    ("GATE", "http://gate:gate-geheim@127.0.0.1:1/smoke?key=query-geheim"),
    ("NOTIFIER", "http://127.0.0.1:1/services/path-geheim"),
    ("COALMINE_LOG", "trace"),
];

/// All that the server sends back within a moment: events never end.
fn sent_back(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut part) {
        answer.extend_from_slice(&part[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn asked(path: &str, token: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: server\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    )
}

/// No secret is in it; it is no empty promise, as this is in it.
fn holds_no_secret(what: &str, text: &str, has: &str) {
    assert!(text.contains(has), "{what} has no {has}:\n{text}");
    let found = text.lines().find(|line| line.contains(CANARY));
    assert_eq!(found, None, "{what}");
}

#[test]
fn secrets_are_in_nothing_that_a_server_says() {
    for log in ["text", "json"] {
        let lab = Lab::new().with("rollout.yaml", ROLLOUT).with("reader.txt", "reader-geheim-0123456789");
        let server = Serving::start_in(lab, CONFIG, &VARIABLES, &["--log", log]);
        for words in
            ["apply rollout.yaml", "start shop/checkout", "advance shop/checkout", "rollback shop/checkout"]
        {
            let run = server.run_as(ADMIN, words);
            assert!(!run.stderr.contains(CANARY) && !run.stdout.contains(CANARY), "{words}");
        }
        let mut lines = server.logged("notifier oncall does not take a notice");
        // Wrong tokens, at every door, and one in an address, where nobody should write it.
        for token in ["guess-geheim-0123456789", "a.geheim.c"] {
            holds_no_secret("a refusal", &sent_back(&server.url, &asked("/v1/rollouts", token)), "401");
        }
        let basic = "GET /v1/rollouts?token=geheim HTTP/1.1\r\nhost: server\r\nauthorization: Basic Z2VoZWlt\r\n\
                     cookie: geheim\r\nconnection: close\r\n\r\n";
        holds_no_secret("a refusal", &sent_back(&server.url, basic), "401");
        for (path, has) in [
            ("/v1/rollouts", "shop/checkout"),
            ("/v1/rollouts/shop/checkout", "conditions"),
            ("/v1/rollouts/shop/checkout/history", "rollback by admin"),
            ("/v1/proxies", "Connection refused"),
            ("/v1/policy", "shop/checkout"),
            ("/v1/rollouts/shop/checkout/verdict", "verdict"),
            ("/openapi.json", "openapi"),
        ] {
            holds_no_secret(path, &sent_back(&server.url, &asked(path, ADMIN)), has);
        }
        let events = "GET /v1/events HTTP/1.1\r\nhost: server\r\nlast-event-id: 0\r\nauthorization: Bearer ";
        holds_no_secret(
            "events",
            &sent_back(&server.url, &format!("{events}{ADMIN}\r\n\r\n")),
            "text/event-stream",
        );
        holds_no_secret(
            "metrics",
            &sent_back(&server.admin, &asked("/metrics", "none")),
            "coalmine_server_weight_ppm",
        );

        // A configuration with a secret in clear, and one whose secret is gone.
        let wrong = CONFIG.replace("{file: reader.txt}", "in-clear-geheim-0123456789");
        server.write("server.yaml", &format!("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n{wrong}"));
        server.signal("HUP");
        lines.extend(server.logged("is a secret in clear"));
        server.signal("TERM");
        lines.extend(server.logged("ends; proxies go on"));
        holds_no_secret("the log", &lines.join("\n"), "notifier oncall");
    }
}

#[test]
fn a_store_that_is_not_there_is_told_without_its_password() {
    let lab = Lab::new().with("server.yaml", "store: {env: DATABASE}\n");
    let variables =
        [("DATABASE", "postgres://coalmine:geheim@127.0.0.1:1/coalmine"), ("COALMINE_LOG", "trace")];
    let run = lab.run_in(&variables, &["serve", "--config", "server.yaml"], b"");
    assert_ne!(run.code, 0);
    holds_no_secret("the refusal", &run.stderr, "postgres://127.0.0.1:1/coalmine");
}
