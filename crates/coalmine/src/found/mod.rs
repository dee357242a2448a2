//! Policies in files: on their own, or inside the resources of Istio, Kubernetes and Envoy that carry them.

mod envoy;
mod kubernetes;
mod place;

pub(crate) use kubernetes::Object;
pub(crate) use place::Place;

use coalmine_core::policy::{Environment, Policy};

use crate::finding::{Code, Finding};
use crate::text::{Notation, Source, Span, Tree, embedded, too_large};

/// The fields of which a document has at least one when it is a policy.
const POLICY_FIELDS: [&str; 6] = ["version", "revision", "rollouts", "observe", "source", "policy"];

/// A file, the documents in it, and the policies in those.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) source: Source,
    pub(crate) documents: Vec<Tree>,
    pub(crate) policies: Vec<Found>,
    /// What could not be read at all.
    pub(crate) findings: Vec<Finding>,
}

/// A policy and where it was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) holder: Holder,
    /// The way to it in its document; empty where it is the document.
    pub(crate) place: Place,
    pub(crate) tree: Tree,
    /// How long it is in the notation that it is written in.
    bytes: usize,
}

/// What holds a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
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
    pub(crate) fn of(source: Source) -> Self {
        let notation = Notation::of(source.name(), source.text());
        let mut scan = Self { source, documents: Vec::new(), policies: Vec::new(), findings: Vec::new() };
        let is_empty = scan.source.text().trim().is_empty();
        match notation.read(scan.source.text()) {
            read if is_empty || read.as_ref().is_ok_and(Vec::is_empty) => {
                scan.findings.push(Finding::of_file(Code::Empty, "is empty; a policy was expected"));
            }
            Ok(documents) => {
                for (index, document) in documents.iter().enumerate() {
                    scan.document(index, document);
                }
                scan.documents = documents;
            }
            Err(refused) => {
                scan.findings.push(Finding::error(Code::Syntax, refused.span, "", refused.message));
            }
        }
        let secrets: Vec<Span> = scan.policies.iter().flat_map(|found| secrets(&found.tree)).collect();
        scan.source.hide(secrets);
        scan
    }

    fn document(&mut self, index: usize, document: &Tree) {
        if let Some(object) = Object::of(document) {
            self.object(index, &object, &Place::default());
            return;
        }
        if !envoy::is_configuration(document) {
            let bytes = document.span.len();
            let tree = document.clone();
            self.policies.push(Found { holder: Holder::Document, place: Place::default(), tree, bytes });
            return;
        }
        self.envoy(Holder::Envoy, document, &Place::default());
    }

    fn object(&mut self, index: usize, object: &Object<'_>, at: &Place) {
        let holder = Holder::Object { document: index, title: object.title() };
        for (item, place) in object.items(at) {
            self.object(index, &item, &place);
        }
        if let Some((config, place)) = object.plugin_config() {
            let place = at.join(&place);
            self.policies.push(Found {
                holder: holder.clone(),
                place,
                tree: config.clone(),
                bytes: config.span.len(),
            });
        }
        for (entry, place) in object.texts() {
            let text = entry.text().unwrap_or_default();
            let notation = place.last_field().map_or(Notation::Yaml, |name| Notation::of(name, text));
            // Most texts of a ConfigMap are no policy, and not all of them YAML.
            let Ok(trees) = embedded(self.source.text(), entry, notation) else {
                if text.contains("rollouts") {
                    self.embedded(&holder, entry, &at.join(&place), notation);
                }
                continue;
            };
            for tree in trees.into_iter().filter(is_policy) {
                let (holder, place) = (holder.clone(), at.join(&place));
                self.policies.push(Found { holder, place, tree, bytes: text.len() });
            }
        }
        if object.kind == "EnvoyFilter" {
            self.envoy(holder, object.tree, at);
        }
    }

    fn envoy(&mut self, holder: Holder, tree: &Tree, at: &Place) {
        for plugin in envoy::plugins(tree, at) {
            match plugin.configuration {
                envoy::Configuration::Text(text) => {
                    self.embedded(&holder, text, &plugin.place, Notation::Json)
                }
                envoy::Configuration::Struct(tree) => self.policies.push(Found {
                    holder: holder.clone(),
                    place: plugin.place,
                    bytes: tree.span.len(),
                    tree: tree.clone(),
                }),
            }
        }
    }

    /// The policy in a text that is nothing else.
    fn embedded(&mut self, holder: &Holder, text: &Tree, place: &Place, notation: Notation) {
        let bytes = text.text().map_or(0, str::len);
        match embedded(self.source.text(), text, notation) {
            Ok(trees) => self.policies.extend(trees.into_iter().map(|tree| Found {
                holder: holder.clone(),
                place: place.clone(),
                tree,
                bytes,
            })),
            Err(refused) => {
                let finding = Finding::error(Code::Syntax, refused.span, &place.to_string(), refused.message);
                self.findings.push(finding);
            }
        }
    }
}

// === impl Found ===

impl Found {
    /// The policy, or everything that is wrong with it, in the places of the file.
    pub(crate) fn policy(
        &self,
        source: &Source,
        environment: Environment<'_>,
    ) -> Result<Policy, Vec<Finding>> {
        if let Some(message) = too_large(self.bytes) {
            return Err(vec![Finding::error(
                Code::Policy,
                self.tree.span.clone(),
                &self.place.to_string(),
                message,
            )]);
        }
        Policy::from_document(&self.tree.to_node(source), environment).map_err(|problems| {
            let finding = |problem| Finding::of_problem(problem, self, source);
            let mut findings: Vec<Finding> = problems.told().iter().map(finding).collect();
            let untold = problems.count() - problems.told().len();
            if untold > 0 {
                findings.push(Finding::of_file(Code::Policy, format!("and {untold} more problems")));
            }
            findings
        })
    }

    /// Where in its file it is, for a sentence: what holds it, or its line.
    pub(crate) fn where_in(&self, source: &Source) -> String {
        match self.title() {
            "" => format!("line {}", source.mark(self.tree.span.start).line),
            title => title.to_owned(),
        }
    }

    /// What holds it, for a sentence; empty where nothing does.
    pub(crate) fn title(&self) -> &str {
        match &self.holder {
            Holder::Document => "",
            Holder::Object { title, .. } => title,
            Holder::Envoy => "Envoy configuration",
        }
    }
}

/// Whether this can be meant as a policy.
fn is_policy(tree: &Tree) -> bool {
    POLICY_FIELDS.iter().any(|field| tree.get(field).is_some())
}

/// Where a policy has secrets in clear, right or wrong.
fn secrets(policy: &Tree) -> Vec<Span> {
    let rollouts = policy.get("rollouts").map_or(&[][..], Tree::items);
    let places =
        rollouts.iter().flat_map(|rollout| [rollout.get("key"), rollout.path(&["override", "secret"])]);
    let places = places.chain([policy.path(&["source", "token"])]).flatten();
    let mut found = Vec::new();
    places.for_each(|place| hide(place, &mut found));
    found
}

/// Every text in this value, but the names of variables. Somebody may have put the secret where its name belongs.
fn hide(tree: &Tree, found: &mut Vec<Span>) {
    let is_name = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        (1..=64).contains(&text.len()) && text.bytes().all(allowed)
    };
    if !tree.is_container() {
        found.push(tree.span.clone());
    }
    tree.items().iter().for_each(|item| hide(item, found));
    for entry in tree.entries() {
        if entry.key != "env" || !entry.tree.text().is_some_and(is_name) {
            hide(&entry.tree, found);
        }
    }
}
