//! The annotations of ingress-nginx, read as it reads them.

use coalmine_core::bucketing::BUCKETS;
use coalmine_document::{Entry, Value, quoted};

use super::resource::Ingress;
use super::{Imported, shown};
use crate::diagnostic::{Code, Diagnostic};

pub(super) const PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// What ingress-nginx takes for the whole where it is told nothing, or less.
const TOTAL: i64 = 100;

/// The canary annotations.
const CANARY: [&str; 7] = [
    "canary",
    "canary-weight",
    "canary-weight-total",
    "canary-by-header",
    "canary-by-header-value",
    "canary-by-header-pattern",
    "canary-by-cookie",
];

/// A boolean as Go's strconv.ParseBool reads it.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Whether an annotation says yes. One that says nothing readable says no, as for ingress-nginx.
pub(super) fn is_true(ingress: &Ingress<'_>, name: &str) -> bool {
    text(ingress, name).is_some_and(|text| parse_bool(text) == Some(true))
}

fn text<'t>(ingress: &Ingress<'t>, name: &str) -> Option<&'t str> {
    ingress.annotation(name)?.node.text()
}

// === impl Ingress ===

impl Ingress<'_> {
    pub(super) fn is_canary(&self) -> bool {
        is_true(self, "canary")
    }

    /// The weight of a canary in parts per million; `None` of any other Ingress, and where something is wrong, which is
    /// told.
    pub(super) fn canary(&self, imported: &mut Imported) -> Option<u32> {
        let before = imported.diagnostics.len();
        for name in CANARY {
            self.check(name, imported);
        }
        if let Some(entry) = self.annotation("canary")
            && let Some(text) = entry.node.text()
            && parse_bool(text).is_none()
        {
            let text = quoted(text);
            let why =
                format!("{text} is no boolean, and not true for ingress-nginx; write \"true\" or \"false\"");
            self.problem(entry, &why, imported);
        }
        let weight = self.number("canary-weight", imported);
        let total = self.number("canary-weight-total", imported);
        if imported.diagnostics.len() > before {
            return None;
        }
        if !self.is_canary() {
            let others: Vec<&str> =
                CANARY.into_iter().skip(1).filter(|name| self.annotation(name).is_some()).collect();
            if !others.is_empty() {
                imported.note(format!(
                    "{}: left out; it has {}, and no {PREFIX}canary: \"true\".",
                    self.title(),
                    others.join(", ")
                ));
            }
            return None;
        }
        Some(self.weight(weight, total, imported))
    }

    /// ingress-nginx draws a number from 1 to the total, and compares it with the weight.
    fn weight(&self, weight: Option<i64>, total: Option<i64>, imported: &mut Imported) -> u32 {
        let title = self.title();
        let given = weight.unwrap_or(0);
        if let Some(total) = total.filter(|total| *total < TOTAL) {
            imported.note(format!(
                "{title}: canary-weight-total {total} counts as {TOTAL}, as in ingress-nginx."
            ));
        }
        let total = total.unwrap_or(TOTAL).max(TOTAL);
        if weight.is_none() {
            imported.note(format!("{title}: it has no canary-weight, so its weight is 0."));
        }
        if given < 0 {
            imported.note(format!("{title}: canary-weight {given} counts as 0, as in ingress-nginx."));
        }
        if given > total {
            imported.note(format!(
                "{title}: canary-weight {given} of {total} counts as 100 %, as in ingress-nginx."
            ));
        }
        let ppm = (i128::from(given.clamp(0, total)) * i128::from(BUCKETS) * 2 + i128::from(total))
            / (i128::from(total) * 2);
        if i128::from(given.clamp(0, total)) * i128::from(BUCKETS) != ppm * i128::from(total) {
            imported.note(format!("{title}: {given} of {total} is rounded to 0.0001 %."));
        }
        u32::try_from(ppm).unwrap_or(BUCKETS)
    }

    /// An annotation is text, and there once.
    fn check(&self, name: &str, imported: &mut Imported) {
        let mut entries = self.annotations().filter(|entry| entry.key.strip_prefix(PREFIX) == Some(name));
        let Some(first) = entries.next() else { return };
        if let Some(second) = entries.next() {
            let diagnostic =
                Diagnostic::error(Code::Policy, second.span, &self.title(), format!("a second {name}"));
            imported.diagnostics.push(diagnostic);
        }
        if !matches!(first.node.value, Value::String(_)) {
            let why = "is not text, and Kubernetes refuses the Ingress; put it in quotes";
            self.problem(first, why, imported);
        }
    }

    /// A whole number as Go's strconv.Atoi reads it.
    fn number(&self, name: &str, imported: &mut Imported) -> Option<i64> {
        let entry = self.annotation(name)?;
        let text = entry.node.text()?;
        let number = text.parse().ok();
        if number.is_none() {
            let text = quoted(text);
            self.problem(entry, &format!("{text} is no whole number, as 25 is"), imported);
        }
        number
    }

    fn problem(&self, entry: &Entry, why: &str, imported: &mut Imported) {
        let name = entry.key.strip_prefix(PREFIX).unwrap_or(&entry.key);
        let span = if entry.node.span.is_empty() { entry.span } else { entry.node.span };
        let message = format!("{name}: {why}");
        imported.diagnostics.push(Diagnostic::error(Code::Policy, span, &self.title(), message));
    }
}

