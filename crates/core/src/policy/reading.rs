//! One request while it is decided: each part is asked of the host at most once.

use std::cell::{OnceCell, RefCell};

use super::parts;
use crate::Request;

/// A request with a memory for what the host has already told. The names in it are the policy's.
pub(super) struct Reading<'p, 'r, R> {
    request: &'r R,
    known: RefCell<Vec<Header<'p>>>,
    all_cookies: OnceCell<Option<Vec<u8>>>,
}

/// A header's name and first value.
type Header<'p> = (&'p str, Option<Vec<u8>>);

// === impl Reading ===

impl<'p, 'r, R: Request> Reading<'p, 'r, R> {
    pub(super) fn new(request: &'r R) -> Self {
        Self { request, known: RefCell::default(), all_cookies: OnceCell::new() }
    }

    /// Looks at the first value of this header; `name` is in lower case.
    pub(super) fn header<T>(&self, name: &'p str, look: impl FnOnce(Option<&[u8]>) -> T) -> T {
        // A copy, so that `look` may ask for other headers.
        let known =
            self.known.borrow().iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        if let Some(value) = known {
            return look(value.as_deref());
        }
        let value = self.request.header(name);
        let answer = look(value.as_deref());
        self.known.borrow_mut().push((name, value));
        answer
    }

    /// Looks at the path: `:path` up to `?` or `#`, the bytes as sent.
    pub(super) fn path<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        self.header(":path", |target| {
            let target = target.unwrap_or_default();
            look(target.split(|byte| b"?#".contains(byte)).next().unwrap_or_default())
        })
    }

    /// The query: what stands in `:path` between the first `?` and `#`, the bytes as sent.
    pub(super) fn query<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        self.header(":path", |target| {
            let target = target.unwrap_or_default().split(|&byte| byte == b'#').next().unwrap_or_default();
            look(target.splitn(2, |&byte| byte == b'?').nth(1).unwrap_or_default())
        })
    }

    /// Looks at the method.
    pub(super) fn method<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        self.header(":method", |method| look(method.unwrap_or_default()))
    }

    /// Whether this header, whose first value is known, occurs more than once. A host may not tell an empty property
    /// from a missing one, so one empty header is as good as none.
    pub(super) fn is_repeated(&self, name: &'p str) -> bool {
        let joined = self.request.property(&["request", "headers", name]).unwrap_or_default();
        self.header(name, |first| first.unwrap_or_default() != joined)
    }

    /// The value of the first cookie of this name, raw. Mostly one header holds them all; only where it does not hold
    /// this one are others looked for.
    pub(super) fn cookie(&self, name: &str) -> Option<Vec<u8>> {
        let find = |cookies: &[u8]| Some(parts::cookie(cookies, name.as_bytes())?.to_vec());
        self.header("cookie", |first| find(first?)).or_else(|| find(self.all_cookies()?))
    }

    /// All cookies in one text, as HTTP/2 sends them. Over HTTP/1.1 they may come in several headers, and whoever writes
    /// one replaces them all.
    pub(super) fn all_cookies(&self) -> Option<&[u8]> {
        let all = self.all_cookies.get_or_init(|| {
            let first = self.header("cookie", |first| first.map(<[u8]>::to_vec))?;
            if !self.is_repeated("cookie") {
                return Some(first);
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
