//! From the canary annotations of ingress-nginx.

use coalmine_core::bucketing::BUCKETS;

use super::{Arguments, Imported, identity, label, variant};
use crate::failure::Failure;
use crate::scan::Object;
use coalmine_document::{Node, OwnedPath, SourceText};

const PREFIX: &str = "nginx.ingress.kubernetes.io/";

pub(super) fn import(source: &SourceText, arguments: &Arguments) -> Result<Imported, Failure> {
    let scan = crate::scan::Scan::of(SourceText::new(source.name(), source.text().to_owned()));
    if let Some(diagnostic) = scan.diagnostics.first() {
        let excerpt = crate::diagnostic::excerpts(&scan.source, std::slice::from_ref(diagnostic));
        return Err(Failure::Problems(format!("{}: 1 problem\n\n{excerpt}", source.name())));
    }
    let mut imported = Imported::default();
    for object in scan.documents.iter().filter_map(Object::of) {
        let items = object.items(&OwnedPath::default()).into_iter().map(|(item, _)| item);
        for object in items.chain([object]).filter(|object| object.kind == "Ingress") {
            canary(&object, arguments, &mut imported);
        }
    }
    Ok(imported)
}

fn canary(object: &Object<'_>, arguments: &Arguments, imported: &mut Imported) {
    let annotation =
        |name: &str| object.node.descend(&["metadata", "annotations", &format!("{PREFIX}{name}")])?.text();
    if annotation("canary") != Some("true") {
        return;
    }
    let name = label(object.name(), "canary");
    let number = |name: &str, otherwise: f64| {
        annotation(name).map_or(Some(otherwise), |text| text.trim().parse().ok())
    };
    let (Some(weight), Some(total)) = (number("canary-weight", 0.0), number("canary-weight-total", 100.0))
    else {
        imported.note(format!("{name}: its weight is no number, and was left out: 0."));
        return rollout(object, &name, 0, arguments, imported);
    };
    let ppm = if total > 0.0 {
        (weight / total * f64::from(BUCKETS)).round().clamp(0.0, f64::from(BUCKETS))
    } else {
        0.0
    };
    if let Some(header) = annotation("canary-by-header") {
        imported.note(format!(
            "{name}: the header {header}, by which any client chooses a side, is not carried over: a forced variant needs a \
             signed token (\"override\", `coalmine token`)."
        ));
    }
    if annotation("canary-by-header-pattern").is_some() {
        imported.note(format!(
            "{name}: canary-by-header-pattern is a regular expression, which a policy does not have."
        ));
    }
    if let Some(cookie) = annotation("canary-by-cookie") {
        imported.note(format!(
            "{name}: the cookie {cookie}, by which any client chooses a side, is not carried over: \"pins\" fix users by name."
        ));
    }
    if annotation("affinity").is_some() || annotation("affinity-canary-behavior").is_some() {
        imported.note(format!(
            "{name}: affinity by cookie is not needed: one identity has one variant on every proxy."
        ));
    }
    rollout(object, &name, ppm as u32, arguments, imported);
}

fn rollout(object: &Object<'_>, name: &str, ppm: u32, arguments: &Arguments, imported: &mut Imported) {
    let rules = object.node.descend(&["spec", "rules"]).map_or(&[][..], Node::items);
    let mut hosts: Vec<String> = Vec::new();
    let mut paths: Vec<Node> = Vec::new();
    let mut whole = false;
    let mut backends: Vec<&str> = Vec::new();
    for rule in rules {
        hosts.extend(rule.text_at(&["host"]).map(str::to_ascii_lowercase));
        for path in rule.descend(&["http", "paths"]).map_or(&[][..], Node::items) {
            backends.extend(path.text_at(&["backend", "service", "name"]));
            let text = path.text_at(&["path"]).unwrap_or("/");
            let kind = if path.text_at(&["pathType"]) == Some("Exact") { "exact" } else { "prefix" };
            whole |= text == "/" && kind == "prefix";
            paths.push(Node::of_fields([(kind, Node::of_text(text))]));
        }
    }
    let mut matching = Vec::new();
    if !hosts.is_empty() {
        hosts.dedup();
        matching.push(("hosts", Node::of_items(hosts.into_iter().map(Node::of_text))));
    }
    if !whole && !paths.is_empty() {
        imported.note(format!("{name}: a prefix is a plain text here: /shop also matches /shopping; ingress-nginx matches by elements."));
        matching.push(("paths", Node::of_items(paths)));
    }
    if let Some(backend) = backends.first() {
        imported.note(format!("{name}: send x-coalmine-variant: canary to the service {backend}, all other requests to the one before."));
    }
    let (kind, source) = &arguments.identity;
    imported.note(format!(
        "{name}: ingress-nginx splits requests at random; here {kind} {source} names the user (--identity)."
    ));
    let mut fields = vec![("name", Node::of_text(name))];
    if !matching.is_empty() {
        fields.push(("match", Node::of_fields(matching)));
    }
    fields.push(("identity", identity(kind, source)));
    fields.push(("salt", Node::of_text(format!("{}-1", name.get(..60).unwrap_or(name)))));
    fields.push(("variants", Node::of_items([variant("canary", ppm)])));
    imported.rollouts.push(Node::of_fields(fields));
}
