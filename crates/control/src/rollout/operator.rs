//! What the operator says once for all rollouts of a server, and whether a rollout keeps to it.

use std::collections::{BTreeMap, BTreeSet};

use coalmine_document::{Code, Node, OwnedPath, Problem, Problems};
use coalmine_steer::Plan;
use coalmine_steer::plan::{GuardSource, Mode};

use super::{Name, Spec, hosts};
use crate::fleets::Fleets;

/// The parts of a policy that no rollout may say: they concern all requests of a proxy, or name secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Operator {
    /// The `route` of every rollout that Coalmine steers; none for the usual header.
    pub route: Option<Node>,
    /// The `route` of every rollout that another controller moves, a `bucketHeader`; without it such rollouts are refused.
    pub bucket_route: Option<Node>,
    /// The `override` of every rollout; none where no tokens are taken.
    pub override_: Option<Node>,
    /// Times in milliseconds beyond which a response is slow, ascending, at most four: those that guards may name.
    pub slow: Vec<u64>,
    /// Whether each assignment goes to the access log.
    pub access_log: bool,
    /// By fleet, digest of the filter that its proxies get with the policy: another one is another publication, or those that
    /// have the policy already would not hear of it.
    pub filters: BTreeMap<String, String>,
    /// The fleets whose guards are counted by what versions served, and not by the filter.
    pub served: BTreeSet<String>,
    /// What the names of environment variables begin with that a rollout may read a key from.
    pub environment_prefix: String,
    /// Whether rollouts are objects of a cluster: each namespace may match its own Services, and other hosts where they are
    /// granted.
    pub has_services: bool,
    /// The hosts that each namespace may match, exact or as `*.shop.example`; outside a cluster any where this is empty.
    pub grants: BTreeMap<String, Vec<String>>,
    /// The gates that plans may name.
    pub gates: BTreeSet<String>,
    /// The notifiers that plans may name.
    pub notifiers: BTreeSet<String>,
    /// The queries that guards may name.
    pub queries: BTreeSet<String>,
}

/// The usual beginning of environment variables that hold keys.
const ENVIRONMENT_PREFIX: &str = "COALMINE_";

// === impl Operator ===

impl Default for Operator {
    fn default() -> Self {
        Self {
            route: None,
            bucket_route: None,
            override_: None,
            slow: Vec::new(),
            access_log: false,
            filters: BTreeMap::new(),
            served: BTreeSet::new(),
            environment_prefix: ENVIRONMENT_PREFIX.to_owned(),
            has_services: false,
            grants: BTreeMap::new(),
            gates: BTreeSet::new(),
            notifiers: BTreeSet::new(),
            queries: BTreeSet::new(),
        }
    }
}

impl Operator {
    /// What in this rollout the operator of these fleets does not have or does not grant, each with its place in its document.
    pub fn refuses(&self, fleets: &Fleets, name: &Name, spec: &Spec, document: &Node) -> Problems {
        let mut found = Found { document, problems: Problems::default() };
        match fleets.of_rollout(name) {
            Some(fleet) => self.check_mode(fleet, spec, &mut found),
            None => found.tell(
                OwnedPath::of(&["name"]),
                format!("{name} is of no fleet of this server; the operator says which rollouts are"),
            ),
        }
        self.check_plan(spec, &mut found);
        self.check_hosts(name, spec, &mut found);
        self.check_key(spec, &mut found);
        found.problems
    }

    fn check_plan(&self, spec: &Spec, found: &mut Found<'_>) {
        let Some(plan) = &spec.plan else { return };
        for guard in &plan.guards {
            let path = OwnedPath::of(&["plan", "guards"]).field(&guard.name);
            match &guard.source {
                GuardSource::Errors => {}
                GuardSource::SlowerThan(at) if self.slow.contains(at) => {}
                GuardSource::SlowerThan(at) => {
                    let known = self.slow.iter().map(|known| format!("{known}ms"));
                    let known = listed("it counts", known, "it counts no slow responses");
                    found.tell(
                        path.field("slowerThan"),
                        format!("{at}ms is no threshold of this server; {known}"),
                    );
                }
                GuardSource::Query(query) if self.queries.contains(query) => {}
                GuardSource::Query(query) => {
                    let known = listed("it has", self.queries.iter().cloned(), "it has none");
                    found.tell(path.field("query"), format!("this server has no query {query}; {known}"));
                }
            }
        }
        for (index, step) in plan.steps.iter().enumerate() {
            if let Some(gate) = step.gate.as_ref().filter(|gate| !self.gates.contains(*gate)) {
                let known = listed("it has", self.gates.iter().cloned(), "it has none");
                let path = OwnedPath::of(&["plan", "steps"]).item(index).field("gate");
                found.tell(path, format!("this server has no gate {gate}; {known}"));
            }
        }
        for (index, notifier) in plan.notify.iter().enumerate() {
            if !self.notifiers.contains(notifier) {
                let known = listed("it has", self.notifiers.iter().cloned(), "it has none");
                let path = OwnedPath::of(&["plan", "notify"]).item(index);
                found.tell(path, format!("this server has no notifier {notifier}; {known}"));
            }
        }
    }

