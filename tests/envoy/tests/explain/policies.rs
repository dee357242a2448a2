//! Random policies, all of them valid.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use coalmine_core::bucketing::Algorithm;
use coalmine_core::policy::Policy;
use coalmine_envoy_tests::compile;
use coalmine_harness::access_log::written;
use serde_json::{Map, Value, json};

use super::words::{
    CONDITIONS, HOSTS, METHODS, PATHS, ROUTE_HEADERS, SECRETS, TOKEN_COOKIES, TOKEN_HEADERS, USER_COOKIES,
    USER_HEADERS, USER_PARAMETERS, USERS, WILDCARDS,
};
use coalmine_envoy_tests::random::Random;

const HOUR: u64 = 60 * 60;
const ALL: u32 = 1_000_000;

/// A policy: what is written, and what `coalmine-core` makes of it.
pub(crate) struct RandomPolicy {
    /// The document.
    pub(crate) document: Value,
    /// The same, compiled.
    pub(crate) policy: Policy,
}

/// What the rollouts of one policy share.
struct Shared {
    /// Headers of routes. With those of tokens there are at most four.
    routes: Vec<&'static str>,
    token_headers: Vec<&'static str>,
    now: SystemTime,
}

// === impl RandomPolicy ===

impl RandomPolicy {
    /// A policy of this revision, whose ramps are far from a step at this time.
    pub(crate) fn new(random: &mut Random, revision: u64, now: SystemTime) -> Result<Self> {
        let most = 2 + random.below(2);
        let shared = Shared {
            routes: random.some(&ROUTE_HEADERS, most),
            token_headers: random.some(&TOKEN_HEADERS, 4 - most),
            now,
        };
        let (count, mut names) = (1 + random.below(8), Vec::new());
        while names.len() < count {
            let label = random.pick(&["checkout", "cart", "api-v2", "a", "9"]);
            let name = match random.pick(&["", "", "shop/", "team-b/"]) {
                "" => label.to_owned(),
                namespace => format!("{namespace}{label}"),
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let rollouts: Vec<Value> = names.iter().map(|name| rollout(random, name, &shared)).collect();
        let mut document = json!({"rollouts": rollouts, "observe": {"accessLog": true}});
        match random.below(10) {
            0 => {}
            1 => document["revision"] = json!(revision as f64),
            _ => document["revision"] = json!(revision),
        }
        let policy = compile(&document.to_string()).with_context(|| format!("{document:#}"))?;
        Ok(Self { document, policy })
    }
}

fn rollout(random: &mut Random, name: &str, shared: &Shared) -> Value {
    let algorithm = random.below(Algorithm::ALL.len());
    let (word, algorithm) = Algorithm::ALL[algorithm];
    let mut rollout = json!({"name": name});
    if random.chance(8) {
        rollout["enabled"] = json!(false);
    }
    let matching = matching(random);
    if !matching.is_empty() {
        rollout["match"] = matching.into();
    }
    if algorithm != Algorithm::CoalmineV1 || random.chance(50) {
        rollout["algorithm"] = json!(word);
    }
    if algorithm == Algorithm::Siphash24 {
        rollout["key"] = json!(random.hex(32));
    }
    if random.chance(60) {
        let foreign = if algorithm.is_foreign() { "Flag: ä/{x}" } else { "a/b_c.D-9" };
        rollout["salt"] = json!(random.pick(&["checkout-7", "1", foreign]));
    }
    identify(random, &mut rollout);
    let variants = share(random, &mut rollout, algorithm, shared);
    if random.chance(50) {
        let mut pins = Map::new();
        for identity in random.some(&USERS, 6).into_iter().chain(["127.0.0.2"]) {
            let variant = random.pick(&variants);
            if let Some(list) = pins.entry(variant).or_insert_with(|| json!([])).as_array_mut() {
                list.push(json!(identity));
            }
        }
        rollout["pins"] = pins.into();
    }
    if random.chance(50) {
        rollout["override"] = tokens(random, shared);
    }
    if random.chance(10) {
        rollout["response"] = json!({"removeHeaders": ["server", "x-app-version"]});
    }
    rollout
}

fn matching(random: &mut Random) -> Map<String, Value> {
    let mut matching = Map::new();
    if random.chance(75) {
        let hosts = if random.chance(50) { random.some(&HOSTS, 3) } else { random.some(&WILDCARDS, 3) };
        let more = random.some(&[&HOSTS[..], &WILDCARDS].concat(), 2);
        matching.insert("hosts".to_owned(), json!([hosts, more].concat()));
    }
    if random.chance(30) {
        let paths = random.some(&PATHS, 3).into_iter();
        let paths = paths.map(|path| json!({random.pick(&["exact", "prefix", "prefix"]): path}));
        matching.insert("paths".to_owned(), paths.collect());
    }
    if random.chance(20) {
        matching.insert("methods".to_owned(), json!(random.some(&METHODS, 4)));
    }
    if random.chance(30) {
        let headers = (0..1 + random.below(2)).map(|_| condition(random));
        matching.insert("headers".to_owned(), headers.collect());
    }
    matching
}

fn condition(random: &mut Random) -> Value {
    let (name, values) = CONDITIONS[random.below(CONDITIONS.len())];
    let value = random.pick(&values);
    match random.below(5) {
        0 => json!({"name": name, "present": true}),
        1 => json!({"name": name, "present": false}),
        2 => json!({"name": name.to_ascii_uppercase(), "exact": value}),
        3 => json!({"name": name, "exact": value}),
        _ => json!({"name": name, "prefix": value.chars().take(1 + random.below(3)).collect::<String>()}),
    }
}

/// What names the user.
fn identify(random: &mut Random, rollout: &mut Value) {
    let issues = random.chance(35);
    if !issues || random.chance(70) {
        let sources = (0..1 + random.below(3)).map(|_| match random.below(9) {
            0..=3 => json!({"header": random.pick(&USER_HEADERS)}),
            4 | 5 => json!({"cookie": random.pick(&USER_COOKIES)}),
            6 | 7 => json!({"queryParameter": random.pick(&USER_PARAMETERS)}),
            _ => json!({"sourceIp": true}),
        });
        rollout["identity"] = sources.collect();
    }
    if !issues {
        return;
    }
    rollout["onMissingIdentity"] = json!("issueCookie");
    if random.chance(60) {
        rollout["cookie"] = json!({
            "name": random.pick(&["coalmine-id", "shop-id", "sid"]),
            "maxAge": random.pick(&["1s", "12h", "400d"]),
            "path": random.pick(&["/", "/shop"]),
            "sameSite": random.pick(&["Strict", "Lax", "None"]),
        });
        if random.chance(30) {
            rollout["cookie"]["domain"] = json!("shop.example");
        }
    }
}

/// Who gets what, and how the router is told. Returns the variants that a pin may name.
fn share(
    random: &mut Random,
    rollout: &mut Value,
    algorithm: Algorithm,
    shared: &Shared,
) -> Vec<&'static str> {
    let header = random.pick(&shared.routes);
    if random.chance(15) {
        let total = [1, 3, 100, 1_000_000][random.below(4)];
        rollout["route"] = json!({"bucketHeader": {"name": header, "total": total}});
        return vec!["stable", "canary"];
    }
    let step = algorithm.step();
    let listed: Vec<&str> = match random.below(4) {
        0 | 1 => {
            let listed = random.some(&["canary", "baseline", "v-2"], 2);
            let mut left = ALL / step;
            let mut weighted = Vec::new();
            for name in &listed {
                let steps = match random.below(6) {
                    0 => 0,
                    1 => left,
                    _ => random.below(left as usize + 1) as u32,
                };
                left -= steps;
                weighted.push(json!({"name": name, "weight": percent(steps * step)}));
            }
            rollout["variants"] = weighted.into();
            listed
        }
        2 => {
            let listed = random.some(&["canary", "baseline", "v-2"], 3);
            let mut ends: Vec<u32> = (0..random.below(5))
                .map(|_| (1 + random.below((ALL / step) as usize - 1) as u32) * step)
                .collect();
            ends.push(ALL);
            ends.sort_unstable();
            ends.dedup();
            let names = [&listed[..], &["stable"]].concat();
            rollout["ranges"] = ends.into_iter().map(|end| json!([end, random.pick(&names)])).collect();
            rollout["variants"] = listed.iter().map(|name| json!({"name": name})).collect();
            listed
        }
        _ => {
            let led = random.pick(&["canary", "v-2"]);
            let listed = if random.chance(40) { vec![led, "baseline"] } else { vec![led] };
            rollout["ramp"] = ramp(random, shared.now);
            rollout["variants"] = listed.iter().map(|name| json!({"name": name})).collect();
            listed
        }
    };
    let named = [&["stable"], &listed[..]].concat();
    if random.chance(25) {
        let clusters: Map<String, Value> =
            named.iter().map(|name| ((*name).to_owned(), json!(format!("shop-{name}")))).collect();
        rollout["route"] = json!({"clusterHeader": {"name": header, "clusters": clusters}});
    } else if header != ROUTE_HEADERS[0] || random.chance(50) {
        rollout["route"] = json!({"header": header});
    }
    named
}

/// A ramp in whole percents, which every algorithm can tell. Its steps are half an hour away from now, or more.
fn ramp(random: &mut Random, now: SystemTime) -> Value {
    let start = match random.below(3) {
        0 => now + Duration::from_secs(24 * HOUR),
        1 => now - Duration::from_secs(HOUR + HOUR / 2),
        _ => now - Duration::from_secs(30 * 24 * HOUR),
    };
    let mut weights = [1 + random.below(20), 20 + random.below(40), 60 + random.below(41)];
    let goes_down = random.chance(20);
    if goes_down {
        weights.reverse();
    }
    let [first, second, third] = weights;
    let mut ramp = json!({"start": written(start), "steps": [
        {"at": "0s", "weight": first}, {"at": "30m", "weight": second}, {"at": "2h", "weight": third},
    ]});
    if goes_down {
        ramp["allowDown"] = json!(true);
    }
    if random.chance(30) {
        ramp["hold"] = json!(random.chance(70));
        ramp["holdWeight"] = json!(random.below(101));
    }
    ramp
}

fn percent(ppm: u32) -> Value {
    if ppm.is_multiple_of(10_000) { json!(ppm / 10_000) } else { json!(f64::from(ppm) / 10_000.0) }
}

fn tokens(random: &mut Random, shared: &Shared) -> Value {
    let secrets = &SECRETS[..2];
    let secret = if random.chance(50) { json!(random.pick(secrets)) } else { json!(random.some(secrets, 2)) };
    let mut tokens = json!({"secret": secret});
    let ways = 1 + random.below(3);
    if ways & 1 != 0 {
        tokens["header"] = json!(random.pick(&shared.token_headers));
    }
    if ways & 2 != 0 {
        tokens["cookie"] = json!(random.pick(&TOKEN_COOKIES));
    }
    tokens
}
