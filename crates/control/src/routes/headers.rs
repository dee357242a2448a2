//! What routes do to the headers of a request on its way to an application.

/// Headers that are removed, and headers that are set afterwards.
#[derive(Clone, Debug, Default)]
pub struct HeaderChanges {
    /// In lower case, as those below.
    pub removed: Vec<String>,
    /// Those that have a value afterwards.
    pub set: Vec<String>,
}

// === impl HeaderChanges ===

impl HeaderChanges {
    /// Whether a header is there afterwards; `None` where it is as it was.
    pub fn keep(&self, header: &str) -> Option<bool> {
        let is_in = |names: &[String]| names.iter().any(|name| name == header);
        match (is_in(&self.set), is_in(&self.removed)) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        }
    }

    /// These changes, and then those.
    #[must_use]
    pub fn then(&self, later: &Self) -> Self {
        let left = self.set.iter().filter(|name| !later.removed.contains(name));
        Self {
            removed: self.removed.iter().chain(&later.removed).cloned().collect(),
            set: left.chain(&later.set).cloned().collect(),
        }
    }

    /// Both in one step: all that is removed, then all that is set.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            removed: self.removed.iter().chain(&other.removed).cloned().collect(),
            set: self.set.iter().chain(&other.set).cloned().collect(),
        }
    }
}
