//! Objects of one kind, as a watch of the Kubernetes API keeps them: what is not needed of them is not kept.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use futures_util::{StreamExt as _, pin_mut};
use kube::api::Api;
use kube::runtime::watcher::{self, watcher};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::sentence;
use crate::ending::Ending;

/// How long a watch that broke is left alone, doubled up to the longest.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_AT_MOST: Duration = Duration::from_secs(30);

/// How many seconds one request of a watch may take. A connection that has broken without a word, as by a firewall or a load
/// balancer, is noticed 5 s after that: until then what is known may be old. The default of the client is 290.
const WATCH_SECONDS: u32 = 60;

/// How everything is watched.
pub(crate) fn watching() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

/// The objects of one kind, by namespace and name.
pub(super) struct Watched<T> {
    /// What they are, as `Deployments`.
    what: &'static str,
    /// The name of the only one that is kept.
    only: Option<String>,
    known: RwLock<Known<T>>,
}

struct Known<T> {
    objects: BTreeMap<Key, Arc<T>>,
    /// Those of a list that is not complete yet.
    listed: BTreeMap<Key, Arc<T>>,
    state: State,
}

type Key = (String, String);

/// Whether what is known is what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was read yet.
    Unread,
    /// It is.
    Current,
    /// The API has no such kind.
    NoKind,
    /// It may be old: why.
    Away(String),
}

// === impl Watched ===

impl<T> Watched<T> {
    pub(super) fn new(what: &'static str) -> Arc<Self> {
        Arc::new(Self::of_kind(what, None))
    }

    /// The one of this name, which needs no permission for others.
    pub(super) fn one(what: &'static str, name: &str) -> Arc<Self> {
        Arc::new(Self::of_kind(what, Some(name.to_owned())))
    }

    fn of_kind(what: &'static str, only: Option<String>) -> Self {
        let known = Known { objects: BTreeMap::new(), listed: BTreeMap::new(), state: State::Unread };
        Self { what, only, known: RwLock::new(known) }
    }

    /// These objects, which nobody watches.
    #[cfg(test)]
    pub(super) fn of<const N: usize>(objects: [(&str, &str, T); N]) -> Arc<Self> {
        let watched = Self::new("objects");
        let keyed =
            objects.map(|(namespace, name, it)| ((namespace.to_owned(), name.to_owned()), Arc::new(it)));
        *watched.known.write().unwrap() =
            Known { objects: keyed.into(), listed: BTreeMap::new(), state: State::Current };
        watched
    }

    /// One object.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        self.known().objects.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// All objects, each with its namespace and its name.
    pub(super) fn all(&self) -> Vec<(String, String, Arc<T>)> {
        let known = self.known();
        let all = known.objects.iter();
        all.map(|((namespace, name), object)| (namespace.clone(), name.clone(), object.clone())).collect()
    }

    /// The objects of one namespace.
    pub(super) fn of_namespace(&self, namespace: &str) -> Vec<Arc<T>> {
        let known = self.known();
        let from = known.objects.range((namespace.to_owned(), String::new())..);
        from.take_while(|((of, _), _)| of == namespace).map(|(_, object)| object.clone()).collect()
    }

    /// Whether the API has no such kind.
    pub(super) fn is_unknown_kind(&self) -> bool {
        self.known().state == State::NoKind
    }

    /// Why what is known may not be what there is, where that is so. A kind that the API does not have has no objects.
    pub(super) fn trouble(&self) -> Option<String> {
        match &self.known().state {
            State::Unread => Some(format!("the {} have not been read yet", self.what)),
            State::Away(why) => Some(format!("the {} cannot be read: {why}", self.what)),
            State::Current | State::NoKind => None,
        }
    }

