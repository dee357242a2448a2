use super::*;
use crate::evidence::{ProxyReading, Reading};

#[tokio::test]
async fn what_one_may_not_see_is_not_there() {
    let world = World::new().await;
    world.app.server.look(|view| {
        let proxy = ProxyReading { name: "edge-of-the-bank".to_owned(), ..ProxyReading::default() };
        view.readings.insert("default".to_owned(), Reading { proxies: vec![proxy], ..Reading::default() });
    });
    let mut reader = Browser::signed_in(&world, READER).await;
    for path in ["/", "/?namespace=bank", CHECKOUT] {
        let page = reader.get(&world, path).await;
        assert!(page.status == 200 && !page.body.contains("bank"), "{path}: {}", page.body);
    }
    let foreign = reader.get(&world, "/rollouts/bank/payments").await;
    let missing = reader.get(&world, "/rollouts/bank/nothing").await;
    assert_eq!((foreign.status, &foreign.body), (404, &missing.body));
    let mut admin = Browser::signed_in(&world, ADMIN).await;
    assert!(admin.get(&world, "/proxies").await.body.contains("edge-of-the-bank"));
    let list = admin.get(&world, "/?namespace=bank").await;
    assert!(list.body.contains("/rollouts/bank/payments") && !list.body.contains("/rollouts/shop/checkout"));
}

#[tokio::test]
async fn whatever_people_write_is_text() {
    let world =
        World::of(vec![Token::new("<i>admin</i>", ADMIN, May::Write, vec!["*".parse().unwrap()])], |_| {})
            .await;
    let odd = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;</textarea>";
    let written = format!("# {odd}\n{ROLLOUT}");
    world.write("shop/checkout", &written).await;
    let encoded: String = odd.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mut browser = Browser::default();
    browser.fill(&world, "/sign-in", &format!("token={ADMIN}&actor={encoded}")).await;
    assert_eq!(
        browser.fill(&world, "/rollouts/shop/checkout/start", &format!("message={encoded}")).await.status,
        303
    );
    browser.fill(&world, "/rollouts/shop/checkout/pause", &format!("message={encoded}")).await;
    browser.fill(&world, "/freeze", &format!("message={encoded}")).await;
    let mut logged = line(odd);
    logged.by = Some(odd.to_owned());
    world
        .makes(
            &checkout(),
            |record| {
                record.state.said.message = odd.to_owned();
                let release = record.state.release.as_mut().unwrap();
                (release.canary, release.stable) = (Some(odd.to_owned()), Some(odd.to_owned()));
            },
            logged,
        )
        .await;
    world.app.server.look(|view| {
        let condition = coalmine_steer::Condition {
            kind: coalmine_steer::Kind::Alarm,
            holds: true,
            message: format!("{odd} again"),
        };
        let seen = crate::server::Seen { conditions: vec![condition], left_out: Some(odd.to_owned()) };
        view.rollouts.insert(checkout(), seen);
        let proxy =
            ProxyReading { name: odd.to_owned(), filter: Some(odd.to_owned()), ..ProxyReading::default() };
        view.readings.insert(
            "default".to_owned(),
            Reading { away: Some(odd.to_owned()), proxies: vec![proxy], ..Reading::default() },
        );
    });
    let refused =
        browser.fill(&world, "/rollouts/shop/checkout/advance", &format!("message={encoded}")).await;
    assert_eq!(refused.status, 409);
    let mut pages = vec![refused.body];
    for path in
        ["/", CHECKOUT, "/proxies", "/freeze", "/rollouts/shop/checkout/resume", "/rollouts/%3Cscript%3E/x"]
    {
        pages.push(browser.get(&world, path).await.body);
    }
    for page in pages {
        assert!(!page.contains("<script>") && !page.contains("<img") && !page.contains("<i>"), "{page}");
        assert_eq!(page.matches("<script ").count(), 1, "{page}");
    }
    assert!(browser.get(&world, CHECKOUT).await.body.matches("&lt;script&gt;").count() > 8);
}

#[tokio::test]
async fn every_answer_has_the_headers() {
    let world = World::new().await;
    let mut browser = Browser::signed_in(&world, ADMIN).await;
    let page = browser.get(&world, "/").await;
    let asset = |ending: &str| {
        let end = page.body.find(&format!(".{ending}\"")).unwrap() + ending.len() + 1;
        let begin = page.body[..end].rfind('"').unwrap() + 1;
        page.body[begin..end].to_owned()
    };
    let (style, script) = (asset("css"), asset("js"));
    for (path, status) in [
        ("/", 200),
        (CHECKOUT, 200),
        ("/static/x.css", 404),
        ("/rollouts/a/b", 404),
        (&style, 200),
        (&script, 200),
    ] {
        let answer = browser.get(&world, path).await;
        assert_eq!(answer.status, status, "{path}");
        let header = |name: &str| answer.headers[name].to_str().unwrap();
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "same-origin");
        let kept = if path.starts_with("/static/") && status == 200 { assets::FOR_EVER } else { "no-store" };
        assert_eq!(header("cache-control"), kept, "{path}");
        assert!(status == 200 || answer.body.contains("<!DOCTYPE html>"), "people get a page");
    }
    // The policy forbids what stands in an attribute, so a page that had some would not look as it should.
    for path in ["/", CHECKOUT, "/proxies", "/freeze"] {
        let body = browser.get(&world, path).await.body;
        assert!(!body.contains(" style=") && !body.contains(" onclick"), "{path}");
    }
    let odd = browser.get(&world, "/rollouts/shop/checkout?before=x").await;
    assert!(odd.status == 400 && odd.body.contains("<h1>Bad Request</h1>"), "{}", odd.body);
    assert_eq!(browser.post(&world, "/", &[], "").await.status, 405);
}

