//! One stream's state: what was sent, taken and refused. No I/O.

use super::resource::revision;

/// What a proxy says on a stream, in either form of the protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Whether it wants our resource from now on (`Some(true)`), not any more, or says nothing about it.
    pub(super) wants: Option<bool>,
    /// The version of our resource that it has already, where it says so.
    pub(super) has: Option<String>,
    /// The answer that it speaks of; empty where it speaks of none.
    pub(super) nonce: String,
    /// Why it refuses that answer.
    pub(super) error: Option<String>,
}

/// What one stream was sent, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Session {
    wants: bool,
    count: u64,
    /// Revision and version of what was sent last.
    sent: Option<(u64, String)>,
    nonce: String,
    /// The revision that it last said it has.
    pub(super) accepted: Option<u64>,
    /// The version that it has from an earlier stream.
    before: Option<String>,
    /// The revision that it refused last, and why.
    pub(super) refused: Option<(u64, String)>,
}

/// The most characters of a proxy's reason that are kept.
const MAX_REASON: usize = 500;

// === impl Session ===

impl Session {
    /// Takes what a proxy says. Gives the revision that it refuses, and why, where it does so for the first time.
    pub(super) fn take(&mut self, said: Said) -> Option<(u64, String)> {
        self.wants = said.wants.unwrap_or(self.wants);
        if self.count == 0 {
            // What it has from an earlier stream. It need not come again.
            self.accepted = said.has.as_deref().and_then(revision);
            self.before = said.has;
        }
        // Answers to answers that are not the latest one say nothing about what it has now.
        if said.nonce.is_empty() || said.nonce != self.nonce {
            return None;
        }
        let sent = self.sent.as_ref()?.0;
        match said.error {
            None => {
                let is_refused = self.refused.as_ref().is_some_and(|(refused, _)| *refused == sent);
                if !is_refused {
                    self.accepted = Some(sent);
                }
                None
            }
            Some(_) if self.refused.as_ref().is_some_and(|(refused, _)| *refused == sent) => None,
            Some(why) => {
                let why: String = why.chars().filter(|it| !it.is_control()).take(MAX_REASON).collect();
                let refused = (sent, why);
                self.refused = Some(refused.clone());
                Some(refused)
            }
        }
    }

    /// The nonce under which the latest revision is to be sent now, in this version; none where it need not be.
    pub(super) fn next(&mut self, latest: u64, version: &str) -> Option<String> {
        let has = self.sent.as_ref().map(|(_, version)| version).or(self.before.as_ref());
        if !self.wants || has.is_some_and(|has| has == version) {
            return None;
        }
        self.count += 1;
        self.sent = Some((latest, version.to_owned()));
        self.nonce = self.count.to_string();
        Some(self.nonce.clone())
    }

    /// The revision that was sent last.
    pub(super) fn sent(&self) -> Option<u64> {
        self.sent.as_ref().map(|(revision, _)| *revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscribed(has: Option<&str>) -> Session {
        let mut session = Session::default();
        session.take(Said { wants: Some(true), has: has.map(str::to_owned), ..Said::default() });
        session
    }

    fn answer(session: &mut Session, nonce: &str, error: Option<&str>) -> Option<(u64, String)> {
        session.take(Said { nonce: nonce.to_owned(), error: error.map(str::to_owned), ..Said::default() })
    }

    #[test]
    fn nothing_is_sent_to_who_does_not_want_it() {
        let mut session = Session::default();
        session.take(Said::default());
        assert_eq!(session.next(5, "5-ab"), None);
        session.take(Said { wants: Some(true), ..Said::default() });
        assert_eq!(session.next(5, "5-ab").as_deref(), Some("1"));
        assert_eq!(session.next(5, "5-ab"), None);
        session.take(Said { wants: Some(false), ..Said::default() });
        assert_eq!(session.next(6, "6-ab"), None);
    }

    #[test]
    fn an_answer_is_believed_for_the_latest_nonce_only() {
        let mut session = subscribed(None);
        assert_eq!(session.next(5, "5-ab").as_deref(), Some("1"));
        assert_eq!(session.next(6, "6-ab").as_deref(), Some("2"));
        assert_eq!(answer(&mut session, "1", None), None);
        assert_eq!(session.accepted, None);
        assert_eq!(answer(&mut session, "1", Some("no")), None);
        assert_eq!(session.refused, None);
        answer(&mut session, "2", None);
        assert_eq!(session.accepted, Some(6));
    }

    #[test]
    fn a_refusal_is_told_once_and_not_taken_back() {
        let mut session = subscribed(None);
        session.next(5, "5-ab");
        assert_eq!(answer(&mut session, "1", Some("bad\nmodule")), Some((5, "badmodule".to_owned())));
        assert_eq!(answer(&mut session, "1", Some("again")), None);
        answer(&mut session, "1", None);
        assert_eq!(session.accepted, None);
        assert_eq!(session.next(5, "5-ab"), None, "refused bytes are not sent again");
        assert_eq!(session.next(6, "6-ab").as_deref(), Some("2"));
        answer(&mut session, "2", None);
        assert_eq!(session.accepted, Some(6));
    }

    #[test]
    fn what_a_proxy_has_from_an_earlier_stream_does_not_come_again() {
        let mut session = subscribed(Some("5-ab"));
        assert_eq!(session.next(5, "5-ab"), None);
        assert_eq!(session.next(6, "6-ab").as_deref(), Some("1"));
        let mut newer = subscribed(Some("9-ab"));
        assert_eq!(newer.next(6, "6-ab").as_deref(), Some("1"), "another history");
        let mut upgraded = subscribed(Some("6-aa"));
        assert_eq!(upgraded.next(6, "6-ab").as_deref(), Some("1"), "another module");
        assert_eq!(upgraded.accepted, Some(6));
        let mut odd = subscribed(Some("v1"));
        assert!(odd.next(6, "6-ab").is_some());
    }
}
