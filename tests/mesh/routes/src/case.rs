//! A case: a Service, its VirtualService and what is around it, and the rollouts of the policy before it. Each case has
//! names of its own, so that many can be in one mesh at a time.

use coalmine_envoy_tests::USER;
use coalmine_envoy_tests::random::Random;
use serde_json::{Value, json};

use crate::{conditions, filters, rules};

/// The namespace of everything.
pub(crate) const NAMESPACE: &str = "routes";
/// What a Service's name ends in.
const DOMAIN: &str = "svc.cluster.local";
/// The Service whose pods have no versions to choose among.
pub(crate) const OTHER: &str = "other";
/// The headers in which the rollouts answer. A policy may have four; each case takes some.
pub(crate) const HEADERS: [&str; 3] = ["x-coalmine-variant", "x-coalmine-bucket", "x-team-variant"];

/// A case.
pub(crate) struct Case {
    pub(crate) names: Names,
    /// The resources, in the order in which they are applied.
    pub(crate) resources: Vec<Value>,
    /// The rollouts for its hosts alone.
    pub(crate) rollouts: Vec<Value>,
}

/// The names in a case.
#[derive(Clone)]
pub(crate) struct Names {
    /// The name of the Service and of every other resource.
    pub(crate) service: String,
}

// === impl Names ===

impl Names {
    /// The Service's whole name.
    pub(crate) fn whole(&self) -> String {
        whole(&self.service)
    }

    /// The names by which callers know the Service, the whole one last.
    pub(crate) fn of_service(&self) -> [String; 4] {
        let short = format!("{}.{NAMESPACE}", self.service);
        [self.service.clone(), short.clone(), format!("{short}.svc"), self.whole()]
    }

    /// Names outside the cluster.
    pub(crate) fn outside(&self) -> [String; 4] {
        ["", "www.", "a.b."]
            .map(|sub| format!("{sub}{}.example", self.service))
            .into_iter()
            .chain([format!("{}.test", self.service)])
            .collect::<Vec<_>>()
            .try_into()
            .unwrap()
    }
}

/// The whole name of a Service.
pub(crate) fn whole(service: &str) -> String {
    format!("{service}.{NAMESPACE}.{DOMAIN}")
}

// === impl Case ===

impl Case {
    /// The case of this number.
    pub(crate) fn of(number: usize, random: &mut Random) -> Self {
        let names = Names { service: format!("c{number}") };
        let header = *random.pick(&[&HEADERS[0], &HEADERS[0], &HEADERS[1], &HEADERS[2]]);
        let mut rollouts = vec![rollout(&names, "a", header, random)];
        if random.chance(25) {
            let another = *random.pick(&[&HEADERS[0], &HEADERS[2]]);
            rollouts.insert(0, rollout(&names, "b", another, random));
        }
        let mut service = rules::virtual_service(&names, header, random);
        if random.chance(5) {
            rules::spoil(&names, &mut service, random);
        }
        let mut resources = vec![rules::service(&names)];
        resources.extend(rules::destination_rules(&names, random));
        resources.extend(filters::envoy_filter(&names, header, &service, random));
        resources.push(service);
        Self { names, resources, rollouts }
    }

    /// Its resources of this kind.
    pub(crate) fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.resources.iter().filter(move |resource| resource["kind"] == kind)
    }
}

fn rollout(names: &Names, which: &str, header: &str, random: &mut Random) -> Value {
    let route = if header == HEADERS[1] {
        let canary = random.pick(&["first", "last"]);
        json!({"bucketHeader": {"name": header, "total": 100, "canary": canary}})
    } else {
        json!({"header": header})
    };
    let mut hosts: Vec<String> = names.of_service().into();
    hosts.extend(names.outside().into_iter().take(2));
    hosts.push(format!("{}.test", names.service));
    hosts.push(format!("*.{}.example", names.service));
    if random.chance(30) {
        random.shuffle(&mut hosts);
        hosts.truncate(4);
    }
    let mut rollout = json!({
        "name": format!("{}-{which}", names.service),
        "identity": [{"header": USER}],
        "match": {"hosts": hosts},
        "route": route,
    });
    if header != HEADERS[1] {
        let canary = json!({"name": "canary", "weight": 30});
        let baseline = json!({"name": "baseline", "weight": 30});
        rollout["variants"] = if random.chance(70) { json!([canary, baseline]) } else { json!([canary]) };
    }
    // The first of two must leave something to the second.
    if which == "b" || random.chance(30) {
        let (field, condition) = match random.below(3) {
            0 => ("paths", json!([{"prefix": random.pick(&conditions::PATHS)}])),
            1 => ("methods", json!(["GET"])),
            _ => ("headers", json!([{"name": "x-region", "present": true}])),
        };
        rollout["match"][field] = condition;
    }
    if random.chance(4) {
        rollout["enabled"] = json!(false);
    }
    rollout
}
