//! Who has a token, and what they may do, as the Kubernetes API says: TokenReview and SubjectAccessReview.
//!
//! Permissions are those of ordinary Roles, on `canaryrollouts` of `coalmine.dev`: `get`, `update`, `delete`, and verbs of our
//! own, `operate` for all that one may say to a rollout, or each word alone, as `rollback`.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};
use sha2::{Digest, Sha256};

use super::sentence;
use crate::access::{Denial, Pattern, Reviewer, User};

/// What the permissions are for.
const GROUP: &str = "coalmine.dev";
const RESOURCE: &str = "canaryrollouts";
/// How long an answer is kept: a permission that is taken back counts for that long.
const KEPT: Duration = Duration::from_secs(10);
/// The most answers that are kept.
const MOST: usize = 10_000;
/// How long the API may take.
const WITHIN: Duration = Duration::from_secs(4);

/// Reviews by a Kubernetes API.
pub struct Reviews {
    client: Client,
    /// Whom tokens have to be made for; the API itself where none is given.
    audience: Option<String>,
    users: Answers<[u8; 32], Result<User, String>>,
    permissions: Answers<(User, String, Pattern), bool>,
}

/// Answers that are not old.
struct Answers<K, V>(Mutex<HashMap<K, (Instant, V)>>);

// === impl Answers ===

impl<K: Eq + Hash, V: Clone> Answers<K, V> {
    fn new() -> Self {
        Self(Mutex::default())
    }

    fn get(&self, key: &K) -> Option<V> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).filter(|(at, _)| at.elapsed() < KEPT).map(|(_, answer)| answer.clone())
    }

    fn keep(&self, key: K, answer: V) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (at, _)| at.elapsed() < KEPT);
        }
        // Somebody asks very much: the answers are asked for anew.
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, (Instant::now(), answer));
    }
}

// === impl Reviews ===

impl Reviews {
    /// Reviews by this API, of tokens that are made for this audience; for the API itself where none is given.
    pub fn new(client: Client, audience: Option<String>) -> Self {
        Self { client, audience, users: Answers::new(), permissions: Answers::new() }
    }

    async fn create<K>(&self, review: &K) -> Result<K, Denial>
    where
        K: kube::Resource<DynamicType = ()>
            + Clone
            + fmt::Debug
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let api: Api<K> = Api::all(self.client.clone());
        let parameters = PostParams::default();
        let answer = tokio::time::timeout(WITHIN, api.create(&parameters, review)).await;
        let away = |why: String| {
            Denial::Away(format!("the Kubernetes API cannot say who you are: {why}; try again"))
        };
        let answer = answer.map_err(|_| away("it does not answer in time".to_owned()))?;
        answer.map_err(|error| away(sentence(&error)))
    }

    async fn ask(&self, token: &str) -> Result<Result<User, String>, Denial> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: self.audience.clone().map(|audience| vec![audience]),
            },
            ..TokenReview::default()
        };
        let status = self.create(&review).await?.status.unwrap_or_default();
        if status.authenticated != Some(true) {
            let why = status.error.filter(|error| !error.contains(token));
            return Ok(Err(why.unwrap_or_else(|| "the Kubernetes API does not know it".to_owned())));
        }
        // An API that knows nothing of audiences names none.
        if let Some(audience) = &self.audience
            && !status.audiences.is_some_and(|audiences| audiences.contains(audience))
        {
            return Ok(Err(format!("it is not made for the audience {audience}")));
        }
        let user = status.user.unwrap_or_default();
        let Some(name) = user.username.filter(|name| !name.is_empty()) else {
            return Ok(Err("the Kubernetes API does not say whose it is".to_owned()));
        };
        Ok(Ok(User {
            name,
            uid: user.uid.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
            extra: user.extra.unwrap_or_default(),
        }))
    }
}

#[async_trait]
impl Reviewer for Reviews {
    async fn user(&self, token: &str) -> Result<User, Denial> {
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let user = match self.users.get(&key) {
            Some(user) => user,
            None => {
                let user = self.ask(token).await?;
                self.users.keep(key, user.clone());
                user
            }
        };
        user.map_err(|why| Denial::Invalid(format!("this token is refused: {why}")))
    }

    async fn allows(&self, user: &User, word: &str, pattern: &Pattern) -> Result<bool, Denial> {
        let key = (user.clone(), word.to_owned(), pattern.clone());
        if let Some(is_allowed) = self.permissions.get(&key) {
            return Ok(is_allowed);
        }
        // Without a namespace, or without a name, all of them are meant.
        let (namespace, name) = match pattern {
            Pattern::Every => (None, None),
            Pattern::Namespace(namespace) => (Some(namespace.clone()), None),
            Pattern::One(name) => (Some(name.namespace().to_owned()), Some(name.name().to_owned())),
        };
        let attributes = ResourceAttributes {
            group: Some(GROUP.to_owned()),
            resource: Some(RESOURCE.to_owned()),
            verb: Some(word.to_owned()),
            namespace,
            name,
            ..ResourceAttributes::default()
        };
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user.name.clone()),
                uid: Some(user.uid.clone()).filter(|uid| !uid.is_empty()),
                groups: Some(user.groups.clone()),
                extra: Some(user.extra.clone()),
                resource_attributes: Some(attributes),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let status = self.create(&review).await?.status.unwrap_or_default();
        let is_allowed = status.allowed && status.denied != Some(true);
        self.permissions.keep(key, is_allowed);
        Ok(is_allowed)
    }
}

impl fmt::Debug for Reviews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reviews").field("audience", &self.audience).finish_non_exhaustive()
    }
}
