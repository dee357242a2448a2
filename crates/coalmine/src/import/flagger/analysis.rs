//! The analysis of a Canary: its weights, its metrics, and the cookie that keeps its users.

use coalmine_document::{Node, Span, Value};

use super::{fields, webhooks};
use crate::import::plan::{Draft, Reading, Stage, field, written};
use crate::import::{renamed, shown};

/// Flagger checks once a minute unless it is told, and never more often than every 10 seconds.
const INTERVAL: u64 = 60;
const LEAST_INTERVAL: u64 = 10;
/// How many checks Flagger makes where nothing can split traffic.
const ITERATIONS: u64 = 10;

pub(super) fn read(analysis: &Node, at: &str, spec: &Node, draft: &mut Draft, reading: &mut Reading<'_>) {
    reading.walk(analysis, "", &format!("{at}."), fields::ANALYSIS);
    steps(analysis, at, spec, draft, reading);
    metrics(analysis, at, draft, reading);
    affinity(analysis, at, draft, reading);
    webhooks::read(analysis, at, draft, reading);
}

fn interval(analysis: &Node, at: &str, reading: &mut Reading<'_>) -> u64 {
    let seconds = reading.seconds(analysis, "interval", &format!("{at}.interval")).unwrap_or(INTERVAL);
    if seconds < LEAST_INTERVAL {
        reading.note(format!("{at}.interval: {seconds}s counts as {LEAST_INTERVAL}s, as in Flagger."));
    }
    seconds.max(LEAST_INTERVAL)
}

fn steps(analysis: &Node, at: &str, spec: &Node, draft: &mut Draft, reading: &mut Reading<'_>) {
    let interval = interval(analysis, at, reading);
    let iterations = reading.count(analysis, "iterations", &format!("{at}.iterations")).unwrap_or(0);
    let cannot_split = reading.text(spec, "provider", "provider") == Some("kubernetes");
    let iterations = if iterations == 0 && cannot_split { ITERATIONS } else { iterations };
    if iterations > 0 {
        return by_iterations(analysis, at, iterations * interval, draft, reading);
    }
    if !reading.items(analysis, "match", &format!("{at}.match")).is_empty() {
        reading.note(format!("{at}.match: left out; without iterations Flagger does not look at it either."));
    }
    let percents = weights(analysis, at, reading);
    if percents.is_empty() {
        reading.note(format!("{at} names no weights; the steps are the usual ones."));
        return;
    }
    let before = percents.len();
    draft.stages = percents.into_iter().filter(|stage| stage.weight < 100.0).collect();
    if draft.stages.len() < before {
        reading.note(format!(
            "{at}: 100 % is no step, because nobody is left to compare with; the promotion goes there after the last step."
        ));
    }
    if draft.stages.is_empty() {
        reading.note(format!("{at}: below 100 % it has no weight; the steps are the usual ones."));
        return;
    }
    draft.dwell = Some(interval);
    reading.note(format!(
        "{at}.interval: each step takes {} at least, as in Flagger, and needs 500 requests of the canary (\"minRequests\").",
        written(interval)
    ));
}

/// A/B tests and blue/green releases: a number of checks, and no weights.
fn by_iterations(analysis: &Node, at: &str, seconds: u64, draft: &mut Draft, reading: &mut Reading<'_>) {
    let time = written(seconds);
    for weight in ["maxWeight", "stepWeight", "stepWeights"] {
        if field(analysis, weight).is_some_and(|node| !matches!(node.value, Value::Number(0.0))) {
            reading.note(format!(
                "{at}.{weight}: left out; with iterations Flagger does not look at it either."
            ));
        }
    }
    if reading.items(analysis, "match", &format!("{at}.match")).is_empty() {
        draft.stages = Stage::usual();
        draft.stages.insert(0, Stage { dwell: Some(seconds), ..Stage::of(0.0, Span::default()) });
        return reading.note(format!(
            "{at}.iterations: this is blue/green, where Flagger moves all users at once after {time} of checks. Here the \
             canary has testers alone for {time} (a step of weight 0), and then users by the usual steps."
        ));
    }
    draft.dwell = Some(seconds);
    reading.note(format!(
        "{at}.match: this is an A/B test, where clients choose their version by a header or a cookie. Here nobody can \
         choose: users are drawn, by the usual steps, and testers get the canary by a signed token (`coalmine token`)."
    ));
    reading.note(format!(
        "{at}.iterations: each step takes {time} at least, as the whole test does in Flagger."
    ));
}

/// The weights that the canary gets, as Flagger computes them.
fn weights(analysis: &Node, at: &str, reading: &mut Reading<'_>) -> Vec<Stage> {
    let place = |name: &str| format!("{at}.{name}");
    let step = reading.whole(analysis, "stepWeight", &place("stepWeight"), 0..=100).unwrap_or(0);
    let most = reading.whole(analysis, "maxWeight", &place("maxWeight"), 0..=100).filter(|most| *most > 0);
    let mut listed = Vec::new();
    for item in reading.items(analysis, "stepWeights", &place("stepWeights")) {
        match item.value {
            Value::Number(percent) if (0.0..=100.0).contains(&percent) && percent.fract() == 0.0 => {
                listed.push(Stage::of(percent, item.span));
            }
            _ => reading.problem(item.span, &place("stepWeights"), "must be a whole number from 0 to 100"),
        }
    }
    let last = listed.last().map(|stage| stage.weight as u64);
    if last.is_some() && most.is_some() {
        reading.note(format!("{at}.maxWeight: left out; with stepWeights Flagger ends at the last of them."));
    }
    if step == 0 {
        return listed;
    }
    if last.is_some() {
        reading.note(format!(
            "{at}.stepWeights: Flagger takes stepWeight, and of the list its last weight alone."
        ));
    }
    let most = last.or(most).unwrap_or(100);
    let span = field(analysis, "stepWeight").map_or(analysis.span, |node| node.span);
    // The first weight that reaches the most is the last.
    let count = most.div_ceil(step).max(1);
    (1..=count).map(|number| Stage::of((step * number).min(100) as f64, span)).collect()
}

