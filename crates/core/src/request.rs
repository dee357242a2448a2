//! What deciding about one request needs of the host.

use std::time::Duration;

/// One request, as the host shows it. Every call may cross into the host, so it is made only when it is needed, and
/// its answer is kept by the caller.
pub trait Request {
    /// The first value of this header, as raw bytes; `:authority`, `:path` and `:method` are headers too. `name` is
    /// in lower case.
    fn header(&self, name: &str) -> Option<Vec<u8>>;

    /// Every value of this header, in order. Where the host tells all headers at once, this costs more than the rest.
    fn every_value(&self, name: &str) -> Vec<Vec<u8>>;

    /// What the host knows under this path of names, as the bytes that it would hand to a filter. Under
    /// `request headers NAME` every value of a header, joined by commas.
    fn property(&self, path: &[&str]) -> Option<Vec<u8>>;

    /// The time of the host's clock, since 1970.
    fn now(&self) -> Duration;

    /// Sixteen bytes that nobody can predict; `None` where the host has no source of them.
    fn random(&self) -> Option<[u8; 16]>;
}

/// A request that somebody wrote down: for previews, explanations and tests.
#[derive(Clone, Debug, Default)]
pub struct WrittenRequest {
    headers: Vec<(String, Vec<u8>)>,
    properties: Vec<(Vec<String>, Vec<u8>)>,
    random: Option<[u8; 16]>,
    now: Duration,
}

// === impl WrittenRequest ===

impl WrittenRequest {
    /// A request of this method, host and path, without headers.
    pub fn new(method: &str, authority: &str, path: &str) -> Self {
        Self::default()
            .with_header(":method", method)
            .with_header(":authority", authority)
            .with_header(":path", path)
    }

    /// The same with one more header. A name may come again: then the header is repeated.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// The same with something that the host knows, under this path of names.
    #[must_use]
    pub fn with_property(mut self, path: &[&str], value: impl AsRef<[u8]>) -> Self {
        let path = path.iter().map(|&name| name.to_owned()).collect();
        self.properties.push((path, value.as_ref().to_vec()));
        self
    }

    /// The same with these bytes for whatever is to be random.
    #[must_use]
    pub fn with_random(mut self, bytes: [u8; 16]) -> Self {
        self.random = Some(bytes);
        self
    }

    /// The same at this point in time, since 1970.
    #[must_use]
    pub fn at(mut self, now: Duration) -> Self {
        self.now = now;
        self
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_slice())
    }
}

impl Request for WrittenRequest {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.values(name).next().map(<[u8]>::to_vec)
    }

    fn every_value(&self, name: &str) -> Vec<Vec<u8>> {
        self.values(name).map(<[u8]>::to_vec).collect()
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        if let ["request", "headers", name] = path {
            let values: Vec<&[u8]> = self.values(name).collect();
            return (!values.is_empty()).then(|| values.join(&b','));
        }
        self.properties.iter().find(|(given, _)| given == path).map(|(_, value)| value.clone())
    }

    fn now(&self) -> Duration {
        self.now
    }

    fn random(&self) -> Option<[u8; 16]> {
        self.random
    }
}
