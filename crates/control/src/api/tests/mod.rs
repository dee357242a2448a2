//! The API in process, on a real store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use coalmine_steer::{Outcome, Phase, Stage, State};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::*;
use crate::access::{May, Token};
use crate::ending::{End, ending};
use crate::fleets::Fleets;
use crate::rollout::{Name, Operator, ReleaseRecord};
use crate::store::scripted::Scripted;
use crate::store::{Address, Change, Sql, Store as _};

mod described;
mod fleets;
mod issued;
mod judging;
mod kept;
mod repeated;
mod rollouts;
mod sites;
mod told;
mod watched;

const ROLLOUT: &str = "policy:
  identity: [{header: x-user-id}]
  variants: [{name: canary}]
plan: {steps: [5, 25]}
";
const PATH: &str = "/v1/rollouts/shop/checkout";
const ADMIN: &str = "admin-0123456789";
const PIPELINE: &str = "pipeline-0123456789";
const READER: &str = "reader-0123456789";

/// An API with three tokens.
struct World {
    app: App,
    store: Arc<Scripted>,
    clock: Arc<AtomicU64>,
    end: End,
    _folder: TempDir,
}

/// An answer, read.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl World {
    async fn new() -> Self {
        Self::of(Fleets::default()).await
    }

    async fn of(fleets: Fleets) -> Self {
        Self::made(fleets, |server| server).await
    }

    async fn made(fleets: Fleets, change: impl FnOnce(Server) -> Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Sql::open(Address::File(folder.path().join("coalmine.db"))).await.unwrap();
        let store = Arc::new(Scripted::new(Arc::new(store)));
        let clock = Arc::new(AtomicU64::new(1_000_000));
        let time = clock.clone();
        let time = move || time.load(Ordering::Relaxed);
        let server = change(Server::new(store.clone(), Operator::default(), fleets, 15, time));
        let (end, ending) = ending();
        let shop = || vec!["shop/*".parse().unwrap()];
        let tokens = Tokens::new(vec![
            Token::new("admin", ADMIN, May::Write, vec!["*".parse().unwrap()]),
            Token::new("pipeline", PIPELINE, May::Operate, shop()),
            Token::new("reader", READER, May::Read, shop()),
        ]);
        let public_url = Some("https://coalmine.example".to_owned());
        let app = App {
            server: Arc::new(server),
            tokens,
            table: Arc::default(),
            public_url,
            has_tls: false,
            ending,
            counted: Counted::default(),
            limits: Limits::default(),
        };
        Self { app, store, clock, end, _folder: folder }
    }

    async fn ask(
        &self,
        token: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(&self.app, request.body(Body::from(body.to_owned())).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(ADMIN, Method::GET, path, &[], "").await
    }

    async fn put(&self, body: &str) -> Answer {
        self.ask(ADMIN, Method::PUT, PATH, &[], body).await
    }

    /// Makes another state of the rollout's, as a tick would.
    async fn makes(&self, change: impl FnOnce(&mut State)) {
        let stored = self.store.record(&name()).await.unwrap().unwrap();
        let mut record = stored.record;
        change(&mut record.state);
        let release = ReleaseRecord::of(&record.state);
        let change = Change { record, expected: stored.version, history: Vec::new(), release, answer: None };
        self.store.commit(change).await.unwrap();
    }

    /// The release is over, rolled back, as after a tick; and a minute has passed.
    async fn is_rolled_back(&self) {
        self.makes(|state| {
            state.stage = Stage::RolledBack;
            state.said.phase = Phase::RolledBack;
            state.release.as_mut().unwrap().outcome = Some(Outcome::RolledBack);
        })
        .await;
        self.clock.fetch_add(60, Ordering::Relaxed);
    }

    async fn post(&self, verb: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.ask(PIPELINE, Method::POST, &format!("{PATH}/{verb}"), headers, body).await
    }
}

fn name() -> Name {
    "shop/checkout".parse().unwrap()
}

