//! Configurations of Envoy.

use super::{Place, is_policy};
use crate::text::{Tree, Value};

/// How a message of Envoy's says that it configures a plugin.
const WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
/// A message of a type that only the receiver knows; its fields are under `value`.
const TYPED_STRUCT: &str = "TypedStruct";
const STRING_VALUE: &str = "google.protobuf.StringValue";

/// Fields that only a configuration of Envoy has at its top.
const TOP: [&str; 11] = [
    "@type",
    "admin",
    "dynamic_resources",
    "dynamicResources",
    "http_filters",
    "httpFilters",
    "node",
    "resources",
    "static_resources",
    "staticResources",
    "typed_config",
];

/// A plugin that may be Coalmine's filter.
pub(super) struct Plugin<'t> {
    pub(super) configuration: Configuration<'t>,
    /// The way to the configuration.
    pub(super) place: Place,
}

/// What a plugin is given.
pub(super) enum Configuration<'t> {
    /// The text that the filter gets.
    Text(&'t Tree),
    /// What Envoy makes a JSON text of.
    Struct(&'t Tree),
}

/// Whether this document is a configuration of Envoy, or a part of one.
pub(super) fn is_configuration(document: &Tree) -> bool {
    TOP.iter().any(|field| document.get(field).is_some())
}

/// The plugins in this tree, which stands at `at`.
pub(super) fn plugins<'t>(tree: &'t Tree, at: &Place) -> Vec<Plugin<'t>> {
    let mut found = Vec::new();
    collect(tree, at, &mut found);
    found
}

fn collect<'t>(tree: &'t Tree, at: &Place, found: &mut Vec<Plugin<'t>>) {
    let kind = tree.text_at(&["@type"]).unwrap_or_default();
    if kind.ends_with(WASM) {
        found.extend(plugin(tree, at));
        return;
    }
    let inner = either(tree, "type_url", "typeUrl").and_then(|(url, _)| url.text()).unwrap_or_default();
    if kind.ends_with(TYPED_STRUCT) && inner.ends_with(WASM) {
        if let Some(value) = tree.get("value") {
            found.extend(plugin(value, &at.field("value")));
        }
        return;
    }
    for entry in tree.entries() {
        collect(&entry.tree, &at.field(&entry.key), found);
    }
    for (index, item) in tree.items().iter().enumerate() {
        collect(item, &at.item(index), found);
    }
}

/// The plugin of this message, when it is Coalmine's as far as can be told.
fn plugin<'t>(wasm: &'t Tree, at: &Place) -> Option<Plugin<'t>> {
    let config = wasm.get("config")?;
    let configuration = config.get("configuration")?;
    let place = at.field("config").field("configuration");
    let named = ["name", "root_id", "rootId"].iter().filter_map(|field| config.text_at(&[field]));
    let vm = either(config, "vm_config", "vmConfig").map(|(vm, _)| vm);
    let vm_id = vm.and_then(|vm| either(vm, "vm_id", "vmId")?.0.text());
    let code = vm.and_then(|vm| vm.text_at(&["code", "local", "filename"]));
    let is_coalmine = named.chain(vm_id).chain(code).any(|name| name.contains("coalmine"));
    let kind = configuration.text_at(&["@type"]).unwrap_or_default();
    let (configuration, place) = match configuration.get("value") {
        Some(text) if kind.ends_with(STRING_VALUE) => (Configuration::Text(text), place.field("value")),
        // A Struct in the form of an Any, or without one.
        Some(value) if matches!(value.value, Value::Map(_)) => {
            (Configuration::Struct(value), place.field("value"))
        }
        _ => (Configuration::Struct(configuration), place),
    };
    let says_so = match configuration {
        Configuration::Text(text) => text.text().is_some_and(|text| text.contains("\"rollouts\"")),
        Configuration::Struct(tree) => is_policy(tree),
    };
    (is_coalmine || says_so).then_some(Plugin { configuration, place })
}

/// A field by its name in Envoy's YAML, or in its JSON.
fn either<'t>(tree: &'t Tree, snake: &'static str, camel: &'static str) -> Option<(&'t Tree, &'static str)> {
    tree.get(snake).map(|found| (found, snake)).or_else(|| Some((tree.get(camel)?, camel)))
}
