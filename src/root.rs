//! A new configuration: compile its policy, or refuse it and say why.
//!
//! The host makes a new root context for every configuration; requests that are under way keep the one, and so the
//! policy, that they began with.

use std::rc::Rc;
use std::time::Duration;

use coalmine_core::Request;
use coalmine_core::document::{Node, Problems};
use coalmine_core::policy::{Environment, Policy};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::host::Host;
use crate::http::Http;
use crate::in_force::InForce;
use crate::metrics;

/// How long counts may wait in the VM, and how far a ramp may lag behind the clock.
const TICK: Duration = Duration::from_millis(500);

/// The root context of one configuration.
#[derive(Default)]
pub(crate) struct Root {
    in_force: Rc<InForce>,
}

// === impl Root ===

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let Some(configuration) = Host.configuration(size) else {
            log::error!("policy refused: the host did not hand out its {size} bytes");
            metrics::policy_rejected();
            return false;
        };
        match compile(&configuration) {
            Ok(policy) => {
                policy.follow_clock(Host.now());
                self.in_force = Rc::new(policy.into());
                Host.tick_every(TICK);
                true
            }
            Err(problems) => {
                refuse(&problems);
                false
            }
        }
    }

    fn on_tick(&mut self) {
        self.in_force.policy.follow_clock(Host.now());
        metrics::flush();
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http::new(Rc::clone(&self.in_force))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// No configuration at all is the empty policy: Istio sends an empty buffer where there is no pluginConfig.
fn compile(configuration: &[u8]) -> Result<Policy, Problems> {
    if configuration.is_empty() {
        return Ok(Policy::default());
    }
    Policy::from_document(&Node::from_json(configuration)?, Environment::Read(&|name| Host.variable(name)))
}

fn refuse(problems: &Problems) {
    log::error!("policy refused, the last good one stays in force; problems: {}", problems.count());
    for line in problems.to_string().lines() {
        log::error!("policy refused: {line}");
    }
    metrics::policy_rejected();
}