    /// Whether the weights may be another controller's.
    fn check_mode(&self, fleet: &str, spec: &Spec, found: &mut Found<'_>) {
        let Some(plan) = spec.plan.as_ref().filter(|plan| plan.mode == Mode::Judge) else { return };
        let mut tell = |message: String| found.tell(OwnedPath::of(&["plan", "mode"]), message);
        if self.bucket_route.is_none() {
            let message = "another controller can only split by a bucket header, and this server names none; the \
                           operator sets policy.bucketRoute";
            tell(message.to_owned());
        }
        let blind = counted_by_the_filter(plan);
        if !blind.is_empty() && !self.served.contains(fleet) {
            let guards = blind.join(", ");
            tell(format!(
                "where another controller splits, the filter does not know who went where, and would never count \
                 anything for {guards}; the operator sets evidence.counters to served, or all guards name a query"
            ));
        }
    }

    fn check_hosts(&self, name: &Name, spec: &Spec, found: &mut Found<'_>) {
        if self.grants.is_empty() && !self.has_services {
            return;
        }
        let namespace = name.namespace();
        let granted = self.grants.get(namespace).map_or(&[][..], Vec::as_slice);
        let path = OwnedPath::of(&["policy", "match", "hosts"]);
        let Some(hosts) = spec.policy.descend(&["match", "hosts"]) else {
            let message = format!("say which hosts: the server grants hosts to the namespace {namespace}");
            return found.tell(OwnedPath::of(&["policy"]), message);
        };
        for (index, host) in hosts.items().iter().enumerate() {
            let host = host.text().unwrap_or_default();
            let is_own = self.has_services && hosts::service(host, namespace).is_some();
            if is_own || granted.iter().any(|grant| hosts::covers(grant, host)) {
                continue;
            }
            let message = if self.has_services && hosts::is_bare(host) {
                format!(
                    "{host} is another Service in each namespace that calls it; write {host}.{namespace}, which stands \
                     for all names that have the namespace"
                )
            } else {
                let services = self.has_services.then(|| format!("its Services, as checkout.{namespace}"));
                let known =
                    listed("it may use", services.into_iter().chain(granted.iter().cloned()), "it has none");
                format!("{host} is not granted to the namespace {namespace}; {known}")
            };
            found.tell(path.item(index), message);
        }
    }

    fn check_key(&self, spec: &Spec, found: &mut Found<'_>) {
        let prefix = &self.environment_prefix;
        if let Some(variable) = spec.policy.text_at(&["key", "env"])
            && !variable.starts_with(prefix.as_str())
        {
            let message = format!("{variable} may not be read; the name must begin with {prefix}");
            found.tell(OwnedPath::of(&["policy", "key", "env"]), message);
        }
    }
}

/// The guards of a plan that are counted by the filter, unless the operator says otherwise.
pub fn counted_by_the_filter(plan: &Plan) -> Vec<&str> {
    let counted = plan.guards.iter().filter(|guard| !matches!(guard.source, GuardSource::Query(_)));
    counted.map(|guard| guard.name.as_str()).collect()
}

fn listed(what: &str, names: impl Iterator<Item = String>, none: &str) -> String {
    let names: Vec<String> = names.collect();
    if names.is_empty() { none.to_owned() } else { format!("{what} {}", names.join(", ")) }
}

struct Found<'d> {
    document: &'d Node,
    problems: Problems,
}

// === impl Found ===

