//! The only file that calls the host, [`crate::wasi`] aside.
//!
//! What the host does not have is as good as missing data: the request then goes to stable. A call that the host
//! refuses outright ends the VM in most of the SDK's wrappers, and then the host's failure policy decides; where the SDK
//! hands the refusal back, it is logged here. The getters are those that return bytes: the others end the VM on a value
//! that is not UTF-8. What many places call is not inlined, for the size of the module.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use coalmine_core::{Edit, Request};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, MetricType, Status};

use crate::wasi;

/// The host of this VM. During a request's callback it is also that request.
pub(crate) struct Host;

/// A metric that the host keeps, by the host's number for it.
#[derive(Clone, Copy)]
pub(crate) struct MetricId(u32);

impl Request for Host {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        first_value(MapType::HttpRequestHeaders, name)
    }

    fn every_value(&self, name: &str) -> Vec<Vec<u8>> {
        let all = hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default();
        all.into_iter().filter(|(given, _)| given == name).map(|(_, value)| value).collect()
    }

    #[inline(never)]
    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        hostcalls::get_property(path.to_vec()).ok().flatten()
    }

    fn random(&self) -> Option<[u8; 16]> {
        wasi::random()
    }
}

// === impl Host ===

impl Host {
    /// The time of the host's clock, since 1970.
    #[inline(never)]
    pub(crate) fn now(&self) -> Duration {
        let now = hostcalls::get_current_time().ok();
        now.and_then(|now| now.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default()
    }

    /// Changes the request's headers. The host matches the route again after each change.
    pub(crate) fn edit(&self, edit: &Edit<'_>) {
        let headers = MapType::HttpRequestHeaders;
        let done = match edit {
            Edit::Set(name, value) => hostcalls::set_map_value_bytes(headers, name, Some(&**value)),
            Edit::Remove(name) => hostcalls::remove_map_value(headers, name),
        };
        warn("change a request header", done);
    }

    /// A variable of the environment that the VM was given.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        wasi::variable(name)
    }

    /// Removes a header from the response.
    pub(crate) fn remove_from_response(&self, name: &str) {
        warn("remove a response header", hostcalls::remove_map_value(MapType::HttpResponseHeaders, name));
    }

    /// Adds a header to the response, beside those of the same name.
    pub(crate) fn add_to_response(&self, name: &str, value: &str) {
        warn("add a response header", hostcalls::add_map_value(MapType::HttpResponseHeaders, name, value));
    }

    /// Has the filter state `wasm.NAME` of this configuration's requests live as long as the client's request: an
    /// internal redirect does not end it. Without this Envoy forgets it together with the filters that have run.
    pub(crate) fn keep_across_redirects(&self, name: &str) {
        // `DeclarePropertyArguments` of Envoy: field 1 is the name, field 5 the life span, 1 a request of downstream.
        let mut arguments = vec![0x0a, name.len() as u8];
        arguments.extend_from_slice(name.as_bytes());
        arguments.extend_from_slice(&[0x28, 1]);
        let done = hostcalls::call_foreign_function("declare_property", Some(&arguments));
        warn("keep what an internal redirect has to know", done.map(drop));
    }

    /// Sets the filter state `wasm.NAME`, which the access log can show.
    pub(crate) fn set_filter_state(&self, name: &str, value: &str) {
        warn("set a filter state", hostcalls::set_property(vec![name], Some(value.as_bytes())));
    }

    /// The configuration that came with the filter, of which the host has said the size; `None` where it does not
    /// hand out all of it.
    pub(crate) fn configuration(&self, size: usize) -> Option<Vec<u8>> {
        let configuration = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size).ok().flatten();
        Some(configuration.unwrap_or_default()).filter(|configuration| configuration.len() == size)
    }

    /// Asks for a tick every `period`.
    pub(crate) fn tick_every(&self, period: Duration) {
        warn("tick, metrics stay behind", hostcalls::set_tick_period(period));
    }

    /// Defines a metric. Each call makes a new one in the VM, also for a name that it has.
    pub(crate) fn define(&self, kind: MetricType, name: &str) -> Option<MetricId> {
        hostcalls::define_metric(kind, name).ok().map(MetricId)
    }

    /// Adds to a counter; `by` must not be 0.
    pub(crate) fn increment(&self, counter: MetricId, by: u64) {
        let by = i64::try_from(by).unwrap_or(i64::MAX);
        warn("count", hostcalls::increment_metric(counter.0, by));
    }

    /// Sets a gauge, or records a value in a histogram.
    pub(crate) fn record(&self, metric: MetricId, value: u64) {
        warn("record a number", hostcalls::record_metric(metric.0, value));
    }

    /// The name of the proxy, as labels of metrics can have it.
    pub(crate) fn node(&self) -> Option<String> {
        let id = self.property(&["xds", "node", "id"])?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:/@".contains(&byte);
        Some(id.into_iter().map(|byte| char::from(if plain(byte) { byte } else { b'_' })).collect())
    }

    /// The status of the response; `None` where none has come.
    pub(crate) fn status(&self) -> Option<Vec<u8>> {
        first_value(MapType::HttpResponseHeaders, ":status")
    }

    /// Whether the request is one of gRPC. In gRPC-Web the status is in the body, where the filter does not look.
    pub(crate) fn is_grpc(&self) -> bool {
        let kind = self.header("content-type");
        let kind = kind.as_deref().and_then(|kind| kind.strip_prefix(b"application/grpc"));
        kind.is_some_and(|rest| !rest.starts_with(b"-"))
    }

    /// The status of gRPC, in the trailers or where there are none in the headers. For a request that is over.
    pub(crate) fn grpc_status(&self) -> Option<Vec<u8>> {
        let maps = [MapType::HttpResponseTrailers, MapType::HttpResponseHeaders];
        maps.into_iter().find_map(|map| first_value(map, "grpc-status"))
    }

    /// Envoy's response flags: why a response is not what it should be, a bit for each reason.
    pub(crate) fn response_flags(&self) -> u64 {
        self.number(["response", "flags"])
    }

    /// The time at which the client's request began, since 1970. An internal redirect does not change it.
    pub(crate) fn request_time(&self) -> Duration {
        Duration::from_nanos(self.number(["request", "time"]))
    }

    /// A number among the properties; 0 where it is missing.
    fn number(&self, path: [&str; 2]) -> u64 {
        let number = self.property(&path).and_then(|bytes| bytes.try_into().ok());
        number.map_or(0, u64::from_le_bytes)
    }
}

/// The first value under this name; for a request that is over a map may be missing as a whole.
fn first_value(map: MapType, name: &str) -> Option<Vec<u8>> {
    hostcalls::get_map_value_bytes(map, name).ok().flatten()
}

thread_local! {
    /// The lines that are written once per VM and were written already.
    static WRITTEN: RefCell<Vec<&'static str>> = RefCell::default();
}

/// Whether this is the first time in this VM that `line` comes here. A fault that every request meets would fill the
/// log.
pub(crate) fn is_first(line: &'static str) -> bool {
    WRITTEN.with_borrow_mut(|written| {
        let is_first = !written.contains(&line);
        if is_first {
            written.push(line);
        }
        is_first
    })
}

/// Tells that the host refused something, once per VM and kind; the request goes on. One function, so that one message
/// is compiled.
fn warn(what: &'static str, done: Result<(), Status>) {
    if let Err(status) = done
        && is_first(what)
    {
        log::warn!("the host refused to {what}: {status:?}; further refusals of this kind are not logged");
    }
}
