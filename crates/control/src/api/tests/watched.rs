//! What is watched: events and verdicts.

use axum::body::BodyDataStream;
use coalmine_steer::{Verdict, What};
use futures_util::StreamExt as _;

use super::*;
use crate::rollout::Logged;
use crate::store::Entry;

const BANK: &str = "/v1/rollouts/bank/payments";

async fn watch(world: &World, token: &str) -> (u16, BodyDataStream) {
    let request = Request::get("/v1/events").header(header::AUTHORIZATION, format!("Bearer {token}"));
    let response = router(world.app.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    (response.status().as_u16(), response.into_body().into_data_stream())
}

async fn next(stream: &mut BodyDataStream) -> String {
    String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn each_line_comes_in_order_to_who_may_read_it_and_to_nobody_else() {
    let world = World::new().await;
    assert_eq!(watch(&world, "guess").await.0, 401);
    world.put(ROLLOUT).await;
    world.ask(ADMIN, Method::PUT, BANK, &[], ROLLOUT).await;
    let (_, mut reader) = watch(&world, READER).await;
    let (_, mut admin) = watch(&world, ADMIN).await;
    world.ask(ADMIN, Method::POST, &format!("{BANK}/start"), &[], "").await;
    world.post("start?dryRun=true", &[], "").await;
    world.post("start", &[], "{\"message\": \"build 7\"}").await;
    world.post("advance", &[], "").await;
    let (mut of_reader, mut of_admin) = (String::new(), String::new());
    for _ in 0..4 {
        of_reader.push_str(&next(&mut reader).await);
    }
    for _ in 0..6 {
        of_admin.push_str(&next(&mut admin).await);
    }
    world.end.now();
    assert!(reader.next().await.is_none(), "the end of the server is the end of the stream");
    assert!(!of_reader.contains("bank/payments"), "{of_reader}");
    let lines: Vec<Value> = of_reader
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let whats: Vec<&str> = lines.iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert_eq!(whats, ["started", "verb", "advanced", "verb"], "{of_reader}");
    assert!(lines[0]["why"].as_str().unwrap().contains("build 7") && lines[3]["by"] == "pipeline");
    assert!(of_admin.contains("bank/payments") && of_admin.contains("shop/checkout"), "{of_admin}");
}

/// The ids and sentences of so many events behind one.
async fn behind(world: &World, token: &str, last: &str, count: usize) -> Vec<(String, String)> {
    let request = Request::get("/v1/events").header("last-event-id", last);
    let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    let response = router(world.app.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut stream = response.into_body().into_data_stream();
    let mut events = Vec::new();
    for _ in 0..count {
        let text = next(&mut stream).await;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let line: Value = serde_json::from_str(field("data: ")).unwrap_or_default();
        let why = line["why"].as_str().unwrap_or(field("event: "));
        events.push((field("id: ").to_owned(), why.to_owned()));
    }
    let more = futures_util::FutureExt::now_or_never(stream.next());
    assert!(more.is_none(), "and nothing else: {more:?}");
    events
}

fn events(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(id, why)| ((*id).to_owned(), (*why).to_owned())).collect()
}

#[tokio::test]
async fn who_was_away_goes_on_behind_what_it_read_last() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    world.ask(ADMIN, Method::PUT, BANK, &[], ROLLOUT).await;
    world.post("start", &[], "").await;
    let all = events(&[
        ("1", "created"),
        ("2", "created"),
        ("3", "started by pipeline"),
        ("4", "start by pipeline"),
    ]);
    assert_eq!(behind(&world, ADMIN, "0", 4).await, all);
    assert_eq!(behind(&world, ADMIN, "2", 2).await, all[2..]);
    assert_eq!(behind(&world, ADMIN, "4", 0).await, []);
    let of_reader = [&all[..1], &all[2..]].concat();
    assert_eq!(behind(&world, READER, "0", 3).await, of_reader, "what is hidden is not missed");
    for odd in ["", "last", "-1", "+1", "1.5", "99999999999999999999"] {
        let refused = world.ask(ADMIN, Method::GET, "/v1/events", &[("last-event-id", odd)], "").await;
        assert_eq!(refused.status, 400, "{odd}: {}", refused.body);
    }
}

#[tokio::test]
async fn who_comes_too_late_is_told_that_something_was_missed() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    for verb in ["start", "pause", "resume"] {
        world.post(verb, &[], "").await;
    }
    let last = world.store.last_line().await.unwrap();
    world.store.forget(u64::MAX >> 1, 0).await.unwrap();
    let (before, last) = ((last - 1).to_string(), last.to_string());
    let left = behind(&world, ADMIN, "1", 2).await;
    assert_eq!(left[0], (before.clone(), "missed".to_owned()));
    assert_eq!(left[1].0, last);
    assert_eq!(behind(&world, ADMIN, &before, 1).await, left[1..], "nothing was missed between the two");
    // Of a store that is gone.
    assert_eq!(behind(&world, ADMIN, "1000", 1).await, events(&[(&last, "missed")]));
}

