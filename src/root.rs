//! A new configuration: compile its policy, or refuse it and say why.
//!
//! The host makes a new root context for every configuration; requests that are under way keep the one, and so the
//! policy, that they began with.

use std::rc::Rc;
use std::time::Duration;

use coalmine_core::document::{Problems, json};
use coalmine_core::policy::{Environment, Policy};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::active_policy::ActivePolicy;
use crate::host::{Host, is_first};
use crate::http::Http;
use crate::metrics;

/// The version of the filter, logged once per VM: which build runs is the first question when something is wrong.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How long counts may wait in the VM, and how far the time of a decision may lag behind the clock.
const TICK: Duration = Duration::from_millis(500);

/// The root context of one configuration.
#[derive(Default)]
pub(crate) struct Root {
    active: Rc<ActivePolicy>,
    /// Whether it has asked the host for ticks.
    ticks: bool,
}

// === impl Root ===

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let Some(configuration) = Host.configuration(size) else {
            refuse(&format!("the host did not hand out its {size} bytes"));
            return false;
        };
        if is_first(VERSION) {
            log::info!("coalmine filter {VERSION}");
        }
        match compile(&configuration) {
            Ok(policy) => {
                if policy.leaves_notes() {
                    Host.keep_across_redirects(Policy::NOTES);
                }
                metrics::policy_accepted(&policy, VERSION);
                self.active = Rc::new(ActivePolicy::new(policy, Host.now()));
                Host.tick_every(TICK);
                self.ticks = true;
                true
            }
            Err(problems) => {
                let count = problems.count().to_string();
                say("policy refused, the last good one stays in force; problems", &count);
                refuse(&problems.to_string());
                false
            }
        }
    }

    fn on_tick(&mut self) {
        self.active.tick(Host.now());
        metrics::flush();
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http::new(Rc::clone(&self.active))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// The host deletes the context once the configuration has been replaced and its last request is over. Its timer would
/// go on: after thousands of policies a proxy would do nothing but tick.
impl Drop for Root {
    fn drop(&mut self) {
        if self.ticks {
            Host.tick_every(Duration::ZERO);
        }
    }
}

/// No configuration at all is the empty policy: Istio sends an empty buffer where there is no pluginConfig.
fn compile(configuration: &[u8]) -> Result<Policy, Problems> {
    if configuration.is_empty() {
        return Ok(Policy::default());
    }
    #[cfg(feature = "test-crash")]
    if String::from_utf8_lossy(configuration).contains("x-coalmine-test-crash") {
        use coalmine_core::document::{Code, Problem};
        return Err(
            Problem::of_document(Code::InvalidValue, "this build refuses what names this header").into()
        );
    }
    let environment = Environment::OfProxy {
        look_up: &|name| Host.variable(name),
        lacks: &|message| say("switched off here", message),
    };
    Policy::from_document(&json::read(configuration)?, environment)
}

fn refuse(why: &str) {
    for line in why.lines() {
        say("policy refused", line);
    }
    metrics::policy_rejected();
}

/// One place that logs is less to carry than two.
#[inline(never)]
fn say(what: &str, line: &str) {
    log::error!("{what}: {line}");
}
