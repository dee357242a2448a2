//! Ingresses: their rules, and what of them ingress-nginx looks at.

use coalmine_document::{Entry, Node, Span};

use super::annotations::PREFIX;
use super::{Imported, shown};

/// An Ingress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ingress<'t> {
    pub(super) name: &'t str,
    pub(super) namespace: Option<&'t str>,
    node: &'t Node,
}

/// A host and its own paths.
#[derive(Clone, Debug)]
pub(super) struct Rule<'t> {
    pub(super) host: Option<(&'t str, &'t Node)>,
    pub(super) paths: Vec<PathRule<'t>>,
}

#[derive(Clone, Debug)]
pub(super) struct PathRule<'t> {
    pub(super) text: &'t str,
    pub(super) span: Span,
    pub(super) kind: PathKind,
    pub(super) service: Option<&'t str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathKind {
    /// The path alone.
    Exact,
    /// The path and what is below it, by whole elements.
    Prefix,
    /// A beginning of the text, which ingress-nginx leaves to nginx.
    Implementation,
}

// === impl Ingress ===

impl<'t> Ingress<'t> {
    /// The Ingresses of a document: itself, or those of a list.
    pub(super) fn all(document: &'t Node) -> Vec<Self> {
        let kind = document.text_at(&["kind"]).unwrap_or_default();
        if !kind.ends_with("List") {
            return if kind == "Ingress" { vec![Self::of(document)] } else { Vec::new() };
        }
        // The items of a list that has their kind in its own need none.
        let items = document.get("items").map_or(&[][..], Node::items).iter();
        let is_one =
            |item: &&Node| item.text_at(&["kind"]).map_or(kind == "IngressList", |kind| kind == "Ingress");
        items.filter(is_one).map(Self::of).collect()
    }

    fn of(node: &'t Node) -> Self {
        Self {
            name: node.text_at(&["metadata", "name"]).unwrap_or_default(),
            namespace: node.text_at(&["metadata", "namespace"]),
            node,
        }
    }

    /// `Ingress shop/web`, as it can stand in a sentence.
    pub(super) fn title(&self) -> String {
        let name = shown(self.name);
        self.namespace
            .map_or_else(|| format!("Ingress {name}"), |space| format!("Ingress {}/{name}", shown(space)))
    }

    /// Its name in the text.
    pub(super) fn span(&self) -> Span {
        self.node.descend(&["metadata", "name"]).map_or(self.node.span, |name| name.span)
    }

    /// Its annotations for ingress-nginx, with their whole names.
    pub(super) fn annotations(&self) -> impl Iterator<Item = &'t Entry> + use<'t> {
        let all = self.node.descend(&["metadata", "annotations"]).map_or(&[][..], Node::entries);
        all.iter().filter(|entry| entry.key.starts_with(PREFIX))
    }

    /// This annotation for ingress-nginx.
    pub(super) fn annotation(&self, name: &str) -> Option<&'t Entry> {
        self.annotations().find(|entry| entry.key.strip_prefix(PREFIX) == Some(name))
    }

    /// Its rules that have paths; the backend that stands for all other requests is the last.
    pub(super) fn rules(&self) -> Vec<Rule<'t>> {
        let rules = self.node.descend(&["spec", "rules"]).map_or(&[][..], Node::items);
        let mut rules: Vec<Rule<'t>> = rules.iter().map(Rule::of).collect();
        rules.retain(|rule| !rule.paths.is_empty());
        if let Some(backend) = self.default_backend() {
            let service = service(backend);
            let kind = PathKind::Implementation;
            let paths = vec![PathRule { text: "/", span: backend.span, kind, service }];
            rules.push(Rule { host: None, paths });
        }
        rules
    }

    /// `defaultBackend`, which was called `backend` before networking.k8s.io/v1.
    fn default_backend(&self) -> Option<&'t Node> {
        let spec = self.node.get("spec")?;
        spec.get("defaultBackend").or_else(|| spec.get("backend"))
    }

    /// What cannot be carried over of the rest.
    pub(super) fn spec_notes(&self, title: &str, imported: &mut Imported) {
        if self.node.descend(&["spec", "tls"]).is_some() {
            imported.note(format!("{title}: \"tls\" is not carried over: TLS ends at your gateway."));
        }
        let rules = self.node.descend(&["spec", "rules"]).map_or(&[][..], Node::items);
        for rule in rules.iter().filter(|rule| Rule::of(rule).paths.is_empty()) {
            let host = shown(rule.text_at(&["host"]).unwrap_or("*"));
            imported.note(format!(
                "{title}: the rule of {host} is left out; it has no path, and ingress-nginx has no canary for it."
            ));
        }
    }
}

// === impl Rule ===

impl<'t> Rule<'t> {
    fn of(node: &'t Node) -> Self {
        let host = node.get("host").and_then(|host| Some((host.text()?, host)));
        let paths = node.descend(&["http", "paths"]).map_or(&[][..], Node::items);
        Self {
            host: host.filter(|(host, _)| !host.is_empty()),
            paths: paths.iter().map(PathRule::of).collect(),
        }
    }

    /// Whether the two are about one host.
    pub(super) fn has_host_of(&self, other: &Rule<'_>) -> bool {
        let host = |rule: &Rule<'_>| rule.host.map(|(host, _)| host.to_ascii_lowercase());
        host(self) == host(other)
    }
}

// === impl PathRule ===

impl<'t> PathRule<'t> {
    fn of(node: &'t Node) -> Self {
        let path = node.get("path").filter(|path| path.text().is_some_and(|text| !text.is_empty()));
        let kind = match node.text_at(&["pathType"]) {
            Some("Exact") => PathKind::Exact,
            Some("Prefix") => PathKind::Prefix,
            _ => PathKind::Implementation,
        };
        Self {
            text: path.and_then(Node::text).unwrap_or("/"),
            span: path.map_or(node.span, |path| path.span),
            kind,
            service: node.get("backend").and_then(service),
        }
    }
}

/// The service of a backend: by the names of networking.k8s.io/v1, or those before.
fn service(backend: &Node) -> Option<&str> {
    backend.text_at(&["service", "name"]).or_else(|| backend.text_at(&["serviceName"]))
}
