//! *Which variant?*, answered for one request.

use super::identity::Identity;
use super::reading::Reading;
use super::{Policy, Rollout, issued};
use crate::Request;
use crate::decision::{Decision, Edit, Outcome, Reason};
use crate::ranges::Variant;

/// What a rollout made of a request.
struct Answer<'p> {
    decision: Decision<'p>,
    /// The identity that was made for a user who had none.
    issued: Option<String>,
}

impl Policy {
    /// The variant of this request, and what has to change so that the router obeys.
    pub fn decide(&self, request: &impl Request) -> Outcome<'_> {
        let reading = Reading::new(request);
        let Answer { decision, issued } = match self.rollout_for(&reading) {
            Some(rollout) => rollout.answer(&reading),
            None => Answer { decision: Decision::without_rollout(Reason::NoMatch), issued: None },
        };
        let mut edits = Vec::new();
        let mut forged = false;
        for name in &self.own_headers {
            let sent = reading.header(name, |value| value.is_some());
            forged |= sent;
            match decision.rollout.and_then(|rollout| rollout.route.value(name, &decision)) {
                Some(value) => edits.push(Edit::Set(name, value)),
                None if sent => edits.push(Edit::Remove(name)),
                None => {}
            }
        }
        let cookie = decision.rollout.and_then(|rollout| rollout.issued.as_ref());
        let set_cookie = cookie.zip(issued).map(|(cookie, identity)| {
            let cookies = reading
                .header("cookie", |cookies| cookie.cookies_with(cookies.unwrap_or_default(), &identity));
            edits.push(Edit::Set("cookie", cookies.into()));
            cookie.set_cookie(&identity)
        });
        Outcome { decision, edits, set_cookie, forged }
    }

    /// The rollouts that the host of a request may concern, the most specific first. Their other conditions decide.
    pub fn candidates(&self, authority: &[u8]) -> impl Iterator<Item = &Rollout> {
        self.hosts.candidates(authority).filter_map(|index| self.rollouts.get(index))
    }

    /// The first candidate by its host whose other conditions hold.
    fn rollout_for<'p>(&'p self, request: &Reading<'p, '_, impl Request>) -> Option<&'p Rollout> {
        let first = |authority: Option<&[u8]>| {
            self.candidates(authority.unwrap_or_default()).find(|rollout| rollout.matching.accepts(request))
        };
        if self.hosts.needs_host() { request.header(":authority", first) } else { first(None) }
    }
}

impl Rollout {
    /// The assignment of the user whom these bytes name; of somebody unknown without an identity or with an empty one.
    pub fn assign(&self, identity: Option<&[u8]>) -> Decision<'_> {
        let identity = identity.filter(|identity| !identity.is_empty());
        let (variant, reason, lot) = match identity {
            _ if !self.enabled => (Variant::STABLE, Reason::Disabled, None),
            None => (Variant::STABLE, Reason::NoIdentity, None),
            Some(identity) => match self.pins.variant(identity) {
                Some(variant) => (variant, Reason::Pinned, Some(self.draw.lot(identity))),
                None => {
                    let lot = self.draw.lot(identity);
                    (self.ranges().variant(lot.bucket), Reason::Bucket, Some(lot))
                }
            },
        };
        Decision { rollout: Some(self), variant, reason, lot }
    }

    fn answer<'p>(&'p self, request: &Reading<'p, '_, impl Request>) -> Answer<'p> {
        if !self.enabled {
            return Answer { decision: self.assign(None), issued: None };
        }
        let (identity, issued) = match Identity::of(&self.sources, request) {
            Some(identity) => (Some(identity), None),
            None => match self.issue(request) {
                Some(issued) => {
                    let identity = Identity { bytes: issued.clone().into_bytes(), asked: self.sources.len() };
                    (Some(identity), Some(issued))
                }
                None => (None, None),
            },
        };
        let decision = self.assign(identity.as_ref().map(|identity| &*identity.bytes));
        // Finding out costs a call into the host, so only those pay for it who would leave stable.
        if decision.variant != Variant::STABLE
            && identity.is_some_and(|identity| identity.is_ambiguous(&self.sources, request))
        {
            return Answer { decision: self.assign(None), issued: None };
        }
        Answer { decision, issued }
    }

    /// A new identity, where this rollout issues one.
    fn issue(&self, request: &Reading<'_, '_, impl Request>) -> Option<String> {
        self.issued.as_ref()?;
        request.host().random().map(issued::mint)
    }
}
