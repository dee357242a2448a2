//! *Which variant?*, answered for one request.

use std::borrow::Cow;
use std::time::Duration;

use super::assignment::{Assignment, Edit, Outcome, Reason};
use super::cached_request::CachedRequest;
use super::compile::Policy;
use super::extract;
use super::identity::IdentitySource;
use super::issued_cookie::{self, IssuedCookie};
use super::notes::Notes;
use super::observer::{Observer, Unobserved};
use super::overrides::OverrideResult;
use super::rollout::Rollout;
use crate::Request;
use crate::bucketing::Bucketed;
use crate::split::Variant;

/// An identity that a request carries.
#[derive(Debug)]
struct Identity<'s> {
    /// The bytes that name the user; never empty.
    bytes: Cow<'s, [u8]>,
    /// How many of the rollout's sources were asked for it.
    asked: usize,
}

/// What a rollout made of a request.
struct Answer<'p> {
    assignment: Assignment<'p>,
    /// The identity that was made for a user who had none.
    issued: Option<String>,
    override_result: Option<OverrideResult>,
    /// The name of the variant that an accepted token has forced.
    forced: Option<&'p str>,
}

impl Policy {
    /// The variant of this request at this time, since 1970, and what has to change so that the router obeys.
    ///
    /// The time decides the step of a ramp and the end of a token. A request reads no clock: the filter hands in the
    /// time of its last tick.
    pub fn decide(&self, request: &impl Request, now: Duration) -> Outcome<'_> {
        self.decide_observed(request, now, &mut Unobserved)
    }

    /// The same decision, and every step of it reported to this observer.
    pub fn decide_observed<'p>(
        &'p self,
        request: &impl Request,
        now: Duration,
        observer: &mut impl Observer<'p>,
    ) -> Outcome<'p> {
        let request = CachedRequest::new(request);
        let earlier = Notes::of_earlier_passes(&request);
        let answer = match self.rollout_for(&request, observer) {
            Some(rollout) => rollout.answer(&request, earlier.as_ref(), now, observer),
            None => Answer::plain(Assignment::without_rollout(Reason::NoMatch)),
        };
        let assignment = &answer.assignment;
        let mut edits = Vec::new();
        let mut forged = false;
        for (slot, header) in self.managed_headers.iter().enumerate() {
            // What only Coalmine sets, nothing else asks for.
            let sent = match header.routes {
                true => request.host().header(&header.name).is_some(),
                false => request.header(&header.name).is_some(),
            };
            // After a redirect it is what the filter itself has set.
            forged |= sent && header.routes && earlier.is_none();
            let route = assignment.rollout.map(|rollout| &rollout.route).filter(|route| route.slot == slot);
            match route.and_then(|route| route.text(assignment)) {
                Some(text) => edits.push(Edit::Set(&header.name, text)),
                None if sent => edits.push(Edit::Remove(&header.name)),
                None => {}
            }
        }
        let issued_by = assignment.rollout.and_then(|rollout| rollout.issued.as_ref());
        let issued = issued_by.zip(answer.issued.as_deref());
        if issued.is_some() || !self.managed_cookies.is_empty() {
            edits.extend(self.cookie_edit(&request, issued));
        }
        let is_redirected = earlier.is_some();
        let mut set_cookies = earlier.as_ref().map(Notes::cookies).unwrap_or_default();
        let set_cookie = issued.map(|(cookie, identity)| cookie.set_cookie(identity));
        let forced = answer.forced.map(|variant| (assignment.rollout_name(), variant));
        let notes = Notes::extended(earlier, set_cookie.as_deref(), forced);
        set_cookies.extend(set_cookie);
        Outcome {
            override_result: answer.override_result,
            assignment: answer.assignment,
            edits,
            set_cookies,
            is_redirected,
            notes,
            forged,
        }
    }

    /// The first candidate by its host whose other conditions hold.
    fn rollout_for<'p>(
        &'p self,
        request: &CachedRequest<'p, '_, impl Request>,
        observer: &mut impl Observer<'p>,
    ) -> Option<&'p Rollout> {
        let authority = if self.hosts.needs_host() { request.header(":authority") } else { None };
        let candidates = self.hosts.candidates(authority.unwrap_or_default());
        let mut candidates = candidates.filter_map(|place| self.rollouts().get(place));
        let matched = candidates.by_ref().find(|rollout| {
            let refusal = rollout.matching.refused_by(request);
            observer.candidate(rollout, refusal);
            refusal.is_none()
        });
        observer.not_asked(candidates);
        matched
    }

    /// The request's cookies without override tokens and with the identity that was issued; `None` where they stay as
    /// they are.
    fn cookie_edit<'p>(
        &'p self,
        request: &CachedRequest<'p, '_, impl Request>,
        issued: Option<(&IssuedCookie, &str)>,
    ) -> Option<Edit<'p>> {
        let mut cookies = Cow::Borrowed(request.all_cookies().unwrap_or_default());
        for name in &self.managed_cookies {
            if extract::cookie(&cookies, name.as_bytes()).is_some() {
                cookies = extract::without_cookie(&cookies, name.as_bytes()).into();
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
    /// The assignment at this time of the user whom these bytes name; of an unknown user without an identity or with an
    /// empty one.
    pub fn assign(&self, identity: Option<&[u8]>, now: Duration) -> Assignment<'_> {
        let stable = |reason| self.assigned(Variant::STABLE, reason, None);
        if !self.enabled {
            return stable(Reason::Disabled);
        }
        let Some(identity) = identity.filter(|identity| !identity.is_empty()) else {
            return stable(Reason::NoIdentity);
        };
        let bucketed = self.bucketer.as_ref().map(|bucketer| bucketer.bucket(identity));
        match (self.pins.variant(identity), bucketed) {
            (Some(variant), bucketed) => self.assigned(variant, Reason::Pinned, bucketed),
            (None, Some(Bucketed { bucket, .. })) => {
                self.assigned(self.ranges(now).variant(bucket), Reason::Bucket, bucketed)
            }
            (None, None) => stable(Reason::NoKey),
        }
    }

    /// The assignment by an accepted token.
    fn forced(&self, variant: Variant) -> Assignment<'_> {
        self.assigned(variant, Reason::Override, None)
    }

    fn assigned(&self, variant: Variant, reason: Reason, bucketed: Option<Bucketed>) -> Assignment<'_> {
        Assignment { rollout: Some(self), variant: self.variants.told(variant), reason, bucketed }
    }

    fn answer<'p>(
        &'p self,
        request: &CachedRequest<'p, '_, impl Request>,
        earlier: Option<&Notes>,
        now: Duration,
        observer: &mut impl Observer<'p>,
    ) -> Answer<'p> {
        if !self.enabled {
            return Answer::plain(self.assign(None, now));
        }
        let override_ = self.override_.as_ref();
        let token = override_.and_then(|it| it.verify(self.name(), &self.variants, request, now));
        let (override_result, by_token) =
            token.map_or((None, None), |(result, variant)| (Some(result), variant));
        let by_earlier_token = || self.variants.by_name(earlier?.forced(self.name())?);
        let forced = by_token.or_else(|| override_.and_then(|_| by_earlier_token()));
        let mut answer = match forced {
            Some(variant) if self.issued.is_none() => Answer::plain(self.forced(variant)),
            _ => self.by_identity(forced, request, now, observer),
        };
        answer.override_result = override_result;
        answer.forced = by_token.map(|variant| self.variant_name(variant));
        answer
    }

    /// The answer for the user whom the request names, or who is issued an identity; a variant that is forced wins.
    fn by_identity<'p>(
        &'p self,
        forced: Option<Variant>,
        request: &CachedRequest<'p, '_, impl Request>,
        now: Duration,
        observer: &mut impl Observer<'p>,
    ) -> Answer<'p> {
        let known = Identity::of(&self.sources, request, observer);
        let issued = if known.is_none() { self.issue(request) } else { None };
        let bytes = known.as_ref().map(|identity| &*identity.bytes).or(issued.as_deref().map(str::as_bytes));
        let by_identity = self.assign(bytes, now);
        let assignment = forced.map_or(by_identity, |variant| self.forced(variant));
        // Finding out costs a call into the host, so only those pay for it who would leave stable.
        let is_at_stake = assignment.variant != Variant::STABLE && bytes.is_some();
        if is_at_stake && self.is_repeated(known.map(|identity| identity.asked), request) {
            observer.ambiguous();
            return Answer::plain(if forced.is_some() { assignment } else { self.assign(None, now) });
        }
        if let Some(identity) = &issued {
            observer.issued(identity);
        }
        Answer { issued, ..Answer::plain(assignment) }
    }

    /// Whether a header that was asked before the identity was found is repeated: a client is guessing. `asked` is the
    /// number of sources that were asked, all of them where it is missing.
    fn is_repeated<'p>(
        &'p self,
        asked: Option<usize>,
        request: &CachedRequest<'p, '_, impl Request>,
    ) -> bool {
        self.sources.iter().take(asked.unwrap_or(usize::MAX)).any(|source| match source {
            IdentitySource::Header(name) => request.header(name).is_some() && request.is_repeated(name),
            _ => false,
        })
    }

    /// A new identity, where this rollout issues one.
    fn issue(&self, request: &CachedRequest<'_, '_, impl Request>) -> Option<String> {
        self.issued.as_ref()?;
        request.host().random().map(issued_cookie::mint)
    }
}

impl<'p> Answer<'p> {
    fn plain(assignment: Assignment<'p>) -> Self {
        Self { assignment, issued: None, override_result: None, forced: None }
    }
}

// === impl Identity ===

impl<'s> Identity<'s> {
    /// The identity by the first source that has one.
    fn of<'p>(
        sources: &'p [IdentitySource],
        request: &'s CachedRequest<'p, '_, impl Request>,
        observer: &mut impl Observer<'p>,
    ) -> Option<Self> {
        sources.iter().enumerate().find_map(|(place, source)| {
            let value = source.identity(request);
            observer.source(source, value.as_deref());
            Some(Self { bytes: value?, asked: place + 1 })
        })
    }
}
