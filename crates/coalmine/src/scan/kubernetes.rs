//! Resources of Kubernetes and Istio.

use coalmine_document::{Node, OwnedPath};

use super::is_policy;

/// A resource.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object<'t> {
    pub(crate) api_version: &'t str,
    pub(crate) kind: &'t str,
    pub(crate) node: &'t Node,
}

// === impl Object ===

impl<'t> Object<'t> {
    /// The resource that this document is, when it is one.
    pub(crate) fn of(node: &'t Node) -> Option<Self> {
        Some(Self { api_version: node.text_at(&["apiVersion"])?, kind: node.text_at(&["kind"])?, node })
    }

    pub(crate) fn name(&self) -> &'t str {
        self.node.text_at(&["metadata", "name"]).unwrap_or_default()
    }

    /// Its namespace; `None` where the file leaves that to the command that applies it.
    pub(crate) fn namespace(&self) -> Option<&'t str> {
        self.node.text_at(&["metadata", "namespace"])
    }

    pub(crate) fn spec(&self) -> Option<&'t Node> {
        self.node.get("spec")
    }

    /// `WasmPlugin shop/coalmine`
    pub(crate) fn title(&self) -> String {
        match self.namespace() {
            Some(namespace) => format!("{} {namespace}/{}", self.kind, self.name()),
            None => format!("{} {}", self.kind, self.name()),
        }
    }

    /// The resources in a list of them.
    pub(crate) fn items(&self, at: &OwnedPath) -> Vec<(Object<'t>, OwnedPath)> {
        if !self.kind.ends_with("List") {
            return Vec::new();
        }
        let items = self.node.get("items").map_or(&[][..], Node::items);
        let path = at.field("items");
        let object = |(index, item)| Some((Object::of(item)?, path.item(index)));
        items.iter().enumerate().filter_map(object).collect()
    }

    /// Where a plugin has its settings, in a plugin of Istio: the `spec` itself, or `wasm` in it.
    pub(crate) fn plugin(&self) -> Option<(&'t Node, OwnedPath)> {
        match self.kind {
            "WasmPlugin" => Some((self.spec()?, OwnedPath::of(&["spec"]))),
            "TrafficExtension" => Some((self.spec()?.get("wasm")?, OwnedPath::of(&["spec", "wasm"]))),
            _ => None,
        }
    }

    /// Whether this plugin runs Coalmine's filter, as far as its names show: others have a configuration of their own.
    pub(crate) fn is_coalmine(&self) -> bool {
        let Some((plugin, _)) = self.plugin() else { return false };
        let url = plugin.text_at(&["url"]).unwrap_or_default();
        url.contains("coalmine")
            || self.name().contains("coalmine")
            || plugin.get("pluginConfig").is_some_and(is_policy)
    }

    /// The policy that a plugin is given, and its place in the resource.
    pub(crate) fn plugin_config(&self) -> Option<(&'t Node, OwnedPath)> {
        // What kustomize copies into the plugins: for it alone, never sent to a cluster.
        if self.kind == "Policy" && self.api_version.starts_with("coalmine.") {
            return Some((self.spec()?, OwnedPath::of(&["spec"])));
        }
        let (plugin, place) = self.plugin().filter(|_| self.is_coalmine())?;
        Some((plugin.get("pluginConfig")?, place.field("pluginConfig")))
    }

    /// The texts that may hold a policy.
    pub(crate) fn texts(&self) -> Vec<(&'t Node, OwnedPath)> {
        let data = if self.kind == "ConfigMap" { self.node.get("data") } else { None };
        let entries = data.map_or(&[][..], Node::entries);
        entries.iter().map(|entry| (&entry.node, OwnedPath::of(&["data", &entry.key]))).collect()
    }
}