#[tokio::test]
async fn a_proxy_from_another_history_is_called_so() {
    let world = World::new().await;
    world.app.server.look(|view| {
        let newer = u64::MAX >> 1;
        let proxy =
            ProxyReading { name: "edge".to_owned(), revision: Some(newer), ..ProxyReading::default() };
        view.readings.insert("default".to_owned(), Reading { proxies: vec![proxy], ..Reading::default() });
    });
    let mut browser = Browser::signed_in(&world, ADMIN).await;
    for path in ["/proxies", CHECKOUT] {
        let page = browser.get(&world, path).await.body;
        assert!(page.contains("from another history") && !page.contains("not yet"), "{path}: {page}");
    }
}

#[tokio::test]
async fn history_is_told_page_by_page() {
    let world = World::new().await;
    let mut browser = Browser::signed_in(&world, READER).await;
    for number in 0..60 {
        world.makes(&checkout(), |_| {}, line(&format!("line {number} of them"))).await;
    }
    let page = browser.get(&world, CHECKOUT).await.body;
    assert!(page.contains("line 59 of them") && !page.contains("line 10 of them"));
    let older = page.split("?before=").nth(1).unwrap().split('#').next().unwrap();
    let page = browser.get(&world, &format!("{CHECKOUT}?before={older}")).await.body;
    assert!(page.contains("line 34 of them") && !page.contains("line 59 of them") && page.contains("Newest"));
    assert!(!page.contains("data-follows"), "an old page does not change");
}

#[tokio::test]
async fn each_phase_and_each_form_of_a_rollout_has_a_page() {
    let world = World::new().await;
    let mut browser = Browser::signed_in(&world, ADMIN).await;
    for (phase, words) in [
        (Phase::Idle, "Idle"),
        (Phase::Progressing, "Progressing"),
        (Phase::Paused, "Paused"),
        (Phase::WaitingForApproval, "Waiting for approval"),
        (Phase::Promoting, "Promoting"),
        (Phase::RollingBack, "Rolling back"),
        (Phase::RolledBack, "Rolled back"),
    ] {
        world.makes(&checkout(), |record| record.state.said.phase = phase, line("x")).await;
        for path in ["/", CHECKOUT] {
            let page = browser.get(&world, path).await;
            assert!(page.status == 200 && page.body.contains(words), "{words} {path}");
        }
    }
    world
        .write(
            "shop/files",
            &ROLLOUT.replace(&ROLLOUT[ROLLOUT.find("plan").unwrap()..], "weights: {canary: 12.5}\n"),
        )
        .await;
    let page = browser.get(&world, "/rollouts/shop/files").await;
    assert!(
        page.body.contains("the file owns the weights") && page.body.contains("canary 12.5 %"),
        "{}",
        page.body
    );
    assert_eq!(browser.get(&world, "/rollouts/shop/files/start").await.status, 200);
    let refused = browser.fill(&world, "/rollouts/shop/files/start", "").await;
    assert_eq!(refused.status, 409);
    world.makes(&checkout(), |record| record.written = "policy: 1".to_owned(), line("x")).await;
    let page = browser.get(&world, CHECKOUT).await;
    assert!(page.status == 200 && page.body.contains("cannot be read by this release"));
    world.makes(&checkout(), |record| record.state.stage = Stage::Idle, line("x")).await;
}

#[tokio::test]
async fn events_tell_of_what_one_may_see_until_the_session_is_over() {
    use futures_util::StreamExt as _;
    let world = World::new().await;
    let browser = Browser::signed_in(&world, READER).await;
    let request = browser.request(Method::GET, "/events").body(Body::empty()).unwrap();
    let response = world.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut told = response.into_body().into_data_stream();
    let mut next = async || String::from_utf8(told.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(next().await.contains("event: beat\ndata: 15\n"), "the seconds of a tick");
    world.makes(&"bank/payments".parse().unwrap(), |_| {}, line("x")).await;
    world.makes(&checkout(), |_| {}, line("x")).await;
    world.app.server.wake();
    let mut all = String::new();
    while !all.contains("data: shop/checkout") {
        all += &next().await;
    }
    assert!(!all.contains("bank"), "{all}");
    world.app.tokens.set(vec![Token::new("admin", ADMIN, May::Write, vec![])], &[]).unwrap();
    world.app.server.wake();
    let mut rest = String::new();
    while !rest.contains("event: over") {
        rest += &next().await;
    }
}
