//! The built module, as the proxy will load it: what it asks of a host, what it offers, how large it is.
//!
//! `COALMINE_FILTER` names it; by default the one that `make filter` builds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::env;
use std::path::PathBuf;

use wasmparser::{ExternalKind, Parser, Payload, Validator, WasmFeatures};

/// The most bytes that the module may have: every proxy compiles every one of them. `make size` says what they are.
const BUDGET: usize = 238_000;

/// What the module may be linked with: the functions of ABI 0.2.1 that wasm-opt finds a caller for, and of WASI
/// the environment and the random source. No files, no sockets, no clock but the host's, no threads.
const IMPORTS: [&str; 28] = [
    "env.proxy_add_header_map_value",
    "env.proxy_call_foreign_function",
    "env.proxy_close_stream",
    "env.proxy_continue_stream",
    "env.proxy_define_metric",
    "env.proxy_dequeue_shared_queue",
    "env.proxy_done",
    "env.proxy_get_buffer_bytes",
    "env.proxy_get_current_time_nanoseconds",
    "env.proxy_get_header_map_pairs",
    "env.proxy_get_header_map_value",
    "env.proxy_get_property",
    "env.proxy_get_shared_data",
    "env.proxy_get_status",
    "env.proxy_grpc_cancel",
    "env.proxy_grpc_close",
    "env.proxy_increment_metric",
    "env.proxy_log",
    "env.proxy_record_metric",
    "env.proxy_register_shared_queue",
    "env.proxy_remove_header_map_value",
    "env.proxy_replace_header_map_value",
    "env.proxy_set_header_map_pairs",
    "env.proxy_set_property",
    "env.proxy_set_tick_period_milliseconds",
    "wasi_snapshot_preview1.environ_get",
    "wasi_snapshot_preview1.environ_sizes_get",
    "wasi_snapshot_preview1.random_get",
];

/// The callbacks that a host enters the module by, and the allocator, by the name that hosts look for where there is no
/// `proxy_on_memory_allocate`. Each one that exists is entered for every request.
const EXPORTED_CALLBACKS: [&str; 10] = [
    "malloc",
    "proxy_abi_version_0_2_1",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_log",
    "proxy_on_request_headers",
    "proxy_on_response_headers",
    "proxy_on_tick",
    "proxy_on_vm_start",
];

fn module() -> Vec<u8> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/target/filter/coalmine.wasm");
    let path = env::var_os("COALMINE_FILTER").map_or_else(|| PathBuf::from(default), PathBuf::from);
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; `make filter` builds it", path.display()))
}

fn payloads(module: &[u8]) -> impl Iterator<Item = Payload<'_>> {
    Parser::new(0).parse_all(module).map(|payload| payload.expect("valid WebAssembly"))
}

#[test]
fn imports_only_what_the_filter_needs() {
    let module = module();
    let mut imports = BTreeSet::new();
    for payload in payloads(&module) {
        if let Payload::ImportSection(section) = payload {
            for import in section.into_imports() {
                let import = import.unwrap();
                imports.insert(format!("{}.{}", import.module, import.name));
            }
        }
    }
    let more: Vec<&String> = imports.iter().filter(|import| !IMPORTS.contains(&import.as_str())).collect();
    assert!(more.is_empty(), "{more:?}");
}

#[test]
fn exports_only_the_callbacks_that_the_filter_acts_on() {
    let module = module();
    let mut functions = BTreeSet::new();
    for payload in payloads(&module) {
        if let Payload::ExportSection(section) = payload {
            let exports = section.into_iter().map(|export| export.unwrap());
            functions
                .extend(exports.filter(|export| export.kind == ExternalKind::Func).map(|export| export.name));
        }
    }
    assert!(functions.remove("_initialize"));
    assert_eq!(functions.into_iter().collect::<Vec<_>>(), EXPORTED_CALLBACKS);
}

/// What the Makefile lets wasm-opt use, and no more: an older host would refuse the module whole.
#[test]
fn needs_only_the_features_that_every_host_has() {
    let features = WasmFeatures::WASM1
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::BULK_MEMORY;
    Validator::new_with_features(features).validate_all(&module()).unwrap();
}

#[test]
fn has_no_custom_sections() {
    let module = module();
    for payload in payloads(&module) {
        if let Payload::CustomSection(section) = payload {
            panic!("{}, of {} bytes", section.name(), section.data().len());
        }
    }
}

#[test]
fn stays_within_its_budget() {
    let size = module().len();
    assert!(size <= BUDGET, "{size} bytes; the budget is {BUDGET}");
}

#[test]
fn carries_no_path_of_the_machine_that_built_it() {
    let module = module();
    let home = env::var("HOME").expect("HOME");
    for path in [&*home, env!("CARGO_MANIFEST_DIR")].map(|path| format!("{path}/")) {
        assert!(
            !module.windows(path.len()).any(|window| window == path.as_bytes()),
            "{path} is in the module"
        );
    }
}

/// The metrics of the filter in docs/metrics.md.
fn documented() -> BTreeSet<&'static str> {
    let rows = include_str!("../docs/metrics.md").lines();
    let names = rows.filter_map(|row| row.strip_prefix("| `coalmine_")?.split_once('`'));
    names.map(|(name, _)| name).filter(|name| !name.starts_with("server_")).collect()
}

#[test]
fn every_metric_is_documented_and_nothing_else_is() {
    const PREFIX: &[u8] = b"coalmine_";
    // What the filter tells the access log, what it keeps of a request for its next pass, and where a line of its log is from.
    const OTHERS: [&str; 6] = ["rollout", "variant", "reason", "revision", "notes", "filter::"];
    let (module, documented) = (module(), documented());
    let begins = module.windows(PREFIX.len()).enumerate().filter(|(_, window)| *window == PREFIX);
    let named: Vec<String> = begins
        .map(|(at, _)| String::from_utf8_lossy(&module[at + PREFIX.len()..][..40]).into_owned())
        .collect();
    assert!(documented.len() > 10, "{documented:?}");
    for metric in &documented {
        assert!(named.iter().any(|name| name.starts_with(metric)), "the filter has no coalmine_{metric}");
    }
    for name in named {
        let is_known = documented.iter().chain(&OTHERS).any(|known| name.starts_with(known));
        assert!(is_known, "docs/metrics.md does not have coalmine_{name}");
    }
}
