use super::*;
use crate::access::tests::issuer::{Issuer, Signer, claims_of};
use crate::config::Surroundings;
use crate::rollout::read_text;

pub(super) fn config(text: &str) -> Config {
    let variable = |_: &str| Some("admin-0123456789".to_owned());
    let file = |path: &str| std::fs::read_to_string(path);
    let surroundings = Surroundings { variable: &variable, file: &file };
    Config::from_document(&read_text(text).unwrap(), &surroundings).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_serves_by_tls_on_a_free_port_and_ends_when_told() {
    tls::choose_provider();
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(path("tls.key"), made.signing_key.serialize_pem()).unwrap();
    let ready = Ready::new(config(&format!(
        "{{listen: '127.0.0.1:0', admin: '127.0.0.1:0', store: '{}', tls: {{certificate: '{}', key: '{}'}}, tokens: \
         [{{name: admins, value: {{env: X}}, may: write}}]}}",
        path("coalmine.db"),
        path("tls.crt"),
        path("tls.key")
    )))
    .await
    .unwrap();
    let (port, admin) = (ready.address().unwrap().port(), ready.admin_address().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(ready.run(async {
        let _ = stopped.await;
    }));
    let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([root]).no_proxy().build().unwrap();
    let url = format!("https://localhost:{port}/v1/rollouts");
    assert_eq!(client.get(&url).send().await.unwrap().status(), 401);
    let known = client.get(&url).bearer_auth("admin-0123456789").send().await.unwrap();
    assert_eq!((known.status().as_u16(), known.version()), (200, reqwest::Version::HTTP_2));
    let health = client.get(format!("http://{admin}/healthz")).send().await.unwrap();
    assert_eq!(health.status(), 200);
    let metrics = async || {
        let answer = client.get(format!("http://{admin}/metrics")).send().await.unwrap();
        answer.text().await.unwrap()
    };
    assert!(metrics().await.contains("coalmine_server_store_up 1"));
    let begin = std::time::Instant::now();
    for of in ["tick", "publish"] {
        let none = format!("coalmine_server_{of}_seconds_count 0\n");
        while metrics().await.contains(&none) {
            assert!(begin.elapsed() < Duration::from_secs(30), "nobody says how long a {of} takes");
        }
    }
    drop(stop);
    running.await.unwrap();
    assert!(client.get(&url).send().await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn what_would_be_unsafe_does_not_start() {
    let refused = Ready::new(config("{listen: '0.0.0.0:0'}")).await.unwrap_err().to_string();
    assert!(refused.contains("there are no tokens"), "{refused}");
}

#[tokio::test]
async fn a_configuration_without_tokens_does_not_open_what_is_public() {
    tls::choose_provider();
    let folder = tempfile::tempdir().unwrap();
    let text = |listen: &str, tokens: &str| {
        let store = folder.path().join("coalmine.db").display().to_string();
        format!(
            "{{listen: '{listen}', admin: '127.0.0.1:0', insecure: true, store: '{store}', tokens: [{tokens}]}}"
        )
    };
    let token = "{name: admins, value: {env: X}, may: write}";
    let ready = Ready::new(config(&text("0.0.0.0:0", token))).await.unwrap();
    let handle = ready.handle();
    // What it says of where to listen concerns the next start.
    for listen in ["0.0.0.0:0", "127.0.0.1:0"] {
        handle.reload(Ok(config(&text(listen, ""))));
        assert!(ready.tokens.caller(None, now()).await.is_err(), "everybody is let in");
        assert!(ready.tokens.caller(Some("admin-0123456789"), now()).await.is_ok());
    }
}

#[tokio::test]
async fn who_is_asked_and_told_stays_until_a_restart() {
    tls::choose_provider();
    let folder = tempfile::tempdir().unwrap();
    let text = |name: &str, slow: &str| {
        let store = folder.path().join("coalmine.db").display().to_string();
        format!(
            "{{listen: '127.0.0.1:0', admin: '127.0.0.1:0', store: '{store}', policy: {{slow: [{slow}]}}, gates: {{{name}: \
             'http://127.0.0.1:9/'}}, notifiers: {{{name}: {{url: 'http://127.0.0.1:9/'}}}}}}"
        )
    };
    let ready = Ready::new(config(&text("first", "250ms"))).await.unwrap();
    ready.handle().reload(Ok(config(&text("second", "1s"))));
    let operator = ready.server.operator();
    assert!(operator.gates.contains("first") && operator.notifiers.contains("first"), "{operator:?}");
    assert!(!operator.gates.contains("second") && !operator.notifiers.contains("second"), "{operator:?}");
    assert_eq!(operator.slow, [1_000], "the filter counts by other times at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_for_tokens_of_others_are_exchanged_while_it_runs() {
    tls::choose_provider();
    let signer = Signer::ed25519("a");
    let issuer = Issuer::of(&[&signer]).await;
    let folder = tempfile::tempdir().unwrap();
    let text = |audience: &str| {
        let store = folder.path().join("coalmine.db").display().to_string();
        let rule = format!(
            "{{name: github, issuer: '{}', audience: {audience}, claims: {{sub: 'repo:acme/shop:*'}}, may: write}}",
            issuer.url
        );
        format!("{{listen: '127.0.0.1:0', admin: '127.0.0.1:0', store: '{store}', oidc: [{rule}]}}")
    };
    let ready = Ready::new(config(&text("coalmine"))).await.unwrap();
    let (port, handle) = (ready.address().unwrap().port(), ready.handle());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(ready.run(async {
        let _ = stopped.await;
    }));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://127.0.0.1:{port}/v1/rollouts/shop/checkout");
    let mut claims = claims_of(&issuer.url);
    (claims["iat"], claims["nbf"], claims["exp"]) = (now().into(), now().into(), (now() + 300).into());
    let token = signer.token(&claims);
    assert_eq!(client.get(&url).send().await.unwrap().status(), 401);
    let rollout = "policy: {identity: [{header: x}], variants: [{name: canary}]}\nplan: {}\n";
    let written = client.put(&url).bearer_auth(&token).body(rollout).send().await.unwrap();
    assert_eq!(written.status(), 201, "{}", written.text().await.unwrap());
    let history = client.get(format!("{url}/history")).bearer_auth(&token).send().await.unwrap();
    let history = history.text().await.unwrap();
    assert!(history.contains("\"by\":\"github:repo:acme/shop:ref:refs/heads/main\""), "{history}");
    handle.reload(Ok(config(&text("other"))));
    let refused = client.get(&url).bearer_auth(&token).send().await.unwrap();
    let (status, refused) = (refused.status(), refused.text().await.unwrap());
    assert!(status == 401 && refused.contains("is not one of other"), "{status} {refused}");
    handle.reload(Err("a wrong one".to_owned()));
    let refused = client.get(&url).bearer_auth(&token).send().await.unwrap();
    assert_eq!(refused.status(), 401, "the one before is in force");
    handle.reload(Ok(config(&text("coalmine"))));
    assert_eq!(client.get(&url).bearer_auth(&token).send().await.unwrap().status(), 200);
    drop(stop);
    running.await.unwrap();
}
