use super::*;

#[tokio::test]
async fn nobody_sees_anything_without_a_token() {
    let world = World::new().await;
    let mut browser = Browser::default();
    for path in ["/", CHECKOUT, "/rollouts/shop/checkout/start", "/proxies", "/freeze"] {
        let answer = browser.get(&world, path).await;
        assert_eq!(answer.status, 303, "{path}");
        assert!(answer.location().starts_with("/sign-in") && !answer.body.contains("checkout"));
    }
    let events = browser.get(&world, "/events").await;
    assert_eq!((events.status, events.body.as_str()), (204, ""), "a browser does not ask again");
    for path in
        [format!("/?token={ADMIN}"), format!("/sign-in?token={ADMIN}"), format!("/?access_token={ADMIN}")]
    {
        let answer = browser.get(&world, &path).await;
        assert!(answer.status == 303 || answer.body.contains("<h1>Sign in</h1>"), "{path}");
    }
    let bearer = browser.request(Method::GET, "/").header(header::AUTHORIZATION, format!("Bearer {ADMIN}"));
    assert_eq!(world.send(bearer.body(Body::empty()).unwrap()).await.status, 303);
}

#[tokio::test]
async fn a_session_is_a_cookie_that_is_not_the_token() {
    let world = World::new().await;
    let mut browser = Browser::default();
    let wrong = browser.fill(&world, "/sign-in", "token=guess-0123456789").await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.body.contains("not known here") && !wrong.body.contains("guess"), "{}", wrong.body);
    let before = browser.cookie.clone().unwrap();
    let signed = browser.fill(&world, "/sign-in", &format!("token={ADMIN}&actor=Ada")).await;
    assert_eq!((signed.status, signed.location()), (303, "/"));
    let cookie = signed.headers[header::SET_COOKIE].to_str().unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(ADMIN) && !cookie.contains("Secure"));
    assert_ne!(browser.cookie.as_ref(), Some(&before), "a number from before signing in opens nothing");
    let list = browser.get(&world, "/").await;
    assert!(list.body.contains("admin (Ada)") && !list.body.contains(ADMIN));
    let out = {
        let page = browser.get(&world, "/").await;
        let code =
            page.body.split("name=\"code\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        browser.post(&world, "/sign-out", &[], &format!("code={code}")).await
    };
    assert_eq!(out.status, 303);
    assert!(out.headers[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(browser.get(&world, "/").await.status, 303);
}

#[tokio::test]
async fn by_tls_the_cookie_is_of_this_host_alone() {
    for change in [
        |app: &mut App| app.has_tls = true,
        |app: &mut App| app.public_url = Some("https://coalmine.example".to_owned()),
    ] {
        let world = World::of(vec![Token::new("a", ADMIN, May::Read, vec![])], change).await;
        let page = Browser::default().get(&world, "/sign-in").await;
        let cookie = page.headers[header::SET_COOKIE].to_str().unwrap();
        assert!(cookie.starts_with("__Host-coalmine=") && cookie.ends_with("; Secure"), "{cookie}");
    }
}

#[tokio::test]
async fn a_session_ends_with_its_time_and_with_its_token() {
    let world = World::new().await;
    let mut browser = Browser::signed_in(&world, ADMIN).await;
    assert_eq!(browser.get(&world, "/").await.status, 200);
    world.clock.fetch_add(session::LASTS, Ordering::Relaxed);
    let late = browser.get(&world, CHECKOUT).await;
    assert_eq!((late.status, late.location()), (303, "/sign-in?next=/rollouts/shop/checkout"));
    let mut browser = Browser::signed_in(&world, ADMIN).await;
    world.app.tokens.set(vec![Token::new("other", READER, May::Read, vec![])], &[]).unwrap();
    assert_eq!(browser.get(&world, "/").await.status, 303);
    world.app.tokens.set(vec![Token::new("admin", ADMIN, May::Write, vec![])], &[]).unwrap();
    assert_eq!(browser.get(&world, "/").await.status, 303, "what is over does not begin again");
}

#[tokio::test]
async fn one_comes_back_to_pages_of_ours_alone() {
    let world = World::new().await;
    for (next, back) in [
        (CHECKOUT, CHECKOUT),
        ("/proxies", "/proxies"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/rollouts/../../x", "/"),
        ("/rollouts/shop/a%22onload=x", "/"),
    ] {
        let mut browser = Browser::default();
        let page = browser.get(&world, &format!("/sign-in?next={next}")).await;
        let code = hidden(&page.body);
        let answer = browser.post(&world, "/sign-in", &[], &format!("{code}token={ADMIN}")).await;
        assert_eq!((answer.status, answer.location()), (303, back), "{next}");
    }
    let mut browser = Browser::default();
    let led = browser.request(Method::GET, "/sign-in").header("sec-fetch-site", "cross-site");
    let led = world.send(led.body(Body::empty()).unwrap()).await;
    assert!(led.body.contains("http-equiv=\"refresh\""), "the cookie comes along the second time");
    assert!(!led.headers.contains_key(header::SET_COOKIE), "a session that is there is not lost");
    assert!(!browser.get(&world, "/sign-in").await.body.contains("refresh"));
}

#[tokio::test]
async fn without_tokens_nobody_signs_in_and_no_other_name_leads_here() {
    let world =
        World::of(Vec::new(), |app| app.public_url = Some("http://coalmine.example".to_owned())).await;
    let mut browser = Browser::default();
    let list = browser.get(&world, "/").await;
    assert!(list.status == 200 && list.body.contains("anonymous") && !list.body.contains("Sign out"));
    assert_eq!(browser.get(&world, "/sign-in").await.status, 303);
    for (host, status) in [
        ("localhost:8470", 200),
        ("[::1]:8470", 200),
        ("coalmine.example", 200),
        ("rebound.evil.example:8470", 421),
    ] {
        let request = Request::builder().uri("/").header(header::HOST, host).body(Body::empty()).unwrap();
        assert_eq!(world.send(request).await.status, status, "{host}");
    }
    let done = browser.fill(&world, "/rollouts/shop/checkout/start", "message=x").await;
    assert_eq!(done.status, 303, "{}", done.body);
    assert_eq!(world.phase().await, Phase::Progressing);
    let forged = browser.post(&world, "/rollouts/shop/checkout/rollback", &[], "seen=1").await;
    assert_eq!(forged.status, 403);
}
