//! What any filter that routes by a user must at least do with the Proxy-Wasm SDK: read the user, and the header
//! that a client may have forged.

// The macro writes public functions, without documentation.
#![allow(missing_docs)]

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

#[derive(Debug)]
struct Root;

#[derive(Debug)]
struct Stream;

// === impl Root ===

impl Context for Root {}

impl RootContext for Root {
    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

// === impl Stream ===

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, _ended: bool) -> Action {
        for header in ["x-user-id", "x-coalmine-variant"] {
            std::hint::black_box(self.get_http_request_header_bytes(header));
        }
        Action::Continue
    }
}
