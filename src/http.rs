//! One request: ask the policy for its variant, and carry out what follows.

use std::rc::Rc;

use coalmine_core::Outcome;
use coalmine_core::policy::Rollout;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::host::Host;
use crate::in_force::InForce;

/// One request, under the policy that was in force when it began.
pub(crate) struct Http {
    in_force: Rc<InForce>,
    /// The place of the rollout that matched.
    rollout: Option<usize>,
    /// What the response is to say to the user: the identity that the request was issued.
    set_cookie: Option<String>,
}

// === impl Http ===

impl Http {
    pub(crate) fn new(in_force: Rc<InForce>) -> Self {
        Self { in_force, rollout: None, set_cookie: None }
    }

    /// Shows the decision to the proxy's access log.
    fn show(&self, outcome: &Outcome<'_>) {
        let decision = &outcome.decision;
        let revision = self.in_force.policy.revision().map(|revision| revision.to_string());
        Host.set_filter_state("coalmine_rollout", decision.rollout.map_or("-", |rollout| rollout.name()));
        Host.set_filter_state("coalmine_variant", decision.variant_name());
        Host.set_filter_state("coalmine_reason", decision.reason.as_str());
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
        let outcome = self.in_force.policy.decide(&Host);
        for edit in &outcome.edits {
            Host.edit(edit);
        }
        self.in_force.counters.count(&outcome);
        if self.in_force.policy.access_log() {
            self.show(&outcome);
        }
        self.rollout = outcome.decision.rollout.map(Rollout::index);
        self.set_cookie = outcome.set_cookie;
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        let rollout = self.rollout.and_then(|index| self.in_force.policy.rollouts().get(index));
        for name in rollout.map(Rollout::removed_from_response).unwrap_or_default() {
            Host.remove_from_response(name);
        }
        if let Some(cookie) = self.set_cookie.take() {
            Host.add_to_response("set-cookie", &cookie);
        }
        Action::Continue
    }
}
