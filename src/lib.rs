//! Coalmine's filter: gives every user one variant of a service, inside the proxy that is already there.
//!
//! A thin adapter between a Proxy-Wasm host and `coalmine-core`, which has all the rules. What happens to a request:
//! [`http`] asks the policy that is in force, through [`host`], for the variant, and carries out the edits that follow
//! for its headers. [`root`] compiles a new policy when one arrives; [`metrics`] counts.
//!
//! The filter keeps nothing about a user and never answers a request itself.
#![expect(missing_docs, reason = "the one public item is the entry point that the macro below makes")]

mod active_policy;
mod class;
mod host;
mod http;
#[cfg(target_family = "wasm")]
mod memory;
mod metrics;
mod root;
mod wasi;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(root::Root::default()));
}}