impl Found<'_> {
    fn tell(&mut self, path: OwnedPath, message: String) {
        let span = path.span_in(self.document);
        self.problems.push(Problem { path, span, ..Problem::of_document(Code::Conflict, message) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::read_text;

    const ROLLOUT: &str = "
name: shop/checkout
policy:
  match: {hosts: [checkout.shop.example]}
  identity: [{header: x-user}]
  variants: [{name: canary}]
plan: {}
";

    fn refused(operator: &Operator, text: &str) -> Vec<String> {
        let document = read_text(text).unwrap();
        let name = "shop/checkout".parse().unwrap();
        let spec = Spec::of_name(&name, &document).unwrap();
        operator
            .refuses(&Fleets::default(), &name, &spec, &document)
            .shown()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_usual_rollout_is_fine() {
        assert!(refused(&Operator::default(), ROLLOUT).is_empty());
    }

    #[test]
    fn what_the_operator_does_not_have_is_refused_with_its_place() {
        let plan = "plan: {notify: [oncall], steps: [{weight: 5, gate: smoke}], mode: judge,
            guards: {errors: {}, late: {slowerThan: 250ms}, payments: {query: payments}}}";
        let operator = Operator { slow: vec![1_000], ..Operator::default() };
        assert_eq!(
            refused(&operator, &ROLLOUT.replace("plan: {}", plan)),
            [
                "plan.mode: another controller can only split by a bucket header, and this server names none; the \
                 operator sets policy.bucketRoute",
                "plan.mode: where another controller splits, the filter does not know who went where, and would never \
                 count anything for errors, late; the operator sets evidence.counters to served, or all guards name a \
                 query",
                "plan.guards.late.slowerThan: 250ms is no threshold of this server; it counts 1000ms",
                "plan.guards.payments.query: this server has no query payments; it has none",
                "plan.steps[0].gate: this server has no gate smoke; it has none",
                "plan.notify[0]: this server has no notifier oncall; it has none",
            ]
        );
    }

    #[test]
    fn what_another_controller_splits_is_judged_by_what_counts_there() {
        let judged = |guards: &str| ROLLOUT.replace("plan: {}", &format!("plan: {{mode: judge{guards}}}"));
        let route = Some(Node::of_fields([("bucketHeader", Node::of_text("x-bucket"))]));
        let operator =
            Operator { bucket_route: route, queries: ["payments".to_owned()].into(), ..Operator::default() };
        let refusal = |guards: &str| refused(&operator, &judged(guards)).join("\n");
        assert!(refusal("").contains("for errors; "), "{}", refusal(""));
        assert!(refusal(", guards: {errors: {}, payments: {query: payments}}").contains("for errors; "));
        assert_eq!(refusal(", guards: {payments: {query: payments}}"), "");
        let served = Operator { served: ["default".to_owned()].into(), ..operator.clone() };
        assert!(refused(&served, &judged("")).is_empty());
        let elsewhere = Operator { served: ["edge".to_owned()].into(), ..operator };
        assert!(!refused(&elsewhere, &judged("")).is_empty(), "another fleet's evidence is none here");
    }

    #[test]
    fn a_host_of_another_namespace_is_refused() {
        let grants = [("shop".to_owned(), vec!["*.shop.example".to_owned()])];
        let operator = Operator { grants: grants.into(), ..Operator::default() };
        assert!(refused(&operator, ROLLOUT).is_empty());
        let elsewhere = ROLLOUT.replace("[checkout.shop.example]", "[a.shop.example, checkout.bank.example]");
        assert_eq!(
            refused(&operator, &elsewhere),
            [
                "policy.match.hosts[1]: checkout.bank.example is not granted to the namespace shop; it may use \
              *.shop.example"
            ]
        );
        let anywhere =
            ROLLOUT.replace("match: {hosts: [checkout.shop.example]}", "match: {paths: [{prefix: /}]}");
        assert_eq!(refused(&operator, &anywhere).len(), 1);
    }

    #[test]
    fn in_a_cluster_services_are_their_namespaces_own_and_other_hosts_are_granted() {
        let operator = Operator { has_services: true, ..Operator::default() };
        let with = |hosts: &str| ROLLOUT.replace("[checkout.shop.example]", hosts);
        assert!(refused(&operator, &with("[checkout.shop, cart.shop.svc.cluster.local]")).is_empty());
        assert_eq!(
            refused(&operator, &with("[checkout, checkout.bank, shop.example]")),
            [
                "policy.match.hosts[0]: checkout is another Service in each namespace that calls it; write \
                 checkout.shop, which stands for all names that have the namespace",
                "policy.match.hosts[1]: checkout.bank is not granted to the namespace shop; it may use its Services, as \
                 checkout.shop",
                "policy.match.hosts[2]: shop.example is not granted to the namespace shop; it may use its Services, as \
                 checkout.shop",
            ]
        );
        let grants = [("shop".to_owned(), vec!["shop.example".to_owned()])].into();
        let granted = Operator { grants, ..operator };
        assert!(refused(&granted, &with("[checkout.shop, shop.example]")).is_empty());
    }

    #[test]
    fn a_key_is_read_from_variables_with_the_prefix_only() {
        let keyed =
            ROLLOUT.replace("  variants", "  algorithm: siphash-2-4\n  key: {env: AWS_SECRET}\n  variants");
        assert_eq!(
            refused(&Operator::default(), &keyed),
            ["policy.key.env: AWS_SECRET may not be read; the name must begin with COALMINE_"]
        );
    }
}
