//! What kubectl reads otherwise, in a policy that stands in a resource of Kubernetes.
//!
//! The filter gets what kubectl, Helm or kustomize has made of the file, and they read YAML 1.1. So what they would read
//! otherwise is wrong there, even where Coalmine would take it.

use coalmine_core::policy::{Environment, Policy};
use coalmine_document::{Misread, Node, OwnedPath, Span, Value, number, quoted};

use crate::diagnostic::{Code, Diagnostic};

/// How many are shown one by one.
const MAX_SHOWN: usize = 100;

/// Collects the misreadings of one policy.
struct Search {
    found: Vec<Diagnostic>,
    not_shown: usize,
    /// Where the policy has secrets: no sentence quotes one.
    secrets: Vec<Span>,
}

/// Every value and key of this policy, which stands at `at`, that kubectl reads otherwise.
pub(super) fn diagnostics(policy: &Node, at: &OwnedPath) -> Vec<Diagnostic> {
    if !has_any(policy) {
        return Vec::new();
    }
    let secrets = Policy::compile(policy, Environment::Unread).secrets;
    let mut search = Search { found: Vec::new(), not_shown: 0, secrets };
    search.look(policy, at);
    if search.not_shown > 0 {
        search.found.push(Diagnostic::more(search.not_shown));
    }
    search.found
}

fn has_any(node: &Node) -> bool {
    let inside = |entry: &coalmine_document::Entry| entry.misread.is_some() || has_any(&entry.node);
    node.misread.is_some() || node.items().iter().any(has_any) || node.entries().iter().any(inside)
}

// === impl Search ===

impl Search {
    fn look(&mut self, node: &Node, at: &OwnedPath) {
        if let Some(misread) = &node.misread {
            self.tell(node.span, at, misread, Some(&node.value));
        }
        for (index, item) in node.items().iter().enumerate() {
            self.look(item, &at.item(index));
        }
        for entry in node.entries() {
            let at = at.field(&entry.key);
            if let Some(misread) = &entry.misread {
                self.tell(entry.span, &at, misread, None);
            }
            self.look(&entry.node, &at);
        }
    }

    /// Tells of a value, or of a key where there is none.
    fn tell(&mut self, span: Span, at: &OwnedPath, misread: &Misread, value: Option<&Value>) {
        if self.found.len() >= MAX_SHOWN {
            self.not_shown += 1;
            return;
        }
        let message = match misread {
            Misread::Merged => {
                "kubectl takes the value that \"<<\" brings, kustomize this one: write \"<<\" before \
                                the fields of the map"
                    .to_owned()
            }
            Misread::Value(..) if self.secrets.iter().any(|secret| secret.overlaps(span)) => {
                "is no text to kubectl, which reads YAML 1.1: put it in quotes".to_owned()
            }
            Misread::Value(text, other) => sentence(text, other, value),
        };
        self.found.push(Diagnostic::error(Code::ReadOtherwise, span, &at.to_string(), message));
    }
}

fn sentence(text: &str, other: &Value, value: Option<&Value>) -> String {
    let read = match other {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => format!("the number {}", number(*value)),
        _ => "text".to_owned(),
    };
    let of_key = if value.is_none() { "the key " } else { "" };
    let mend = match (value, other) {
        (Some(Value::Number(here)), Value::Number(there)) => {
            format!("write {}, or {}, whichever is meant", number(*here), number(*there))
        }
        _ => "put it in quotes".to_owned(),
    };
    format!("{of_key}{} without quotes is {read} to kubectl, which reads YAML 1.1: {mend}", quoted(text))
}
