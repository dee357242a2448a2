//! A Proxy-Wasm host of the least kind: one request at a time, and what the filter asks of it.

use anyhow::{Context, Result};
use wasmtime::{Caller, Extern, Linker, Memory};

use crate::Request;

/// Statuses of the ABI.
const OK: u32 = 0;
const NOT_FOUND: u32 = 1;

/// A kind of map of the ABI; of the others only the request's headers are asked for.
const RESPONSE_HEADERS: u32 = 2;

/// The host's side of one VM.
#[derive(Default)]
pub(crate) struct Host {
    pub(crate) configuration: Vec<u8>,
    pub(crate) request: Vec<(String, String)>,
    response: Vec<(String, String)>,
    pub(crate) log: String,
    /// How often the filter has called. The engine counts.
    pub(crate) calls: u64,
    metrics: u32,
}

// === impl Host ===

impl Host {
    /// Takes in the request that comes next.
    pub(crate) fn begin(&mut self, request: &Request) {
        self.request.clone_from(&request.headers);
        self.response = vec![(":status".to_owned(), request.status.clone())];
    }

    fn map(&mut self, map: u32) -> &mut Vec<(String, String)> {
        match map {
            RESPONSE_HEADERS => &mut self.response,
            _ => &mut self.request,
        }
    }

    fn property(&self, path: &[u8]) -> Option<String> {
        let path = std::str::from_utf8(path).ok()?;
        let name = path.strip_prefix("request\0headers\0")?;
        let values = self.request.iter().filter(|(given, _)| given == name.trim_end_matches('\0'));
        let values: Vec<&str> = values.map(|(_, value)| &**value).collect();
        (!values.is_empty()).then(|| values.join(","))
    }
}

/// Gives the module everything that it imports.
pub(crate) fn link(linker: &mut Linker<Host>) -> Result<()> {
    link_headers(linker)?;
    link_rest(linker)?;
    link_wasi(linker)
}

fn link_headers(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_header_map_value",
        |mut caller: Caller<'_, Host>,
         map: u32,
         name: u32,
         size: u32,
         data: u32,
         data_size: u32|
         -> Result<u32> {
            let name = text(&mut caller, name, size)?;
            let map = caller.data_mut().map(map);
            let value = map.iter().find(|(given, _)| *given == name).map(|(_, value)| value.clone().into());
            give(&mut caller, value, data, data_size)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_pairs",
        |mut caller: Caller<'_, Host>, map: u32, data: u32, data_size: u32| -> Result<u32> {
            let pairs = serialised(caller.data_mut().map(map));
            give(&mut caller, Some(pairs), data, data_size)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_replace_header_map_value",
        |mut caller: Caller<'_, Host>,
         map: u32,
         name: u32,
         size: u32,
         value: u32,
         value_size: u32|
         -> Result<u32> {
            let (name, value) = (text(&mut caller, name, size)?, text(&mut caller, value, value_size)?);
            let map = caller.data_mut().map(map);
            map.retain(|(given, _)| *given != name);
            map.push((name, value));
            Ok(OK)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_add_header_map_value",
        |mut caller: Caller<'_, Host>,
         map: u32,
         name: u32,
         size: u32,
         value: u32,
         value_size: u32|
         -> Result<u32> {
            let (name, value) = (text(&mut caller, name, size)?, text(&mut caller, value, value_size)?);
            caller.data_mut().map(map).push((name, value));
            Ok(OK)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_remove_header_map_value",
        |mut caller: Caller<'_, Host>, map: u32, name: u32, size: u32| -> Result<u32> {
            let name = text(&mut caller, name, size)?;
            caller.data_mut().map(map).retain(|(given, _)| *given != name);
            Ok(OK)
        },
    )?;
    Ok(())
}

fn link_rest(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_buffer_bytes",
        |mut caller: Caller<'_, Host>, _: u32, _: u32, _: u32, data: u32, data_size: u32| -> Result<u32> {
            let configuration = caller.data().configuration.clone();
            give(&mut caller, Some(configuration), data, data_size)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_property",
        |mut caller: Caller<'_, Host>, path: u32, size: u32, data: u32, data_size: u32| -> Result<u32> {
            let path = bytes(&mut caller, path, size)?;
            let value = caller.data().property(&path).map(Vec::from);
            give(&mut caller, value, data, data_size)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_current_time_nanoseconds",
        |mut caller: Caller<'_, Host>, time: u32| -> Result<u32> {
            write(&mut caller, time, &1_700_000_000_000_000_000_u64.to_le_bytes())?;
            Ok(OK)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_define_metric",
        |mut caller: Caller<'_, Host>, _: u32, _: u32, _: u32, id: u32| -> Result<u32> {
            let host = caller.data_mut();
            host.metrics += 1;
            let metric = host.metrics;
            write(&mut caller, id, &metric.to_le_bytes())?;
            Ok(OK)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_log",
        |mut caller: Caller<'_, Host>, _: u32, line: u32, size: u32| -> Result<u32> {
            let line = text(&mut caller, line, size)?;
            caller.data_mut().log.push_str(&line);
            caller.data_mut().log.push('\n');
            Ok(OK)
        },
    )?;
    linker.func_wrap("env", "proxy_set_tick_period_milliseconds", |_: u32| OK)?;
    linker.func_wrap("env", "proxy_increment_metric", |_: u32, _: i64| OK)?;
    linker.func_wrap("env", "proxy_record_metric", |_: u32, _: u64| OK)?;
    linker.func_wrap("env", "proxy_set_property", |_: u32, _: u32, _: u32, _: u32| OK)?;
    linker.func_wrap(
        "env",
        "proxy_call_foreign_function",
        |mut caller: Caller<'_, Host>, _: u32, _: u32, _: u32, _: u32, data: u32, size: u32| {
            give(&mut caller, Some(Vec::new()), data, size)
        },
    )?;
    Ok(())
}

