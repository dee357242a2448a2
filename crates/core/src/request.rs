//! What a decision about one request needs of the host.

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

    /// Sixteen unpredictable bytes; `None` where the host has no source of them.
    fn random(&self) -> Option<[u8; 16]>;
}

const AUTHORITY: &str = ":authority";
const HOST: &str = "host";

/// The headers of which Envoy makes one value, the values joined by commas, before any filter sees them. Such a header
/// is never repeated. Measured on Envoy 1.40.0.
pub const JOINED: [&str; 31] = [
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "cache-control",
    "cdn-loop",
    "content-encoding",
    "content-type",
    "expect",
    "grpc-timeout",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "origin",
    "pragma",
    "referer",
    "user-agent",
    "via",
    "x-client-trace-id",
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-external-address",
    "x-envoy-original-path",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
];

/// A request made of given parts: for previews, explanations and tests.
#[derive(Clone, Debug, Default)]
pub struct StaticRequest {
    headers: Vec<(String, Vec<u8>)>,
    properties: Vec<(Vec<String>, Vec<u8>)>,
    random: Option<[u8; 16]>,
}

// === impl StaticRequest ===

impl StaticRequest {
    /// A request of this method, host and path, without headers.
    pub fn new(method: &str, authority: &str, path: &str) -> Self {
        Self::default()
            .with_header(":method", method)
            .with_header(":authority", authority)
            .with_header(":path", path)
    }

    /// The same with one more header. A name may come again: then the header is repeated, unless it is one of
    /// [`JOINED`], or `host`, which is another name of `:authority` and takes its place.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let (name, value) = (name.to_ascii_lowercase(), value.as_ref());
        let name = if name == HOST { AUTHORITY.to_owned() } else { name };
        match self.headers.iter_mut().find(|(given, _)| *given == name) {
            Some((_, authority)) if name == AUTHORITY => *authority = value.to_vec(),
            Some((_, all)) if JOINED.contains(&&*name) => {
                if !all.is_empty() && !value.is_empty() {
                    all.push(b',');
                }
                all.extend_from_slice(value);
            }
            _ => self.headers.push((name, value.to_vec())),
        }
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

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let name = if name == HOST { AUTHORITY } else { name };
        self.headers.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_slice())
    }
}

impl Request for StaticRequest {
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

    fn random(&self) -> Option<[u8; 16]> {
        self.random
    }
}
