//! Whether a request is one of those that a rollout speaks of, its host aside.

use super::hosts::HostPattern;
use super::own::HeaderNames;
use super::reading::Reading;
use crate::Request;
use crate::document::{Cursor, Known, quoted};

const MATCH: Known = Known { fields: &["hosts", "paths", "methods", "headers"], unsupported: &[] };
const PATH: Known = Known { fields: &["exact", "prefix"], unsupported: &[] };
const HEADER: Known = Known { fields: &["name", "exact", "prefix", "present"], unsupported: &[] };

/// The conditions of a rollout. Hosts stand apart: they find the rollout, the rest accepts the request.
#[derive(Debug, Default)]
pub(super) struct Match {
    pub(super) hosts: Vec<HostPattern>,
    pub(super) paths: Vec<Text>,
    pub(super) methods: Vec<Box<str>>,
    pub(super) headers: Vec<HeaderMatch>,
}

/// A condition that keeps a request from a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<'p> {
    /// None of the paths is the request's.
    Path,
    /// None of the methods is the request's.
    Method,
    /// The condition on this header does not hold.
    Header(&'p str),
}

/// A condition on a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Text {
    Exact(Box<str>),
    Prefix(Box<str>),
}

/// A condition on the first value of a header.
#[derive(Debug)]
pub(super) struct HeaderMatch {
    pub(super) name: Box<str>,
    pub(super) condition: HeaderCondition,
}

#[derive(Debug)]
pub(super) enum HeaderCondition {
    Value(Text),
    Present(bool),
}

// === impl Match ===

impl Match {
    pub(super) fn read(cursor: &Cursor<'_>, names: &mut HeaderNames<'_>) -> Option<Self> {
        let fields = cursor.map(&MATCH)?;
        fn items<'d, T>(list: Option<Cursor<'d>>, read: impl FnMut(&Cursor<'d>) -> Option<T>) -> Vec<T> {
            let list = list.and_then(|list| list.filled_list("leave it out to match everything"));
            list.unwrap_or_default().iter().filter_map(read).collect()
        }
        if fields.is_empty() {
            cursor.problem("has no condition; leave \"match\" out to match every request");
        }
        Some(Self {
            hosts: items(fields.get("hosts"), HostPattern::read),
            paths: items(fields.get("paths"), read_path),
            methods: items(fields.get("methods"), read_method),
            headers: items(fields.get("headers"), |header| HeaderMatch::read(header, names)),
        })
    }

    /// Whether everything but the host holds.
    pub(super) fn accepts<'p>(&'p self, request: &Reading<'p, '_, impl Request>) -> bool {
        self.refused_by(request).is_none()
    }

    /// The first condition that does not hold, the host aside.
    pub(super) fn refused_by<'p>(&'p self, request: &Reading<'p, '_, impl Request>) -> Option<Refusal<'p>> {
        if !self.paths.is_empty() && !request.path(|path| self.paths.iter().any(|text| text.holds(path))) {
            return Some(Refusal::Path);
        }
        let is_known = |method: &[u8]| self.methods.iter().any(|known| known.as_bytes() == method);
        if !self.methods.is_empty() && !request.method(is_known) {
            return Some(Refusal::Method);
        }
        let header = self.headers.iter().find(|header| !header.holds(request))?;
        Some(Refusal::Header(&header.name))
    }
}

fn read_path(cursor: &Cursor<'_>) -> Option<Text> {
    let fields = cursor.map(&PATH)?;
    let text = match (fields.get("exact"), fields.get("prefix")) {
        (Some(exact), None) => Text::Exact(path_text(&exact)?),
        (None, Some(prefix)) => Text::Prefix(path_text(&prefix)?),
        _ => {
            cursor.problem("needs one condition: exact or prefix");
            return None;
        }
    };
    Some(text)
}

fn path_text(cursor: &Cursor<'_>) -> Option<Box<str>> {
    let text = cursor.string()?;
    if !text.starts_with('/') {
        cursor.problem(format!("{} must begin with /", quoted(text)));
        return None;
    }
    if text.contains(['?', '#']) {
        cursor.problem(format!("{} can never match: a path ends before ? and #", quoted(text)));
        return None;
    }
    Some(text.into())
}

fn read_method(cursor: &Cursor<'_>) -> Option<Box<str>> {
    let text = cursor.string()?;
    if !super::names::is_token(text) || text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        cursor.problem(format!("{} is no method: methods are in upper case, as GET", quoted(text)));
        return None;
    }
    Some(text.into())
}

// === impl Text ===

impl Text {
    fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => value == text.as_bytes(),
            Self::Prefix(text) => value.starts_with(text.as_bytes()),
        }
    }
}

// === impl HeaderMatch ===

impl HeaderMatch {
    fn read(cursor: &Cursor<'_>, names: &mut HeaderNames<'_>) -> Option<Self> {
        let fields = cursor.map(&HEADER)?;
        let name =
            fields.required("name", "the header to look at").and_then(|name| super::names::header(&name));
        if let Some(name) = &name {
            names.add_read(name);
        }
        let condition = match (fields.get("exact"), fields.get("prefix"), fields.get("present")) {
            (Some(exact), None, None) => HeaderCondition::Value(Text::Exact(exact.string()?.into())),
            (None, Some(prefix), None) => {
                let text = prefix.string()?;
                if text.is_empty() {
                    prefix.problem("is empty; \"present: true\" matches any value");
                    return None;
                }
                HeaderCondition::Value(Text::Prefix(text.into()))
            }
            (None, None, Some(present)) => HeaderCondition::Present(present.boolean()?),
            _ => {
                cursor.problem("needs one condition: exact, prefix or present");
                return None;
            }
        };
        Some(Self { name: name?, condition })
    }

    fn holds<'p>(&'p self, request: &Reading<'p, '_, impl Request>) -> bool {
        request.header(&self.name, |value| match (&self.condition, value) {
            (HeaderCondition::Present(present), value) => *present == value.is_some(),
            (HeaderCondition::Value(text), Some(value)) => text.holds(value),
            (HeaderCondition::Value(_), None) => false,
        })
    }
}
