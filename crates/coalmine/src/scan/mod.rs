//! Policies in files: on their own, or inside the resources of Istio, Kubernetes and Envoy that carry them.

mod envoy;
mod kubernetes;
mod misread;
mod rollout;

pub(crate) use kubernetes::Object;
pub(crate) use rollout::{EmbeddedRollout, load};

use coalmine_control::config::is_config;
use coalmine_control::rollout::is_rollout;
use coalmine_core::policy::{Environment, Policy};
use coalmine_document::{Node, Notation, OwnedPath, Problem, SourceText, Unreadable, embedded, too_large};

use crate::diagnostic::{Code, Diagnostic};

/// The fields of which a document has at least one when it is a policy.
const POLICY_FIELDS: [&str; 4] = ["version", "revision", "rollouts", "observe"];

/// A file, the documents in it, and the policies in those.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) source: SourceText,
    pub(crate) documents: Vec<Node>,
    pub(crate) policies: Vec<EmbeddedPolicy>,
    /// Rollouts for a server.
    pub(crate) rollouts: Vec<EmbeddedRollout>,
    /// Configurations of a server.
    pub(crate) servers: Vec<Node>,
    /// What could not be read at all.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// A policy and where it was found.
#[derive(Clone, Debug)]
pub(crate) struct EmbeddedPolicy {
    pub(crate) container: Container,
    /// The path to it in its document; empty where it is the document.
    pub(crate) path: OwnedPath,
    pub(crate) node: Node,
    /// The names of the environment variables that the plugin around it gives the filter; `None` where there is none.
    pub(crate) variables: Option<Vec<String>>,
    /// Its length in the notation that it is written in.
    bytes: usize,
    /// What kubectl reads otherwise, where it is kubectl that reads it.
    misread: Vec<Diagnostic>,
}

/// What a policy is embedded in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    /// Nothing: the document is the policy.
    Document,
    /// A resource of Kubernetes: the place of the document in the file, and what it is called.
    Object { document: usize, title: String },
    /// A configuration of Envoy.
    Envoy,
}

// === impl Scan ===

impl Scan {
    /// Finds every policy in a file.
    pub(crate) fn of(source: SourceText) -> Self {
        let notation = Notation::of(source.name(), source.text());
        let mut scan = Self {
            source,
            documents: Vec::new(),
            policies: Vec::new(),
            rollouts: Vec::new(),
            servers: Vec::new(),
            diagnostics: Vec::new(),
        };
        let is_empty = scan.source.text().trim().is_empty();
        match notation.read(scan.source.text()) {
            read if is_empty || read.as_ref().is_ok_and(Vec::is_empty) => {
                scan.diagnostics.push(Diagnostic::of_file(Code::Empty, "is empty; a policy was expected"));
            }
            Ok(documents) => {
                for (index, document) in documents.iter().enumerate() {
                    scan.document(index, document);
                }
                scan.documents = documents;
            }
            Err(refused) => {
                scan.unreadable(refused, &OwnedPath::default());
            }
        }
        for policy in &scan.policies {
            scan.source.hide(Policy::compile(&policy.node, Environment::Unread).secrets);
        }
        let Self { source, documents, policies, .. } = &mut scan;
        source.hide_secrets(policies.iter().map(|policy| &policy.node).chain(&*documents));
        scan
    }