    /// Follows these objects until the server ends. `take` gives what is kept of one.
    ///
    /// A watch that broke begins anew with a list: only so is it certain when everything is known again.
    pub(super) async fn follow<K>(self: Arc<Self>, api: Api<K>, take: impl Fn(&K) -> T, mut ending: Ending)
    where
        K: Resource + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
    {
        let mut wait = RETRY;
        let every = watching();
        let wanted = match &self.only {
            Some(name) => every.fields(&format!("metadata.name={name}")),
            None => every,
        };
        loop {
            let stream = watcher(api.clone(), wanted.clone());
            pin_mut!(stream);
            loop {
                let event = tokio::select! {
                    event = stream.next() => event,
                    () = ending.comes() => return,
                };
                match event {
                    Some(Ok(event)) => {
                        // That a list is asked for says nothing of an answer.
                        if !matches!(event, watcher::Event::Init) {
                            wait = RETRY;
                        }
                        self.apply(event, &take);
                    }
                    Some(Err(error)) => {
                        self.lose(&error);
                        break;
                    }
                    None => break,
                }
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = ending.comes() => return,
            }
            wait = (wait * 2).min(RETRY_AT_MOST);
        }
    }

    fn apply<K: Resource>(&self, event: watcher::Event<K>, take: impl Fn(&K) -> T) {
        let key = |object: &K| (object.namespace().unwrap_or_default(), object.name_any());
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            watcher::Event::Init => known.listed.clear(),
            watcher::Event::InitApply(object) => {
                known.listed.insert(key(&object), Arc::new(take(&object)));
            }
            watcher::Event::InitDone => {
                known.objects = std::mem::take(&mut known.listed);
                if matches!(known.state, State::Away(_)) {
                    tracing::info!("the {} are read again", self.what);
                }
                known.state = State::Current;
            }
            watcher::Event::Apply(object) => {
                known.objects.insert(key(&object), Arc::new(take(&object)));
            }
            watcher::Event::Delete(object) => {
                known.objects.remove(&key(&object));
            }
        }
    }

    fn lose(&self, error: &watcher::Error) {
        let state = match error {
            watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404 => {
                State::NoKind
            }
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => State::Away(sentence(error)),
            watcher::Error::WatchError(status) => State::Away(status.message.clone()),
            watcher::Error::NoResourceVersion => State::Away("they have no version".to_owned()),
        };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if state == State::NoKind {
            known.objects.clear();
        }
        if known.state != state {
            if let State::Away(why) = &state {
                tracing::warn!("the {} cannot be read: {why}", self.what);
            }
            known.state = state;
        }
    }

    fn known(&self) -> RwLockReadGuard<'_, Known<T>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known();
        f.debug_struct("Watched")
            .field("what", &self.what)
            .field("state", &known.state)
            .field("objects", &known.objects.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Instant;

    use hyper::{Request, Response, StatusCode};
    use k8s_openapi::api::core::v1::Service;
    use kube::Client;
    use kube::client::Body;
    use serde_json::json;
    use tokio::sync::mpsc;
    use tower::service_fn;

    use super::*;
    use crate::ending::ending;

    #[tokio::test]
    async fn a_kind_that_the_api_does_not_have_is_asked_for_ever_less_often() {
        let (asked, mut asks) = mpsc::unbounded_channel();
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
            "message": "the server could not find the requested resource",
        });
        let api = service_fn(move |_: Request<Body>| {
            let _ = asked.send(Instant::now());
            let body = Body::from(status.to_string().into_bytes());
            let answer = Response::builder().status(StatusCode::NOT_FOUND).body(body).unwrap();
            async { Ok::<_, Infallible>(answer) }
        });
        let (_end, ending) = ending();
        let watched: Arc<Watched<()>> = Watched::new("objects");
        let all: Api<Service> = Api::all(Client::new(api, "default"));
        tokio::spawn(watched.clone().follow(all, |_| (), ending));
        let first = asks.recv().await.unwrap();
        let second = asks.recv().await.unwrap();
        let third = asks.recv().await.unwrap();
        assert!(watched.is_unknown_kind());
        assert!(second - first >= RETRY, "{:?}", second - first);
        assert!(third - second >= 2 * RETRY, "{:?}", third - second);
    }
}