/// What the annotations of a canary say that a policy does not have.
pub(super) fn notes(ingress: &Ingress<'_>, title: &str, imported: &mut Imported) {
    let text = |name: &str| text(ingress, name).filter(|text| !text.is_empty());
    let value = text("canary-by-header-value");
    let pattern = text("canary-by-header-pattern");
    if let Some(header) = text("canary-by-header") {
        let header = shown(header);
        let when = match (value, pattern) {
            (Some(value), _) => format!("with the value {}", shown(value)),
            (None, Some(pattern)) => {
                format!(
                    "with a value like {}, a regular expression, which a policy does not have,",
                    quoted(pattern)
                )
            }
            (None, None) => "with \"always\" or \"never\"".to_owned(),
        };
        imported.note(format!(
            "{title}: the header {header} {when} lets any client choose a side, and is not carried over: a forced variant \
             needs a signed token (\"override\", `coalmine token`)."
        ));
        if let (Some(_), Some(pattern)) = (value, pattern) {
            imported.note(format!(
                "{title}: canary-by-header-pattern {} has no effect beside canary-by-header-value.",
                quoted(pattern)
            ));
        }
    } else {
        for (name, text) in [("canary-by-header-value", value), ("canary-by-header-pattern", pattern)] {
            if let Some(text) = text {
                imported.note(format!(
                    "{title}: {name} {} has no effect without canary-by-header.",
                    quoted(text)
                ));
            }
        }
    }
    if let Some(cookie) = text("canary-by-cookie") {
        imported.note(format!(
            "{title}: the cookie {} with \"always\" or \"never\" lets any client choose a side, and is not carried over: \
             \"pins\" fix users by name.",
            shown(cookie)
        ));
    }
    let has = |name: &str| ingress.annotation(name).is_some();
    let is_affinity = |name: &str| name.starts_with("affinity") || name.starts_with("session-cookie");
    if ingress.annotations().filter_map(|entry| entry.key.strip_prefix(PREFIX)).any(is_affinity) {
        imported.note(format!(
            "{title}: affinity by cookie is not needed for the side: one identity has one variant on every proxy. What \
             keeps a user on one pod is not carried over."
        ));
    }
    if let Some(key) = text("upstream-hash-by") {
        imported.note(format!(
            "{title}: upstream-hash-by {} chooses a pod, and is not carried over; when it names the user, --identity can \
             name the same.",
            quoted(key)
        ));
    }
    if has("load-balance") {
        imported.note(format!("{title}: load-balance chooses a pod, and is not carried over."));
    }
    let known = ["upstream-hash-by", "load-balance", "use-regex"];
    let ignored = ingress.annotations().filter_map(|entry| entry.key.strip_prefix(PREFIX));
    let ignored =
        ignored.filter(|name| !CANARY.contains(name) && !known.contains(name) && !is_affinity(name));
    let ignored: Vec<String> = ignored.map(shown).collect();
    if !ignored.is_empty() {
        imported.note(format!(
            "{title}: not carried over: {}; ingress-nginx takes them from the Ingress that is no canary.",
            ignored.join(", ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boolean_is_that_of_go() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(parse_bool(text), Some(true), "{text}");
        }
        for text in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(parse_bool(text), Some(false), "{text}");
        }
        for text in ["", "yes", "on", "tRUE", " true", "2"] {
            assert_eq!(parse_bool(text), None, "{text}");
        }
    }
}
