//! A Proxy-Wasm host in plain Rust: the functions of ABI 0.2.1 that the SDK calls, so that the real adapter runs
//! under `cargo test`.
//!
//! Each test thread has a host of its own, as it has an SDK of its own: both keep their state per thread.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::slice;
use std::time::Duration;

use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType, Status};

thread_local! {
    static HOST: RefCell<FakeHost> = RefCell::default();
}

/// What the host holds, and what it was asked for.
#[derive(Default)]
pub(crate) struct FakeHost {
    pub(crate) configuration: Vec<u8>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) response: Vec<(String, String)>,
    /// The response's trailers, and Envoy's flags about its end.
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) flags: u64,
    pub(crate) filter_state: BTreeMap<String, String>,
    /// The filter state that lives as long as the client's request, by name.
    pub(crate) kept: Vec<String>,
    /// How often the request was redirected, where it was.
    pub(crate) redirects: Option<u32>,
    /// When the client's request began, since 1970.
    pub(crate) request_time: Duration,
    /// Counters and gauges by the ids that the host gave; one name may have several, as in Envoy.
    pub(crate) counters: Vec<(String, u64)>,
    pub(crate) tick_milliseconds: u32,
    /// The clock, since 1970.
    pub(crate) now: Duration,
    /// The environment of the VM, each as `NAME=value`.
    pub(crate) environment: Vec<String>,
    /// How often the filter has asked for random bytes, which are this number again and again.
    pub(crate) random: u8,
    pub(crate) log: Vec<String>,
    /// Every call into the host, with what it asked for; logging aside.
    pub(crate) calls: Vec<String>,
}

pub(crate) fn host<T>(look: impl FnOnce(&mut FakeHost) -> T) -> T {
    HOST.with_borrow_mut(look)
}

// === what the SDK imports from the host ===

unsafe fn text(data: *const u8, size: usize) -> String {
    String::from_utf8(unsafe { bytes(data, size) }.to_vec()).unwrap()
}

unsafe fn bytes<'a>(data: *const u8, size: usize) -> &'a [u8] {
    if data.is_null() { &[] } else { unsafe { slice::from_raw_parts(data, size) } }
}