/// What the API answers to a request, whatever is in it.
async fn answer(app: &App, request: Request<Body>) -> Answer {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = router(app.clone()).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    described::holds(&method, &path, parts.status.as_u16(), &parts.headers, &body);
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

#[tokio::test]
async fn a_rollout_is_written_at_the_version_that_was_read() {
    let world = World::new().await;
    let created = world.put(ROLLOUT).await;
    assert_eq!((created.status, &created.body["created"]), (201, &json!(true)));
    let etag = created.headers[header::ETAG].to_str().unwrap().to_owned();
    let read = world.get(PATH).await;
    assert_eq!((read.status, read.headers[header::ETAG].to_str().unwrap()), (200, etag.as_str()));
    assert_eq!(read.body["written"], ROLLOUT);
    let other = ROLLOUT.replace("25", "50");
    let condition = |value| [("if-match", value)];
    let stale = world.ask(ADMIN, Method::PUT, PATH, &condition("\"999\""), &other).await;
    assert_eq!(stale.status, 412);
    for odd in ["soon", "", "\"1", "\"+1\"", "+1", "\"\"", "*"] {
        assert_eq!(world.ask(ADMIN, Method::PUT, PATH, &condition(odd), &other).await.status, 400, "{odd}");
    }
    for (version, status) in [("\"1\"", 412), ("one", 400)] {
        let both = [("if-match", version), ("if-none-match", "*")];
        let new = world.ask(ADMIN, Method::PUT, "/v1/rollouts/shop/new", &both, &other).await;
        assert_eq!(new.status, status, "{}", new.body);
    }
    let taken = world.ask(ADMIN, Method::PUT, PATH, &[("if-none-match", "*")], &other).await;
    assert_eq!(taken.status, 412);
    let dry = world.ask(ADMIN, Method::PUT, &format!("{PATH}?dryRun=true"), &[], &other).await;
    assert_eq!((dry.status, &dry.body["dryRun"]), (200, &json!(true)));
    assert_eq!(world.get(PATH).await.body["steps"], json!([5.0, 25.0]));
    let changed = world.ask(ADMIN, Method::PUT, PATH, &condition(&etag), &other).await;
    assert_eq!((changed.status, &changed.body["changed"]), (200, &json!(true)));
    assert_eq!(world.get(PATH).await.body["steps"], json!([5.0, 50.0]));
}

#[tokio::test]
async fn every_problem_of_a_document_has_its_place() {
    let world = World::new().await;
    let wrong = "name: shop/other\npolicy:\n  identity: [{heder: x}]\n  variants: [{name: canary, weight: 5}]\nplan: {steps: [5, 1]}\n";
    let answer = world.put(wrong).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json");
    let problems = answer.body["problems"].as_array().unwrap();
    let found: Vec<String> = problems
        .iter()
        .map(|it| format!("{}:{} {}", it["line"], it["column"], it["path"].as_str().unwrap()))
        .collect();
    for expected in ["4:14 policy.variants[0]", "3:15 policy.identity[0].heder", "5:19 plan.steps[1]"] {
        assert!(found.iter().any(|found| found == expected), "{expected}: {found:?}");
    }
    let named = world.put(&format!("name: shop/other\n{ROLLOUT}")).await;
    assert_eq!((named.status, &named.body["problems"][0]["path"]), (422, &json!("name")));
    for text in ["", "[", "a: 1\n---\nb: 2\n", "\u{0}", "- 1"] {
        assert_eq!(world.put(text).await.status, 422, "{text:?}");
    }
    assert_eq!(world.get(PATH).await.status, 404);
}

#[tokio::test]
async fn a_verb_is_accepted_with_the_place_of_its_release() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    let early = world.post("advance", &[], "").await;
    assert_eq!((early.status, &early.body["detail"]), (409, &json!("no release is in progress")));
    let started = world.post("start", &[("coalmine-actor", "Ada")], "{\"message\": \"build 1\"}").await;
    assert_eq!(started.status, 202);
    assert_eq!(
        started.headers[header::LOCATION],
        format!("https://coalmine.example{PATH}/releases/1").as_str()
    );
    let release = world.get(&format!("{PATH}/releases/1")).await.body;
    assert_eq!((&release["phase"], &release["outcome"]), (&json!("Progressing"), &Value::Null));
    assert_eq!(world.get(&format!("{PATH}/releases/2")).await.status, 404);
    let moved = world.post("weights", &[], "{\"canary\": 7.5}").await;
    assert_eq!((moved.status, &moved.body["rollout"]["weight"]), (202, &json!(7.5)));
    let history = world.get(&format!("{PATH}/history?limit=2")).await.body;
    assert_eq!(history[0]["by"], "pipeline");
    let all = world.get(&format!("{PATH}/history")).await.body;
    let whys: Vec<&str> = all.as_array().unwrap().iter().map(|line| line["why"].as_str().unwrap()).collect();
    assert!(whys.contains(&"started by pipeline (Ada) (build 1)"), "{whys:?}");
    let older = world.get(&format!("{PATH}/history?before={}", history[1]["number"])).await.body;
    assert_eq!(older[0]["number"].as_u64().unwrap() + 1, history[1]["number"].as_u64().unwrap());
    for (verb, body, status) in [
        ("dance", "", 404),
        ("start", "{\"mesage\": \"x\"}", 400),
        ("start", "{\"canary\": 5}", 400),
        ("pause", "{\"newUsers\": true}", 400),
        ("weights", "", 400),
        ("weights", "{\"canary\": 101}", 400),
        ("weights", "{\"canary\": 0}", 409),
        ("start", "[", 400),
    ] {
        assert_eq!(world.post(verb, &[], body).await.status, status, "{verb} {body}");
    }
}

