//! The built filter on a host that counts: how many WebAssembly instructions a request needs.
//!
//! A count does not depend on the machine, so a test can hold it; what a request costs in time is for `make
//! bench-envoy`. [`Filter`] is a [`Module`] with a policy in force, [`Request`] what a client sends.

mod host;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use wasmtime::{CallHook, Config, Engine, Instance, InstancePre, Linker, OptLevel, Store};

use host::Host;

/// The context of the filter's configuration, as a host numbers it.
const ROOT: u32 = 1;
/// More than anything here needs: what is left of it tells what was used.
const FUEL: u64 = u64::MAX;

/// The built module, compiled for this machine once.
pub struct Module {
    engine: Engine,
    instance: InstancePre<Host>,
}

/// The filter with a policy in force.
pub struct Filter {
    store: Store<Host>,
    instance: Instance,
    next_context: u32,
}

/// One request and its answer.
#[derive(Clone, Debug)]
pub struct Request {
    /// Names in lower case, with `:authority`, `:path` and `:method`.
    pub headers: Vec<(String, String)>,
    /// The response's `:status`.
    pub status: String,
}

/// What a request came to.
#[derive(Debug)]
pub struct Answer {
    /// The instructions of all its callbacks together, from its context's creation to its deletion.
    pub instructions: u64,
    /// The request's headers as the router sees them.
    pub headers: Vec<(String, String)>,
    /// How many times the filter called the host.
    pub host_calls: u64,
}

// === impl Module ===

impl Module {
    /// Loads the module of this file.
    ///
    /// # Errors
    /// A file that is no module.
    pub fn load(path: &Path) -> Result<Self> {
        let mut config = Config::new();
        config.consume_fuel(true).cranelift_opt_level(OptLevel::None);
        let engine = Engine::new(&config)?;
        let module = wasmtime::Module::from_file(&engine, path)
            .with_context(|| format!("{}; `make filter` builds it", path.display()))?;
        let mut linker = Linker::new(&engine);
        host::link(&mut linker)?;
        linker.define_unknown_imports_as_traps(&module)?;
        Ok(Self { instance: linker.instantiate_pre(&module)?, engine })
    }
}

// === impl Filter ===

impl Filter {
    /// Starts a VM with this policy in force.
    ///
    /// # Errors
    /// A policy that the module refuses: with its log.
    pub fn start(module: &Module, policy: &str) -> Result<Self> {
        let mut store = Store::new(&module.engine, Host::default());
        store.set_fuel(FUEL)?;
        store.call_hook(|mut store, hook| {
            store.data_mut().calls += u64::from(matches!(hook, CallHook::CallingHost));
            Ok(())
        });
        let instance = module.instance.instantiate(&mut store)?;
        let mut filter = Self { store, instance, next_context: ROOT + 1 };
        filter.call::<(), ()>("_initialize", ())?;
        filter.call::<(u32, u32), ()>("proxy_on_context_create", (ROOT, 0))?;
        filter.call::<(u32, u32), u32>("proxy_on_vm_start", (ROOT, 0))?;
        filter.configure(policy)?;
        Ok(filter)
    }

    /// Answers this request.
    ///
    /// # Errors
    /// A trap of the filter, with its log.
    pub fn answer(&mut self, request: &Request) -> Result<Answer> {
        let context = self.next_context;
        self.next_context += 1;
        self.store.data_mut().begin(request);
        let (fuel, calls) = (self.store.get_fuel()?, self.store.data().calls);
        self.call::<(u32, u32), ()>("proxy_on_context_create", (context, ROOT))?;
        let count = request.headers.len() as u32;
        self.call::<(u32, u32, u32), u32>("proxy_on_request_headers", (context, count, 1))?;
        let headers = self.store.data().request.clone();
        self.call::<(u32, u32, u32), u32>("proxy_on_response_headers", (context, 1, 0))?;
        if self.instance.get_func(&mut self.store, "proxy_on_log").is_some() {
            self.call::<u32, ()>("proxy_on_log", context)?;
        }
        self.call::<u32, ()>("proxy_on_delete", context)?;
        let instructions = fuel - self.store.get_fuel()?;
        Ok(Answer { instructions, headers, host_calls: self.store.data().calls - calls })
    }

    fn configure(&mut self, policy: &str) -> Result<()> {
        self.store.data_mut().configuration = policy.into();
        let accepted: u32 = self.call("proxy_on_configure", (ROOT, policy.len() as u32))?;
        ensure!(accepted == 1, "the policy was refused: {}", self.store.data().log);
        Ok(())
    }

    fn call<Arguments, Results>(&mut self, name: &str, arguments: Arguments) -> Result<Results>
    where
        Arguments: wasmtime::WasmParams,
        Results: wasmtime::WasmResults,
    {
        let function = self.instance.get_typed_func::<Arguments, Results>(&mut self.store, name)?;
        let result = function.call(&mut self.store, arguments);
        result.with_context(|| format!("{name}; the filter's log: {}", self.store.data().log))
    }
}

// === impl Request ===

impl Request {
    /// A request of this host with these headers, answered with 200.
    pub fn new(host: &str, headers: &[(&str, &str)]) -> Self {
        let usual =
            [(":method", "GET"), (":path", "/api/cart?page=2"), (":authority", host), ("accept", "*/*")];
        let all = usual.iter().chain(headers);
        let headers = all.map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { headers, status: "200".to_owned() }
    }
}
