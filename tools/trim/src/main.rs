//! `coalmine-trim [--names] IN OUT`: takes out of the filter what no host needs to call.
//!
//! The SDK exports a callback for everything that Proxy-Wasm knows, and a host enters the VM for each one that
//! exists: for a request's body, its trailers, its log line. The filter looks at the headers of request and response
//! alone. What is exported no more is dead, and goes too; so do the names, which only a debugger reads, unless they are
//! asked for.

use std::env;
use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result, bail};
use walrus::ModuleConfig;

/// The callbacks that the filter acts on, and what the host needs to run a module at all.
const KEPT: [&str; 12] = [
    "memory",
    "_initialize",
    "proxy_abi_version_0_2_1",
    "malloc",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_context_create",
    "proxy_on_request_headers",
    "proxy_on_response_headers",
    "proxy_on_log",
    "proxy_on_delete",
];

fn main() -> Result<()> {
    let mut arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let names = arguments.first().is_some_and(|first| first == "--names");
    if names {
        arguments.remove(0);
    }
    let [input, output] = arguments.as_slice() else { bail!("usage: coalmine-trim [--names] IN OUT") };
    let (input, output) = (Path::new(input), Path::new(output));
    let config = {
        let mut config = ModuleConfig::new();
        config.generate_name_section(names).generate_producers_section(false);
        config
    };
    let mut module = config.parse_file(input).with_context(|| format!("cannot read {}", input.display()))?;
    for name in KEPT {
        if !module.exports.iter().any(|export| export.name == name) {
            bail!("{} does not export {name}", input.display());
        }
    }
    let dropped: Vec<_> = module
        .exports
        .iter()
        .filter(|export| !KEPT.contains(&export.name.as_str()))
        .map(|export| export.id())
        .collect();
    for export in dropped {
        module.exports.delete(export);
    }
    walrus::passes::gc::run(&mut module);
    module.customs.remove_raw("target_features");
    module.emit_wasm_file(output).with_context(|| format!("cannot write {}", output.display()))
}
