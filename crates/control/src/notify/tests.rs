//! Notices on their way to real receivers.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::post;
use coalmine_steer::About;

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A receiver that counts what comes, and refuses the first ones.
struct Counted {
    url: String,
    posts: Arc<AtomicUsize>,
    redirected: Arc<AtomicUsize>,
}

impl Counted {
    async fn start(refused: usize, with: StatusCode) -> Self {
        let (posts, redirected) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (counter, elsewhere) = (posts.clone(), redirected.clone());
        let hook = post(move || async move {
            let status = match counter.fetch_add(1, Ordering::SeqCst) < refused {
                true => with,
                false => StatusCode::NO_CONTENT,
            };
            (status, [(header::LOCATION, "/elsewhere")])
        });
        let elsewhere = post(move || async move { elsewhere.fetch_add(1, Ordering::SeqCst).to_string() });
        let app = Router::new().route("/hook", hook).route("/elsewhere", elsewhere);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, posts, redirected }
    }

    fn count(&self) -> usize {
        self.posts.load(Ordering::SeqCst)
    }
}

fn notifiers(receivers: &[(&str, &Counted)]) -> Notifiers {
    crate::tls::choose_provider();
    let notifier = |counted: &Counted| Notifier {
        url: counted.url.clone(),
        shape: Shape::Webhook,
        secret: Some(SECRET.to_owned()),
    };
    let receivers = receivers.iter().map(|(name, counted)| ((*name).to_owned(), notifier(counted)));
    Notifiers::new(&receivers.collect(), || 1_795_699_808).unwrap()
}

fn notice(to: &[&str]) -> Notice {
    let to = to.iter().map(|name| (*name).to_owned()).collect();
    Notice { id: 7, about: About::Started, at: 5, release: 1, weight: 0, to, message: "begins".to_owned() }
}

/// Tells it at each tick, as the loop does, until everybody has taken it.
async fn told(notifiers: &Notifiers, notice: &Notice) {
    let name: Name = "shop/checkout".parse().unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while notifiers.delivered(&name, std::slice::from_ref(notice)).is_empty() {
        assert!(Instant::now() < until, "not delivered");
        notifiers.tell(&name, notice);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn who_has_taken_a_notice_is_not_sent_it_again_while_another_refuses() {
    let (good, bad) =
        (Counted::start(0, StatusCode::OK).await, Counted::start(1, StatusCode::SERVICE_UNAVAILABLE).await);
    let notifiers = notifiers(&[("good", &good), ("bad", &bad)]);
    let notice = notice(&["good", "bad"]);
    told(&notifiers, &notice).await;
    assert_eq!((good.count(), bad.count()), (1, 2));
    // The record may still have it: a step that was not recorded is made again.
    told(&notifiers, &notice).await;
    notifiers.tell(&"shop/checkout".parse().unwrap(), &notice);
    assert_eq!((good.count(), bad.count()), (1, 2));
}

#[tokio::test]
async fn a_redirect_is_a_refusal_and_goes_nowhere() {
    let receiver = Counted::start(1, StatusCode::TEMPORARY_REDIRECT).await;
    told(&notifiers(&[("oncall", &receiver)]), &notice(&["oncall"])).await;
    assert_eq!((receiver.count(), receiver.redirected.load(Ordering::SeqCst)), (2, 0));
}

#[tokio::test]
async fn a_notifier_that_is_gone_keeps_nobody_waiting() {
    told(&notifiers(&[]), &notice(&["gone"])).await;
}

#[test]
fn an_address_or_a_secret_that_is_none_is_told_without_it() {
    for (url, secret, why) in [
        ("geheim", None, "the address of oncall is no URL, as https://hooks.example/.."),
        ("ftp://geheim/", None, "the address of oncall is no URL, as https://hooks.example/.."),
        (
            "http://127.0.0.1/",
            Some("geheim"),
            "the secret of oncall is not whsec_ and the base64 of 24 to 64 bytes",
        ),
    ] {
        let notifier =
            Notifier { url: url.to_owned(), shape: Shape::Webhook, secret: secret.map(str::to_owned) };
        let refused = Notifiers::new(&BTreeMap::from([("oncall".to_owned(), notifier)]), || 0).unwrap_err();
        assert!(refused.starts_with(why) && !refused.contains("geheim"), "{refused}");
    }
}
