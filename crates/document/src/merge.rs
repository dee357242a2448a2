//! The merge key of YAML 1.1, `<<`: a map has the entries of another one too.

use std::collections::{HashMap, HashSet};

use crate::node::{Entry, Misread, Node, Style, Value};
use crate::problem::Unreadable;
use crate::yaml::refused;

/// Adds to these entries, at this place, those of the value of `<<`: of each key the first, and none that is written.
pub(crate) fn merge(entries: &mut Vec<Entry>, merged: Node, place: usize) -> Result<(), Unreadable> {
    let wrong = |span| refused("the value of \"<<\" has to be a map, or a list of maps", span);
    let span = merged.span;
    let is_alias = merged.style == Style::Alias;
    let maps = match merged.value {
        Value::Map(_) => vec![merged],
        Value::List(items) if !is_alias => items,
        _ => return Err(wrong(span)),
    };
    let mut written: HashMap<String, usize> = HashMap::new();
    for (index, entry) in entries.iter().enumerate() {
        written.entry(entry.key.clone()).or_insert(index);
    }
    let mut seen = HashSet::new();
    let mut added = Vec::new();
    for map in maps {
        let (span, style) = (map.span, map.style);
        let Value::Map(inner) = map.value else { return Err(wrong(span)) };
        for mut entry in inner {
            if !seen.insert(entry.key.clone()) {
                continue;
            }
            if let Some(&index) = written.get(&entry.key) {
                let own = entries.get_mut(index).filter(|_| index < place);
                if let Some(own) = own
                    && !own.node.is_same(&entry.node)
                {
                    own.misread = Some(Box::new(Misread::Merged));
                }
                continue;
            }
            if style == Style::Alias {
                (entry.span, entry.node.span, entry.node.style) = (span, span, Style::Alias);
            }
            added.push(entry);
        }
    }
    entries.splice(place..place, added);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Notation;

    fn one(text: &str) -> Node {
        Notation::Yaml.read(text).unwrap_or_else(|refused| panic!("{}", refused.message)).remove(0)
    }

    /// Keys and numbers of the map under `c`.
    fn merged(text: &str) -> Vec<(String, f64)> {
        let number = |node: &Node| match node.value {
            Value::Number(number) => number,
            ref other => panic!("{other:?}"),
        };
        let tree = one(text);
        tree.get("c")
            .unwrap()
            .entries()
            .iter()
            .map(|entry| (entry.key.clone(), number(&entry.node)))
            .collect()
    }

    #[test]
    fn what_is_written_wins_over_what_is_merged_and_earlier_maps_over_later_ones() {
        let pairs = |pairs: &[(&str, f64)]| -> Vec<(String, f64)> {
            pairs.iter().map(|(key, number)| ((*key).to_owned(), *number)).collect()
        };
        assert_eq!(merged("a: &a {x: 1, z: 2}\nc: {<<: *a, x: 9}\n"), pairs(&[("z", 2.0), ("x", 9.0)]));
        assert_eq!(merged("a: &a {x: 1, z: 2}\nc:\n  x: 9\n  <<: *a\n"), pairs(&[("x", 9.0), ("z", 2.0)]));
        let list = "a: &a {x: 1, z: 2}\nc:\n  <<: [{q: 1, x: 7}, {q: 2}, *a]\n  r: 1\n";
        assert_eq!(merged(list), pairs(&[("q", 1.0), ("x", 7.0), ("z", 2.0), ("r", 1.0)]));
        let nested = "a: &a {x: 1, z: 2}\nc: {<<: {<<: *a, x: 5}, y: 1}\n";
        assert_eq!(merged(nested), pairs(&[("z", 2.0), ("x", 5.0), ("y", 1.0)]));
        // In quotes it is a key as any other; and JSON has no merge keys.
        assert!(one("c: {\"<<\": {x: 1}}\n").descend(&["c", "<<", "x"]).is_some());
        assert!(Notation::Json.read(r#"{"<<": {"x": 1}}"#).unwrap().remove(0).get("<<").is_some());
    }

    #[test]
    fn a_merged_value_has_its_place_where_it_is_named() {
        let text = "a: &a {x: {y: [1]}}\nc:\n  <<: *a\n  d: 1\n";
        let tree = one(text);
        let merged = tree.get("c").unwrap().entry("x").unwrap();
        assert_eq!(&text[merged.span.range()], "*a");
        assert_eq!((&text[merged.node.span.range()], merged.node.style), ("*a", Style::Alias));
        let inner = merged.node.get("y").unwrap().items()[0].span;
        assert_eq!(inner.start, merged.span.start);
        // A map that is written there keeps its own places.
        let text = "c: {<<: {x: 1}, d: 1}\n";
        assert_eq!(&text[one(text).descend(&["c", "x"]).unwrap().span.range()], "1");
    }

    #[test]
    fn a_key_before_the_merge_is_known_as_read_in_two_ways() {
        let misread = |text: &str| one(text).get("c").unwrap().entry("x").unwrap().misread.clone();
        assert_eq!(misread("a: &a {x: 1}\nc: {x: 9, <<: *a}\n"), Some(Box::new(Misread::Merged)));
        assert_eq!(misread("a: &a {x: 1}\nc: {<<: *a, x: 9}\n"), None);
        assert_eq!(misread("a: &a {x: 1}\nc: {x: 1, <<: *a}\n"), None);
    }

    #[test]
    fn what_kubectl_refuses_is_refused() {
        let refused = |text: &str| Notation::Yaml.read(text).unwrap_err().message;
        for text in ["c: {<<: 5}", "a: &a [{x: 1}]\nc: {<<: *a}", "c: {<<: }", "c: {<<: [[{x: 1}]]}"] {
            assert!(refused(text).contains("has to be a map, or a list of maps"), "{text}");
        }
        assert!(refused("c: {<<: {x: 1}, <<: {y: 1}}").contains("given twice"));
    }

    #[test]
    fn merges_that_stand_for_billions_are_refused() {
        let mut text = "a0: &a0 {x: 1, y: 2, z: 3}\n".to_owned();
        for level in 1..12 {
            let items = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} {{<<: [{items}]}}\n"));
        }
        assert!(Notation::Yaml.read(&text).unwrap_err().message.contains("more than 1000000 values"));
    }
}
