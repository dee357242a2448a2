//! Numbers from outside that Coalmine must reproduce. The tests of this crate run twice: natively, as the command
//! computes, and on wasm32-wasip1, as the proxy computes; there Node is the host, by `run.mjs`.
