//! Requests that begin again, since the host has redirected them internally.

use std::time::Duration;

use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use coalmine_core::token::Secret;
use coalmine_core::{Edit, Outcome, Reason};

use crate::NOW;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const MARK: &str = "x-envoy-original-url";

/// Two rollouts that issue cookies of two names, and one that takes tokens only.
fn policy() -> Policy {
    let rollout = |name: &str, fields: &str| {
        format!(
            r#"{{"name": "{name}", "match": {{"hosts": ["{name}"]}}, {fields},
                "override": {{"header": "x-over", "cookie": "over", "secret": "{SECRET}"}},
                "variants": [{{"name": "canary", "weight": 0}}, {{"name": "baseline", "weight": 0}}]}}"#
        )
    };
    let issues =
        |cookie: &str| format!(r#""onMissingIdentity": "issueCookie", "cookie": {{"name": "{cookie}"}}"#);
    crate::policy(&[
        &rollout("a", &issues("id-a")),
        &rollout("b", &issues("id-b")),
        &rollout("c", r#""identity": [{"header": "x-user-id"}]"#),
    ])
}

fn get(host: &str) -> StaticRequest {
    StaticRequest::new("GET", host, "/").with_random([7; 16])
}

/// The same request as the filter meets it at this host after a redirect, with what the pass before has left.
fn redirected(host: &str, before: &Outcome<'_>, earlier_notes: Option<&str>) -> StaticRequest {
    let request = get(host)
        .with_header(MARK, "http://x/")
        .with_property(&["filter_state", "num_internal_redirects"], "1");
    let request = before.edits.iter().fold(request, |request, edit| match edit {
        Edit::Set(name, value) => request.with_header(name, value),
        Edit::Remove(_) => request,
    });
    match before.notes.as_deref().or(earlier_notes) {
        Some(notes) => request.with_property(&[Policy::NOTES], notes),
        None => request,
    }
}

fn cookies(outcome: &Outcome<'_>) -> Vec<String> {
    let all = outcome.set_cookies.iter();
    all.map(|line| line.split(';').next().unwrap().to_owned()).collect()
}

#[test]
fn an_issued_identity_reaches_the_last_answer_once() {
    let policy = policy();
    let issued = format!("id-a={}", "07".repeat(16));
    let first = policy.decide(&get("a"), NOW);
    assert_eq!((first.is_redirected, cookies(&first)), (false, vec![issued.clone()]));
    let second = policy.decide(&redirected("a", &first, None), NOW);
    assert_eq!((second.is_redirected, cookies(&second)), (true, vec![issued.clone()]));
    assert_eq!(second.assignment.bucketed, first.assignment.bucketed, "the same user");
    assert_eq!(second.notes, None, "nothing to add");
    // A third pass, to a rollout that issues another cookie.
    let third = policy.decide(&redirected("b", &first, None), NOW);
    let both = [issued, format!("id-b={}", "07".repeat(16))];
    assert_eq!(cookies(&third), both);
    let fourth = policy.decide(&redirected("c", &third, first.notes.as_deref()), NOW);
    assert_eq!(cookies(&fourth), both, "whatever rollout answers in the end");
}

#[test]
fn who_had_an_identity_is_sent_none_after_a_redirect_either() {
    let policy = policy();
    let pair = format!("id-a={}", "0f".repeat(16));
    let first = policy.decide(&get("a").with_header("cookie", &pair), NOW);
    assert_eq!((&first.notes, cookies(&first)), (&None, vec![]));
    let second = policy.decide(&redirected("a", &first, None).with_header("cookie", &pair), NOW);
    assert_eq!((second.is_redirected, cookies(&second)), (true, vec![]));
}

#[test]
fn a_token_holds_across_a_redirect_in_its_own_rollout() {
    let policy = policy();
    for host in ["a", "c"] {
        let token =
            Secret::new(SECRET.as_bytes()).unwrap().mint(host, "baseline", NOW + Duration::from_secs(60));
        let first = policy.decide(&get(host).with_header("x-over", &token), NOW);
        assert_eq!(first.assignment.reason, Reason::Override);
        let second = policy.decide(&redirected(host, &first, None), NOW);
        let assignment = &second.assignment;
        assert_eq!((assignment.variant_name(), assignment.reason), ("baseline", Reason::Override), "{host}");
        assert_eq!(second.override_result, None, "the first pass has counted it");
        assert_eq!(second.notes, None);
        let elsewhere = policy.decide(&redirected("b", &first, None), NOW);
        assert_eq!(elsewhere.assignment.reason, Reason::Bucket);
    }
    let refused = policy.decide(&get("c").with_header("x-over", "v1.c.canary.1.x"), NOW);
    assert_eq!(refused.notes, None);
}

/// What the filter itself has set is still there when the request begins again.
#[test]
fn only_a_client_forges() {
    let policy = policy();
    let sent =
        |request: StaticRequest| policy.decide(&request.with_header("x-coalmine-variant", "canary"), NOW);
    let nothing = policy.decide(&get("c"), NOW);
    assert!(!sent(redirected("c", &nothing, None)).forged);
    // The mark alone is nothing: a client can send it.
    let marked = sent(get("a").with_header(MARK, "http://x/"));
    assert_eq!((marked.forged, marked.is_redirected, cookies(&marked).len()), (true, false, 1));
    assert_eq!(marked.edits[0], Edit::Remove("x-coalmine-variant"));
}
