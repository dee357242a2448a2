//! `coalmine render`: complete configurations around a policy.
//!
//! What is shipped below `envoy/` and `istio/` is the template: every option changes a value of it in its place, so its comments
//! come along, and an improvement of the shipped file improves what is rendered.

mod envoy;
mod istio;
mod server;
mod template;

use std::path::Path;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::output;

/// Print complete configurations around a policy
#[derive(Args)]
pub(crate) struct Render {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Envoy(envoy::Envoy),
    Istio(istio::Istio),
}

// === impl Render ===

impl Render {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match &self.what {
            What::Envoy(envoy) => envoy.run(),
            What::Istio(istio) => istio.run(),
        }
    }
}

/// Refuses a place where a file is already, unless it may be replaced.
fn check_free(path: &Path, force: bool) -> Result<(), Failure> {
    if path.exists() && !force {
        return Err(Failure::usage(format!("{} is there already", path.display()), "--force replaces it"));
    }
    Ok(())
}

/// Writes a file, and says so.
fn save(path: &Path, text: &str) -> Result<(), Failure> {
    output::save(path, text)?;
    output::note(&format!("{}: written", path.display()));
    Ok(())
}
