//! The budgets of instructions: `docs/cost.md` has the table. They are what was measured, rounded up: a change that costs
//! more has to say so here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::env;
use std::path::PathBuf;

use coalmine_cost_tests::{Answer, Filter, Module, Request};

/// By coalmine-v1 and the salt `checkout`, at 50 %.
const CANARY: &str = "alice";
const STABLE: &str = "bob";
const HOST: &str = "shop.example";

const BY_HEADER: &str = r#""identity": [{"header": "x-user-id"}]"#;
const BY_COOKIE: &str = r#""identity": [{"cookie": "session"}]"#;

/// What the filter is to need at most.
fn holds(what: &str, answer: &Answer, variant: Option<&str>, budget: u64) {
    let Answer { instructions, host_calls, headers } = answer;
    println!("{what}: {instructions} instructions, {host_calls} calls of the host");
    let header = headers.iter().find(|(name, _)| name == "x-coalmine-variant");
    assert_eq!(header.map(|(_, value)| &**value), variant, "{what}");
    assert!(*instructions <= budget, "{what}: {instructions} instructions; the budget is {budget}");
}

fn module() -> Module {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/filter/coalmine.wasm");
    let path = env::var_os("COALMINE_FILTER").map_or_else(|| PathBuf::from(default), PathBuf::from);
    Module::load(&path).unwrap()
}

/// A rollout of half of the users, with these fields.
fn rollout(name: &str, host: &str, fields: &str) -> String {
    format!(
        r#"{{"name": "{name}", "match": {{"hosts": ["{host}"]}}, {fields},
            "variants": [{{"name": "canary", "weight": 50}}]}}"#
    )
}

fn policy(rollouts: &[String]) -> String {
    format!(r#"{{"revision": 7, "rollouts": [{}]}}"#, rollouts.join(","))
}

fn plain(fields: &str) -> String {
    policy(&[rollout("checkout", HOST, fields)])
}

/// What this request costs once the filter knows its counters: the second time.
fn cost(module: &Module, policy: &str, request: &Request) -> Answer {
    let mut filter = Filter::start(module, policy).unwrap();
    filter.answer(request).unwrap();
    filter.answer(request).unwrap()
}

fn by_header(user: &str) -> Request {
    Request::new(HOST, &[("x-user-id", user)])
}

#[test]
fn a_plain_request_stays_within_its_budget() {
    let module = module();
    let header = plain(BY_HEADER);
    holds("stable by header", &cost(&module, &header, &by_header(STABLE)), None, 3_700);
    holds("canary by header", &cost(&module, &header, &by_header(CANARY)), Some("canary"), 5_900);
    let cookies = |user| Request::new(HOST, &[("cookie", &*format!("theme=dark; session={user}; lang=en"))]);
    let cookie = plain(BY_COOKIE);
    holds("stable by cookie", &cost(&module, &cookie, &cookies(STABLE)), None, 4_650);
    holds("canary by cookie", &cost(&module, &cookie, &cookies(CANARY)), Some("canary"), 5_300);
    let observed = rollout("checkout", HOST, &format!(r#"{BY_HEADER}, "observe": true"#));
    let observed =
        format!(r#"{{"observe": {{"responses": true, "slow": ["250ms", "1s"]}}, "rollouts": [{observed}]}}"#);
    holds("stable, observed", &cost(&module, &observed, &by_header(STABLE)), None, 5_500);
    let other = Request::new("other.example", &[("x-user-id", CANARY)]);
    holds("no match", &cost(&module, &header, &other), None, 3_200);
}

#[test]
fn a_thousand_rollouts_cost_a_request_two_percent_more_at_most() {
    let module = module();
    let one = cost(&module, &plain(BY_HEADER), &by_header(STABLE));
    let mut all: Vec<String> = (1..1_000)
        .map(|index| rollout(&format!("r{index}"), &format!("h{index}.example"), BY_HEADER))
        .collect();
    all.insert(500, rollout("checkout", HOST, BY_HEADER));
    let many = cost(&module, &policy(&all), &by_header(STABLE));
    holds("1,000 rollouts", &many, None, one.instructions * 102 / 100);
}

#[test]
fn ten_thousand_pins_cost_a_request_400_instructions_at_most() {
    let module = module();
    let none = cost(&module, &plain(BY_HEADER), &by_header(STABLE));
    let pinned: Vec<String> = (0..10_000).map(|index| format!("\"pinned-{index}\"")).collect();
    let fields = format!(r#"{BY_HEADER}, "pins": {{"canary": [{}]}}"#, pinned.join(","));
    let many = cost(&module, &plain(&fields), &by_header(STABLE));
    holds("10,000 pins", &many, None, none.instructions + 400);
}
