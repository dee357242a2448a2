use super::*;

const START: &str = "/rollouts/shop/checkout/start";

#[tokio::test]
async fn a_verb_is_asked_for_once_more_and_then_done() {
    let world = World::new().await;
    let mut browser = Browser::signed_in(&world, PIPELINE).await;
    let page = browser.get(&world, CHECKOUT).await;
    assert!(page.body.contains("href=\"/rollouts/shop/checkout/start\""));
    for other in ["approve", "advance", "promote", "resume", "rollback"] {
        assert!(!page.body.contains(&format!("checkout/{other}\"")), "{other} makes no sense when idle");
    }
    let answer = browser.fill(&world, START, "message=build+7").await;
    assert_eq!((answer.status, answer.location()), (303, CHECKOUT));
    assert_eq!(world.phase().await, Phase::Progressing);
    let page = browser.get(&world, CHECKOUT).await;
    for verb in ["advance", "promote", "pause", "rollback"] {
        assert!(page.body.contains(&format!("checkout/{verb}\"")), "{verb}");
    }
    for other in ["start", "resume", "approve"] {
        assert!(!page.body.contains(&format!("checkout/{other}\"")), "{other}");
    }
    assert!(page.body.contains("started by pipeline (build 7)"), "{}", page.body);
    for _ in 0..2 {
        assert_eq!(browser.fill(&world, "/rollouts/shop/checkout/advance", "").await.status, 303);
    }
    let page = browser.get(&world, CHECKOUT).await;
    assert!(page.body.contains("checkout/approve\""), "the step at 25 % wants an approval");
    for verb in ["approve", "pause", "resume", "rollback"] {
        let answer = browser.fill(&world, &format!("{CHECKOUT}/{verb}"), "").await;
        assert_eq!(answer.status, 303, "{verb}: {}", answer.body);
    }
    assert!(matches!(world.phase().await, Phase::RollingBack | Phase::RolledBack));
}

#[tokio::test]
async fn only_a_form_of_ours_does_anything() {
    let world = World::new().await;
    let mut browser = Browser::signed_in(&world, ADMIN).await;
    let mut other = Browser::signed_in(&world, ADMIN).await;
    let page = browser.get(&world, START).await;
    let good = hidden(&page.body);
    let foreign = hidden(&other.get(&world, START).await.body);
    let seen = "seen=0+0+Idle&";
    for (headers, fields) in [
        (vec![], seen.to_owned()),
        (vec![], format!("{seen}code=")),
        (vec![], format!("{seen}code={}", "0".repeat(64))),
        (vec![], foreign),
        (vec![("sec-fetch-site", "cross-site")], good.clone()),
        (vec![("sec-fetch-site", "same-site")], good.clone()),
        (vec![("origin", "https://evil.example")], good.clone()),
        (vec![("origin", "http://127.0.0.1:9999")], good.clone()),
        (vec![("origin", "null")], good.clone()),
    ] {
        let answer = browser.post(&world, START, &headers, &fields).await;
        assert_eq!(answer.status, 403, "{headers:?} {fields}");
        assert_eq!(world.phase().await, Phase::Idle);
    }
    for path in ["/freeze", "/sign-out"] {
        assert_eq!(browser.post(&world, path, &[], "message=x").await.status, 403, "{path}");
    }
    assert_eq!(world.store.frozen().await.unwrap(), None);
    let json = browser.request(Method::POST, START).header(header::CONTENT_TYPE, "application/json");
    assert_eq!(world.send(json.body(Body::from("{}")).unwrap()).await.status, 415);
    let large = format!("{good}message={}", "x".repeat(MAX_FORM));
    assert_eq!(browser.post(&world, START, &[], &large).await.status, 413);
    let long = format!("{good}message={}", "x".repeat(1_001));
    assert_eq!(browser.post(&world, START, &[], &long).await.status, 400);
    assert_eq!(browser.post(&world, START, &[], &good).await.status, 303);
}

#[tokio::test]
async fn what_has_moved_meanwhile_is_asked_for_again() {
    let world = World::new().await;
    let mut browser = Browser::signed_in(&world, ADMIN).await;
    browser.fill(&world, START, "").await;
    let advance = "/rollouts/shop/checkout/advance";
    let old = hidden(&browser.get(&world, advance).await.body);
    assert_eq!(browser.post(&world, advance, &[], &old).await.status, 303);
    let twice = browser.post(&world, advance, &[], &format!("{old}message=second")).await;
    assert_eq!(twice.status, 409);
    assert!(
        twice.body.contains("nothing was done") && twice.body.contains(">second</textarea>"),
        "{}",
        twice.body
    );
    let state = world.store.record(&checkout()).await.unwrap().unwrap().record.state;
    assert_eq!(state.weight, 50_000, "one step, and not two");
    let back = hidden(&browser.get(&world, "/rollouts/shop/checkout/rollback").await.body);
    world.makes(&checkout(), |record| record.state.weight = 250_000, line("up")).await;
    let answer = browser.post(&world, "/rollouts/shop/checkout/rollback", &[], &back).await;
    assert_eq!(answer.status, 303, "users are sent back from any weight");
}

#[tokio::test]
async fn everybody_does_what_their_token_allows() {
    let world = World::new().await;
    let mut reader = Browser::signed_in(&world, READER).await;
    assert!(!reader.get(&world, CHECKOUT).await.body.contains("checkout/start"));
    assert_eq!(reader.get(&world, START).await.status, 403);
    let mut pipeline = Browser::signed_in(&world, PIPELINE).await;
    for path in ["/freeze", "/proxies"] {
        assert_eq!(pipeline.get(&world, path).await.status, 403, "{path}");
    }
    // The code of a form is the same on all pages of a visitor: only the token decides.
    let code = hidden(&pipeline.get(&world, START).await.body);
    for path in ["/freeze", "/rollouts/bank/payments/start"] {
        let answer = pipeline.post(&world, path, &[], &code).await;
        assert!(matches!(answer.status, 403 | 404), "{path}: {}", answer.status);
    }
    assert_eq!(world.store.frozen().await.unwrap(), None);
    let mut admin = Browser::signed_in(&world, ADMIN).await;
    assert_eq!(admin.fill(&world, "/freeze", "message=an+incident").await.status, 303);
    let list = reader.get(&world, "/").await;
    assert!(list.body.contains("Everything is frozen") && list.body.contains("by admin (an incident)"));
    let refused = pipeline.fill(&world, START, "").await;
    assert!(refused.status == 409 && refused.body.contains("the server is frozen"), "{}", refused.body);
    assert_eq!(admin.fill(&world, "/freeze", "").await.status, 303);
    assert_eq!(world.store.frozen().await.unwrap(), None);
}

#[tokio::test]
async fn read_only_is_without_verbs() {
    let mut world = World::new().await;
    world.router = router(world.app.clone(), true);
    let mut admin = Browser::signed_in(&world, ADMIN).await;
    let page = admin.get(&world, CHECKOUT).await;
    assert!(
        page.body.contains("read only")
            && !page.body.contains("checkout/start")
            && !page.body.contains("/freeze")
    );
    for path in [START, "/freeze"] {
        assert_eq!(admin.get(&world, path).await.status, 404, "{path}");
    }
}
