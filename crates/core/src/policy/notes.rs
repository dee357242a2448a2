//! A request that begins again: after an internal redirect, the host runs its filters once more for it.
//!
//! The first pass has taken a token out of the request and put an issued identity in. The next pass has to know of both,
//! or it would draw who was forced, and take the identity for one that the user has had before.

use super::cached_request::CachedRequest;
use crate::Request;

/// What Envoy sets on a request that it has redirected. A client may send it too.
const ORIGINAL_URL: &str = "x-envoy-original-url";
/// How often Envoy has redirected the request. No client can write there; but to ask costs more than a look at a header.
const REDIRECTS: [&str; 2] = ["filter_state", "num_internal_redirects"];
/// What the lines of the notes begin with.
const COOKIE: &str = "set-cookie ";
const FORCED: &str = "override ";

/// What the passes of one request tell the next: a line for each thing.
#[derive(Debug, Default)]
pub(super) struct Notes(String);

// === impl Notes ===

impl Notes {
    /// Where the host keeps them for as long as the client's request lasts.
    pub(super) const PLACE: &str = "coalmine_notes";

    /// The notes of the earlier passes; `None` where this is the first one.
    pub(super) fn of_earlier_passes<'p>(request: &CachedRequest<'p, '_, impl Request>) -> Option<Self> {
        request.host().header(ORIGINAL_URL)?;
        request.host().property(&REDIRECTS)?;
        let notes = request.host().property(&[Self::PLACE]).unwrap_or_default();
        Some(Self(String::from_utf8(notes).unwrap_or_default()))
    }

    /// Every `Set-Cookie` that the answer is to have.
    pub(super) fn cookies(&self) -> Vec<String> {
        self.lines(COOKIE).map(str::to_owned).collect()
    }

    /// The name of the variant that a token has forced in this rollout.
    pub(super) fn forced(&self, rollout: &str) -> Option<&str> {
        self.lines(FORCED).find_map(|forced| forced.strip_prefix(rollout)?.strip_prefix(" "))
    }

    /// What stands behind this in the lines that begin with it.
    fn lines(&self, kind: &str) -> impl Iterator<Item = &str> {
        // By bytes: to look for a character in a text takes more of the module.
        let lines = self.0.as_bytes().split(|&byte| byte == b'\n');
        lines.filter_map(move |line| str::from_utf8(line.strip_prefix(kind.as_bytes())?).ok())
    }

    /// The notes of the earlier passes and what this one has to add; `None` where that is nothing.
    pub(super) fn extended(
        earlier: Option<Self>,
        set_cookie: Option<&str>,
        forced: Option<(&str, &str)>,
    ) -> Option<String> {
        if set_cookie.is_none() && forced.is_none() {
            return None;
        }
        let cookie = set_cookie.map_or([""; 3], |line| [COOKIE, line, "\n"]);
        let forced = forced.map_or([""; 5], |(rollout, variant)| [FORCED, rollout, " ", variant, "\n"]);
        let notes = [&[&*earlier.unwrap_or_default().0][..], &cookie, &forced].concat().concat();
        Some(notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pass_adds_to_what_the_others_have_noted() {
        let first = Notes::extended(None, Some("id=1; Path=/"), Some(("shop/a", "canary"))).unwrap();
        let notes =
            Notes(Notes::extended(Some(Notes(first)), Some("other=2"), Some(("b", "baseline"))).unwrap());
        assert_eq!(notes.cookies(), ["id=1; Path=/", "other=2"]);
        assert_eq!((notes.forced("shop/a"), notes.forced("b")), (Some("canary"), Some("baseline")));
        assert_eq!((notes.forced("a"), notes.forced("")), (None, None));
        assert_eq!(Notes::extended(Some(notes), None, None), None);
    }
}
