//! From the canary annotations of ingress-nginx.

use coalmine_core::draw::BUCKETS;

use super::{Arguments, Imported, identity, label, variant};
use crate::failure::Failure;
use crate::found::{Object, Place};
use crate::report;
use crate::text::{Source, Tree};

const PREFIX: &str = "nginx.ingress.kubernetes.io/";

pub(super) fn import(source: &Source, arguments: &Arguments) -> Result<Imported, Failure> {
    let scan = crate::found::Scan::of(Source::new(source.name(), source.text().to_owned()));
    if let Some(finding) = scan.findings.first() {
        let excerpt = report::excerpts(&scan.source, std::slice::from_ref(finding));
        return Err(Failure::Problems(format!("{}: 1 problem\n\n{excerpt}", source.name())));
    }
    let mut imported = Imported::default();
    for object in scan.documents.iter().filter_map(Object::of) {
        let items = object.items(&Place::default()).into_iter().map(|(item, _)| item);
        for object in items.chain([object]).filter(|object| object.kind == "Ingress") {
            canary(&object, arguments, &mut imported);
        }
    }
    Ok(imported)
}

fn canary(object: &Object<'_>, arguments: &Arguments, imported: &mut Imported) {
    let annotation =
        |name: &str| object.tree.path(&["metadata", "annotations", &format!("{PREFIX}{name}")])?.text();
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
            "{name}: the header {header}, by which anybody chooses a side, is not carried over: a forced variant needs a \
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
            "{name}: the cookie {cookie}, by which anybody chooses a side, is not carried over: \"pins\" fix users by name."
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
    let rules = object.tree.path(&["spec", "rules"]).map_or(&[][..], Tree::items);
    let mut hosts: Vec<String> = Vec::new();
    let mut paths: Vec<Tree> = Vec::new();
    let mut whole = false;
    let mut backends: Vec<&str> = Vec::new();
    for rule in rules {
        hosts.extend(rule.text_at(&["host"]).map(str::to_ascii_lowercase));
        for path in rule.path(&["http", "paths"]).map_or(&[][..], Tree::items) {
            backends.extend(path.text_at(&["backend", "service", "name"]));
            let text = path.text_at(&["path"]).unwrap_or("/");
            let kind = if path.text_at(&["pathType"]) == Some("Exact") { "exact" } else { "prefix" };
            whole |= text == "/" && kind == "prefix";
            paths.push(Tree::of_fields([(kind, Tree::of_text(text))]));
        }
    }
    let mut matching = Vec::new();
    if !hosts.is_empty() {
        hosts.dedup();
        matching.push(("hosts", Tree::of_items(hosts.into_iter().map(Tree::of_text))));
    }
    if !whole && !paths.is_empty() {
        imported.note(format!("{name}: a prefix is a plain text here: /shop also matches /shopping; ingress-nginx matches by elements."));
        matching.push(("paths", Tree::of_items(paths)));
    }
    if let Some(backend) = backends.first() {
        imported.note(format!("{name}: send x-coalmine-variant: canary to the service {backend}, everybody else to the one before."));
    }
    let (kind, source) = &arguments.identity;
    imported.note(format!("{name}: ingress-nginx draws each request at random; here {kind} {source} names the user (--identity)."));
    let mut fields = vec![("name", Tree::of_text(name))];
    if !matching.is_empty() {
        fields.push(("match", Tree::of_fields(matching)));
    }
    fields.push(("identity", identity(kind, source)));
    fields.push(("salt", Tree::of_text(format!("{}-1", name.get(..60).unwrap_or(name)))));
    fields.push(("variants", Tree::of_items([variant("canary", ppm)])));
    imported.rollouts.push(Tree::of_fields(fields));
}
