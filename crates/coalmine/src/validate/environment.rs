//! Environment variables that a policy names: whether the plugin around it gives them to the filter.

use coalmine_document::{Node, OwnedPath, nearest};

use crate::diagnostic::{Code, Diagnostic};
use crate::scan::EmbeddedPolicy;

/// The variables that the policy names and its plugin does not give: the filter would refuse the policy.
pub(super) fn diagnostics(embedded: &EmbeddedPolicy) -> Vec<Diagnostic> {
    let Some(given) = &embedded.variables else { return Vec::new() };
    let field = match embedded.path.last_field() {
        Some("pluginConfig") => "vmConfig.env",
        _ => "vm_config.environment_variables",
    };
    let mut found = Vec::new();
    for (name, path) in named(&embedded.node) {
        let Some(variable) = name.text().filter(|name| !given.iter().any(|given| given == name)) else {
            continue;
        };
        let hint = nearest(variable, given.iter().map(String::as_str));
        let hint = hint.map(|meant| format!("; did you mean {meant:?} there?")).unwrap_or_default();
        let message =
            format!("{field} does not name {variable}, and the filter would refuse the policy{hint}");
        let place = embedded.path.join(&path).to_string();
        found.push(Diagnostic::error(Code::EnvNotGiven, name.span, &place, message));
    }
    found
}

/// Every `env` of a secret, and the path to it in the policy.
fn named(policy: &Node) -> Vec<(&Node, OwnedPath)> {
    let mut found = Vec::new();
    let rollouts = policy.get("rollouts").map_or(&[][..], Node::items);
    for (index, rollout) in rollouts.iter().enumerate() {
        let at = OwnedPath::of(&["rollouts"]).item(index);
        for fields in [&["key"][..], &["override", "secret"]] {
            let Some(secret) = rollout.descend(fields) else { continue };
            let path = at.join(&OwnedPath::of(fields));
            let items = secret.items().iter().enumerate().map(|(place, item)| (item, path.item(place)));
            let all = items.chain([(secret, path.clone())]);
            found.extend(all.filter_map(|(node, path)| Some((node.get("env")?, path.field("env")))));
        }
    }
    found
}