    /// The resources of Kubernetes in it; of a list its items, then the list.
    pub(crate) fn objects(&self) -> impl Iterator<Item = Object<'_>> {
        self.documents.iter().filter_map(Object::of).flat_map(|object| {
            let items = object.items(&OwnedPath::default());
            items.into_iter().map(|(item, _)| item).chain([object])
        })
    }

    fn document(&mut self, index: usize, document: &Node) {
        if let Some(object) = Object::of(document) {
            self.object(index, &object, &OwnedPath::default());
            return;
        }
        if is_config(document) {
            self.servers.push(document.clone());
            return;
        }
        if is_rollout(document) {
            self.rollouts.push(EmbeddedRollout {
                path: OwnedPath::default(),
                node: document.clone(),
                name: None,
            });
            return;
        }
        if !envoy::is_configuration(document) {
            self.policies.push(EmbeddedPolicy {
                container: Container::Document,
                path: OwnedPath::default(),
                node: document.clone(),
                variables: None,
                bytes: document.span.len(),
                misread: Vec::new(),
            });
            return;
        }
        self.envoy(&Container::Envoy, document, &OwnedPath::default());
    }

    fn object(&mut self, index: usize, object: &Object<'_>, at: &OwnedPath) {
        let container = Container::Object { document: index, title: object.title() };
        for (item, path) in object.items(at) {
            self.object(index, &item, &path);
        }
        if let Some((node, name)) = object.canary_rollout() {
            let path = at.field("spec");
            self.rollouts.push(EmbeddedRollout { path, node: node.clone(), name: Some(name) });
        }
        for (config, path) in object.plugin_configs() {
            let path = at.join(&path);
            self.policies.push(EmbeddedPolicy {
                container: container.clone(),
                node: config.clone(),
                variables: object.variables(),
                bytes: config.span.len(),
                misread: misread::diagnostics(config, &path),
                path,
            });
        }
        for (entry, path) in object.texts() {
            let text = entry.text().unwrap_or_default();
            let notation = path.last_field().map_or(Notation::Yaml, |name| Notation::of(name, text));
            // Most texts of a ConfigMap are no policy, and not all of them YAML.
            let path = at.join(&path);
            let documents = match embedded(self.source.text(), entry, notation) {
                Ok(documents) => documents,
                Err(refused) if text.contains("rollouts") => {
                    self.unreadable(refused, &path);
                    continue;
                }
                Err(_) => continue,
            };
            for node in documents {
                if is_policy(&node) {
                    self.policies.push(EmbeddedPolicy {
                        container: container.clone(),
                        path: path.clone(),
                        node,
                        variables: None,
                        bytes: text.len(),
                        misread: Vec::new(),
                    });
                } else if envoy::is_configuration(&node) {
                    // What a proxy has mounted.
                    self.envoy(&container, &node, &path);
                }
            }
        }
        if object.kind == "EnvoyFilter" {
            self.envoy(&container, object.node, at);
        }
    }

    fn envoy(&mut self, container: &Container, node: &Node, at: &OwnedPath) {
        for plugin in envoy::plugins(node, at) {
            match plugin.configuration {
                envoy::Configuration::Text(text) => {
                    self.text(container, text, &plugin.path, &plugin.variables)
                }
                envoy::Configuration::Message(node) => {
                    let (span, path) = plugin.field;
                    let message = "reaches the filter as protobuf, not as JSON: write a google.protobuf.StringValue \
                                   with the policy in JSON as its value";
                    let error = Diagnostic::error(Code::Policy, span, &path.to_string(), message);
                    let kind = Some(coalmine_document::Code::Syntax);
                    self.diagnostics.push(Diagnostic { kind, ..error });
                    // What does not look like a policy may be one that is packed.
                    if is_policy(node) {
                        self.policies.push(EmbeddedPolicy {
                            container: container.clone(),
                            path: plugin.path,
                            bytes: node.span.len(),
                            node: node.clone(),
                            variables: Some(plugin.variables),
                            misread: Vec::new(),
                        });
                    }
                }
            }
        }
    }

    /// The policy in a text of Envoy's that is nothing else.
    fn text(&mut self, container: &Container, text: &Node, path: &OwnedPath, variables: &[String]) {
        let bytes = text.text().map_or(0, str::len);
        match embedded(self.source.text(), text, Notation::Json) {
            Ok(documents) => self.policies.extend(documents.into_iter().map(|node| EmbeddedPolicy {
                container: container.clone(),
                path: path.clone(),
                node,
                variables: Some(variables.to_vec()),
                bytes,
                misread: Vec::new(),
            })),
            Err(refused) => self.unreadable(refused, path),
        }
    }

    fn unreadable(&mut self, refused: Unreadable, path: &OwnedPath) {
        let place = path.to_string();
        self.diagnostics.push(Diagnostic::error(Code::Syntax, refused.span, &place, refused.message));
    }
}

// === impl EmbeddedPolicy ===

impl EmbeddedPolicy {
    /// The policy, or everything that is wrong with it, in the places of the file.
    pub(crate) fn policy(&self, environment: Environment<'_>) -> Result<Policy, Vec<Diagnostic>> {
        if let Some(message) = too_large(self.bytes) {
            let place = self.path.to_string();
            let error = Diagnostic::error(Code::Policy, self.node.span, &place, message);
            return Err(vec![Diagnostic { kind: Some(coalmine_document::Code::TooLarge), ..error }]);
        }
        let problems = match Policy::from_document(&self.node, environment) {
            Ok(policy) if self.misread.is_empty() => return Ok(policy),
            Ok(_) => return Err(self.misread.clone()),
            Err(problems) => problems,
        };
        // Where the policy wants another kind of value, quotes are not the answer: `enabled: yes`, `weight: 1_0`.
        let is_told = |misread: &&Diagnostic| {
            let of_kind = |problem: &Problem| problem.code == coalmine_document::Code::WrongKind;
            problems.shown().iter().any(|problem| of_kind(problem) && misread.span == Some(problem.span))
        };
        let misread = self.misread.iter().filter(|misread| !is_told(misread)).cloned();
        Err(misread.chain(Diagnostic::of_problems(&problems, &self.path)).collect())
    }

    /// Its place in the file, for a sentence: the container, or its line.
    pub(crate) fn where_in(&self, source: &SourceText) -> String {
        match self.title() {
            "" => format!("line {}", source.line_of(self.node.span.start) + 1),
            title => title.to_owned(),
        }
    }

    /// The container, for a sentence; empty where there is none.
    pub(crate) fn title(&self) -> &str {
        match &self.container {
            Container::Document => "",
            Container::Object { title, .. } => title,
            Container::Envoy => "Envoy configuration",
        }
    }
}

/// Whether this can be meant as a policy.
fn is_policy(node: &Node) -> bool {
    POLICY_FIELDS.iter().any(|field| node.get(field).is_some())
}
