//! The filter as a host runs it: a VM, its configurations, and requests from their beginning to their end.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::fake_host::{FakeHost, host};

/// A filter on a fake host of its own, of which this is the handle.
pub(crate) struct Proxy {
    next_context: u32,
    root: u32,
}

/// What became of a request.
pub(crate) struct Answered {
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) filter_state: BTreeMap<String, String>,
    /// What the filter added to the response.
    pub(crate) response: Vec<(String, String)>,
    /// The calls into the host that the request took.
    pub(crate) calls: Vec<String>,
}

// === impl Proxy ===

impl Proxy {
    /// A VM that has started but has no configuration.
    pub(crate) fn start() -> Self {
        static STARTING: Mutex<()> = Mutex::new(());
        {
            // The SDK installs the process's logger the first time, without a lock of its own.
            let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
            coalmine_filter::_initialize();
        }
        Self { next_context: 1, root: 0 }
    }

    /// A VM with this policy in force.
    pub(crate) fn with_policy(policy: &str) -> Self {
        let mut proxy = Self::start();
        assert!(proxy.configure(policy), "{:?}", host(|host| host.log.clone()));
        proxy
    }

    /// A new configuration: in the same VM, with a root context of its own, as Envoy does it. One that is refused
    /// leaves the old one in force.
    pub(crate) fn configure(&mut self, policy: &str) -> bool {
        self.configure_with_size(policy, policy.len())
    }

    /// The same, from a host that says this size.
    pub(crate) fn configure_with_size(&mut self, policy: &str, size: usize) -> bool {
        let root = self.context();
        host(|host| host.configuration = policy.as_bytes().to_vec());
        abi::proxy_on_context_create(root, 0);
        let accepted = abi::proxy_on_vm_start(root, 0) && abi::proxy_on_configure(root, size);
        if accepted {
            self.root = root;
        }
        accepted
    }

    pub(crate) fn tick(&self) {
        abi::proxy_on_tick(self.root);
    }

    /// A request, from its headers to its end.
    pub(crate) fn request(&mut self, headers: &[(&str, &[u8])]) -> Answered {
        let context = self.open(headers);
        let answered = self.request_headers(context);
        abi::proxy_on_response_headers(context, 0, true);
        abi::proxy_on_delete(context);
        let (response, calls) = host(|host| (std::mem::take(&mut host.response), host.calls.clone()));
        Answered { response, calls, ..answered }
    }

    /// Answers an open request with this status, or ends it without an answer; its last callbacks follow.
    pub(crate) fn respond(&self, context: u32, status: Option<&str>) {
        if let Some(status) = status {
            host(|host| host.response.push((":status".to_owned(), status.to_owned())));
            abi::proxy_on_response_headers(context, 1, false);
        }
        abi::proxy_on_log(context);
        abi::proxy_on_delete(context);
        host(|host| {
            host.response.clear();
            host.trailers.clear();
            host.flags = 0;
        });
    }

    /// A request that the application answers with an internal redirect once or more: the filter sees it again, with
    /// the headers that it has left and the mark that Envoy sets.
    pub(crate) fn redirected_request(&mut self, headers: &[(&str, &[u8])], redirects: u32) -> Answered {
        let mut context = self.open(headers);
        self.request_headers(context);
        for count in 1..=redirects {
            abi::proxy_on_delete(context);
            context = self.context();
            abi::proxy_on_context_create(context, self.root);
            host(|host| {
                host.redirects = Some(count);
                host.headers.retain(|(name, _)| name != "x-envoy-original-url");
                host.headers.push(("x-envoy-original-url".to_owned(), b"http://checkout/".to_vec()));
                let FakeHost { kept, filter_state, .. } = host;
                filter_state.retain(|name, _| kept.contains(name));
            });
            abi::proxy_on_request_headers(context, 0, true);
        }
        abi::proxy_on_response_headers(context, 0, true);
        abi::proxy_on_delete(context);
        host(|host| {
            host.redirects = None;
            Answered {
                headers: host.headers.clone(),
                filter_state: host.filter_state.clone(),
                response: std::mem::take(&mut host.response),
                calls: host.calls.clone(),
            }
        })
    }

    /// A request that has begun, but whose headers the filter has not seen.
    pub(crate) fn open(&mut self, headers: &[(&str, &[u8])]) -> u32 {
        let context = self.context();
        abi::proxy_on_context_create(context, self.root);
        host(|host| {
            host.headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
        });
        context
    }

    /// Shows the headers to the filter.
    pub(crate) fn request_headers(&self, context: u32) -> Answered {
        host(|host| {
            host.calls.clear();
            host.filter_state.clear();
        });
        abi::proxy_on_request_headers(context, 0, true);
        host(|host| Answered {
            headers: host.headers.clone(),
            filter_state: host.filter_state.clone(),
            response: Vec::new(),
            calls: host.calls.clone(),
        })
    }

    fn context(&mut self) -> u32 {
        self.next_context += 1;
        self.next_context
    }
}

// === impl Answered ===

impl Answered {
    /// Every value of this header, as the router would see them.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let given = self.headers.iter().filter(|(given, _)| given == name);
        given.map(|(_, value)| str::from_utf8(value).unwrap()).collect()
    }
}

/// What the SDK exports to the host.
mod abi {
    unsafe extern "C" {
        pub(super) safe fn proxy_on_context_create(context: u32, root: u32);
        pub(super) safe fn proxy_on_vm_start(context: u32, size: usize) -> bool;
        pub(super) safe fn proxy_on_configure(context: u32, size: usize) -> bool;
        pub(super) safe fn proxy_on_tick(context: u32);
        pub(super) safe fn proxy_on_request_headers(context: u32, headers: usize, end: bool) -> u32;
        pub(super) safe fn proxy_on_response_headers(context: u32, headers: usize, end: bool) -> u32;
        pub(super) safe fn proxy_on_log(context: u32);
        pub(super) safe fn proxy_on_delete(context: u32);
    }
}
