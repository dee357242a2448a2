//! Configurations of Envoy.

use coalmine_document::{Node, OwnedPath, Span, Value};

use super::is_policy;

/// How a message of Envoy's says that it configures a plugin.
const WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
/// A message of a type that only the receiver knows; its fields are under `value`.
const TYPED_STRUCT: &str = "TypedStruct";
const STRING_VALUE: &str = "google.protobuf.StringValue";
/// Envoy takes the text out of this one too; here it is in base64, and not looked into.
const BYTES_VALUE: &str = "google.protobuf.BytesValue";

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
    /// The path to what it is given.
    pub(super) path: OwnedPath,
    /// The field that says what it is given, and the path to it.
    pub(super) field: (Span, OwnedPath),
    /// The names of the environment variables that it is given.
    pub(super) variables: Vec<String>,
}

/// What a plugin is given.
pub(super) enum Configuration<'t> {
    /// The text that the filter gets.
    Text(&'t Node),
    /// A message of another type, which reaches the filter as protobuf, and what it holds.
    Message(&'t Node),
}

/// Whether this document is a configuration of Envoy, or a part of one.
pub(super) fn is_configuration(document: &Node) -> bool {
    TOP.iter().any(|field| document.get(field).is_some())
}

/// The plugins in this node, which stands at `at`.
pub(super) fn plugins<'t>(node: &'t Node, at: &OwnedPath) -> Vec<Plugin<'t>> {
    let mut found = Vec::new();
    collect(node, at, &mut found);
    found
}

fn collect<'t>(node: &'t Node, at: &OwnedPath, found: &mut Vec<Plugin<'t>>) {
    let kind = node.text_at(&["@type"]).unwrap_or_default();
    if kind.ends_with(WASM) {
        found.extend(plugin(node, at));
        return;
    }
    let inner = either(node, "type_url", "typeUrl").and_then(Node::text).unwrap_or_default();
    if kind.ends_with(TYPED_STRUCT) && inner.ends_with(WASM) {
        if let Some(value) = node.get("value") {
            found.extend(plugin(value, &at.field("value")));
        }
        return;
    }
    for entry in node.entries() {
        collect(&entry.node, &at.field(&entry.key), found);
    }
    for (index, item) in node.items().iter().enumerate() {
        collect(item, &at.item(index), found);
    }
}

/// The plugin of this message, when it is Coalmine's as far as its names show.
fn plugin<'t>(wasm: &'t Node, at: &OwnedPath) -> Option<Plugin<'t>> {
    let config = wasm.get("config")?;
    let entry = config.entry("configuration")?;
    let configuration = &entry.node;
    let path = at.field("config").field("configuration");
    let field = (entry.span, path.clone());
    let named = ["name", "root_id", "rootId"].iter().filter_map(|field| config.text_at(&[field]));
    let vm = either(config, "vm_config", "vmConfig");
    let vm_id = vm.and_then(|vm| either(vm, "vm_id", "vmId")?.text());
    let code = vm.and_then(|vm| vm.text_at(&["code", "local", "filename"]));
    let is_coalmine = named.chain(vm_id).chain(code).any(|name| name.contains("coalmine"));
    let kind = configuration.text_at(&["@type"]).unwrap_or_default();
    let is_text = kind.ends_with(STRING_VALUE);
    if kind.ends_with(BYTES_VALUE) || is_text && configuration.get("value").is_none() {
        return None;
    }
    let (configuration, path) = match configuration.get("value") {
        Some(text) if is_text && text.text().is_some() => (Configuration::Text(text), path.field("value")),
        // A Struct in the form of an Any, or without one.
        Some(value) if matches!(value.value, Value::Map(_)) => {
            (Configuration::Message(value), path.field("value"))
        }
        _ => (Configuration::Message(configuration), path),
    };
    let says_so = match configuration {
        Configuration::Text(text) => text.text().is_some_and(|text| text.contains("\"rollouts\"")),
        Configuration::Message(node) => is_policy(node),
    };
    (is_coalmine || says_so).then_some(Plugin {
        configuration,
        path,
        field,
        variables: vm.map(variables).unwrap_or_default(),
    })
}

/// The names of the environment variables of a VM: those of the proxy's own that it gets, and those written here.
fn variables(vm: &Node) -> Vec<String> {
    let Some(given) = either(vm, "environment_variables", "environmentVariables") else {
        return Vec::new();
    };
    let host = either(given, "host_env_keys", "hostEnvKeys").map_or(&[][..], Node::items);
    let own = either(given, "key_values", "keyValues").map_or(&[][..], Node::entries);
    let host = host.iter().filter_map(Node::text).map(str::to_owned);
    host.chain(own.iter().map(|entry| entry.key.clone())).collect()
}

/// A field by its name in Envoy's YAML, or in its JSON.
fn either<'t>(node: &'t Node, snake: &str, camel: &str) -> Option<&'t Node> {
    node.get(snake).or_else(|| node.get(camel))
}