#[tokio::test]
async fn a_stream_ends_with_what_its_token_was_good_for() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    let (_, mut reader) = watch(&world, READER).await;
    let (_, mut admin) = watch(&world, ADMIN).await;
    world.post("start", &[], "").await;
    for stream in [&mut reader, &mut admin] {
        assert!(next(stream).await.contains("started") && next(stream).await.contains("verb"));
    }
    let admins = Token::new("admin", ADMIN, May::Write, vec!["*".parse().unwrap()]);
    world.app.tokens.set(vec![admins], &[]).unwrap();
    world.ask(ADMIN, Method::POST, &format!("{PATH}/pause"), &[], "").await;
    assert!(next(&mut admin).await.contains("pause"));
    assert!(reader.next().await.is_none(), "its token is nobody's any more");
}

#[tokio::test]
async fn a_slow_reader_misses_nothing_nor_one_of_another_server() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    let (_, mut stream) = watch(&world, READER).await;
    for number in 0..150 {
        // As another server on the same store does.
        let stored = world.store.record(&name()).await.unwrap().unwrap();
        let logged = Logged { at: 1, what: What::Verb, weight: 0, by: None, why: format!("{number}.") };
        let history = vec![Entry { number: 0, logged, decision: None }];
        let change =
            Change { record: stored.record, expected: stored.version, history, release: None, answer: None };
        world.store.commit(change).await.unwrap();
    }
    world.app.server.tell();
    for number in 0..150 {
        let event = next(&mut stream).await;
        assert!(event.contains(&format!("\nid: {}\n", number + 2)), "{event}");
        assert!(event.contains(&format!("\"{number}.\"")), "{event}");
    }
    // A store that is away for a moment is none to be told of.
    world.store.set_away(true);
    world.app.server.tell();
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(50), stream.next()).await;
    assert!(waiting.is_err(), "{waiting:?}");
    world.store.set_away(false);
    world.post("start", &[], "").await;
    assert!(next(&mut stream).await.contains("\nid: 152\n"));
    world.store.set_away(true);
    assert_eq!(watch(&world, READER).await.0, 503);
}

#[tokio::test]
async fn a_verdict_to_promote_is_one_to_advance_too() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    world.post("start", &[], "").await;
    let words = ["advance", "hold", "rollback", "promote"];
    for (verdict, fitting) in [
        (Verdict::Advance, vec!["advance"]),
        (Verdict::Hold, vec!["hold"]),
        (Verdict::Rollback, vec!["rollback"]),
        (Verdict::Promote, vec!["advance", "promote"]),
    ] {
        world.makes(|state| state.said.verdict = verdict).await;
        for word in words {
            let path = format!("{PATH}/verdict/{word}");
            let answer = world.ask(READER, Method::POST, &path, &[], "").await;
            let expected = if fitting.contains(&word) { 200 } else { 409 };
            assert_eq!(answer.status, expected, "{verdict} is {word}: {}", answer.body);
        }
    }
    for path in [format!("{BANK}/verdict"), format!("{BANK}/verdict/hold")] {
        let method = if path.ends_with("hold") { Method::POST } else { Method::GET };
        assert_eq!(world.ask(ADMIN, method.clone(), &path, &[], "").await.status, 404);
        assert_eq!(world.ask(READER, method, &path, &[], "").await.status, 403);
    }
}

#[tokio::test]
async fn a_hook_of_flagger_shows_its_token_and_is_about_its_own_canary() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    world.post("start", &[], "").await;
    world.makes(|state| state.said.verdict = Verdict::Hold).await;
    let path = format!("{PATH}/verdict/hold");
    let hook = |name: &str, token: &str| {
        json!({
            "name": name, "namespace": "shop", "phase": "Progressing", "checksum": "758df7c9fc",
            "metadata": {"token": token, "any": "thing"},
        })
        .to_string()
    };
    for (token, body, status) in [
        ("", hook("checkout", READER), 200),
        (READER, hook("checkout", "guess"), 200),
        (READER, "{}".to_owned(), 200),
        (READER, "null".to_owned(), 200),
        (READER, "{\"name\": null, \"namespace\": null, \"metadata\": null}".to_owned(), 200),
        ("", hook("checkout", "guess"), 401),
        ("guess", hook("checkout", READER), 401),
        ("", "{}".to_owned(), 401),
        ("", "[".to_owned(), 401),
        ("", hook("search", READER), 400),
        (READER, "{\"namespace\": \"bank\"}".to_owned(), 400),
        (READER, format!("{{\"metadata\": \"{READER}\"}}"), 400),
        (READER, "[\"checkout\", \"shop\"]".to_owned(), 400),
    ] {
        let answer = world.ask(token, Method::POST, &path, &[], &body).await;
        assert_eq!(answer.status, status, "{token} {body}: {}", answer.body);
        assert!(!answer.body.to_string().contains(READER), "{}", answer.body);
    }
}
