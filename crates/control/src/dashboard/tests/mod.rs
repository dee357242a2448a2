//! The pages in process, on a real store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, header};
use coalmine_steer::{Phase, Stage, What};
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::*;
use crate::access::{May, Token, Tokens};
use crate::api::Counted;
use crate::config::Limits;
use crate::ending::{End, ending};
use crate::fleets::Fleets;
use crate::operations::{self, Asked};
use crate::rollout::{Logged, Name, Operator};
use crate::server::Server;
use crate::store::{Address, Change, Entry, Sql, Store as _};

mod away;
mod forms;
mod pages;
mod signing_in;

const ROLLOUT: &str = "policy:
  identity: [{header: x-user-id}]
  variants: [{name: canary}]
plan: {steps: [5, {weight: 25, approval: true}]}
";
const ADMIN: &str = "admin-0123456789";
const PIPELINE: &str = "pipeline-0123456789";
const READER: &str = "reader-0123456789";
const CHECKOUT: &str = "/rollouts/shop/checkout";

/// A dashboard with three tokens, or with none.
struct World {
    app: App,
    router: Router,
    store: Arc<Sql>,
    clock: Arc<AtomicU64>,
    _end: End,
    _folder: TempDir,
}

/// An answer, read.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

/// A browser: it keeps a cookie, and says where a form comes from.
#[derive(Default)]
struct Browser {
    cookie: Option<String>,
}

impl World {
    async fn new() -> Self {
        let every = || vec!["*".parse().unwrap()];
        let shop = || vec!["shop/*".parse().unwrap()];
        let tokens = vec![
            Token::new("admin", ADMIN, May::Write, every()),
            Token::new("pipeline", PIPELINE, May::Operate, shop()),
            Token::new("reader", READER, May::Read, shop()),
        ];
        Self::of(tokens, |_| {}).await
    }

    async fn of(tokens: Vec<Token>, change: impl FnOnce(&mut App)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Sql::open(Address::File(folder.path().join("coalmine.db"))).await.unwrap());
        let clock = Arc::new(AtomicU64::new(1_000_000));
        let time = clock.clone();
        let time = move || time.load(Ordering::Relaxed);
        let server = Server::new(store.clone(), Operator::default(), Fleets::default(), 15, time);
        let (end, ending) = ending();
        let mut app = App {
            server: Arc::new(server),
            tokens: Tokens::new(tokens),
            table: Arc::default(),
            public_url: None,
            has_tls: false,
            ending,
            counted: Counted::default(),
            limits: Limits::default(),
        };
        change(&mut app);
        let router = router(app.clone(), false);
        let world = Self { app, router, store, clock, _end: end, _folder: folder };
        world.write("shop/checkout", ROLLOUT).await;
        world.write("bank/payments", ROLLOUT).await;
        world
    }

    async fn write(&self, name: &str, text: &str) {
        let asked = Asked { by: "test", expected: None, release: None, dry_run: false, answer: None };
        operations::write(&self.app.server, &name.parse().unwrap(), text, &asked).await.unwrap();
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// Changes a rollout as a tick would, with a line of history.
    async fn makes(&self, name: &Name, change: impl FnOnce(&mut crate::rollout::Record), logged: Logged) {
        let stored = self.store.record(name).await.unwrap().unwrap();
        let mut record = stored.record;
        change(&mut record);
        let history = vec![Entry { number: 0, logged, decision: None }];
        let change = Change { record, expected: stored.version, history, release: None, answer: None };
        self.store.commit(change).await.unwrap();
    }

    async fn phase(&self) -> Phase {
        self.store.record(&checkout()).await.unwrap().unwrap().record.state.said.phase
    }
}

impl Browser {
    fn request(&self, method: Method, path: &str) -> axum::http::request::Builder {
        let builder = Request::builder().method(method).uri(path).header(header::HOST, "127.0.0.1:8470");
        match &self.cookie {
            Some(cookie) => builder.header(header::COOKIE, cookie),
            None => builder,
        }
    }

    fn keep(&mut self, answer: &Answer) {
        if let Some(cookie) = answer.headers.get(header::SET_COOKIE) {
            self.cookie = cookie.to_str().unwrap().split(';').next().map(str::to_owned);
        }
    }

    async fn get(&mut self, world: &World, path: &str) -> Answer {
        let request = self.request(Method::GET, path).body(Body::empty()).unwrap();
        let answer = world.send(request).await;
        self.keep(&answer);
        answer
    }

    /// Sends a form with these fields and these headers, and nothing else.
    async fn post(&mut self, world: &World, path: &str, headers: &[(&str, &str)], fields: &str) -> Answer {
        let mut request = self.request(Method::POST, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = world.send(request.body(Body::from(fields.to_owned())).unwrap()).await;
        self.keep(&answer);
        answer
    }

    /// Loads a page with a form, and sends the form with these fields added, as a browser does.
    async fn fill(&mut self, world: &World, path: &str, fields: &str) -> Answer {
        let page = self.get(world, path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        let hidden = hidden(&page.body);
        let headers = [("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:8470")];
        self.post(world, path, &headers, &format!("{hidden}{fields}")).await
    }

    async fn signed_in(world: &World, token: &str) -> Self {
        let mut browser = Self::default();
        let answer = browser.fill(world, "/sign-in", &format!("token={token}")).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        browser
    }
}

impl Answer {
    fn location(&self) -> &str {
        self.headers[header::LOCATION].to_str().unwrap()
    }
}

fn checkout() -> Name {
    "shop/checkout".parse().unwrap()
}

fn line(why: &str) -> Logged {
    Logged { at: 1_000_010, what: What::Advanced, weight: 50_000, by: None, why: why.to_owned() }
}

/// The hidden fields of the last form on a page: the first may be the one that signs out.
fn hidden(page: &str) -> String {
    let form = page.rsplit("<form").next().unwrap();
    let fields = form.split("<input type=\"hidden\" name=\"").skip(1);
    let field = |part: &str| {
        let (name, rest) = part.split_once("\" value=\"").unwrap();
        let value = rest.split_once('"').unwrap().0;
        format!("{name}={}&", value.replace(' ', "+"))
    };
    fields.map(field).collect()
}