fn metrics(analysis: &Node, at: &str, draft: &mut Draft, reading: &mut Reading<'_>) {
    let place = format!("{at}.metrics");
    for metric in reading.items(analysis, "metrics", &place) {
        let name = reading.text(metric, "name", &format!("{place}.name")).unwrap_or_default();
        let bound = reading.number(metric, "threshold", &format!("{place}.threshold"));
        let least = reading.number(metric, "thresholdRange.min", &format!("{place}.thresholdRange.min"));
        let most = reading.number(metric, "thresholdRange.max", &format!("{place}.thresholdRange.max"));
        let is_custom = field(metric, "templateRef").is_some() || field(metric, "query").is_some();
        match name {
            "request-success-rate" if !is_custom => {
                let least = least.or(bound).map(|least| format!("at least {least} % in Flagger; "));
                draft.guards.errors();
                reading.note(format!(
                    "metric request-success-rate: {}here it is the guard errors, which compares the canary's errors with \
                     stable's. Its margins are the usual ones (\"worseThan\", \"safeWithin\").",
                    least.unwrap_or_default()
                ));
            }
            "request-duration" if !is_custom => match most.or(bound) {
                Some(milliseconds) => duration(milliseconds, metric, draft, reading),
                None => {
                    reading.note("metric request-duration: left out, because it has no thresholdRange.max.")
                }
            },
            _ => custom(name, metric, [bound, least, most], draft, reading),
        }
    }
}

/// Flagger looks at the time that 99 % of the requests stay below.
fn duration(milliseconds: f64, metric: &Node, draft: &mut Draft, reading: &mut Reading<'_>) {
    let range = field(metric, "thresholdRange.max").or_else(|| field(metric, "threshold"));
    draft.guards.slower(milliseconds, range.map_or(metric.span, |node| node.span));
    reading.note(format!(
        "metric request-duration: in Flagger 99 % of the requests take {milliseconds}ms at most. Here it is the guard \
         latency: the share of requests that are slower, beside stable's. {milliseconds}ms has to be among the operator's \
         thresholds."
    ));
}

fn custom(name: &str, metric: &Node, bounds: [Option<f64>; 3], draft: &mut Draft, reading: &mut Reading<'_>) {
    let (_, words) = renamed(name, "query");
    let query = draft.guards.query(name);
    let source = match field(metric, "templateRef.name").and_then(Node::text) {
        Some(template) => format!("the MetricTemplate {}", shown(template)),
        None if field(metric, "query").is_some() => "its query".to_owned(),
        None => "a metric that Flagger builds in for other meshes".to_owned(),
    };
    let bounds: Vec<String> = ["threshold", "min", "max"]
        .iter()
        .zip(bounds)
        .filter_map(|(name, bound)| bound.map(|bound| format!("{name} {bound}")))
        .collect();
    let bounds = if bounds.is_empty() { String::new() } else { format!(" ({})", bounds.join(", ")) };
    reading.note(format!(
        "metric {words}: it is a guard on the query {query}, which the operator defines: bad requests and all, by variant. \
         What was {source}{bounds} is one number, and is not carried over."
    ));
}

/// Flagger's cookie keeps users of the canary there. Coalmine's names a user, whatever the version.
fn affinity(analysis: &Node, at: &str, draft: &mut Draft, reading: &mut Reading<'_>) {
    let Some(affinity) = field(analysis, "sessionAffinity") else { return };
    let place = |name: &str| format!("{at}.sessionAffinity.{name}");
    let mut cookie = Vec::new();
    if let Some(seconds) = reading.count(affinity, "maxAge", &place("maxAge")) {
        let span = field(affinity, "maxAge").map_or(affinity.span, |node| node.span);
        cookie.push(("maxAge", Node { span, ..Node::of_text(written(seconds)) }));
    }
    for name in ["path", "domain", "sameSite"] {
        if reading.text(affinity, name, &place(name)).is_some()
            && let Some(node) = field(affinity, name)
        {
            cookie.push((name, node.clone()));
        }
    }
    let _ = reading.is_true(affinity, "httpOnly", &place("httpOnly"));
    if !reading.is_true(affinity, "secure", &place("secure")) {
        reading.note(format!(
            "{}: the issued cookie is secure; write secure: false where the site has no HTTPS.",
            place("secure")
        ));
    }
    reading.note(format!(
        "{at}.sessionAffinity: every user is sticky here, on stable too. A user whom nothing else names is issued a cookie, \
         which is always HttpOnly."
    ));
    let node = if cookie.is_empty() { vec![("name", Node::of_text("coalmine-id"))] } else { cookie };
    draft.cookie = Some(Node::of_fields(node));
}
