//! Where in a document: `rollouts[0].variants[1].weight`.

use std::fmt;
use std::rc::Rc;

use super::problem::quoted;

/// The way from the top of a document to one of its values. Cheap to extend; the text is made only for a problem.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place<'d>(Option<Rc<Link<'d>>>);

#[derive(Debug)]
struct Link<'d> {
    parent: Place<'d>,
    step: Step<'d>,
}

#[derive(Debug)]
enum Step<'d> {
    Field(&'d str),
    Item(usize),
}

impl<'d> Place<'d> {
    pub(crate) fn field(&self, name: &'d str) -> Self {
        self.then(Step::Field(name))
    }

    pub(crate) fn item(&self, index: usize) -> Self {
        self.then(Step::Item(index))
    }

    fn then(&self, step: Step<'d>) -> Self {
        Self(Some(Rc::new(Link { parent: self.clone(), step })))
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(link) = &self.0 else { return Ok(()) };
        link.parent.fmt(f)?;
        match link.step {
            Step::Field(name) if !is_plain(name) => write!(f, "[{}]", quoted(name)),
            Step::Field(name) if link.parent.0.is_none() => f.write_str(name),
            Step::Field(name) => write!(f, ".{name}"),
            Step::Item(index) => write!(f, "[{index}]"),
        }
    }
}

/// Whether a name can stand in a place as it is. Any text may be a key, and a place is printed in logs.
fn is_plain(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_the_document() {
        let top = Place::default();
        assert_eq!(top.to_string(), "");
        assert_eq!(top.field("rollouts").item(0).field("weight").to_string(), "rollouts[0].weight");
        assert_eq!(top.field("a\nb").field("c").to_string(), "[\"a\\nb\"].c");
    }
}
