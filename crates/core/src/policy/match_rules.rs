//! The conditions of a rollout on a request, its host aside.

use coalmine_document::{Cursor, Known, quoted};

use super::cached_request::CachedRequest;
use super::host_index::HostPattern;
use super::names;
use crate::Request;

const MATCH: Known = Known::new(&["hosts", "paths", "methods", "headers"]);
const PATH: Known = Known::new(&["exact", "prefix"]);
const HEADER: Known = Known::new(&["name", "exact", "prefix", "present"]);

/// How many hosts, paths, methods or headers a rollout may list: a request is held against all but the hosts.
const MAX_CONDITIONS: usize = 1_000;

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
    pub(super) fn read(cursor: &Cursor<'_, '_>) -> Self {
        let fields = cursor.fields(&MATCH);
        if fields.is_empty() && fields.is_map() {
            cursor.problem("has no condition; leave \"match\" out to match every request");
        }
        fn items<T>(list: Option<Cursor<'_, '_>>, read: impl Fn(&Cursor<'_, '_>) -> T) -> Vec<T> {
            let Some(list) = list else { return Vec::new() };
            let items = list.filled_items("leave it out to match everything");
            if items.len() > MAX_CONDITIONS {
                list.too_large(format!("has {} items; at most {MAX_CONDITIONS}", items.len()));
                return Vec::new();
            }
            items.map(|item| read(&item)).collect()
        }
        Self {
            hosts: items(fields.get("hosts"), HostPattern::read),
            paths: items(fields.get("paths"), read_path),
            methods: items(fields.get("methods"), names::method),
            headers: items(fields.get("headers"), HeaderMatch::read),
        }
    }

    /// The first condition that does not hold, the host aside; `None` where this request is one of the rollout's.
    pub(super) fn refused_by<'p>(
        &'p self,
        request: &CachedRequest<'p, '_, impl Request>,
    ) -> Option<Refusal<'p>> {
        if !self.paths.is_empty() {
            let path = request.path();
            if !self.paths.iter().any(|text| text.holds(path)) {
                return Some(Refusal::Path);
            }
        }
        if !self.methods.is_empty() {
            let method = request.method();
            if !self.methods.iter().any(|known| known.as_bytes() == method) {
                return Some(Refusal::Method);
            }
        }
        let header = self.headers.iter().find(|header| !header.holds(request))?;
        Some(Refusal::Header(&header.name))
    }
}

fn read_path(cursor: &Cursor<'_, '_>) -> Text {
    let fields = cursor.fields_as(&PATH, "a map, as {prefix: /api/}");
    match (fields.get("exact"), fields.get("prefix")) {
        (Some(exact), None) => Text::Exact(path_text(&exact)),
        (None, Some(prefix)) => Text::Prefix(path_text(&prefix)),
        _ => {
            if fields.is_map() {
                cursor.problem("needs one condition: exact or prefix");
            }
            Text::Exact(Box::default())
        }
    }
}

fn path_text(cursor: &Cursor<'_, '_>) -> Box<str> {
    let Some(text) = cursor.string_of("a path, as /api/") else { return Box::default() };
    if !text.starts_with('/') {
        cursor.problem(format!("{} must begin with /", quoted(text)));
    } else if text.contains(['?', '#']) {
        cursor.problem(format!("{} can never match: a path ends before ? and #", quoted(text)));
    }
    text.into()
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
    fn read(cursor: &Cursor<'_, '_>) -> Self {
        let fields = cursor.fields_as(&HEADER, "a map, as {name: x-region, exact: eu}");
        let name = fields.required("name", "the header to look at").map(|name| names::header(&name));
        let condition = match (fields.get("exact"), fields.get("prefix"), fields.get("present")) {
            (Some(exact), None, None) => {
                HeaderCondition::Value(Text::Exact(exact.string().unwrap_or_default().into()))
            }
            (None, Some(prefix), None) => {
                let text = prefix.string();
                if text.is_some_and(str::is_empty) {
                    prefix.problem("is empty; \"present: true\" matches any value");
                }
                HeaderCondition::Value(Text::Prefix(text.unwrap_or_default().into()))
            }
            (None, None, Some(present)) => HeaderCondition::Present(present.boolean()),
            _ => {
                if fields.is_map() {
                    cursor.problem("needs one condition: exact, prefix or present");
                }
                HeaderCondition::Present(true)
            }
        };
        Self { name: name.unwrap_or_default(), condition }
    }

    fn holds<'p>(&'p self, request: &CachedRequest<'p, '_, impl Request>) -> bool {
        match (&self.condition, request.header(&self.name)) {
            (HeaderCondition::Present(present), value) => *present == value.is_some(),
            (HeaderCondition::Value(text), Some(value)) => text.holds(value),
            (HeaderCondition::Value(_), None) => false,
        }
    }
}
