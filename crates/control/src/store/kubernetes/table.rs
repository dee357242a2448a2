//! Objects of one kind as they were seen last, by a watch and by what this server wrote itself.
//!
//! A watch is late: what was written a moment ago comes by it only later, and so does what was there before. So the higher
//! version wins, whoever brings it, and what is gone stays gone.

use std::collections::{BTreeMap, BTreeSet};

/// Objects by name, each at a version.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    items: BTreeMap<K, (u64, V)>,
    /// The version at which an object was gone.
    gone: BTreeMap<K, u64>,
    /// While the watch lists everything anew: the names that were seen since it began.
    listed: Option<BTreeSet<K>>,
    /// Whether it has been listed once.
    pub(super) is_complete: bool,
    /// Why its watch does not get through, where that is so.
    pub(super) away: Option<String>,
}

// === impl Table ===

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), gone: BTreeMap::new(), listed: None, is_complete: false, away: None }
    }
}

impl<K: Ord + Clone, V> Table<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.items.get(key).map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.items.iter().map(|(key, (_, value))| (key, value))
    }

    /// Takes an object at a version; whether that is news.
    pub(super) fn put(&mut self, key: K, version: u64, make: impl FnOnce(Option<&V>) -> V) -> bool {
        if let Some(listed) = &mut self.listed {
            listed.insert(key.clone());
        }
        let before = self.items.get(&key);
        let is_old = before.is_some_and(|(known, _)| *known >= version)
            || self.gone.get(&key).is_some_and(|gone| *gone >= version);
        if is_old {
            return false;
        }
        let value = make(before.map(|(_, value)| value));
        self.items.insert(key, (version, value));
        true
    }

    /// An object is gone since this version; whether that is news.
    pub(super) fn remove(&mut self, key: &K, version: u64) -> bool {
        if self.items.get(key).is_some_and(|(known, _)| *known > version) {
            return false;
        }
        let gone = self.gone.entry(key.clone()).or_default();
        *gone = version.max(*gone);
        self.items.remove(key).is_some()
    }

    /// The watch begins to list everything.
    pub(super) fn begin(&mut self) {
        self.listed = Some(BTreeSet::new());
    }

    /// The watch has listed everything: what was not seen since it began is gone. Whether that is news.
    pub(super) fn end(&mut self) -> bool {
        let Some(listed) = self.listed.take() else { return false };
        let before = self.items.len();
        self.items.retain(|key, _| listed.contains(key));
        // Nothing older comes any more.
        self.gone.clear();
        !std::mem::replace(&mut self.is_complete, true) || self.items.len() != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_higher_version_wins_and_what_is_gone_stays_gone() {
        let mut table = Table::default();
        assert!(table.put("a", 5, |_| 'x'));
        assert!(!table.put("a", 4, |_| 'y'));
        assert!(!table.remove(&"a", 4), "of an earlier object of this name");
        assert!(table.remove(&"a", 6));
        assert!(!table.put("a", 5, |_| 'x'), "a late word of the watch");
        assert_eq!(table.get(&"a"), None);
        assert!(table.put("a", 9, |_| 'z'));
        assert_eq!(table.get(&"a"), Some(&'z'));
    }

    #[test]
    fn what_is_written_while_the_watch_lists_stays() {
        let mut table = Table::default();
        table.put("old", 1, |_| ());
        table.put("kept", 2, |_| ());
        table.begin();
        table.put("kept", 2, |_| ());
        table.put("new", 7, |_| ());
        assert!(table.end());
        assert_eq!(table.iter().map(|(key, ())| *key).collect::<Vec<_>>(), ["kept", "new"]);
    }
}
