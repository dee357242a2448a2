//! What is watched: events and verdicts.

use axum::body::BodyDataStream;
use coalmine_steer::Verdict;
use futures_util::StreamExt as _;

use super::*;
use crate::server::Happening;

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

#[tokio::test]
async fn who_reads_too_slowly_is_told_that_something_was_missed() {
    let world = World::new().await;
    let (_, mut stream) = watch(&world, READER).await;
    let mut all = world.app.server.happenings();
    world.put(ROLLOUT).await;
    let Happening { rollout, logged } = all.recv().await.unwrap();
    for _ in 0..2_000 {
        world.app.server.tell(&rollout, logged.clone());
    }
    assert!(next(&mut stream).await.starts_with("event: missed\n"));
    assert!(next(&mut stream).await.starts_with("event: history\n"), "and it goes on");
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
