//! From verdicts to weights: a plan, the evidence and the clock become the next weight, or the reason why not.
//!
//! [`tick()`] takes a [`Plan`], the [`State`] of a rollout and the [`Inputs`] of a moment, and gives a [`Step`]: the state to
//! record, the actions to take, and the conditions that hold the rollout. [`verb`] does the same with what a person says.
//! Both are functions: the same inputs give the same step, so that a recorded history can be played again.
//!
//! What this crate does not do: it reads no clock, file or socket, draws no random number, and knows no store, proxy or
//! cluster. Which requests were bad is the judge's business ([`coalmine_judge`]); how a weight becomes a policy is the
//! server's.
//!
//! | room | what is in it |
//! |---|---|
//! | [`plan`] | what people write, read with the place of every problem; remarks about it |
//! | [`inputs`] | the whole of what a tick may know |
//! | [`state`] | what is remembered between two ticks |
//! | `tick`, `evidence`, `queried`, `gates`, `underneath` | one tick: what proxies counted, what a step asks for, what changed underneath |
//! | `finish` | the end of a release |
//! | `elsewhere` | `mode: judge`: another controller moves the weights |
//! | [`verbs`] | what people say |
//! | [`actions`], [`verdict`], [`history`] | what comes of it: actions and conditions, a word, a history |
//! | `simulate` | a simulated service with proxies and workloads; behind the feature of this name |
//! | `at`, [`text`] | a step that is being made; numbers in a sentence |
#![forbid(unsafe_code)]

pub mod actions;
mod at;
mod elsewhere;
mod evidence;
mod finish;
mod gates;
pub mod history;
pub mod inputs;
pub mod plan;
mod queried;
#[cfg(feature = "simulate")]
pub mod simulate;
pub mod state;
pub mod text;
mod tick;
mod underneath;
pub mod verbs;
pub mod verdict;

pub use actions::{About, Action, Condition, Event, Form, Kind, Notice, Step, What};
pub use evidence::remembered;
pub use history::Moment;
pub use inputs::Inputs;
pub use plan::Plan;
pub use state::{Outcome, Phase, Stage, Standing, State};
pub use tick::tick;
pub use verbs::{Refusal, Request, Verb, verb};
pub use verdict::{Verdict, Weighed};
