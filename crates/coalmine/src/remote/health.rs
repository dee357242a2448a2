//! `coalmine health`: what a container's health check runs, where there is neither a shell nor curl.

use std::time::Duration;

use clap::Args;
use ureq::Agent;

use crate::failure::Failure;
use crate::output::{self, visible};

/// How long the answer may take.
const WITHIN: Duration = Duration::from_secs(5);
/// Most bytes of the answer that are read.
const MAX_ANSWER: u64 = 4096;

/// Ask a server once whether it is ready
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  coalmine health
  coalmine health http://127.0.0.1:9471/readyz

For health checks of containers and scripts: it asks once, and ends with 0 or 1.")]
pub(crate) struct Health {
    /// `/readyz` of the server's admin port
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8471/readyz")]
    url: String,
}

// === impl Health ===

impl Health {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let config = Agent::config_builder().timeout_global(Some(WITHIN)).http_status_as_error(false);
        let agent: Agent = config.max_redirects(0).build().into();
        let away = |error: ureq::Error| self.unhealthy(&format!("does not answer: {error}"));
        let mut response = agent.get(&self.url).call().map_err(away)?;
        let text = response.body_mut().with_config().limit(MAX_ANSWER).read_to_string().map_err(away)?;
        if response.status().as_u16() == 200 {
            return output::print(&format!("{}\n", visible(text.trim())));
        }
        let why = text.trim();
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        Err(self.unhealthy(&format!("answers {}{why}", response.status().as_u16())))
    }

    /// Always the exit code 1: Docker keeps 2 for itself.
    fn unhealthy(&self, what: &str) -> Failure {
        Failure::Problems(format!("{} {}", self.url, visible(what)))
    }
}
