//! *Which variant?*, answered for one request.

use std::borrow::Cow;

use super::identity::Identity;
use super::issued::IssuedCookie;
use super::parts;
use super::reading::Reading;
use super::{Policy, Rollout, issued};
use crate::Request;
use crate::decision::{Decision, Edit, Outcome, OverrideResult, Reason};
use crate::draw::Lot;
use crate::ranges::Variant;

/// What a rollout made of a request.
struct Answer<'p> {
    decision: Decision<'p>,
    /// The identity that was made for a user who had none.
    issued: Option<String>,
    override_result: Option<OverrideResult>,
}

impl Policy {
    /// The variant of this request, and what has to change so that the router obeys.
    pub fn decide(&self, request: &impl Request) -> Outcome<'_> {
        let reading = Reading::new(request);
        let answer = match self.rollout_for(&reading) {
            Some(rollout) => rollout.answer(&reading),
            None => Answer::plain(Decision::without_rollout(Reason::NoMatch)),
        };
        let decision = &answer.decision;
        let mut edits = Vec::new();
        let mut forged = false;
        for header in &self.own_headers {
            let sent = reading.header(&header.name, |value| value.is_some());
            forged |= sent && header.routes;
            match decision.rollout.and_then(|rollout| rollout.route.value(&header.name, decision)) {
                Some(value) => edits.push(Edit::Set(&header.name, value)),
                None if sent => edits.push(Edit::Remove(&header.name)),
                None => {}
            }
        }
        let issued_by = decision.rollout.and_then(|rollout| rollout.issued.as_ref());
        let issued = issued_by.zip(answer.issued.as_deref());
        edits.extend(self.cookie_edit(&reading, issued));
        Outcome {
            set_cookie: issued.map(|(cookie, identity)| cookie.set_cookie(identity)),
            override_result: answer.override_result,
            decision: answer.decision,
            edits,
            forged,
        }
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

    /// The request's cookies without override tokens and with the identity that was issued; `None` where they stay as
    /// they are.
    fn cookie_edit<'p>(
        &'p self,
        request: &Reading<'p, '_, impl Request>,
        issued: Option<(&IssuedCookie, &str)>,
    ) -> Option<Edit<'p>> {
        if self.own_cookies.is_empty() && issued.is_none() {
            return None;
        }
        let mut cookies = Cow::Borrowed(request.all_cookies().unwrap_or_default());
        for name in &self.own_cookies {
            if parts::cookie(&cookies, name.as_bytes()).is_some() {
                cookies = parts::without_cookie(&cookies, name.as_bytes()).into();
            }
        }
        if let Some((cookie, identity)) = issued {
            cookies = cookie.cookies_with(&cookies, identity).into();
        }
        match cookies {
            Cow::Borrowed(_) => None,
            Cow::Owned(none) if none.is_empty() => Some(Edit::Remove("cookie")),
            Cow::Owned(cookies) => Some(Edit::Set("cookie", cookies.into())),
        }
    }
}

impl Rollout {
    /// The assignment of the user whom these bytes name; of somebody unknown without an identity or with an empty one.
    pub fn assign(&self, identity: Option<&[u8]>) -> Decision<'_> {
        let stable = |reason| self.outcome(Variant::STABLE, reason, None);
        if !self.enabled {
            return stable(Reason::Disabled);
        }
        let Some(identity) = identity.filter(|identity| !identity.is_empty()) else {
            return stable(Reason::NoIdentity);
        };
        let lot = self.draw.as_ref().map(|draw| draw.lot(identity));
        match (self.pins.variant(identity), lot) {
            (Some(variant), lot) => self.outcome(variant, Reason::Pinned, lot),
            (None, Some(lot)) => self.outcome(self.ranges().variant(lot.bucket), Reason::Bucket, Some(lot)),
            (None, None) => stable(Reason::NoPolicy),
        }
    }

    /// The decision of an accepted token.
    fn forced(&self, variant: Variant) -> Decision<'_> {
        self.outcome(variant, Reason::Override, None)
    }

    fn outcome(&self, variant: Variant, reason: Reason, lot: Option<Lot>) -> Decision<'_> {
        Decision { rollout: Some(self), variant, reason, lot }
    }

    fn answer<'p>(&'p self, request: &Reading<'p, '_, impl Request>) -> Answer<'p> {
        if !self.enabled {
            return Answer::plain(self.assign(None));
        }
        let token = self.override_.as_ref().and_then(|it| it.judge(self.name(), &self.variants, request));
        let (override_result, forced) =
            token.map_or((None, None), |(result, variant)| (Some(result), variant));
        if let Some(variant) = forced
            && self.issued.is_none()
        {
            return Answer { decision: self.forced(variant), issued: None, override_result };
        }
        let known = Identity::of(&self.sources, request);
        let issued = if known.is_none() { self.issue(request) } else { None };
        let identity = known
            .or_else(|| Some(Identity { bytes: issued.clone()?.into_bytes(), asked: self.sources.len() }));
        let drawn = self.assign(identity.as_ref().map(|identity| &*identity.bytes));
        let decision = forced.map_or(drawn, |variant| self.forced(variant));
        // Finding out costs a call into the host, so only those pay for it who would leave stable.
        if decision.variant != Variant::STABLE
            && identity.is_some_and(|identity| identity.is_ambiguous(&self.sources, request))
        {
            let decision = if forced.is_some() { decision } else { self.assign(None) };
            return Answer { decision, issued: None, override_result };
        }
        Answer { decision, issued, override_result }
    }

    /// A new identity, where this rollout issues one.
    fn issue(&self, request: &Reading<'_, '_, impl Request>) -> Option<String> {
        self.issued.as_ref()?;
        request.host().random().map(issued::mint)
    }
}

impl<'p> Answer<'p> {
    fn plain(decision: Decision<'p>) -> Self {
        Self { decision, issued: None, override_result: None }
    }
}
