//! *Which variant?*, answered for one request.

use super::identity::Identity;
use super::reading::Reading;
use super::{Policy, Rollout, Route};
use crate::Request;
use crate::decision::{Decision, Edit, Outcome, Reason};
use crate::ranges::Variant;

impl Policy {
    /// The variant of this request, and what has to change on the request so that the router obeys.
    pub fn decide(&self, request: &impl Request) -> Outcome<'_> {
        let reading = Reading::new(request);
        let decision = self.decision(&reading);
        let mut edits = Vec::new();
        let mut forged = false;
        for name in &self.own_headers {
            let sent = reading.header(name, |value| value.is_some());
            forged |= sent;
            match decision.route_value(name) {
                Some(value) => edits.push(Edit::Set(name, value)),
                None if sent => edits.push(Edit::Remove(name)),
                None => {}
            }
        }
        Outcome { decision, edits, forged }
    }

    fn decision<'p>(&'p self, request: &Reading<'p, '_, impl Request>) -> Decision<'p> {
        match self.rollout_for(request) {
            Some(rollout) => rollout.decision(request),
            None => Decision::without_rollout(Reason::NoMatch),
        }
    }

    /// The first candidate by its host whose other conditions hold.
    fn rollout_for<'p>(&'p self, request: &Reading<'p, '_, impl Request>) -> Option<&'p Rollout> {
        let first = |authority: Option<&[u8]>| {
            self.hosts
                .candidates(authority.unwrap_or_default())
                .filter_map(|index| self.rollouts.get(index))
                .find(|rollout| rollout.matching.accepts(request))
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
            Some(identity) => {
                let lot = self.draw.lot(identity);
                (self.ranges().variant(lot.bucket), Reason::Bucket, Some(lot))
            }
        };
        Decision { rollout: Some(self), variant, reason, lot }
    }

    fn decision<'p>(&'p self, request: &Reading<'p, '_, impl Request>) -> Decision<'p> {
        if !self.enabled {
            return self.assign(None);
        }
        let identity = Identity::of(&self.sources, request);
        let decision = self.assign(identity.as_ref().map(|identity| &*identity.bytes));
        // Finding out costs a call into the host, so only those pay for it who would leave stable.
        if decision.variant != Variant::STABLE
            && identity.is_some_and(|identity| identity.is_ambiguous(&self.sources, request))
        {
            return self.assign(None);
        }
        decision
    }
}

impl<'p> Decision<'p> {
    /// What this header of Coalmine's own has to say to the router; `None`: nothing, it must be absent.
    fn route_value(&self, header: &str) -> Option<&'p str> {
        let rollout = self.rollout?;
        match &rollout.route {
            Route::Header(name) if **name == *header && self.variant != Variant::STABLE => {
                Some(rollout.variant_name(self.variant))
            }
            Route::Header(_) => None,
        }
    }
}
