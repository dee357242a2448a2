//! What the filter does with hostile input, bad policies and its own crash; what it counts and logs.

mod access_log;
mod bad_policy;
mod crash;
mod flat;
mod forged;
mod hostile;
mod metrics;
mod mounted;
mod replaced;
mod shipped;
