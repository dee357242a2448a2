//! Proxies subscribe to the filter's configuration: Envoy's extension configuration discovery, by gRPC, in both of its
//! dialects (delta, state of the world).
//!
//! One resource is served, [`NAME`]; what it holds depends on the fleet of the proxy. What this server never does:
//! - it never says that the resource is gone. A proxy that starts would wait for ever, one that runs would lose its
//!   policy. While there is nothing to send it is silent, and the proxy's `default_config` carries it. For the same
//!   reason it is silent about names that it does not serve;
//! - it never sends the bytes again that a proxy has refused: Envoy acknowledges them the second time, with the older
//!   ones in force;
//! - it never sends an older revision than a proxy has;
//! - it keeps no queue: a proxy has one revision to answer for at a time, and then gets the latest.
//!
//! An acknowledgement is a hint. What is in force, the filter's gauge `coalmine_policy_revision` says.
//!
//! | file | what is in it |
//! |---|---|
//! | `resource` | [`Filter`]: from a publication to the bytes of the resource |
//! | `gate` | [`Gate`]: who may come in, and into which fleet |
//! | `dialect` | delta and state of the world, both in the words of `session` |
//! | `session` | the protocol of one stream, without its network |
//! | `proxies` | [`ProxyTable`]: who is connected, and what became of what was sent |
//! | `link` | one stream, from its first request to its end |
//! | `service` | [`Xds`]: the server and its limits |

mod dialect;
mod gate;
mod link;
mod proxies;
mod resource;
mod service;
mod session;
#[cfg(test)]
mod tests;

pub use gate::{ByCluster, Caller, Denied, Gate, Node, Peer};
pub use proxies::{Proxy, ProxyTable, Refused};
pub use resource::{Filter, Module, NAME};
pub use service::{Clock, Fleet, Refusal, Settings, Xds, keep_alive};
