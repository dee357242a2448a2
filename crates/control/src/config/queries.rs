//! The queries of the operator, which guards of a plan may name.

use std::collections::BTreeMap;
use std::fmt;

use coalmine_document::{Cursor, Fields, Known};

use super::evidence::{PrometheusAddress, read_prometheus};
use super::{NAME, Surroundings, check_name, secret};
use crate::evidence::Selector;

const QUERY: Known = Known::new(&["prometheus", "all", "bad", "good", "names", "url", "token"]);
/// The variants that a query is asked of.
const ARMS: &[&str] = &["stable", "baseline", "canary"];

/// The most queries.
const MAX_QUERIES: usize = 100;

/// A query.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Who answers it.
    pub source: QuerySource,
}

/// Who answers a query.
#[derive(Clone, PartialEq)]
pub enum QuerySource {
    /// A Prometheus.
    Prometheus {
        /// Which one.
        address: PrometheusAddress,
        /// Counters of all that is counted.
        all: Selector,
        /// Counters of a part of it.
        part: Part,
    },
    /// A service of the operator.
    Webhook {
        /// Its address, which may hold a secret.
        url: String,
        /// A token to show there.
        token: Option<String>,
    },
}

/// The part of what is counted that says how the arms do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The bad part.
    Bad(Selector),
    /// The good part: all others are bad.
    Good(Selector),
}

/// Without what may be secret.
impl fmt::Debug for QuerySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prometheus { address, all, part } => {
                let mut shown = f.debug_struct("Prometheus");
                shown.field("address", address).field("all", all).field("part", part).finish()
            }
            Self::Webhook { .. } => f.debug_struct("Webhook").finish_non_exhaustive(),
        }
    }
}

/// Queries by their names.
pub(super) fn read(cursor: &Cursor<'_, '_>, surroundings: &Surroundings<'_>) -> BTreeMap<String, Query> {
    let entries = cursor.entries();
    if entries.len() > MAX_QUERIES {
        cursor.too_large(format!("has {} queries, and at most {MAX_QUERIES} are allowed", entries.len()));
    }
    let mut queries = BTreeMap::new();
    for field in entries.into_iter().take(MAX_QUERIES) {
        check_name(&field);
        let expected = "a query, as {prometheus: {url: ..}, all: .., bad: ..} or {url: ..}";
        let fields = field.value.fields_as(&QUERY, expected);
        let source = match (fields.get("prometheus"), fields.get("url")) {
            (Some(_), Some(url)) => {
                url.conflict("\"prometheus\" and \"url\" both say who answers; keep one");
                None
            }
            (Some(prometheus), None) => read_selectors(&fields, &prometheus, surroundings),
            (None, Some(url)) => read_webhook(&fields, &url, surroundings),
            (None, None) => {
                field
                    .value
                    .problem("does not say who answers: a \"prometheus\", or the \"url\" of a service");
                None
            }
        };
        queries.extend(source.map(|source| (field.name.to_owned(), Query { source })));
    }
    queries
}

fn read_selectors(
    fields: &Fields<'_, '_>,
    prometheus: &Cursor<'_, '_>,
    surroundings: &Surroundings<'_>,
) -> Option<QuerySource> {
    if let Some(token) = fields.get_secret("token") {
        token.conflict("is of a service with a \"url\"; one for a Prometheus stands in \"prometheus\"");
    }
    let address = read_prometheus(prometheus, surroundings);
    if !address.labels.is_empty() {
        prometheus.problem("has labels; write them into the selectors");
    }
    let all = fields.required("all", "the counters of all, as payments_total{version=\"$variant\"}");
    let all = all.and_then(|all| read_selector(&all));
    let part = match (fields.get("bad"), fields.get("good")) {
        (Some(_), Some(good)) => {
            good.conflict("\"bad\" and \"good\" both say how many are bad; keep one");
            None
        }
        (Some(bad), None) => read_selector(&bad).map(Part::Bad),
        (None, Some(good)) => read_selector(&good).map(Part::Good),
        (None, None) => {
            fields.whole().problem(
                "does not say what is bad: the counters of the \"bad\" ones, or of the \"good\" ones",
            );
            None
        }
    };
    let names = fields.get("names").map(|names| read_names(&names)).unwrap_or_default();
    let named = |selector: Selector| selector.naming(names.clone());
    let part = part.map(|part| match part {
        Part::Bad(selector) => Part::Bad(named(selector)),
        Part::Good(selector) => Part::Good(named(selector)),
    });
    Some(QuerySource::Prometheus { address, all: named(all?), part: part? })
}

/// What `$variant` stands for, of each variant that the counters call otherwise.
fn read_names(cursor: &Cursor<'_, '_>) -> BTreeMap<String, String> {
    const KNOWN: Known = Known::new(ARMS);
    let fields = cursor.fields_as(&KNOWN, "names of variants, as {stable: primary}");
    let name = |arm: &&'static str| Some(((*arm).to_owned(), fields.get(arm)?.text(&NAME)?.to_owned()));
    ARMS.iter().filter_map(name).collect()
}

fn read_selector(cursor: &Cursor<'_, '_>) -> Option<Selector> {
    match cursor.string()?.parse() {
        Ok(selector) => Some(selector),
        Err(why) => {
            cursor.problem(why.to_string());
            None
        }
    }
}

fn read_webhook(
    fields: &Fields<'_, '_>,
    url: &Cursor<'_, '_>,
    surroundings: &Surroundings<'_>,
) -> Option<QuerySource> {
    for name in ["all", "bad", "good", "names"] {
        if let Some(field) = fields.get(name) {
            field.conflict("is of a Prometheus; a service with a \"url\" answers with its counts");
        }
    }
    let token = fields.get_secret("token").and_then(|field| secret::read_elsewhere(&field, surroundings));
    let url = secret::read(url, surroundings, "its URL, or {env: NAME} where that holds a token")?;
    Some(QuerySource::Webhook { url, token })
}
