//! What deciding about one request needs of the host.

/// One request, as the host shows it. Every call may cross into the host, so it is made only when it is needed, and
/// its answer is kept by the caller.
pub trait Request {
    /// The first value of this header, as raw bytes; `:authority`, `:path` and `:method` are headers too. `name` is
    /// in lower case.
    fn header(&self, name: &str) -> Option<Vec<u8>>;

    /// Every value of this header, joined by commas: equal to [`Request::header`] exactly when it occurs once.
    fn joined_header(&self, name: &str) -> Option<Vec<u8>>;
}

/// A request that somebody wrote down: for previews, explanations and tests.
#[derive(Clone, Debug, Default)]
pub struct WrittenRequest {
    headers: Vec<(String, Vec<u8>)>,
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

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_slice())
    }
}

impl Request for WrittenRequest {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.values(name).next().map(<[u8]>::to_vec)
    }

    fn joined_header(&self, name: &str) -> Option<Vec<u8>> {
        let values: Vec<&[u8]> = self.values(name).collect();
        (!values.is_empty()).then(|| values.join(&b','))
    }
}
