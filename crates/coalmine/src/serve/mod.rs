//! `coalmine serve`: the server.

use std::path::{Path, PathBuf};

use anstream::adapter::strip_str;
use clap::{Args, ValueEnum};
use coalmine_control::config::{Config, Surroundings};
use coalmine_control::rollout::read_text;
use coalmine_control::{log, run};
use coalmine_document::{OwnedPath, Problems};

use crate::diagnostic::{Diagnostic, excerpts};
use crate::failure::Failure;
use crate::{input, output};

const AFTER: &str = "\
Examples:
  coalmine serve
  coalmine serve --config server.yaml --log json

Without a configuration it listens on this host only, asks nobody for a token, and keeps its rollouts in coalmine.db.
SIGHUP reads the configuration again, SIGTERM ends the server within ten seconds. Proxies go on with the policy that they
have while no server runs. docs/server.md has the configuration.";

/// Hold rollouts, hand the policy to every proxy, read the evidence, and move the weights
#[derive(Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Serve {
    /// The configuration, as YAML or JSON
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to log, to standard error
    #[arg(long, value_enum, default_value_t)]
    log: Log,
}

/// A form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Log {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON value a line
    Json,
}

// === impl Serve ===

impl Serve {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        log::begin(self.log == Log::Json);
        let config = load(self.config.as_deref()).map_err(Failure::Problems)?;
        // The log has no colours, or others than those of an excerpt.
        let again = || load(self.config.as_deref()).map_err(|why| strip_str(&why).to_string());
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let told = |api, admin| {
            output::note(&format!(
                "coalmine serves on {scheme}://{api}, health and metrics on http://{admin}"
            ));
        };
        run::serve(config, again, told).map_err(|why| Failure::Problems(why.to_string()))
    }
}

/// The configuration of a file; the usual one without a file. What is wrong with it has colours.
fn load(path: Option<&Path>) -> Result<Config, String> {
    let variable = |name: &str| std::env::var(name).ok();
    let file = |path: &str| std::fs::read_to_string(path);
    let surroundings = Surroundings { variable: &variable, file: &file };
    let Some(path) = path else {
        let usual = read_text("{}").and_then(|empty| Config::from_document(&empty, &surroundings));
        return usual.map_err(|problems| problems.to_string());
    };
    let mut source = input::read(path).map_err(|refused| Failure::refused(path)(refused).to_string())?;
    let document = read_text(source.text());
    if let Ok(document) = &document {
        source.hide_secrets([document]);
    }
    let shown = |problems: Problems| {
        let found = Diagnostic::of_problems(&problems, &OwnedPath::default());
        format!("{} is no configuration\n{}", path.display(), excerpts(&source, &found))
    };
    document.and_then(|document| Config::from_document(&document, &surroundings)).map_err(shown)
}
