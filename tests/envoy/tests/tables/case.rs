//! Random route tables and policies.

use serde_json::{Value, json};

use coalmine_envoy_tests::random::Random;

pub(super) const HOSTS: [&str; 5] = ["a.example", "b.example", "a.test", "x.a.example", "z.z"];
/// The name of the filter before every table.
pub(super) const FILTER: &str = "coalmine";
/// The header of a response that names the route, as the path to it in the table.
pub(super) const ROUTE: &str = "x-route";

const DOMAINS: [&str; 6] = ["a.example", "*.example", "a.*", "*.a.example", "b.example", "*"];
const CLUSTERS: [&str; 3] = ["stable", "canary", "baseline"];
const PATHS: [&str; 5] = ["/", "/a", "/a/b", "/A", "/ab"];
const PATTERNS: [&str; 5] = ["/a/.*", "/[a-c]+", "/(a|b)/?x?", "/.*", "/\\w{1,3}"];
const WORDS: [&str; 4] = ["eu", "us", "EU", "canary"];
const WORD_PATTERNS: [&str; 3] = ["[a-z]+", "eu|us", "(?i)eu.*"];

/// A table, and a policy of one rollout before it.
pub(super) struct Case {
    pub(super) table: Value,
    pub(super) policy: Value,
    /// Whether the filter runs only where the table says so.
    pub(super) is_disabled: bool,
}

// === impl Case ===

impl Case {
    pub(super) fn of(random: &mut Random) -> Self {
        let (header, route) = match random.below(3) {
            0 => ("x-coalmine-variant", json!({"header": "x-coalmine-variant"})),
            1 => {
                let clusters = json!({"stable": "stable", "canary": "canary", "baseline": "baseline"});
                (
                    "x-coalmine-cluster",
                    json!({"clusterHeader": {"name": "x-coalmine-cluster", "clusters": clusters}}),
                )
            }
            _ => ("x-coalmine-bucket", json!({"bucketHeader": {"name": "x-coalmine-bucket", "total": 100}})),
        };
        let mut rollout = json!({
            "name": "r",
            "identity": [{"header": coalmine_envoy_tests::USER}],
            "route": route,
        });
        if header != "x-coalmine-bucket" {
            rollout["variants"] =
                json!([{"name": "canary", "weight": 30}, {"name": "baseline", "weight": 30}]);
        }
        if random.chance(40) {
            let conditions = [
                json!({"paths": [{"prefix": random.pick(&PATHS)}]}),
                json!({"methods": ["GET"]}),
                json!({"headers": [{"name": "x-region", "present": true}]}),
                json!({"hosts": ["*.example"]}),
            ];
            rollout["match"] = conditions[random.below(4)].clone();
        }
        let policy = json!({"rollouts": [rollout]});
        let mut domains = DOMAINS;
        random.shuffle(&mut domains);
        let count = 1 + random.below(3);
        let hosts: Vec<Value> = (0..count)
            .map(|host| virtual_host(random, host, &domains[2 * host..2 * host + 2], header))
            .collect();
        let mut table = json!({"name": "table", "virtual_hosts": hosts});
        switch(random, 20, &mut table);
        Self { table, policy, is_disabled: random.chance(40) }
    }
}

fn virtual_host(random: &mut Random, host: usize, domains: &[&str], header: &str) -> Value {
    let count = 1 + random.below(6);
    let mut routes: Vec<Value> = (0..count).map(|index| route(random, host, index, header)).collect();
    if let (Some(last), true) = (routes.last_mut(), random.chance(60)) {
        last["match"] = json!({"prefix": "/"});
    }
    let mut virtual_host = json!({"name": format!("h{host}"), "domains": domains, "routes": routes});
    switch(random, 30, &mut virtual_host);
    virtual_host
}

/// Enables or disables the filter here, with this chance in percent.
fn switch(random: &mut Random, chance: usize, place: &mut Value) {
    if random.chance(chance) {
        let kind = "type.googleapis.com/envoy.config.route.v3.FilterConfig";
        let switch = if random.chance(60) {
            json!({"@type": kind, "config": {}})
        } else {
            json!({"@type": kind, "disabled": true})
        };
        place["typed_per_filter_config"] = json!({FILTER: switch});
    }
}

