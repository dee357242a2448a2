//! Numbers from outside that Coalmine must reproduce. The tests of this crate run twice: natively, as the command
//! computes, and under wasm-bindgen-test on wasm32-unknown-unknown, as the proxy computes.
