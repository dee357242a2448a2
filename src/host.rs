//! The only file that calls the host.
//!
//! A call that the host refuses is as good as missing data: the request then goes to stable. The getters are those
//! that return bytes; the others end the VM on a value that is not UTF-8.

use std::time::{Duration, SystemTime};

use coalmine_core::{Edit, Request};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, MetricType};

/// The host of this VM. During a request's callback it is also that request.
pub(crate) struct Host;

/// A metric that the host keeps, by the host's number for it.
#[derive(Clone, Copy)]
pub(crate) struct MetricId(u32);

impl Request for Host {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, name).ok().flatten()
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        hostcalls::get_property(path.to_vec()).ok().flatten()
    }

    fn now(&self) -> Duration {
        Host.time()
    }

    fn random(&self) -> Option<[u8; 16]> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).ok()?;
        Some(bytes)
    }
}

// === impl Host ===

impl Host {
    /// Changes the request's headers. The host matches the route again after each change.
    pub(crate) fn edit(&self, edit: &Edit<'_>) {
        let headers = MapType::HttpRequestHeaders;
        let done = match edit {
            Edit::Set(name, value) => hostcalls::set_map_value_bytes(headers, name, Some(&**value)),
            Edit::Remove(name) => hostcalls::remove_map_value(headers, name),
        };
        if let Err(status) = done {
            log::warn!("the host refused to change a request header: {status:?}");
        }
    }

    /// The time of the host's clock, since 1970.
    pub(crate) fn time(&self) -> Duration {
        let now = hostcalls::get_current_time().ok();
        now.and_then(|now| now.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default()
    }

    /// A variable of the environment that the VM was given.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    /// Removes a header from the response.
    pub(crate) fn remove_from_response(&self, name: &str) {
        if let Err(status) = hostcalls::remove_map_value(MapType::HttpResponseHeaders, name) {
            log::warn!("the host refused to remove a response header: {status:?}");
        }
    }

    /// Adds a header to the response, beside those of the same name.
    pub(crate) fn add_to_response(&self, name: &str, value: &str) {
        if let Err(status) = hostcalls::add_map_value(MapType::HttpResponseHeaders, name, value) {
            log::warn!("the host refused to add a response header: {status:?}");
        }
    }

    /// Shows a word to the access log, as the filter state `wasm.NAME`.
    pub(crate) fn set_filter_state(&self, name: &str, value: &str) {
        if let Err(status) = hostcalls::set_property(vec![name], Some(value.as_bytes())) {
            log::warn!("the host refused the filter state {name}: {status:?}");
        }
    }

    /// The configuration that came with the filter.
    pub(crate) fn configuration(&self, size: usize) -> Vec<u8> {
        hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size).ok().flatten().unwrap_or_default()
    }

    /// Asks for a tick every `period`.
    pub(crate) fn tick_every(&self, period: Duration) {
        if let Err(status) = hostcalls::set_tick_period(period) {
            log::warn!("the host refused to tick; metrics stay behind: {status:?}");
        }
    }

    /// Defines a counter. Each call makes a new one in the VM, also for a name that it has.
    pub(crate) fn define_counter(&self, name: &str) -> Option<MetricId> {
        hostcalls::define_metric(MetricType::Counter, name).ok().map(MetricId)
    }

    /// Adds to a counter; `by` must not be 0.
    pub(crate) fn increment(&self, counter: MetricId, by: u64) {
        let by = i64::try_from(by).unwrap_or(i64::MAX);
        if let Err(status) = hostcalls::increment_metric(counter.0, by) {
            log::warn!("the host refused to count: {status:?}");
        }
    }
}
