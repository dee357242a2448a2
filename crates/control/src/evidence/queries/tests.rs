//! Queries against a Prometheus and a service of this process.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use coalmine_steer::inputs::QueryCounts;
use serde_json::{Value, json};

use super::*;
use crate::config::{Part, PrometheusAddress};

/// Who answers here what it is told to answer, and keeps what it was asked.
#[derive(Clone, Default)]
struct Pretend {
    answers: Arc<Mutex<Box<dyn Answering>>>,
    asked: Arc<Mutex<Vec<(HeaderMap, String)>>>,
}

/// The status and the body of an answer to a body.
trait Answering: Send {
    fn answer(&self, body: &str) -> (u16, String);
}

impl<F: Fn(&str) -> (u16, String) + Send> Answering for F {
    fn answer(&self, body: &str) -> (u16, String) {
        self(body)
    }
}

impl Default for Box<dyn Answering> {
    fn default() -> Self {
        Box::new(|_: &str| (503, String::new()))
    }
}

// === impl Pretend ===

impl Pretend {
    async fn start(path: &str) -> (Self, String) {
        crate::tls::choose_provider();
        let pretend = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = async |State(pretend): State<Self>, headers: HeaderMap, body: Bytes| {
            let body = String::from_utf8(body.to_vec()).unwrap();
            let (status, answer) = pretend.answers.lock().unwrap().answer(&body);
            pretend.asked.lock().unwrap().push((headers, body));
            (StatusCode::from_u16(status).unwrap(), answer)
        };
        let router = Router::new().route(path, post(answer)).with_state(pretend.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (pretend, url)
    }

    fn says(&self, answer: impl Fn(&str) -> (u16, String) + Send + 'static) {
        *self.answers.lock().unwrap() = Box::new(answer);
    }

    /// Each `(variant, kind, series)` has this count at this time; kinds are what selectors are written with.
    fn counts(&self, counts: &[(&str, &str, &str, u64, &str)]) {
        let counts: Vec<[String; 5]> = counts
            .iter()
            .map(|(variant, kind, series, at, count)| {
                [*variant, *kind, *series, &at.to_string(), *count].map(str::to_owned)
            })
            .collect();
        self.says(move |body| {
            let asked = counts.iter().filter(|[variant, kind, ..]| {
                body.contains(&format!("{kind}_total")) && body.contains(&format!("%22{variant}%22"))
            });
            let series = asked.map(|[_, _, series, at, count]| {
                json!({"metric": {"instance": series}, "values": [[at.parse::<f64>().unwrap(), count]]})
            });
            let series: Vec<Value> = series.collect();
            (200, json!({"status": "success", "data": {"result": series}}).to_string())
        });
    }
}

fn selector(text: &str) -> Selector {
    text.parse().unwrap()
}

fn wanted() -> [Wanted; 1] {
    let queries = vec!["payments".to_owned()];
    [Wanted { rollout: "shop/checkout".parse().unwrap(), compared: "stable", queries }]
}

fn queries(source: QuerySource) -> Queries {
    let query = BTreeMap::from([("payments".to_owned(), config::Query { source })]);
    Queries::new(&query, Duration::from_secs(20)).unwrap()
}

async fn selecting(part: Part) -> (Pretend, Queries) {
    let (pretend, url) = Pretend::start("/api/v1/query").await;
    let address = PrometheusAddress { url, ..PrometheusAddress::default() };
    let all = selector("all_total{app=\"$namespace-$name\",version=\"$variant\"}");
    (pretend, queries(QuerySource::Prometheus { address, all, part }))
}

fn bad() -> Part {
    Part::Bad(selector("bad_total{version=\"$variant\"}"))
}

async fn read(queries: &mut Queries, now: u64) -> Queried {
    queries.read(now, &wanted()).await.remove(&wanted()[0].rollout).unwrap().remove("payments").unwrap()
}

async fn counted(queries: &mut Queries, now: u64) -> Option<QueryCounts> {
    let queried = read(queries, now).await;
    assert_eq!(queried.away, None);
    queried.counted
}

#[tokio::test]
async fn counters_are_subtracted_series_by_series() {
    let (prometheus, mut queries) = selecting(bad()).await;
    prometheus.counts(&[
        ("stable", "all", "a", 100, "1000"),
        ("stable", "all", "b", 97, "50"),
        ("canary", "all", "a", 100, "10"),
    ]);
    assert_eq!(counted(&mut queries, 101).await, None, "what was counted before is no evidence");
    prometheus.counts(&[
        ("stable", "all", "a", 115, "1100"),
        // It began anew.
        ("stable", "all", "b", 112, "7"),
        ("stable", "bad", "a", 115, "3"),
        ("canary", "all", "a", 115, "30"),
        // It was not there before.
        ("canary", "all", "c", 115, "5"),
        ("canary", "bad", "c", 115, "2"),
    ]);
    let expected = QueryCounts { from: 97, until: 115, stable: [107, 3], canary: [25, 2] };
    assert_eq!(counted(&mut queries, 116).await, Some(expected), "since the earliest of the times before");
    assert_eq!(counted(&mut queries, 117).await, None, "no scrape since");
    queries.forget();
    assert_eq!(counted(&mut queries, 118).await, None, "another server may have judged it");
    let asked = prometheus.asked.lock().unwrap();
    let asked: Vec<&str> = asked.iter().map(|(_, body)| body.as_str()).collect();
    let whole = "query=all_total%7Bapp%3D%22shop-checkout%22%2Cversion%3D%22canary%22%7D%5B2m%5D&time=101";
    assert!(asked.contains(&whole), "{asked:?}");
}

#[tokio::test]
async fn a_series_that_an_answer_is_without_has_not_begun_anew() {
    let (prometheus, mut queries) = selecting(bad()).await;
    let both = |at, a, b| [("stable", "all", "a", at, a), ("canary", "all", "b", at, b)];
    prometheus.counts(&both(100, "10", "1000"));
    counted(&mut queries, 101).await;
    prometheus.counts(&both(115, "20", "1000")[..1]);
    assert_eq!(counted(&mut queries, 116).await.unwrap().canary, [0, 0]);
    prometheus.counts(&both(130, "30", "1005"));
    assert_eq!(counted(&mut queries, 131).await.unwrap().canary, [5, 0]);
}

#[test]
fn the_counters_may_call_a_variant_otherwise() {
    let text = "all_total{to='$name-$variant'}";
    let named = selector(text).naming(BTreeMap::from([("stable".to_owned(), "primary".to_owned())]));
    let of = |variant| named.of(&"shop/checkout".parse().unwrap(), variant);
    assert_eq!(of("stable"), "all_total{to='checkout-primary'}");
    assert_eq!(of("canary"), "all_total{to='checkout-canary'}");
}

#[tokio::test]
async fn all_that_are_not_good_are_bad() {
    let (prometheus, mut queries) = selecting(Part::Good(selector("good_total{version='$variant'}"))).await;
    let counts = |at, all, good| {
        [("stable", "all", "a", at, all), ("stable", "good", "a", at, good), ("canary", "all", "a", at, "0")]
    };
    prometheus.says(move |_| (200, json!({"data": {"result": []}}).to_string()));
    let away = read(&mut queries, 50).await.away.unwrap();
    assert_eq!(away, "no series is selected for stable and canary of shop/checkout");
    // A text of PromQL may have either quote; the pretended Prometheus looks for one.
    let counts_of = |at: u64, all: &'static str, good: &'static str| {
        let answers = counts(at, all, good);
        prometheus.says(move |body| {
            let kind = if body.contains("good_total") { "good" } else { "all" };
            let asked = answers.iter().filter(|(variant, its, ..)| *its == kind && body.contains(variant));
            let series: Vec<Value> = asked
                .map(|(_, _, series, at, count)| json!({"metric": {"i": series}, "values": [[at, count]]}))
                .collect();
            (200, json!({"data": {"result": series}}).to_string())
        });
    };
    counts_of(100, "100", "90");
    counted(&mut queries, 101).await;
    counts_of(115, "200", "185");
    assert_eq!(counted(&mut queries, 116).await.unwrap().stable, [100, 5]);
}

#[tokio::test]
async fn a_service_tells_its_counters() {
    let (service, url) = Pretend::start("/counts").await;
    let source = QuerySource::Webhook { url: format!("{url}/counts"), token: Some("t0ken-of-it".to_owned()) };
    assert!(!format!("{source:?}").contains("counts"), "{source:?}");
    let mut queries = queries(source);
    assert!(!format!("{queries:?}").contains("t0ken"), "{queries:?}");
    let told = |all: u64, bad: u64| {
        let counts = json!({"all": all, "bad": bad});
        (200, json!({"variants": {"stable": {"all": 1_000, "bad": 0}, "canary": counts}}).to_string())
    };
    service.says(move |_| told(10, 1));
    assert_eq!(counted(&mut queries, 100).await, None);
    service.says(move |_| told(25, 3));
    let expected = QueryCounts { from: 100, until: 115, stable: [0, 0], canary: [15, 2] };
    assert_eq!(counted(&mut queries, 115).await, Some(expected));
    let (headers, body) = service.asked.lock().unwrap()[0].clone();
    assert_eq!(headers["authorization"], "Bearer t0ken-of-it");
    let body: Value = serde_json::from_str(&body).unwrap();
    let expected = json!({"query": "payments", "rollout": "shop/checkout", "variants": ["stable", "canary"]});
    assert_eq!(body, expected);
    for (status, body, why) in [
        (503, String::new(), "it answers 503 Service Unavailable"),
        (302, String::new(), "it answers 302 Found"),
        (200, "{}".to_owned(), "its answer is none, as {\"variants\""),
        (
            200,
            json!({"variants": {"stable": {"all": 1, "bad": 0}}}).to_string(),
            "its answer says nothing of canary",
        ),
        (200, told(10, 1).1.replace("10,", "-10,"), "-10 is no count"),
        (200, "x".repeat(100_000), "its answer has more than 64 KiB"),
    ] {
        service.says(move |_| (status, body.clone()));
        let away = read(&mut queries, 200).await.away.unwrap();
        assert!(away.starts_with(why), "{away}");
        assert!(!away.contains(&url), "the address may hold a secret: {away}");
    }
}

#[tokio::test]
async fn who_does_not_answer_is_told_without_its_address() {
    crate::tls::choose_provider();
    let url = "http://127.0.0.1:1/s3cret".to_owned();
    let mut queries = queries(QuerySource::Webhook { url, token: None });
    assert_eq!(read(&mut queries, 100).await.away.unwrap(), "it cannot be reached");
}

#[test]
fn a_selector_is_no_more_than_that() {
    let no = |text: &str| text.parse::<Selector>().unwrap_err().to_string();
    for fine in ["a{v=\"$variant\"}", "a{v=~'$variant|{(x' , b!=\"\\\"(\"}", "{__name__=\"a\",v=`$variant`} "]
    {
        assert!(fine.parse::<Selector>().is_ok(), "{fine}");
    }
    for more in [
        "rate(a{v=\"$variant\"}[5m])",
        "a{v=\"$variant\"}[5m]",
        "a{v=\"$variant\"} + b",
        "a{v=\"$variant\"} @ 5",
    ] {
        assert!(no(more).starts_with("is more than a selector"), "{more}: {}", no(more));
    }
    for cut in ["a{v=\"$variant\"", "a{v=\"$variant}", "a}"] {
        assert!(no(cut).contains("labels") || no(cut).contains('}'), "{cut}: {}", no(cut));
    }
    assert!(no("a{v=\"canary\"}").contains("write $variant"));
}

#[tokio::test]
async fn many_that_are_not_answered_cost_no_more_time_than_one() {
    crate::tls::choose_provider();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let source = QuerySource::Webhook { url, token: None };
    let query = BTreeMap::from([("payments".to_owned(), config::Query { source })]);
    let mut queries = Queries::new(&query, Duration::from_secs(1)).unwrap();
    let of = |number| Wanted { rollout: format!("shop/of-{number}").parse().unwrap(), ..wanted()[0].clone() };
    let wanted: Vec<Wanted> = (0..100).map(of).collect();
    let begin = Instant::now();
    let said = queries.read(100, &wanted).await;
    let took = begin.elapsed();
    assert!(said.len() == 100 && said.values().all(|said| said["payments"].away.is_some()), "{said:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
}
