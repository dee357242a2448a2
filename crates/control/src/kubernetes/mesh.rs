//! Whether Istio's routes obey the answer of the filter: a request with the canary's header leads to the canary's pods, and
//! one without to stable's.

use std::collections::BTreeMap;

use coalmine_document::{Node, json};
use coalmine_steer::plan::Mode;
use kube::api::DynamicObject;

use super::watch::Watched;
use super::workloads::{self, Selector, covers};
use crate::rollout::{Operator, Spec};
use crate::routes::{
    Answer, Destination, Reached, Request, Table, VirtualHost, classes, table_of_istio, whole_host,
};

/// The header that carries the answer unless the operator says another one.
const HEADER: &str = "x-coalmine-variant";
const CANARY: &str = "canary";
/// What the whole name of a Service ends in.
const DOMAIN: &str = ".svc.cluster.local";

/// What is kept of a DestinationRule: its host, and the labels of each of its subsets.
#[derive(Debug)]
pub(super) struct Rule {
    host: String,
    subsets: BTreeMap<String, BTreeMap<String, String>>,
}

/// What is known of routes.
pub(super) struct Mesh<'a> {
    pub(super) virtual_services: &'a Watched<Table>,
    pub(super) rules: &'a Watched<Rule>,
    pub(super) services: &'a Watched<Selector>,
}

/// Whether routes obey the header.
enum Obeys {
    /// They do, or it cannot be decided.
    Yes,
    /// They do not lead to the right pods: a sentence.
    Badly(String),
    /// They do not look at it.
    No,
}

/// A rollout before the routes.
pub(super) struct Asked<'a> {
    pub(super) spec: &'a Spec,
    pub(super) operator: &'a Operator,
    pub(super) stable: &'a workloads::Seen,
    pub(super) canary: &'a workloads::Seen,
}

/// The routes of a VirtualService.
pub(super) fn table(service: &DynamicObject) -> Table {
    table_of_istio(&spec_of(service), service.metadata.namespace.as_deref())
}

/// A DestinationRule.
pub(super) fn rule(rule: &DynamicObject) -> Rule {
    let spec = spec_of(rule);
    let host = spec.text_at(&["host"]).unwrap_or_default();
    let labels = |subset: &Node| {
        let labels = subset.get("labels").map_or(&[][..], Node::entries).iter();
        labels.map(|entry| (entry.key.clone(), entry.node.text().unwrap_or_default().to_owned())).collect()
    };
    let subsets = spec.get("subsets").map_or(&[][..], Node::items).iter();
    let subsets = subsets.filter_map(|subset| Some((subset.text_at(&["name"])?.to_owned(), labels(subset))));
    Rule { host: whole_host(host, rule.metadata.namespace.as_deref()), subsets: subsets.collect() }
}

fn spec_of(object: &DynamicObject) -> Node {
    let text = object.data.get("spec").map(ToString::to_string).unwrap_or_default();
    json::read(text.as_bytes()).unwrap_or_else(|_| Node::of_fields([]))
}

// === impl Mesh ===

