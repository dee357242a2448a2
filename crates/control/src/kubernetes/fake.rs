//! An API of Kubernetes in memory, for tests: it keeps objects and their versions, and checks nothing of them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::to_bytes;
use hyper::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

/// When everything in it was made, in seconds since 1970.
pub(crate) const MADE: u64 = 1_000;
/// What is listed.
const KINDS: [&str; 2] = ["/configmaps", "/canaryrollouts"];

/// The API.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fake(Arc<Mutex<Objects>>);

#[derive(Debug, Default)]
struct Objects {
    /// By their paths.
    objects: BTreeMap<String, Value>,
    version: u64,
    /// Which of the next changes gets no answer.
    lost: Option<usize>,
}

/// What the API refuses: the code and the reason.
type Refused = (u16, &'static str);

// === impl Fake ===

impl Fake {
    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        let fake = self.clone();
        let service = service_fn(move |request| {
            let fake = fake.clone();
            async move { Ok::<_, Infallible>(fake.answer(request).await) }
        });
        Client::new(service, "coalmine")
    }

    /// Puts an object there.
    pub(crate) fn put(&self, path: &str, object: Value) {
        let _ = self.0.lock().unwrap().keep(path.to_owned(), object);
    }

    /// The paths of all objects of a kind.
    pub(crate) fn paths(&self, of: &str) -> Vec<String> {
        self.0.lock().unwrap().objects.keys().filter(|path| path.contains(of)).cloned().collect()
    }

    /// Makes the change that comes after so many others, and does not say so.
    pub(crate) fn lose_answer_after(&self, changes: usize) {
        self.0.lock().unwrap().lost = Some(changes);
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (asked, body) = request.into_parts();
        let body = to_bytes(axum::body::Body::new(body), usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let query = asked.uri.query().unwrap_or_default();
        let done = self.0.lock().unwrap().answer(&asked.method, asked.uri.path(), query, body);
        let (code, said) = done.map_or_else(
            |(code, reason)| {
                (code, json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason}))
            },
            |object| (200, object),
        );
        Response::builder().status(code).body(Body::from(said.to_string().into_bytes())).unwrap()
    }
}

// === impl Objects ===

impl Objects {
    fn answer(&mut self, method: &Method, path: &str, query: &str, body: Value) -> Result<Value, Refused> {
        let found = self.objects.get(path).cloned();
        if method == Method::GET && KINDS.iter().any(|kind| path.ends_with(kind)) {
            return Ok(self.list(path, query));
        }
        if method == Method::GET {
            return found.ok_or((404, "NotFound"));
        }
        let wanted = &body["metadata"]["resourceVersion"];
        let is_other = |found: &Value| !wanted.is_null() && *wanted != found["metadata"]["resourceVersion"];
        let done = match (method, found) {
            (&Method::POST, _) => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
                match self.objects.contains_key(&path) {
                    true => return Err((409, "AlreadyExists")),
                    false => self.keep(path, body),
                }
            }
            (_, None) => return Err((404, "NotFound")),
            (&Method::DELETE, Some(_)) => self.objects.remove(path).unwrap(),
            (_, Some(found)) if is_other(&found) => return Err((409, "Conflict")),
            (&Method::PATCH, Some(mut found)) => {
                merge(&mut found, body);
                self.keep(path.to_owned(), found)
            }
            (_, Some(_)) => self.keep(path.to_owned(), body),
        };
        match self.lost.take() {
            Some(0) => Err((504, "Timeout")),
            left => {
                self.lost = left.map(|left| left - 1);
                Ok(done)
            }
        }
    }

    fn keep(&mut self, path: String, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        object["metadata"]["creationTimestamp"] = json!("1970-01-01T00:16:40Z");
        self.objects.insert(path, object.clone());
        object
    }

    fn list(&self, path: &str, query: &str) -> Value {
        let selector = query.split('&').find_map(|part| part.strip_prefix("labelSelector="));
        let selector = selector.unwrap_or_default().replace("%2F", "/").replace("%3D", "=");
        let (label, value) = selector.split_once('=').unwrap_or_default();
        let is_selected =
            |object: &Value| label.is_empty() || object["metadata"]["labels"][label] == json!(value);
        let own = self.objects.iter().filter(|(of, _)| of.starts_with(path)).map(|(_, object)| object);
        let items: Vec<_> = own.filter(|object| is_selected(object)).cloned().collect();
        json!({"metadata": {"resourceVersion": self.version.to_string()}, "items": items})
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (field, value) in from {
                merge(into.entry(field).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
