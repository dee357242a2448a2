//! `coalmine serve`: the server.

mod set;

use std::path::PathBuf;

use anstream::adapter::strip_str;
use clap::{Args, ValueEnum};
use coalmine_control::config::{Config, Surroundings};
use coalmine_control::rollout::read_text;
use coalmine_control::{log, run};
use coalmine_document::{Node, OwnedPath, Problems};

use self::set::Set;
use crate::diagnostic::{Diagnostic, excerpts};
use crate::failure::Failure;
use crate::{input, output};

const AFTER: &str = "\
Examples:
  coalmine serve
  coalmine serve --config server.yaml --log json
  coalmine serve --config server.yaml --set listen=127.0.0.1:9470 --set evidence.proxies='[127.0.0.1:9901]'

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
    /// Give a field of the configuration another value, written as YAML; may be repeated
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<Set>,
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
        let config = self.load().map_err(Failure::Problems)?;
        // The log has no colours, or others than those of an excerpt.
        let again = || self.load().map_err(|why| strip_str(&why).to_string());
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let told = |api, admin| {
            output::note(&format!(
                "coalmine serves on {scheme}://{api}, health and metrics on http://{admin}"
            ));
        };
        run::serve(config, again, told).map_err(|why| Failure::Problems(why.to_string()))
    }

    /// The configuration of the file, or the usual one without a file, with what the command line sets. What is wrong with it has
    /// colours.
    fn load(&self) -> Result<Config, String> {
        let variable = |name: &str| std::env::var(name).ok();
        let file = |path: &str| std::fs::read_to_string(path);
        let surroundings = Surroundings { variable: &variable, file: &file };
        let read = |mut document: Node| {
            self.set.iter().for_each(|set| set.apply(&mut document));
            Config::from_document(&document, &surroundings)
        };
        let Some(path) = self.config.as_deref() else {
            return read_text("{}").and_then(read).map_err(|problems| problems.to_string());
        };
        let mut source = input::read(path).map_err(|refused| Failure::refused(path)(refused).to_string())?;
        let document = read_text(source.text());
        if let Ok(document) = &document {
            source.hide_secrets([document]);
        }
        let shown = |problems: Problems| {
            let found = Diagnostic::of_problems(&problems, &OwnedPath::default());
            // What the command line says stands nowhere in the file.
            let is_set = |it: &Diagnostic| self.set.iter().any(|set| set.has(&it.place));
            let (set, found): (Vec<_>, Vec<_>) = found.into_iter().partition(is_set);
            let set: String = set.iter().map(|it| format!("--set {}\n", it.sentence())).collect();
            format!("{} is no configuration\n{}{set}", path.display(), excerpts(&source, &found))
        };
        document.and_then(read).map_err(shown)
    }
}