fn route(random: &mut Random, host: usize, index: usize, header: &str) -> Value {
    let place = format!("virtual_hosts[{host}].routes[{index}]");
    let mut route = json!({
        "match": conditions(random, header),
        "response_headers_to_add": [{"header": {"key": ROUTE, "value": place}}],
    });
    let weighted = |random: &mut Random| {
        let clusters = CLUSTERS.iter().map(|name| json!({"name": name, "weight": random.below(4) * 10}));
        let mut clusters: Vec<Value> = clusters.collect();
        clusters[0]["weight"] = json!(10);
        switch(random, 10, &mut clusters[0]);
        random.shuffle(&mut clusters);
        json!({"clusters": clusters})
    };
    match random.below(10) {
        0 => route["direct_response"] = json!({"status": 418}),
        1 | 2 => route["route"] = json!({"weighted_clusters": weighted(random)}),
        3 => route["route"] = json!({"cluster_header": "x-coalmine-cluster"}),
        4 | 5 => {
            let mut clusters = weighted(random);
            clusters["header_name"] = json!(header);
            route["route"] = json!({"weighted_clusters": clusters});
        }
        _ => route["route"] = json!({"cluster": random.pick(&CLUSTERS)}),
    }
    switch(random, 20, &mut route);
    route
}

fn conditions(random: &mut Random, ours: &str) -> Value {
    let mut conditions = match random.below(5) {
        0 => json!({"path": random.pick(&PATHS)}),
        1 => json!({"path_separated_prefix": random.pick(&["/a", "/a/b", "/A"])}),
        2 => json!({"safe_regex": {"regex": random.pick(&PATTERNS)}}),
        _ => json!({"prefix": random.pick(&PATHS)}),
    };
    if random.chance(20) {
        conditions["case_sensitive"] = json!(false);
    }
    let mut headers = Vec::new();
    if random.chance(60) {
        headers.push(on_ours(random, ours));
    }
    for _ in 0..random.below(3) {
        headers.push(on_another(random));
    }
    conditions["headers"] = json!(headers);
    if random.chance(20) {
        let condition = if random.chance(50) {
            json!({"name": "q", "present_match": true})
        } else {
            json!({"name": "q", "string_match": string_match(random, &WORDS)})
        };
        conditions["query_parameters"] = json!([condition]);
    }
    conditions
}

fn on_ours(random: &mut Random, ours: &str) -> Value {
    let mut condition = json!({"name": ours});
    match random.below(4) {
        0 => condition["present_match"] = json!(random.chance(80)),
        1 => {
            condition["string_match"] =
                json!({"safe_regex": {"regex": random.pick(&["[0-9]+", "[a-z]+", "c.*"])}})
        }
        2 => condition["range_match"] = json!({"start": 0, "end": 50}),
        _ => condition["string_match"] = string_match(random, &CLUSTERS),
    }
    inverted(random, condition)
}

fn on_another(random: &mut Random) -> Value {
    match random.below(5) {
        0 => json!({"name": ":method", "string_match": {"exact": random.pick(&["GET", "POST"])}}),
        1 => {
            let condition = json!({"name": ":authority", "string_match": string_match(random, &HOSTS)});
            inverted(random, condition)
        }
        2 => {
            let condition = json!({"name": "x-number", "range_match": {"start": -3, "end": 12}});
            inverted(random, condition)
        }
        3 => {
            let condition = json!({"name": "X-Region", "present_match": random.chance(60)});
            inverted(random, condition)
        }
        _ => {
            let condition = json!({"name": "x-region", "string_match": string_match(random, &WORDS)});
            inverted(random, condition)
        }
    }
}

fn inverted(random: &mut Random, mut condition: Value) -> Value {
    if random.chance(30) {
        condition["invert_match"] = json!(true);
    }
    if random.chance(30) {
        condition["treat_missing_header_as_empty"] = json!(true);
    }
    condition
}

fn string_match(random: &mut Random, words: &[&str]) -> Value {
    let word = random.pick(words);
    let mut condition = match random.below(5) {
        0 => json!({"prefix": &word[..1]}),
        1 => json!({"suffix": &word[1..]}),
        2 => json!({"contains": &word[..1]}),
        3 => return json!({"safe_regex": {"regex": random.pick(&WORD_PATTERNS)}}),
        _ => json!({"exact": word}),
    };
    if random.chance(20) {
        condition["ignore_case"] = json!(true);
    }
    condition
}
