//! HTTP filters: which of a connection manager's run for a request.
//!
//! Envoy decides that once, by the route that takes the request as it comes in. When a filter changes a header and
//! another route takes the request, the filters stay.

use std::collections::BTreeMap;

use coalmine_document::{Node, OwnedPath, Span, Value};

use super::envoy::Message;
use super::{Answer, Route, Truth};

/// What a route says of filters, by their names: whether they run. It has what the virtual host and the table say too,
/// where nothing more specific does.
pub type Switches = BTreeMap<String, Truth>;

/// What enables or disables any filter for a route; other messages configure one, which enables it.
const FILTER_CONFIG: &str = "envoy.config.route.v3.FilterConfig";

/// The HTTP filters of a connection manager.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Its filters, in their order.
    pub filters: Vec<Filter>,
    /// What is done to headers before the first route is chosen.
    early: Option<Node>,
    /// The name of the table, where it is elsewhere.
    pub table: Option<String>,
}

/// A filter of a chain.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Its name.
    pub name: String,
    /// Whether it runs only where a route, a virtual host or the table enables it.
    pub is_disabled: bool,
    /// Where it is written.
    pub span: Span,
}

/// Every chain in this document.
pub fn chains(document: &Node) -> Vec<Chain> {
    let mut found = Vec::new();
    collect(&Message::new(document, OwnedPath::default()), &mut found);
    found
}

fn collect(message: &Message<'_>, found: &mut Vec<Chain>) {
    found.extend(Chain::of(message));
    message.inner().iter().for_each(|inner| collect(inner, found));
}

/// What this message says of filters, over what the one around it says.
pub(super) fn switches(message: &Message<'_>, around: &Switches) -> Switches {
    let mut switches = around.clone();
    let given = message.get("typed_per_filter_config");
    for entry in given.as_ref().map_or(&[][..], Message::entries) {
        let is_switch = entry.node.text_at(&["@type"]).is_some_and(|kind| kind.ends_with(FILTER_CONFIG));
        let is_disabled = is_switch && is_true(entry.node.get("disabled"));
        switches.insert(entry.key.clone(), Truth::from(!is_disabled));
    }
    switches
}

/// What a route says of filters when one of these clusters, which have a say of their own, is drawn for each request.
pub(super) fn drawn(clusters: &[Message<'_>], around: &Switches) -> Switches {
    let mut switches = around.clone();
    for cluster in clusters {
        for (name, own) in self::switches(cluster, around) {
            if around.get(&name) != Some(&own) {
                switches.insert(name, Truth::Unknown);
            }
        }
    }
    switches
}

fn is_true(node: Option<&Node>) -> bool {
    node.is_some_and(|node| node.value == Value::Bool(true))
}

/// Whether a mutation in here removes this header.
pub fn removes(tree: &Node, header: &str) -> bool {
    tree.text_at(&["remove"]).is_some_and(|name| name.eq_ignore_ascii_case(header))
        || tree.items().iter().any(|item| removes(item, header))
        || tree.entries().iter().any(|entry| removes(&entry.node, header))
}

// === impl Chain ===

impl Chain {
    /// The chain of this message, when it is a connection manager.
    pub(super) fn of(message: &Message<'_>) -> Option<Self> {
        message.get("http_filters")?;
        let filter = |item: Message<'_>| {
            let is_disabled = is_true(item.get("disabled").as_ref().map(Message::node));
            Some(Filter { name: item.text("name")?.to_owned(), is_disabled, span: item.node().span })
        };
        Some(Self {
            filters: message.items("http_filters").into_iter().filter_map(filter).collect(),
            early: message.get("early_header_mutation_extensions").map(|early| early.node().clone()),
            table: message.get("rds").and_then(|rds| rds.text("route_config_name").map(str::to_owned)),
        })
    }

    /// One filter of this name, which runs.
    pub fn enabled(name: &str) -> Self {
        let filter = Filter { name: name.to_owned(), is_disabled: false, span: Span::default() };
        Self { filters: vec![filter], early: None, table: None }
    }

    /// Whether what a client sends under this name is gone before the first route is chosen.
    pub fn removes_early(&self, header: &str) -> bool {
        self.early.as_ref().is_some_and(|early| removes(early, header))
    }

    /// Whether one of its filters runs for a request with this answer, given before any of them has run.
    pub fn runs(&self, answer: &Answer<'_>) -> Truth {
        match answer {
            Answer::Taken { taken, .. } => self.runs_on(Some(taken)),
            // Neither the virtual host nor the table has a say without a route.
            Answer::NotFound => self.runs_on(None),
            Answer::Unknown => Truth::Unknown,
        }
    }

    /// Whether one of its filters runs for requests that this route takes first.
    pub fn runs_on(&self, route: Option<&Route>) -> Truth {
        let switch = |filter: &Filter| {
            let switch = route.and_then(|route| route.filters.get(&filter.name));
            switch.copied().unwrap_or_else(|| Truth::from(!filter.is_disabled))
        };
        Truth::any(self.filters.iter().map(switch))
    }
}
