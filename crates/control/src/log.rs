//! What the server logs: to standard error, as text or JSON, with times in UTC and without secrets.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

/// What is logged unless the environment says otherwise.
const FILTER: &str = "info";
/// The variable that says otherwise, as `debug` or `coalmine_control=debug,info`.
const VARIABLE: &str = "COALMINE_LOG";

/// Begins to log; JSON for programs. It may be called once.
pub fn begin(json: bool) {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(FILTER));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    let builder = builder.with_ansi(io::stderr().is_terminal());
    // Somebody else may log already, as in a test.
    let _ = if json { builder.json().flatten_event(true).try_init() } else { builder.try_init() };
}