#[tokio::test]
async fn a_place_is_where_the_server_was_asked() {
    let mut world = World::new().await;
    world.app.public_url = None;
    world.put(ROLLOUT).await;
    let place = |answer: Answer| answer.headers[header::LOCATION].to_str().unwrap().to_owned();
    let host = [("host", "one.example:8470")];
    assert_eq!(
        place(world.post("start", &host, "").await),
        format!("http://one.example:8470{PATH}/releases/1")
    );
    world.app.has_tls = true;
    let whole = format!("https://two.example{PATH}/pause");
    let answer = world.ask(PIPELINE, Method::POST, &whole, &[], "").await;
    assert_eq!(place(answer), format!("https://two.example{PATH}/releases/1"), "HTTP/2 has no Host");
    let again = world.post("pause", &host, "").await;
    assert_eq!(again.status, 200, "nothing goes on: it is paused already");
}

#[tokio::test]
async fn the_same_key_is_the_same_answer_and_one_release() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    let key = [("idempotency-key", "build-1")];
    let both = tokio::join!(world.post("start", &key, ""), world.post("start", &key, ""));
    assert_eq!((both.0.status, both.1.status), (202, 202));
    assert_eq!(both.0.headers[header::LOCATION], both.1.headers[header::LOCATION]);
    assert_eq!(both.0.body, both.1.body);
    world.post("rollback", &[], "").await;
    let again = world.post("start", &key, "").await;
    assert_eq!((again.status, &again.body), (202, &both.0.body), "it does not start a second release");
    assert_eq!(world.get(PATH).await.body["release"]["release"], 1);
    assert_eq!(world.post("start", &key, "{\"newUsers\": true}").await.status, 422);
    assert_eq!(world.post("start", &[("idempotency-key", "")], "").await.status, 400);
}

#[tokio::test]
async fn a_release_says_for_ever_how_it_ended() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    world.post("start", &[], "").await;
    world.makes(|state| state.release.as_mut().unwrap().outcome = Some(Outcome::Promoted)).await;
    let release = world.get(&format!("{PATH}/releases/1")).await.body;
    assert_eq!((&release["phase"], &release["outcome"]), (&json!("Promoted"), &json!("Promoted")));
}

#[tokio::test]
async fn a_verdict_is_a_word_and_a_sentence() {
    let world = World::new().await;
    assert_eq!(world.get(&format!("{PATH}/verdict")).await.status, 404);
    world.put(ROLLOUT).await;
    world.post("start", &[], "").await;
    let verdict = world.get(&format!("{PATH}/verdict")).await;
    assert_eq!((verdict.status, &verdict.body["verdict"]), (200, &json!("hold")));
    let is =
        async |word: &str| world.ask(READER, Method::POST, &format!("{PATH}/verdict/{word}"), &[], "").await;
    assert_eq!(is("hold").await.status, 200);
    let no = is("advance").await;
    assert!(no.status == 409 && no.body["detail"].as_str().unwrap().starts_with("hold: "));
    assert_eq!(is("maybe").await.status, 404);
    world.clock.fetch_add(1_000, Ordering::Relaxed);
    let stale = is("hold").await;
    assert_eq!((stale.status, stale.headers.contains_key(header::RETRY_AFTER)), (503, true));
}

