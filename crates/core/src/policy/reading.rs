//! One request while it is decided: each part is asked of the host at most once.

use std::cell::RefCell;

use crate::Request;

/// A request with a memory for what the host has already told. The names in it are the policy's.
pub(super) struct Reading<'p, 'r, R> {
    request: &'r R,
    known: RefCell<Vec<Known<'p>>>,
}

/// A header's name and first value.
type Known<'p> = (&'p str, Option<Vec<u8>>);

// === impl Reading ===

impl<'p, 'r, R: Request> Reading<'p, 'r, R> {
    pub(super) fn new(request: &'r R) -> Self {
        Self { request, known: RefCell::default() }
    }

    /// Looks at the first value of this header; `name` is in lower case.
    pub(super) fn header<T>(&self, name: &'p str, look: impl FnOnce(Option<&[u8]>) -> T) -> T {
        if let Some((_, value)) = self.known.borrow().iter().find(|(known, _)| *known == name) {
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

    /// Whether this header, whose first value is known, occurs more than once.
    pub(super) fn is_repeated(&self, name: &'p str) -> bool {
        self.header(name, |first| self.request.property(&["request", "headers", name]).as_deref() != first)
    }

    /// All cookies in one text, as HTTP/2 sends them. Over HTTP/1.1 they may come in several headers, and whoever writes
    /// one replaces them all.
    pub(super) fn all_cookies(&self) -> Option<Vec<u8>> {
        let first = self.header("cookie", |first| first.map(<[u8]>::to_vec))?;
        if !self.is_repeated("cookie") {
            return Some(first);
        }
        Some(self.request.every_value("cookie").join(&b"; "[..]))
    }

    /// The request itself, for what is asked of the host once at most.
    pub(super) fn host(&self) -> &'r R {
        self.request
    }
}
