//! Coalmine's server: one place holds the rollouts, every proxy follows it, and the weights move by themselves.
//!
//! ```text
//!  people, pipelines --HTTP--> rollouts --compose--> policy, revision N --ECDS or a file--> proxies
//!                                 ^                                                           |
//!                                 +-- steer <-- judge <-- evidence <--------------------------+
//! ```
//!
//! Requests never depend on it: when it is away, every proxy goes on with the policy that it has.
//!
//! What this crate does not do: it decides nothing by itself. Which variant a user gets is the core's business, whether a
//! canary is harmful the judge's, and what then the business of steering; here is what reads, keeps, sends and answers.
//!
//! | room | what is in it |
//! |---|---|
//! | [`rollout`] | what people write, what is recorded, and the policy that is composed of it |
//! | [`store`] | where that is kept, by compare-and-set |
//! | [`fleets`] | which proxies have the same policy, and which rollouts are in it |
//! | [`publish`] | from a policy to the proxies |
//! | [`evidence`] | what the proxies counted |
//! | [`cluster`] | the workloads of rollouts, as steering sees and changes them |
//! | [`kubernetes`] | a Kubernetes cluster |
//! | [`routes`] | routes as Envoy reads them, for the server and for `coalmine validate` |
//! | [`access`], [`text_pattern`] | who may do what |
//! | [`api`] | the HTTP API |
//! | `dashboard` | the same for people, as pages |
//! | [`config`] | the configuration of the server |
//! | [`operations`] | what people and pipelines may do, whoever asks |
//! | [`reconcile`] | the loop |
//! | [`notify`], `post` | who is told what happens, and how that is sent |
//! | [`run`] | a server from its configuration to its end |
//! | [`kubernetes`] | a cluster, as the server reaches it |
//! | [`listen`], `open_files`, [`tls`], [`ending`] | connections, certificates, and the end of all |
//! | [`log`] | what it logs |
//! | [`server`] | what the rooms of a running server share |
//! | [`snapshot`] | what the store holds, parsed once |
//! | [`timings`] | how long all that takes |
#![forbid(unsafe_code)]

pub mod access;
pub mod api;
pub mod cluster;
pub mod config;
mod dashboard;
pub mod ending;
pub mod evidence;
pub mod fleets;
pub mod kubernetes;
pub mod listen;
pub mod log;
pub mod notify;
mod open_files;
pub mod operations;
mod post;
pub mod publish;
pub mod reconcile;
pub mod rollout;
pub mod routes;
pub mod run;
pub mod server;
pub mod snapshot;
pub mod store;
pub mod text_pattern;
pub mod timings;
pub mod tls;
