//! One request while it is decided: each part is asked of the host at most once.

use std::cell::OnceCell;

use super::extract;
use crate::Request;

/// How many headers are remembered in place. More than most requests are asked for; to allocate would cost more than to
/// decide.
const IN_PLACE: usize = 6;

/// A request with a memory for what the host has already answered. The names in it are the policy's.
pub(super) struct CachedRequest<'p, 'r, R> {
    request: &'r R,
    headers: [OnceCell<Header<'p>>; IN_PLACE],
    more_headers: HeaderLink<'p>,
    all_cookies: OnceCell<Option<Vec<u8>>>,
}

/// A header's name and first value.
struct Header<'p> {
    name: &'p str,
    value: Option<Vec<u8>>,
}

/// Further headers, one behind the other. It only grows, so a value stays where it is while others are asked for.
#[derive(Default)]
struct HeaderLink<'p>(OnceCell<Box<(Header<'p>, HeaderLink<'p>)>>);

// === impl CachedRequest ===

impl<'p, 'r, R: Request> CachedRequest<'p, 'r, R> {
    pub(super) fn new(request: &'r R) -> Self {
        Self {
            request,
            headers: Default::default(),
            more_headers: HeaderLink::default(),
            all_cookies: OnceCell::new(),
        }
    }

    /// The first value of this header; `name` is in lower case.
    pub(super) fn header(&self, name: &'p str) -> Option<&[u8]> {
        let ask = || Header { name, value: self.request.header(name) };
        for cell in &self.headers {
            match cell.get() {
                Some(header) if header.name != name => {}
                _ => return cell.get_or_init(ask).value.as_deref(),
            }
        }
        let mut link = &self.more_headers;
        loop {
            let (header, next) = &**link.0.get_or_init(|| Box::new((ask(), HeaderLink::default())));
            if header.name == name {
                return header.value.as_deref();
            }
            link = next;
        }
    }

    /// The path: `:path` up to `?` or `#`, the bytes as sent.
    pub(super) fn path(&self) -> &[u8] {
        self.target().split(|byte| b"?#".contains(byte)).next().unwrap_or_default()
    }

    /// The query: the bytes of `:path` between the first `?` and `#`, as sent.
    pub(super) fn query(&self) -> &[u8] {
        let target = self.target().split(|&byte| byte == b'#').next().unwrap_or_default();
        target.splitn(2, |&byte| byte == b'?').nth(1).unwrap_or_default()
    }

    fn target(&self) -> &[u8] {
        self.header(":path").unwrap_or_default()
    }

    /// The method.
    pub(super) fn method(&self) -> &[u8] {
        self.header(":method").unwrap_or_default()
    }

    /// Whether this header, whose first value is known, occurs more than once. A host may not tell an empty property
    /// from a missing one, so one empty header counts as none.
    pub(super) fn is_repeated(&self, name: &'p str) -> bool {
        let joined = self.request.property(&["request", "headers", name]).unwrap_or_default();
        self.header(name).unwrap_or_default() != joined
    }

    /// The value of the first cookie of this name, raw. Mostly one header holds them all; only where it does not hold
    /// this one are others looked for.
    pub(super) fn cookie(&self, name: &str) -> Option<&[u8]> {
        let find = |cookies| extract::cookie(cookies, name.as_bytes());
        self.header("cookie").and_then(find).or_else(|| self.all_cookies().and_then(find))
    }

    /// All cookies in one text, as HTTP/2 sends them. Over HTTP/1.1 they may come in several headers, and a write
    /// replaces them all.
    pub(super) fn all_cookies(&self) -> Option<&[u8]> {
        let all = self.all_cookies.get_or_init(|| {
            let first = self.header("cookie")?;
            if !self.is_repeated("cookie") {
                return Some(first.to_vec());
            }
            Some(self.request.every_value("cookie").join(&b"; "[..]))
        });
        all.as_deref()
    }

    /// The request itself, for what is asked of the host once at most.
    pub(super) fn host(&self) -> &'r R {
        self.request
    }
}
