//! The requests that the conditions of a table can tell apart: one of each kind, as far as that can be had.

use std::collections::{BTreeMap, BTreeSet};

use super::request::PATH;
use super::{Condition, Request, Subject, Truth, VirtualHost};

/// Up to so many requests, every combination is tried.
const MAX_PRODUCT: usize = 2_000;
/// From this many on, no further two sets of conditions are put together.
const MAX_REQUESTS: usize = 6_000;

/// The methods that Envoy takes, but for CONNECT, whose requests have no path.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"];
/// Methods that stand for those that no condition names.
const OTHER_METHODS: [&str; 2] = ["POST", "DELETE"];

/// Requests to `host` on which routes or `more`, further sets of conditions, can differ. The header that carries the
/// answer of the filter is not varied.
pub fn classes(host: &str, routes: &VirtualHost, more: &[Vec<Condition>], ours: &[&str]) -> Vec<Request> {
    let is_ours =
        |subject: &Subject| matches!(subject, Subject::Header(name) if ours.contains(&name.as_str()));
    let alternatives = routes.routes.iter().flat_map(|route| &route.alternatives);
    let sets: Vec<&[Condition]> =
        alternatives.map(|set| set.conditions.as_slice()).chain(more.iter().map(Vec::as_slice)).collect();
    let mut values: BTreeMap<&Subject, BTreeSet<Option<String>>> = BTreeMap::new();
    for condition in
        sets.iter().copied().flatten().filter(|it| it.subject != Subject::Host && !is_ours(&it.subject))
    {
        let known = values.entry(&condition.subject).or_default();
        let given =
            condition.test.values().into_iter().filter(|value| is_possible(&condition.subject, value));
        known.extend(given.map(Some));
    }
    let base = base(host, routes);
    for (subject, known) in &mut values {
        known.insert(base.get(subject).map(str::to_owned));
        if **subject == Subject::Header(":method".to_owned()) {
            known.extend(OTHER_METHODS.iter().map(|method| Some((*method).to_owned())));
        }
        if **subject == Subject::Around("gateway".to_owned()) {
            known.retain(|value| value.as_ref().is_some_and(|value| routes.gateways.contains(value)));
            known.extend(routes.gateways.iter().cloned().map(Some));
        }
    }
    let product = values.values().try_fold(1_usize, |product, known| product.checked_mul(known.len()));
    if product.is_some_and(|product| product <= MAX_PRODUCT) {
        let mut requests = vec![base];
        for (subject, known) in values {
            let each = |request: &Request| -> Vec<Request> {
                known.iter().map(|value| request.with(subject, value.as_deref())).collect()
            };
            requests = requests.iter().flat_map(each).collect();
        }
        return requests;
    }
    // Too many: what meets each set of conditions, alone and with those of `more`; then each two of them.
    let none: &[Condition] = &[];
    let alone = sets.iter().map(|&set| (set, none));
    let with_more = more.iter().flat_map(|more| {
        let more = more.as_slice();
        sets.iter().flat_map(move |&set| [(set, more), (more, set)])
    });
    let mut requests = BTreeSet::from([base.clone()]);
    for (first, second) in alone.chain(with_more) {
        meet(&base, first, second, &is_ours, &mut requests);
    }
    let two = sets.iter().flat_map(|&first| sets.iter().map(move |&second| (first, second)));
    for (first, second) in two {
        if requests.len() >= MAX_REQUESTS {
            break;
        }
        meet(&base, first, second, &is_ours, &mut requests);
    }
    requests.into_iter().collect()
}

/// Adds requests that meet the conditions one after another, as far as they go together.
fn meet(
    base: &Request,
    first: &[Condition],
    second: &[Condition],
    is_ours: &impl Fn(&Subject) -> bool,
    requests: &mut BTreeSet<Request>,
) {
    let mut request = base.clone();
    for condition in first.iter().chain(second) {
        if condition.subject == Subject::Host || is_ours(&condition.subject) {
            continue;
        }
        for value in condition.test.values().iter().filter(|value| is_possible(&condition.subject, value)) {
            request = request.with(&condition.subject, Some(value));
            if condition.holds(&request) == Truth::Yes {
                break;
            }
        }
        requests.insert(request.clone());
    }
}

/// The plainest request to this host.
fn base(host: &str, routes: &VirtualHost) -> Request {
    let gateway = routes.gateways.first().map(String::as_str);
    Request::to(host).with(&Subject::Around("gateway".to_owned()), gateway)
}

/// Whether a client can send this.
fn is_possible(subject: &Subject, value: &str) -> bool {
    let is_text = |value: &str| value.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
    match subject {
        Subject::Path => value.starts_with('/') && is_text(value) && !value.contains(['?', '#', '%']),
        Subject::Query(_) => is_text(value) && !value.contains(['&', '#', '%', '=', '+']),
        Subject::Header(name) if name == ":method" => METHODS.contains(&value),
        Subject::Header(name) if name == ":scheme" => ["http", "https"].contains(&value),
        Subject::Header(_) => {
            value.trim() == value && value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        }
        Subject::Host | Subject::Around(_) => true,
    }
}

/// The path that stands for all others.
pub const OTHER_PATH: &str = PATH;
