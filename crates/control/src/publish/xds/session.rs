//! The protocol of one stream, without its network: what the proxy has, and whether a publication is to be sent.

use std::collections::VecDeque;

use crate::publish::Publication;

/// How many responses of a stream are remembered that were not answered. There is one, unless a proxy leaves it
/// unanswered for so long that the next is sent all the same.
const UNANSWERED: usize = 8;

/// What a request says, in either dialect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// What becomes of the subscription to the one resource.
    pub(super) subscription: Subscription,
    /// The version that the proxy has, on the first request of a stream.
    pub(super) has: Option<String>,
    /// The response that it answers; empty for none.
    pub(super) nonce: String,
    /// Why it refuses that.
    pub(super) refuses: Option<String>,
}

/// What a request does to the subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Subscription {
    /// It stays as it is.
    #[default]
    Kept,
    /// Wanted. When it was wanted already, the resource is to be sent again: the proxy may have dropped it.
    Asked,
    /// Wanted, as every request of this dialect says: nothing is sent again.
    Listed,
    /// No longer wanted.
    Dropped,
}

/// What a request means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing about what was sent.
    None,
    /// This revision was taken.
    Taken(u64),
    /// This revision was refused.
    Refused(u64, String),
}

/// The state of a stream.
#[derive(Debug, Default)]
pub(super) struct Session {
    is_subscribed: bool,
    /// Whether the resource is to be sent once more, though the proxy should have it.
    again: bool,
    /// The highest revision that was sent, or that the proxy said it has.
    has: Option<u64>,
    /// The highest revision that this proxy refused, on this stream or an earlier one.
    refused: Option<u64>,
    responses: u64,
    /// Nonce and revision of what was sent and not answered, the latest last.
    unanswered: VecDeque<(String, u64)>,
}

// === impl Session ===

impl Session {
    /// A stream of a proxy that refused this revision on an earlier one.
    pub(super) fn new(refused: Option<u64>) -> Self {
        Self { refused, ..Self::default() }
    }

    /// Takes note of a request.
    pub(super) fn asked(&mut self, asked: Asked) -> Answer {
        if let Some(version) = asked.has.and_then(|version| version.parse().ok()) {
            self.has = self.has.max(Some(version));
        }
        let place = self.unanswered.iter().position(|(nonce, _)| *nonce == asked.nonce);
        // About something older the dialect without differences says nothing of value; the other says it all the same.
        let is_stale = !asked.nonce.is_empty() && place.is_none_or(|it| it + 1 != self.unanswered.len());
        match asked.subscription {
            Subscription::Listed if is_stale => {}
            Subscription::Kept => {}
            Subscription::Dropped => self.is_subscribed = false,
            wanted @ (Subscription::Asked | Subscription::Listed) => {
                let was_dropped = !self.is_subscribed && self.responses > 0;
                self.again |= was_dropped || (self.is_subscribed && wanted == Subscription::Asked);
                self.is_subscribed = true;
            }
        }
        let Some((_, revision)) = place.and_then(|it| self.unanswered.drain(..=it).next_back()) else {
            return Answer::None;
        };
        match asked.refuses {
            None => Answer::Taken(revision),
            Some(why) => {
                self.refused = self.refused.max(Some(revision));
                Answer::Refused(revision, why)
            }
        }
    }

    /// Whether the proxy still has to answer.
    pub(super) fn is_waiting(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// What the proxy has, as far as it says so: not what it is known to have refused.
    pub(super) fn has(&self) -> Option<u64> {
        self.has.filter(|has| Some(*has) != self.refused)
    }

    /// Whether to send this one.
    pub(super) fn wants(&self, publication: &Publication) -> bool {
        let revision = Some(publication.revision);
        let is_known_bad = publication.refused.is_some() || revision <= self.refused;
        self.is_subscribed && !is_known_bad && (revision > self.has || (self.again && revision == self.has))
    }

    /// Takes note that it is sent, and returns the nonce to send with it.
    pub(super) fn sent(&mut self, revision: u64) -> String {
        self.responses += 1;
        self.has = Some(revision);
        self.again = false;
        let nonce = self.responses.to_string();
        if self.unanswered.len() == UNANSWERED {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back((nonce.clone(), revision));
        nonce
    }
}