/// Gives memory away as the ABI wants it: the SDK takes it back as a `Vec` of exactly this capacity.
unsafe fn give(value: Option<Vec<u8>>, data: *mut *mut u8, size: *mut usize) -> Status {
    let Some(value) = value else { return Status::NotFound };
    if value.is_empty() {
        // As the C++ host does: nothing is allocated for nothing.
        unsafe { (*data, *size) = (std::ptr::null_mut(), 0) };
        return Status::Ok;
    }
    unsafe {
        *size = value.len();
        *data = Box::into_raw(value.into_boxed_slice()).cast();
    }
    Status::Ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_log(_level: LogLevel, data: *const u8, size: usize) -> Status {
    let line = unsafe { text(data, size) };
    host(|host| host.log.push(line));
    Status::Ok
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_tick_period_milliseconds(period: u32) -> Status {
    // A thread that ends drops the SDK's contexts, which end their ticks, and maybe this host before them.
    let _ = HOST.try_with(|host| host.borrow_mut().tick_milliseconds = period);
    Status::Ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_current_time_nanoseconds(time: *mut u64) -> Status {
    let now = host(|host| {
        host.calls.push("time".to_owned());
        host.now
    });
    unsafe { *time = now.as_nanos() as u64 };
    Status::Ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_buffer_bytes(
    buffer: BufferType,
    _start: usize,
    _size: usize,
    data: *mut *mut u8,
    return_size: *mut usize,
) -> Status {
    assert_eq!(buffer, BufferType::PluginConfiguration);
    unsafe { give(Some(host(|host| host.configuration.clone())), data, return_size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_header_map_value(
    map: MapType,
    key: *const u8,
    key_size: usize,
    data: *mut *mut u8,
    size: *mut usize,
) -> Status {
    let key = unsafe { text(key, key_size) };
    let value = host(|host| {
        let of = |map: &[(String, String)]| {
            map.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone().into_bytes())
        };
        match map {
            MapType::HttpResponseHeaders => of(&host.response),
            MapType::HttpResponseTrailers => of(&host.trailers),
            _ => {
                host.calls.push(format!("get {key}"));
                host.headers.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone())
            }
        }
    });
    unsafe { give(value, data, size) }
}

/// All headers, in the ABI's form: their number, then the sizes of each name and value, then these, each behind a NUL.
#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_header_map_pairs(
    map: MapType,
    data: *mut *mut u8,
    size: *mut usize,
) -> Status {
    assert_eq!(map, MapType::HttpRequestHeaders);
    let all = host(|host| {
        host.calls.push("get all".to_owned());
        let length = |bytes: &[u8]| (bytes.len() as u32).to_le_bytes();
        let mut all = (host.headers.len() as u32).to_le_bytes().to_vec();
        for (name, value) in &host.headers {
            all.extend([length(name.as_bytes()), length(value)].concat());
        }
        for (name, value) in &host.headers {
            all.extend([name.as_bytes(), value].join(&0));
            all.push(0);
        }
        all
    });
    unsafe { give(Some(all), data, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_replace_header_map_value(
    map: MapType,
    key: *const u8,
    key_size: usize,
    value: *const u8,
    value_size: usize,
) -> Status {
    assert_eq!(map, MapType::HttpRequestHeaders);
    let (key, value) = unsafe { (text(key, key_size), bytes(value, value_size).to_vec()) };
    host(|host| {
        host.calls.push(format!("set {key}"));
        host.headers.retain(|(name, _)| *name != key);
        host.headers.push((key, value));
    });
    Status::Ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_remove_header_map_value(map: MapType, key: *const u8, size: usize) -> Status {
    let key = unsafe { text(key, size) };
    host(|host| match map {
        MapType::HttpResponseHeaders => host.calls.push(format!("remove from response {key}")),
        _ => {
            host.calls.push(format!("remove {key}"));
            host.headers.retain(|(name, _)| *name != key);
        }
    });
    Status::Ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_add_header_map_value(
    map: MapType,
    key: *const u8,
    key_size: usize,
    value: *const u8,
    value_size: usize,
) -> Status {
    assert_eq!(map, MapType::HttpResponseHeaders);
    let (key, value) = unsafe { (text(key, key_size), text(value, value_size)) };
    host(|host| {
        host.calls.push(format!("add {key}"));
        host.response.push((key, value));
    });
    Status::Ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_property(
    path: *const u8,
    path_size: usize,
    data: *mut *mut u8,
    size: *mut usize,
) -> Status {
    let path = unsafe { text(path, path_size) };
    let value = host(|host| {
        host.calls.push(format!("property {}", path.replace('\0', ".")));
        if path == "response\0flags" {
            return Some(host.flags.to_le_bytes().into());
        }
        if path == "request\0time" {
            return Some((host.request_time.as_nanos() as u64).to_le_bytes().into());
        }
        if path == "filter_state\0num_internal_redirects" {
            return host.redirects.map(|redirects| redirects.to_string().into_bytes());
        }
        if let Some(state) = host.filter_state.get(&path) {
            return Some(state.clone().into_bytes());
        }
        let name = path.strip_prefix("request\0headers\0")?;
        let values: Vec<_> =
            host.headers.iter().filter(|(given, _)| given == name).map(|(_, v)| &**v).collect();
        (!values.is_empty()).then(|| values.join(&b','))
    });
    unsafe { give(value, data, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_property(
    path: *const u8,
    path_size: usize,
    value: *const u8,
    value_size: usize,
) -> Status {
    let (path, value) = unsafe { (text(path, path_size), text(value, value_size)) };
    host(|host| {
        host.calls.push(format!("state {path}"));
        host.filter_state.insert(path, value);
    });
    Status::Ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_define_metric(
    _kind: MetricType,
    name: *const u8,
    size: usize,
    id: *mut u32,
) -> Status {
    let name = unsafe { text(name, size) };
    host(|host| {
        host.calls.push(format!("define {name}"));
        host.counters.push((name, 0));
        unsafe { *id = host.counters.len() as u32 - 1 };
    });
    Status::Ok
}

#[unsafe(no_mangle)]
extern "C" fn proxy_increment_metric(id: u32, by: i64) -> Status {
    assert!(by > 0, "Envoy's counters refuse {by}");
    host(|host| {
        host.calls.push(format!("increment {id}"));
        host.counters[id as usize].1 += by as u64;
    });
    Status::Ok
}

#[unsafe(no_mangle)]
extern "C" fn proxy_record_metric(id: u32, value: u64) -> Status {
    host(|host| host.counters[id as usize].1 = value);
    Status::Ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_call_foreign_function(
    name: *const u8,
    name_size: usize,
    arguments: *const u8,
    arguments_size: usize,
    _data: *mut *mut u8,
    _size: *mut usize,
) -> Status {
    let (name, arguments) = unsafe { (text(name, name_size), bytes(arguments, arguments_size).to_vec()) };
    assert_eq!(name, "declare_property");
    host(|host| {
        let [0x0a, _, property @ .., 0x28, 1] = &arguments[..] else { panic!("{arguments:?}") };
        assert_eq!(usize::from(arguments[1]), property.len());
        host.kept.push(String::from_utf8(property.to_vec()).unwrap());
    });
    Status::Ok
}

#[unsafe(no_mangle)]
unsafe extern "C" fn environ_sizes_get(count: *mut usize, size: *mut usize) -> u32 {
    host(|host| unsafe {
        *count = host.environment.len();
        *size = host.environment.iter().map(|variable| variable.len() + 1).sum();
    });
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn environ_get(places: *mut *mut u8, bytes: *mut u8) -> u32 {
    let mut next = bytes;
    for (index, variable) in host(|host| host.environment.clone()).iter().enumerate() {
        unsafe {
            *places.add(index) = next;
            next.copy_from_nonoverlapping(variable.as_ptr(), variable.len());
            next = next.add(variable.len());
            *next = 0;
            next = next.add(1);
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn random_get(bytes: *mut u8, size: usize) -> u32 {
    let random = host(|host| {
        host.random += 1;
        host.random
    });
    unsafe { bytes.write_bytes(random, size) };
    0
}

/// Functions that the SDK is linked with but that the filter has no business calling.
macro_rules! never_called {
    ($($name:ident)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name() -> Status {
                panic!(concat!("the filter called ", stringify!($name)))
            }
        )*
    };
}

never_called! {
    proxy_get_log_level proxy_set_buffer_bytes
    proxy_set_header_map_pairs proxy_get_shared_data proxy_set_shared_data
    proxy_register_shared_queue proxy_resolve_shared_queue proxy_dequeue_shared_queue proxy_enqueue_shared_queue
    proxy_continue_stream proxy_close_stream proxy_send_local_response proxy_http_call proxy_grpc_call
    proxy_grpc_stream proxy_grpc_send proxy_grpc_cancel proxy_grpc_close proxy_get_status
    proxy_set_effective_context proxy_done proxy_get_metric
}
