//! How long the work of a server takes, for its metrics. Nothing is decided by it.

use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The bounds of the histograms, in seconds: half a decade apart, up to the longest time between two ticks.
const BOUNDS: [f64; 10] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0];

/// Durations since the server began.
#[derive(Clone, Debug)]
pub struct Timings {
    tick: Histogram,
    publish: Histogram,
}

// === impl Timings ===

impl Default for Timings {
    fn default() -> Self {
        Self { tick: Histogram::new(BOUNDS), publish: Histogram::new(BOUNDS) }
    }
}

impl Timings {
    /// A tick of all rollouts has taken this long.
    pub(crate) fn ticked(&self, took: Duration) {
        self.tick.observe(took.as_secs_f64());
    }

    /// Composing all policies, and publishing those that are new, has taken this long.
    pub(crate) fn published(&self, took: Duration) {
        self.publish.observe(took.as_secs_f64());
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let about = "How long a tick of all rollouts took, reading the proxies included";
        registry.register("tick_seconds", about, self.tick.clone());
        let about = "How long it took to compose the policies and to publish what is new";
        registry.register("publish_seconds", about, self.publish.clone());
    }
}