/// What the filter asks of WASI for a user without an identity: random bytes, which are all alike here.
fn link_wasi(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        "wasi_snapshot_preview1",
        "random_get",
        |mut caller: Caller<'_, Host>, data: u32, size: u32| -> Result<u32> {
            write(&mut caller, data, &vec![7; size as usize])?;
            Ok(OK)
        },
    )?;
    Ok(())
}

/// Every header in the ABI's form: their number, then the sizes of each name and value, then these, each before a NUL.
fn serialised(headers: &[(String, String)]) -> Vec<u8> {
    let length = |text: &str| (text.len() as u32).to_le_bytes();
    let mut all = (headers.len() as u32).to_le_bytes().to_vec();
    for (name, value) in headers {
        all.extend([length(name), length(value)].concat());
    }
    for (name, value) in headers {
        all.extend(format!("{name}\0{value}\0").bytes());
    }
    all
}

/// Hands bytes to the filter, in memory that it allocates for them.
fn give(caller: &mut Caller<'_, Host>, value: Option<Vec<u8>>, data: u32, size: u32) -> Result<u32> {
    let Some(value) = value else { return Ok(NOT_FOUND) };
    let allocate = caller.get_export("malloc").and_then(Extern::into_func);
    let allocate = allocate.context("no malloc")?.typed::<u32, u32>(&*caller)?;
    let at = if value.is_empty() { 0 } else { allocate.call(&mut *caller, value.len() as u32)? };
    write(caller, at, &value)?;
    write(caller, data, &at.to_le_bytes())?;
    write(caller, size, &(value.len() as u32).to_le_bytes())?;
    Ok(OK)
}

fn bytes(caller: &mut Caller<'_, Host>, at: u32, size: u32) -> Result<Vec<u8>> {
    let mut bytes = vec![0; size as usize];
    memory(caller)?.read(&*caller, at as usize, &mut bytes)?;
    Ok(bytes)
}

fn text(caller: &mut Caller<'_, Host>, at: u32, size: u32) -> Result<String> {
    Ok(String::from_utf8(bytes(caller, at, size)?)?)
}

fn write(caller: &mut Caller<'_, Host>, at: u32, bytes: &[u8]) -> Result<()> {
    Ok(memory(caller)?.write(&mut *caller, at as usize, bytes)?)
}

fn memory(caller: &mut Caller<'_, Host>) -> Result<Memory> {
    caller.get_export("memory").and_then(Extern::into_memory).context("no memory")
}
