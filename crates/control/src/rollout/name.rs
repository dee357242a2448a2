//! The name of a rollout, with its namespace.

use std::fmt;
use std::str::FromStr;

use coalmine_document::is_label;
use serde::{Deserialize, Serialize};

/// The namespace of a name that is written without one.
const DEFAULT: &str = "default";

/// `namespace/name`, each 1 to 63 of `a-z`, `0-9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name {
    whole: String,
    /// Where the slash is.
    slash: usize,
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAName;

// === impl Name ===

impl Name {
    /// The name in this namespace.
    ///
    /// # Errors
    /// One of them has not its form.
    pub fn new(namespace: &str, name: &str) -> Result<Self, NotAName> {
        if !is_label(namespace) || !is_label(name) {
            return Err(NotAName);
        }
        Ok(Self { whole: format!("{namespace}/{name}"), slash: namespace.len() })
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.whole.get(..self.slash).unwrap_or_default()
    }

    /// The name in its namespace.
    pub fn name(&self) -> &str {
        self.whole.get(self.slash + 1..).unwrap_or_default()
    }

    /// Both, with a slash between them.
    pub fn as_str(&self) -> &str {
        &self.whole
    }
}

/// `checkout` means `default/checkout`.
impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let (namespace, name) = text.split_once('/').unwrap_or((DEFAULT, text));
        Self::new(namespace, name)
    }
}

impl TryFrom<String> for Name {
    type Error = NotAName;

    fn try_from(text: String) -> Result<Self, NotAName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.whole
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.whole)
    }
}

impl fmt::Display for NotAName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be [namespace/]name, each 1 to 63 of a-z, 0-9 and -, as shop/checkout")
    }
}

impl std::error::Error for NotAName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_in_the_default_namespace() {
        let name: Name = "checkout".parse().unwrap();
        assert_eq!(
            (name.namespace(), name.name(), name.as_str()),
            ("default", "checkout", "default/checkout")
        );
        let name: Name = "shop/checkout".parse().unwrap();
        assert_eq!((name.namespace(), name.name()), ("shop", "checkout"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(64);
        for text in ["", "/", "a/", "/b", "a/b/c", "A/b", "a b", "../b", "a/..", "ä", &long] {
            assert_eq!(text.parse::<Name>(), Err(NotAName), "{text}");
        }
    }
}