impl Mesh<'_> {
    /// What is wrong with the routes of a rollout, each as a sentence. Routes that cannot be decided are not complained of.
    pub(super) fn obstacles(&self, asked: &Asked<'_>) -> Vec<String> {
        let Some(header) = asked.header().filter(|_| !self.virtual_services.is_unknown_kind()) else {
            return Vec::new();
        };
        if self.virtual_services.trouble().or_else(|| self.rules.trouble()).is_some() {
            return self.virtual_services.trouble().or_else(|| self.rules.trouble()).into_iter().collect();
        }
        let hosts = asked.spec.policy.descend(&["match", "hosts"]).map_or(&[][..], Node::items);
        // A pattern is of hosts that nobody has named.
        let hosts = hosts.iter().filter_map(Node::text).filter(|host| !host.contains('*'));
        let tables = self.virtual_services.all();
        let mut obstacles = Vec::new();
        for host in hosts {
            let whole = whole(host, self.services);
            let (mut is_routed, mut is_obeyed) = (false, false);
            let mut ignored = Vec::new();
            for (namespace, name, table) in &tables {
                for found in table
                    .hosts
                    .iter()
                    .filter(|it| it.domains.iter().any(|domain| *domain == whole || domain == host))
                {
                    is_routed = true;
                    let said = |why: String| format!("VirtualService {namespace}/{name}: {why}");
                    match self.route(asked, header, &whole, found) {
                        Obeys::Yes => is_obeyed = true,
                        Obeys::Badly(why) => {
                            is_obeyed = true;
                            obstacles.push(said(why));
                        }
                        Obeys::No => ignored.push(said(format!(
                            "no route takes a request to {host} with {header}: {CANARY} to another destination than one \
                             without; add a route for it, before the others"
                        ))),
                    }
                }
            }
            // One at a gateway that obeys is enough: the filter may be nowhere else.
            if !is_obeyed {
                obstacles.append(&mut ignored);
            }
            if !is_routed {
                obstacles.push(format!(
                    "no VirtualService has the host {host}, so nothing leads a request with {header}: {CANARY} to the canary"
                ));
            }
        }
        obstacles.sort();
        obstacles.dedup();
        obstacles
    }

    /// Whether these routes of a host obey the header.
    fn route(&self, asked: &Asked<'_>, header: &str, host: &str, routes: &VirtualHost) -> Obeys {
        let mut is_obeyed = false;
        let random = |what: &str| Obeys::Badly(format!("{what} is split at random; keep one destination"));
        for request in classes(host, routes, &[], &[header]) {
            let without = reached(routes, &request);
            let with = reached(routes, &request.with_header(header, CANARY));
            if with == Reached::Unknown || without == Reached::Unknown {
                return Obeys::Yes;
            }
            if with == without {
                continue;
            }
            is_obeyed = true;
            let wrong = match &with {
                Reached::One(canary) => self.destination(asked.canary, asked.stable, CANARY, canary),
                Reached::Random(_) => return random(&format!("a request with {header}: {CANARY}")),
                Reached::Nowhere | Reached::Reply | Reached::Unknown => None,
            };
            // What is not the canary's is stable's.
            let wrong = wrong.or_else(|| match &without {
                Reached::One(stable) => self.destination(asked.stable, asked.canary, "stable", stable),
                _ => None,
            });
            match wrong {
                Some(wrong) => return Obeys::Badly(wrong),
                None if matches!(without, Reached::Random(_)) => {
                    return random(&format!("a request without {header}"));
                }
                None => {}
            }
        }
        if is_obeyed { Obeys::Yes } else { Obeys::No }
    }

    /// What is wrong with the destination of one variant's requests: it must have the pods of that one, and none of the other.
    fn destination(
        &self,
        own: &workloads::Seen,
        other: &workloads::Seen,
        variant: &str,
        destination: &Destination,
    ) -> Option<String> {
        let shown = match &destination.subset {
            Some(subset) => format!("subset {subset} of {}", destination.host),
            None => destination.host.clone(),
        };
        let service = self.service(&destination.host)?;
        let mut asked = Selector::clone(&service);
        if let Some(subset) = &destination.subset {
            let rules = self.rules.all();
            let mut here = rules.iter().map(|(_, _, rule)| rule).filter(|rule| rule.host == destination.host);
            let labels = here.find_map(|rule| rule.subsets.get(subset));
            let Some(labels) = labels else {
                return Some(format!(
                    "the requests of {variant} go to {shown}, which no DestinationRule has: they would get a 503"
                ));
            };
            asked.extend(labels.clone());
        }
        if !covers(&asked, &own.labels) {
            return Some(format!(
                "the requests of {variant} go to {shown}, which does not have its pods: it selects {}",
                workloads::shown(&asked)
            ));
        }
        covers(&asked, &other.labels).then(|| {
            format!(
                "the requests of {variant} go to {shown}, which has the pods of both versions: it selects {}",
                workloads::shown(&asked)
            )
        })
    }

    /// The selector of the Service of this whole name.
    fn service(&self, host: &str) -> Option<std::sync::Arc<Selector>> {
        let (name, namespace) = host.strip_suffix(DOMAIN).unwrap_or(host).split_once('.')?;
        self.services.get(namespace, name)
    }
}

/// Where a request goes.
fn reached(routes: &VirtualHost, request: &Request) -> Reached {
    let answer = routes.answer(request);
    match answer {
        // In a sidecar, such a request goes where it would go without routes.
        Answer::NotFound => Reached::Reply,
        answer => answer.reached(request),
    }
}

/// The whole name of a host that is a Service, as `checkout.shop`.
fn whole(host: &str, services: &Watched<Selector>) -> String {
    let short = host.strip_suffix(".svc").unwrap_or(host);
    match short.split_once('.') {
        Some((name, namespace)) if services.get(namespace, name).is_some() => format!("{short}{DOMAIN}"),
        _ => host.to_owned(),
    }
}

// === impl Asked ===

