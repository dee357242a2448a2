//! Sessions: who has signed in, kept in memory and nowhere else.
//!
//! A cookie holds a random number, which is no token and is known to one server alone. A form holds a code that is made of
//! that number with a key of this process, so that only a page of this server can have made the form.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};

/// Seconds after which one has to sign in again.
pub(super) const LASTS: u64 = 8 * 60 * 60;
/// The most sessions at a time.
const MOST: usize = 1_000;
/// The bytes of a random number.
const BYTES: usize = 32;

/// The sessions of a server.
pub(super) struct Sessions {
    key: hmac::Key,
    /// By the digest of the cookie's number: a comparison of digests says nothing about the number.
    open: Mutex<BTreeMap<[u8; BYTES], Session>>,
}

/// One session.
#[derive(Clone)]
pub(super) struct Session {
    /// What was signed in with. It is looked up again at each request, so that a session ends with its token.
    pub(super) token: String,
    /// The person, where they said who they are.
    pub(super) actor: Option<String>,
    /// When it ends, in seconds since 1970.
    until: u64,
}

/// The number in a cookie, in hexadecimal.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Id(String);

// === impl Id ===

impl Id {
    /// A new one. None where the system gives no random numbers.
    pub(super) fn new() -> Option<Self> {
        let mut bytes = [0; BYTES];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Self(hexadecimal(&bytes)))
    }

    /// The one that a cookie holds.
    pub(super) fn read(text: &str) -> Option<Self> {
        let is_one = text.len() == 2 * BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_one.then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn digest(&self) -> [u8; BYTES] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Id(..)")
    }
}

// === impl Sessions ===

impl Default for Sessions {
    fn default() -> Self {
        // Without random numbers no form is ever taken: the key is nobody's then, and no cookie is given out either.
        let mut key = [0; BYTES];
        let _ = SystemRandom::new().fill(&mut key);
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key), open: Mutex::default() }
    }
}

impl Sessions {
    /// Begins a session with this token, now, in seconds since 1970. Where there are too many, the one that ends first is over.
    pub(super) fn begin(&self, token: String, actor: Option<String>, now: u64) -> Option<Id> {
        let id = Id::new()?;
        let mut open = self.open();
        open.retain(|_, session| session.until > now);
        while open.len() >= MOST {
            let Some(first) = open.iter().min_by_key(|(_, session)| session.until).map(|(key, _)| *key)
            else {
                break;
            };
            open.remove(&first);
        }
        open.insert(id.digest(), Session { token, actor, until: now.saturating_add(LASTS) });
        Some(id)
    }

    /// The session of a cookie, unless it is over.
    pub(super) fn get(&self, id: &Id, now: u64) -> Option<Session> {
        self.open().get(&id.digest()).filter(|session| session.until > now).cloned()
    }

    /// Ends a session.
    pub(super) fn end(&self, id: &Id) {
        self.open().remove(&id.digest());
    }

    /// What a form of this visitor's holds.
    pub(super) fn code(&self, id: &Id) -> String {
        hexadecimal(hmac::sign(&self.key, id.0.as_bytes()).as_ref())
    }

    /// Whether a form was made for this visitor. The time that this takes says nothing about the code.
    pub(super) fn is_code(&self, id: &Id, code: &str) -> bool {
        subtle::ConstantTimeEq::ct_eq(self.code(id).as_bytes(), code.as_bytes()).into()
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<[u8; BYTES], Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("open", &self.open().len()).finish_non_exhaustive()
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_after_its_time_and_there_are_not_too_many() {
        let sessions = Sessions::default();
        let begin = |now| sessions.begin("token".to_owned(), None, now).unwrap();
        let first = begin(0);
        assert!(sessions.get(&first, LASTS - 1).is_some() && sessions.get(&first, LASTS).is_none());
        let all: Vec<Id> = (1..=MOST as u64).map(begin).collect();
        assert!(sessions.get(&first, 1).is_none(), "the first one made room");
        assert!(all.iter().all(|id| sessions.get(id, 1).is_some()));
        begin(2 * LASTS);
        assert_eq!(sessions.open().len(), 1, "what is over is forgotten");
    }

    #[test]
    fn a_code_is_of_one_visitor_and_one_server() {
        let (sessions, others) = (Sessions::default(), Sessions::default());
        let (id, other) = (Id::new().unwrap(), Id::new().unwrap());
        assert!(sessions.is_code(&id, &sessions.code(&id)));
        for code in [String::new(), sessions.code(&other), others.code(&id), id.as_str().to_owned()] {
            assert!(!sessions.is_code(&id, &code));
        }
        assert!(!format!("{id:?} {sessions:?}").contains(id.as_str()));
    }
}
