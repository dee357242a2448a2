//! Resources of Kubernetes and Istio.

use coalmine_document::{Node, OwnedPath, Span};

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

    /// Its name in the text.
    pub(crate) fn name_span(&self) -> Span {
        self.node.descend(&["metadata", "name"]).map_or_else(|| self.node.head(), |name| name.span)
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
        if self.group() != "extensions.istio.io" {
            return None;
        }
        match self.kind {
            "WasmPlugin" => Some((self.spec()?, OwnedPath::of(&["spec"]))),
            "TrafficExtension" => Some((self.spec()?.get("wasm")?, OwnedPath::of(&["spec", "wasm"]))),
            _ => None,
        }
    }

    /// The settings of a plugin of Higress, which makes one of Istio of it.
    pub(crate) fn higress_plugin(&self) -> Option<&'t Node> {
        let is_higress = self.group() == "extensions.higress.io" && self.kind == "WasmPlugin";
        self.spec().filter(|_| is_higress)
    }

    /// The plugins in a policy of Envoy Gateway that run Coalmine's filter, and their places.
    pub(crate) fn gateway_plugins(&self) -> Vec<(&'t Node, OwnedPath)> {
        if self.group() != "gateway.envoyproxy.io" || self.kind != "EnvoyExtensionPolicy" {
            return Vec::new();
        }
        let plugins = self.spec().and_then(|spec| spec.get("wasm")).map_or(&[][..], Node::items);
        let place = OwnedPath::of(&["spec", "wasm"]);
        let found = plugins.iter().enumerate().filter(|(_, plugin)| {
            let names =
                [&["name"][..], &["rootID"], &["code", "image", "url"], &["code", "http", "url"]].into_iter();
            let is_named = |name: &str| name.contains("coalmine");
            names.filter_map(|name| plugin.text_at(name)).any(is_named)
                || plugins.len() == 1 && is_named(self.name())
                || plugin.get("config").is_some_and(is_policy)
        });
        found.map(|(index, plugin)| (plugin, place.item(index))).collect()
    }

    /// Whether this plugin of Istio or Higress runs Coalmine's filter, as far as its names show: others have a
    /// configuration of their own.
    pub(crate) fn is_coalmine(&self) -> bool {
        let istio = self.plugin().map(|(plugin, _)| plugin);
        let Some(plugin) = istio.or_else(|| self.higress_plugin()) else { return false };
        let url = plugin.text_at(&["url"]).unwrap_or_default();
        let configs = plugin.get("matchRules").map_or(&[][..], Node::items);
        let mut configs = configs.iter().filter_map(|rule| rule.get("config"));
        url.contains("coalmine")
            || self.name().contains("coalmine")
            || ["pluginConfig", "defaultConfig"].iter().any(|field| plugin.get(field).is_some_and(is_policy))
            || configs.any(is_policy)
    }

    /// The policies that plugins are given, and their places in the resource.
    pub(crate) fn plugin_configs(&self) -> Vec<(&'t Node, OwnedPath)> {
        let spec = || OwnedPath::of(&["spec"]);
        // What kustomize copies into the plugins: for it alone, never sent to a cluster.
        if self.kind == "Policy" && self.api_version.starts_with("coalmine.") {
            return self.spec().map(|policy| (policy, spec())).into_iter().collect();
        }
        let field =
            |node: &'t Node, at: &OwnedPath, name: &'static str| Some((node.get(name)?, at.field(name)));
        let mut found: Vec<_> = self
            .gateway_plugins()
            .into_iter()
            .filter_map(|(plugin, at)| field(plugin, &at, "config"))
            .collect();
        if let Some((plugin, at)) = self.plugin().filter(|_| self.is_coalmine()) {
            found.extend(field(plugin, &at, "pluginConfig"));
        }
        if let Some(plugin) = self.higress_plugin().filter(|_| self.is_coalmine()) {
            found.extend(
                ["pluginConfig", "defaultConfig"].into_iter().find_map(|name| field(plugin, &spec(), name)),
            );
            let rules = plugin.get("matchRules").map_or(&[][..], Node::items).iter().enumerate();
            let place = spec().field("matchRules");
            found.extend(rules.filter_map(|(index, rule)| field(rule, &place.item(index), "config")));
        }
        found
    }

    /// What a rollout for a server says, and its name, in a custom resource of Coalmine's.
    pub(crate) fn canary_rollout(&self) -> Option<(&'t Node, String)> {
        let is_rollout = self.group() == "coalmine.dev" && self.kind == "CanaryRollout";
        let namespace = self.namespace().unwrap_or("default");
        self.spec().filter(|_| is_rollout).map(|spec| (spec, format!("{namespace}/{}", self.name())))
    }

    /// The group of its kind: `extensions.istio.io` of `extensions.istio.io/v1alpha1`.
    pub(crate) fn group(&self) -> &'t str {
        self.api_version.split('/').next().unwrap_or_default()
    }

    /// The names of the environment variables that a plugin gives its filter; `None` of anything else.
    pub(crate) fn variables(&self) -> Option<Vec<String>> {
        let (plugin, _) = self.plugin()?;
        let given = plugin.descend(&["vmConfig", "env"]).map_or(&[][..], Node::items);
        Some(given.iter().filter_map(|variable| Some(variable.text_at(&["name"])?.to_owned())).collect())
    }

    /// The texts that may hold a policy.
    pub(crate) fn texts(&self) -> Vec<(&'t Node, OwnedPath)> {
        let data = if self.kind == "ConfigMap" { self.node.get("data") } else { None };
        let entries = data.map_or(&[][..], Node::entries);
        entries.iter().map(|entry| (&entry.node, OwnedPath::of(&["data", &entry.key]))).collect()
    }
}
