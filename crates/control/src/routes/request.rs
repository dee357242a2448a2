//! A request, as far as routes can see it.

use std::collections::BTreeMap;
use std::fmt;

use super::Subject;

/// The path of a request that no table speaks of by name.
pub(super) const PATH: &str = "/coalmine-validate";
/// The host of a request that no table speaks of by name.
pub(super) const HOST: &str = "coalmine-validate.example";

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    values: BTreeMap<Subject, String>,
}

// === impl Request ===

impl Request {
    /// A request to this host that is as plain as can be.
    pub fn to(host: &str) -> Self {
        let header = |name: &str| Subject::Header(name.to_owned());
        let values = [
            (Subject::Host, host),
            (Subject::Path, PATH),
            (header(":method"), "GET"),
            (header(":scheme"), "http"),
        ];
        Self { values: values.into_iter().map(|(subject, value)| (subject, value.to_owned())).collect() }
    }

    /// What this part of it is.
    pub fn get(&self, subject: &Subject) -> Option<&str> {
        self.values.get(subject).map(String::as_str)
    }

    /// The same with another value of this part; without the part where there is none.
    #[must_use]
    pub fn with(&self, subject: &Subject, value: Option<&str>) -> Self {
        let mut request = self.clone();
        match value {
            Some(value) => request.values.insert(subject.clone(), value.to_owned()),
            None => request.values.remove(subject),
        };
        request
    }

    /// The same with this header.
    #[must_use]
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        self.with(&Subject::Header(name.to_owned()), Some(value))
    }

    /// Its host.
    pub fn host(&self) -> &str {
        self.get(&Subject::Host).unwrap_or_default()
    }

    /// Its method.
    pub fn method(&self) -> &str {
        self.get(&Subject::Header(":method".to_owned())).unwrap_or_default()
    }

    /// The path with the query parameters behind it.
    pub fn target(&self) -> String {
        let mut target = self.get(&Subject::Path).unwrap_or_default().to_owned();
        let mut joint = '?';
        for (subject, value) in &self.values {
            if let Subject::Query(name) = subject {
                target.push_str(&format!("{joint}{name}={value}"));
                joint = '&';
            }
        }
        target
    }

    /// Its headers but those of HTTP itself.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().filter_map(|(subject, value)| match subject {
            Subject::Header(name) if !name.starts_with(':') => Some((name.as_str(), value.as_str())),
            _ => None,
        })
    }
}

/// `GET /cart with x-region: eu`, for a sentence.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method(), self.target())?;
        for (index, (name, value)) in self.headers().enumerate() {
            write!(f, "{}{name}: {value}", if index == 0 { " with " } else { ", " })?;
        }
        Ok(())
    }
}
