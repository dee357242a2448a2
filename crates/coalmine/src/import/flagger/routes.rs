//! Which requests a Canary is about: its hosts, and what of its matches a policy can say.

use coalmine_document::Node;

use crate::import::plan::{Reading, add_hosts, field, of_service};
use crate::import::shown;

/// The conditions of a rollout: hosts first.
pub(super) fn matching(
    spec: &Node,
    service: Option<&str>,
    namespace: Option<&str>,
    reading: &mut Reading<'_>,
) -> Vec<(&'static str, Node)> {
    let mut matching = Vec::new();
    let hosts = hosts(spec, service, namespace, reading);
    if !hosts.is_empty() {
        matching.push(("hosts", Node::of_items(hosts)));
    }
    let alternatives = reading.items(spec, "service.match", "service.match");
    match conditions(alternatives) {
        Some(conditions) => matching.extend(conditions),
        None => reading.note(
            "service.match: a policy has exact paths and prefixes, methods, and values of headers, all of which hold at \
             once; the rollout takes every request of its hosts instead. Narrow it by hand.",
        ),
    }
    matching
}

fn hosts(
    spec: &Node,
    service: Option<&str>,
    namespace: Option<&str>,
    reading: &mut Reading<'_>,
) -> Vec<Node> {
    let mut hosts = Vec::new();
    let mut written = Vec::new();
    for host in reading.items(spec, "service.hosts", "service.hosts") {
        match host.text() {
            Some(text) => written.push((text, host.span)),
            None => reading.problem(host.span, "service.hosts", "must be a string"),
        }
    }
    if !add_hosts(reading, &mut hosts, written) {
        return hosts;
    }
    let Some(service) = service else { return hosts };
    let span = field(spec, "service.name")
        .or_else(|| field(spec, "targetRef.name"))
        .map(|name| name.span)
        .unwrap_or_default();
    let names = of_service(service, namespace);
    let _ = add_hosts(reading, &mut hosts, names.iter().map(|name| (name.as_str(), span)));
    reading.note(format!(
        "the hosts have the Service {0}, as Flagger's routes do. The host {0} alone means it only to callers in its \
         namespace: take it out where another namespace has such a Service.",
        shown(service)
    ));
    hosts
}

/// Matches of Istio as conditions of a policy; `None` where they say more than a policy can.
fn conditions(alternatives: &[Node]) -> Option<Vec<(&'static str, Node)>> {
    let mut conditions = Vec::new();
    let (mut paths, mut others) = (Vec::new(), Vec::new());
    for alternative in alternatives {
        for entry in alternative.entries() {
            match entry.key.as_str() {
                // It names the match, for people.
                "name" => {}
                "uri" => paths.push(path(&entry.node)?),
                _ => others.push(entry),
            }
        }
    }
    if alternatives.len() > 1 && !others.is_empty() || !paths.is_empty() && paths.len() < alternatives.len() {
        return None;
    }
    let whole = |path: &Node| path.text_at(&["prefix"]) == Some("/");
    if !paths.is_empty() && !paths.iter().any(whole) {
        conditions.push(("paths", Node::of_items(paths)));
    }
    for entry in others {
        match entry.key.as_str() {
            "method" => conditions.push(("methods", Node::of_items([only(&entry.node, "exact")?.clone()]))),
            "headers" => {
                let headers: Option<Vec<Node>> =
                    entry.node.entries().iter().map(|it| header(&it.key, &it.node)).collect();
                conditions.push(("headers", Node::of_items(headers?)));
            }
            _ => return None,
        }
    }
    Some(conditions)
}

fn path(uri: &Node) -> Option<Node> {
    let of = |kind| only(uri, kind).map(|text| Node::of_fields([(kind, text.clone())]));
    of("exact").or_else(|| of("prefix"))
}

fn header(name: &str, condition: &Node) -> Option<Node> {
    let name = ("name", Node::of_text(name.to_ascii_lowercase()));
    let of = |kind| only(condition, kind).map(|text| Node::of_fields([name.clone(), (kind, text.clone())]));
    of("exact").or_else(|| of("prefix"))
}

/// The text of the only field of this map, when it has this name.
fn only<'n>(map: &'n Node, kind: &str) -> Option<&'n Node> {
    let [entry] = map.entries() else { return None };
    (entry.key == kind && entry.node.text().is_some()).then_some(&entry.node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use coalmine_document::{Notation, write};

    #[test]
    fn matches_of_istio_become_conditions_or_nothing() {
        for (text, expected) in [
            ("[]", Some("")),
            ("[{uri: {prefix: /}}]", Some("")),
            (
                "[{name: a, uri: {prefix: /api}}, {uri: {exact: /b}}]",
                Some("paths:\n- {prefix: /api}\n- {exact: /b}"),
            ),
            ("[{method: {exact: GET}}]", Some("methods: [GET]")),
            ("[{headers: {X-A: {exact: b}}}]", Some("headers:\n- {name: x-a, exact: b}")),
            ("[{uri: {regex: /a.*}}]", None),
            ("[{uri: {prefix: /a}}, {method: {exact: GET}}]", None),
            ("[{uri: {prefix: /a}}, {}]", None),
            ("[{queryParams: {a: {exact: b}}}]", None),
            ("[{headers: {a: {regex: b}}}]", None),
        ] {
            let alternatives = Notation::Yaml.read(text).unwrap().remove(0);
            let found = conditions(alternatives.items()).map(|it| write::block(&Node::of_fields(it), 0));
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}
