//! One request: ask the policy for its variant, and carry out what follows.

use std::rc::Rc;

use coalmine_core::Outcome;
use coalmine_core::policy::{Policy, Rollout};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::active_policy::ActivePolicy;
use crate::host::Host;
use crate::metrics::Response;

/// One request, under the policy that was in force when it began.
pub(crate) struct Http {
    active: Rc<ActivePolicy>,
    /// The place of the rollout that matched.
    rollout: Option<usize>,
    /// What the response is to say to the user: the identities that the request was issued.
    set_cookies: Vec<String>,
    /// Where its response will count as evidence.
    response: Option<Response>,
}

// === impl Http ===

impl Http {
    pub(crate) fn new(active: Rc<ActivePolicy>) -> Self {
        Self { active, rollout: None, set_cookies: Vec::new(), response: None }
    }

    /// Shows the assignment to the proxy's access log.
    fn show(&self, outcome: &Outcome<'_>) {
        let assignment = &outcome.assignment;
        let revision = self.active.policy.revision().map(|revision| revision.to_string());
        Host.set_filter_state("coalmine_rollout", assignment.rollout.map_or("-", |rollout| rollout.name()));
        Host.set_filter_state("coalmine_variant", assignment.variant_name());
        Host.set_filter_state("coalmine_reason", assignment.reason.as_str());
        Host.set_filter_state("coalmine_revision", revision.as_deref().unwrap_or("-"));
    }
}

impl Context for Http {}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        #[cfg(feature = "test-crash")]
        if coalmine_core::Request::header(&Host, "x-coalmine-test-crash").is_some() {
            std::process::abort();
        }
        let outcome = self.active.policy.decide(&Host, self.active.now());
        for edit in &outcome.edits {
            Host.edit(edit);
        }
        if !outcome.is_redirected {
            self.active.counters.count(&outcome);
        }
        if let Some(notes) = &outcome.notes {
            Host.set_filter_state(Policy::NOTES, notes);
        }
        if self.active.policy.observe().access_log {
            self.show(&outcome);
        }
        self.response = self.active.evidence.begin(&outcome);
        self.rollout = outcome.assignment.rollout.map(Rollout::index);
        self.set_cookies = outcome.set_cookies;
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        if let Some(response) = &mut self.response {
            self.active.evidence.answered(response);
        }
        let rollout = self.rollout.and_then(|index| self.active.policy.rollouts().get(index));
        for name in rollout.map(Rollout::removed_from_response).unwrap_or_default() {
            Host.remove_from_response(name);
        }
        for cookie in self.set_cookies.drain(..) {
            Host.add_to_response("set-cookie", &cookie);
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        if let Some(response) = &self.response {
            self.active.evidence.end(response);
        }
    }
}
