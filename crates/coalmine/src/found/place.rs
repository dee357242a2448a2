//! The way from the top of a document to one of its values, written as the core writes it.

use std::fmt;

/// The way to a value: `spec.configPatches[0].patch`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Item(usize),
}

// === impl Place ===

impl Place {
    pub(crate) fn of(fields: &[&str]) -> Self {
        Self(fields.iter().map(|field| Step::Field((*field).to_owned())).collect())
    }

    #[must_use]
    pub(crate) fn field(&self, name: &str) -> Self {
        self.then(Step::Field(name.to_owned()))
    }

    #[must_use]
    pub(crate) fn item(&self, index: usize) -> Self {
        self.then(Step::Item(index))
    }

    /// This place, and from there that one.
    #[must_use]
    pub(crate) fn join(&self, further: &Self) -> Self {
        Self(self.0.iter().chain(&further.0).cloned().collect())
    }

    pub(crate) fn last_field(&self) -> Option<&str> {
        match self.0.last() {
            Some(Step::Field(name)) => Some(name),
            _ => None,
        }
    }

    /// This place, and from there one that is written already.
    pub(crate) fn with(&self, further: &str) -> String {
        let here = self.to_string();
        let joint = if here.is_empty() || further.is_empty() || further.starts_with('[') { "" } else { "." };
        format!("{here}{joint}{further}")
    }

    fn then(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if !is_plain(name) => write!(f, "[{name:?}]")?,
                Step::Field(name) if index == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Item(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_the_core_s() {
        let place = Place::of(&["data", "policy.yaml"]);
        assert_eq!(place.to_string(), "data[\"policy.yaml\"]");
        assert_eq!(place.with("rollouts[0].name"), "data[\"policy.yaml\"].rollouts[0].name");
        assert_eq!(Place::of(&["items"]).item(2).field("spec").to_string(), "items[2].spec");
        assert_eq!(Place::default().with("rollouts"), "rollouts");
    }
}
