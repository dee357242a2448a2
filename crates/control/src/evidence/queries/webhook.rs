//! Counters that a service of the operator tells, by HTTP.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde_json::json;

use super::Arms;
use super::counters::{Answer, Counter, Standing, What};
use crate::config::Credentials;
use crate::evidence::answer;
use crate::evidence::prometheus::authorization;
use crate::post::Poster;

/// The most bytes of an answer.
const MAX_BYTES: usize = 64 << 10;

/// A service that is asked.
pub(super) struct Webhook {
    name: String,
    url: Url,
    headers: HeaderMap,
    poster: Poster,
}

/// What it answers.
#[derive(Deserialize)]
struct Told {
    variants: BTreeMap<String, Counts>,
}

/// Counts of a variant since it began to count.
#[derive(Deserialize)]
struct Counts {
    all: f64,
    bad: f64,
}

// === impl Webhook ===

impl Webhook {
    pub(super) fn new(name: &str, url: &str, token: Option<&str>, within: Duration) -> Result<Self, String> {
        let place = format!("queries.{name}");
        let url: Url = url.parse().map_err(|_| format!("{place}.url is no URL"))?;
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let value = authorization(&Credentials::Bearer(token.to_owned()));
            headers.insert(
                AUTHORIZATION,
                value.ok_or_else(|| format!("{place}.token has a line break or the like"))?,
            );
        }
        let poster = Poster::new(std::iter::once(&url), within)?;
        Ok(Self { name: name.to_owned(), url, headers, poster })
    }

    pub(super) async fn ask(&self, now: u64, arms: Arms<'_>) -> Result<Answer, String> {
        let body = json!({"query": self.name, "rollout": arms.rollout.as_str(), "variants": arms.variants});
        let response = self.poster.send(&self.url, self.headers.clone(), body.to_string()).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("it answers {}", response.status()));
        }
        let told = answer::bytes(response, MAX_BYTES, "answer").await?;
        let told: Told = serde_json::from_slice(&told).map_err(|error| {
            format!("its answer is none, as {{\"variants\": {{\"stable\": {{\"all\": 10, \"bad\": 0}}, ..}}}}: {error}")
        })?;
        let mut answer = Answer::new();
        for (arm, variant) in arms.variants.into_iter().enumerate() {
            let Some(counts) = told.variants.get(variant) else {
                return Err(format!("its answer says nothing of {variant}"));
            };
            for (what, count) in [(What::All, counts.all), (What::Bad, counts.bad)] {
                let counter = Counter { arm, what, series: String::new() };
                answer.insert(counter, Standing::of(now, count)?);
            }
        }
        Ok(answer)
    }
}

/// Without the address, which may hold a secret, and the token.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("name", &self.name).finish_non_exhaustive()
    }
}