impl Asked<'_> {
    /// The header that names the variant; none where the answer comes in another form.
    fn header(&self) -> Option<&str> {
        if self.spec.plan.as_ref().is_some_and(|plan| plan.mode == Mode::Judge) {
            return None;
        }
        match &self.operator.route {
            None => Some(HEADER),
            Some(route) => route.text_at(&["header"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::rollout::read_text;

    const ROLLOUT: &str = "
workloads: {service: checkout, stable: {deployment: stable}, canary: {deployment: canary}}
policy: {match: {hosts: [checkout.shop]}, identity: [{header: x-user}], variants: [{name: canary}]}
plan: {}
";

    fn object(name: &str, spec: Value) -> DynamicObject {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec}))
            .unwrap()
    }

    fn route(value: &str, subset: &str) -> Value {
        json!({
            "match": [{"headers": {HEADER: {"exact": value}}}],
            "route": [{"destination": {"host": "checkout", "subset": subset}}]
        })
    }

    fn otherwise(destinations: Value) -> Value {
        json!({"route": destinations})
    }

    fn stable() -> Value {
        otherwise(json!([{"destination": {"host": "checkout", "subset": "stable"}}]))
    }

    /// What is said of these routes; the subsets are those of both versions.
    fn said(http: &[Value]) -> Vec<String> {
        let service = object("checkout", json!({"hosts": ["checkout"], "http": http}));
        let subset = |name: &str| json!({"name": name, "labels": {"version": name}});
        let both = json!({"name": "both", "labels": {"app": "checkout"}});
        let subsets = json!({"host": "checkout", "subsets": [subset("stable"), subset("canary"), both]});
        let virtual_services = Watched::of([("shop", "checkout", table(&service))]);
        let rules = Watched::of([("shop", "checkout", rule(&object("checkout", subsets)))]);
        let app = Selector::from([("app".to_owned(), "checkout".to_owned())]);
        let services = Watched::of([("shop", "checkout", app.clone())]);
        let spec = Spec::of_name(&"shop/checkout".parse().unwrap(), &read_text(ROLLOUT).unwrap()).unwrap();
        let seen = |version: &str| {
            let mut labels = app.clone();
            labels.insert("version".to_owned(), version.to_owned());
            workloads::Seen { labels, ..workloads::Seen::default() }
        };
        let mesh = Mesh { virtual_services: &virtual_services, rules: &rules, services: &services };
        let (stable, canary) = (seen("stable"), seen("canary"));
        let operator = Operator::default();
        mesh.obstacles(&Asked { spec: &spec, operator: &operator, stable: &stable, canary: &canary })
    }

    #[test]
    fn routes_that_obey_are_fine() {
        assert_eq!(said(&[route("canary", "canary"), stable()]), [""; 0]);
        let delegated = json!({"delegate": {"name": "other"}});
        assert_eq!(said(&[delegated, stable()]), [""; 0], "it cannot be decided");
    }

    #[test]
    fn routes_that_do_not_obey_are_told() {
        let ignored = "VirtualService shop/checkout: no route takes a request to checkout.shop with x-coalmine-variant: \
                       canary to another destination than one without; add a route for it, before the others";
        assert_eq!(said(&[stable()]), [ignored]);
        assert_eq!(said(&[stable(), route("canary", "canary")]), [ignored], "it comes too late");
        assert_eq!(said(&[route("new", "canary"), stable()]), [ignored]);
        let split = json!([
            {"destination": {"host": "checkout", "subset": "stable"}, "weight": 90},
            {"destination": {"host": "checkout", "subset": "canary"}, "weight": 10}
        ]);
        assert_eq!(
            said(&[route("canary", "canary"), otherwise(split)]),
            [
                "VirtualService shop/checkout: a request without x-coalmine-variant is split at random; keep one destination"
            ]
        );
    }

    #[test]
    fn destinations_without_the_right_pods_are_told() {
        let of = "VirtualService shop/checkout: the requests of";
        let (canary, host) = ("canary go to subset", "checkout.shop.svc.cluster.local");
        assert_eq!(
            said(&[route("canary", "new"), stable()]),
            [format!("{of} {canary} new of {host}, which no DestinationRule has: they would get a 503")]
        );
        assert_eq!(
            said(&[route("canary", "both"), stable()]),
            [format!(
                "{of} {canary} both of {host}, which has the pods of both versions: it selects app=checkout"
            )]
        );
        let everywhere = otherwise(json!([{"destination": {"host": "checkout"}}]));
        assert_eq!(
            said(&[route("canary", "canary"), everywhere]),
            [format!(
                "{of} stable go to {host}, which has the pods of both versions: it selects app=checkout"
            )]
        );
    }
}
