//! The server and real Envoys that follow it.
//!
//! | module | what is in it |
//! |---|---|
//! | `subscribed` | what the management server and a proxy say to one another |
//! | `away` | the server is away for a minute |
//! | `certified` | a server that takes nobody without a certificate, and what proxies prove by theirs |
//! | `dead_man` | users who go back by themselves, without a server |
//! | `detect` | how soon a fault of the canary is found, and what is none |
//! | `fleets` | proxies that have different policies |
//! | `found` | proxies that are found by their streams |
//! | `full_disk` | the disk of the store is full |
//! | `hang` | a canary that does not answer at all |
//! | `kills` | a server that is killed at any moment of a rollout |
//! | `leak` | a route that does not lead to the canary |
//! | `leaving` | Coalmine is taken away again |
//! | `orderly` | what a release has to show after servers were killed in it |
//! | `replicas` | three servers on one PostgreSQL, of which the one that steers is killed |
//! | `pushes` | many policies in a short time, under load |
//! | `release` | what tests of a release wait for and look at |
//! | `served` | guards that are counted by Envoy's own counters |
//! | `streams` | thousands of proxies that follow one server |
//! | `scale` | thousands of rollouts over several fleets |
//! | `story` | whole releases, by the command and on traffic |

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is how a test fails"
)]

mod away;
mod certified;
mod dead_man;
mod detect;
mod fleets;
mod found;
mod full_disk;
mod hang;
mod kills;
mod leak;
mod leaving;
mod orderly;
mod pushes;
mod release;
mod replicas;
mod scale;
mod served;
mod story;
mod streams;
mod subscribed;