#[tokio::test]
async fn everybody_sees_and_does_what_their_token_allows() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    let bank = "/v1/rollouts/bank/payments";
    assert_eq!(world.ask(ADMIN, Method::PUT, bank, &[], ROLLOUT).await.status, 201);
    let nobody = world.ask("", Method::GET, "/v1/rollouts", &[], "").await;
    assert_eq!((nobody.status, nobody.headers.contains_key(header::WWW_AUTHENTICATE)), (401, true));
    assert_eq!(world.ask("guess", Method::GET, "/v1/rollouts", &[], "").await.status, 401);
    let list = world.ask(READER, Method::GET, "/v1/rollouts", &[], "").await.body;
    let names: Vec<&Value> = list.as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, [&json!("shop/checkout")]);
    for (token, method, path, status) in [
        (READER, Method::GET, bank, 403),
        (READER, Method::POST, "/v1/rollouts/shop/checkout/start", 403),
        (PIPELINE, Method::PUT, PATH, 403),
        (PIPELINE, Method::DELETE, PATH, 403),
        (PIPELINE, Method::PUT, "/v1/freeze", 403),
        (READER, Method::GET, "/v1/policy", 403),
        (READER, Method::GET, "/v1/proxies", 403),
        (READER, Method::GET, "/v1/freeze", 200),
        (ADMIN, Method::GET, "/v1/proxies", 200),
        (ADMIN, Method::GET, "/v1/policy", 404),
        (ADMIN, Method::GET, "/v1/policy/5", 404),
        (ADMIN, Method::PUT, "/v1/freeze", 200),
        (ADMIN, Method::DELETE, "/v1/freeze", 200),
    ] {
        let answer = world.ask(token, method.clone(), path, &[], "").await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_harms_nothing() {
    let world = World::new().await;
    let long = "x".repeat(world.app.limits.body + 1);
    assert_eq!(world.put(&long).await.status, StatusCode::PAYLOAD_TOO_LARGE.as_u16());
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/v1"),
        (Method::GET, "/v1/rollouts/shop/../x"),
        (Method::GET, "/v1/rollouts/SHOP/checkout"),
        (Method::GET, "/v1/rollouts/shop/%00"),
        (Method::GET, "/v1/rollouts/shop/%ff"),
        (Method::GET, "/v1/rollouts/shop/checkout/releases/-1"),
        (Method::GET, "/v1/rollouts/shop/checkout/releases/99999999999999999999"),
        (Method::GET, "/v1/rollouts/shop/checkout/history?limit=x"),
        (Method::GET, "/v1/policy/x"),
        (Method::PATCH, "/v1/rollouts/shop/checkout"),
        (Method::POST, "/v1/rollouts/shop/checkout/start?dryRun=maybe"),
        (Method::POST, "/v1/rollouts/shop/checkout/verdict/%2e"),
    ] {
        let status = world.ask(ADMIN, method.clone(), path, &[], "").await.status;
        assert!((400..500).contains(&status), "{method} {path}: {status}");
    }
    assert_eq!(world.put(ROLLOUT).await.status, 201);
}

#[tokio::test]
async fn what_happens_is_told_to_who_may_see_it() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    let request = Request::get("/v1/events").header(header::AUTHORIZATION, format!("Bearer {READER}"));
    let response = router(world.app.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let bank = "/v1/rollouts/bank/payments";
    world.ask(ADMIN, Method::PUT, bank, &[], ROLLOUT).await;
    world.post("start", &[], "").await;
    let mut body = response.into_body().into_data_stream();
    let first = futures_util::StreamExt::next(&mut body).await.unwrap().unwrap();
    let text = String::from_utf8(first.to_vec()).unwrap();
    assert!(text.starts_with("event: history\nid: 3\ndata: ") && text.contains("shop/checkout"), "{text}");
}
