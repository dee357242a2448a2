//! What a browser sends because a page of somebody else asked it to.

use super::*;

const HOST: (&str, &str) = ("host", "127.0.0.1:8470");
const ELSEWHERE: [&[(&str, &str)]; 5] = [
    &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")],
    &[("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:9999")],
    // Browsers that do not say how far away the page is.
    &[("origin", "https://evil.example")],
    &[("origin", "http://127.0.0.1:9999")],
    &[("origin", "null")],
];
const OURS: [&[(&str, &str)]; 4] = [
    &[],
    &[("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:8470")],
    &[("origin", "http://127.0.0.1:8470")],
    // A program before the server has another name for it.
    &[("sec-fetch-site", "same-origin"), ("origin", "https://coalmine.example")],
];

/// Where everybody may do everything.
async fn open_world() -> World {
    let mut world = World::new().await;
    world.app.tokens = Tokens::new(Vec::new());
    assert_eq!(world.ask("", Method::PUT, PATH, &[HOST], ROLLOUT).await.status, 201);
    world
}

fn with_host(headers: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    std::iter::once(HOST).chain(headers.iter().copied()).collect()
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let world = open_world().await;
    let start = format!("{PATH}/start");
    let history = format!("{PATH}/history");
    let before = world.ask("", Method::GET, &history, &[], "").await.body;
    for headers in ELSEWHERE.map(with_host) {
        for (method, path, body) in [
            // Of a form, which no browser asks about before it sends it.
            (Method::POST, start.as_str(), "{\"message\": \"x\"}"),
            (Method::POST, "/v1/rollouts/shop/checkout/verdict/rollback", ""),
            (Method::PUT, PATH, ROLLOUT),
            (Method::DELETE, PATH, ""),
            (Method::PUT, "/v1/freeze", ""),
        ] {
            let refused = world.ask("", method.clone(), path, &headers, body).await;
            assert_eq!(refused.status, 403, "{method} {path} {headers:?}");
            let told = json!("a page of another site has sent this; nothing was done");
            assert_eq!(refused.body["detail"], told, "{}", refused.body);
        }
    }
    assert_eq!(world.ask("", Method::GET, &history, &[], "").await.body, before);
    assert_eq!(world.store.frozen().await.unwrap(), None);
    for headers in OURS.map(with_host) {
        let answer = world.ask("", Method::POST, &start, &headers, "").await;
        assert!(matches!(answer.status, 200 | 202), "{headers:?}: {}", answer.body);
    }
}

/// A browser keeps the password of Basic, and sends it along with what any page asks for.
#[tokio::test]
async fn nor_does_it_with_a_password_that_the_browser_keeps() {
    let world = World::new().await;
    world.put(ROLLOUT).await;
    for headers in ELSEWHERE.map(with_host) {
        assert_eq!(world.post("start", &headers, "").await.status, 403, "{headers:?}");
    }
    for headers in OURS.map(with_host) {
        assert!(matches!(world.post("start", &headers, "").await.status, 200 | 202), "{headers:?}");
    }
}

#[tokio::test]
async fn without_tokens_no_other_name_leads_here() {
    let world = open_world().await;
    for (host, status) in [
        ("localhost:8470", 200),
        ("[::1]:8470", 200),
        ("coalmine.example", 200),
        ("rebound.evil.example:8470", 421),
    ] {
        let same = [("host", host), ("sec-fetch-site", "same-origin")];
        assert_eq!(world.ask("", Method::GET, PATH, &same, "").await.status, status, "{host}");
        let pause = format!("{PATH}/pause");
        let paused = world.ask("", Method::POST, &pause, &same, "").await.status;
        assert_eq!(paused == 421, status == 421, "{host}: {paused}");
    }
    let tokens = World::new().await;
    tokens.put(ROLLOUT).await;
    let answer = tokens.ask(ADMIN, Method::GET, PATH, &[("host", "any.example")], "").await;
    assert_eq!(answer.status, 200, "tokens are what keeps others out");
}
