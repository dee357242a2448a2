//! `coalmine completions` and `coalmine man`: the command, described for a shell and for `man`.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::failure::Failure;
use crate::output;

/// Print a shell's completions for this command
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  coalmine completions bash > /etc/bash_completion.d/coalmine
  coalmine completions zsh > \"${fpath[1]}/_coalmine\"
  coalmine completions fish > ~/.config/fish/completions/coalmine.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// Print a manual page: of the command, or of one of its commands
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  coalmine man | man -l -
  coalmine man validate > coalmine-validate.1")]
pub(crate) struct Man {
    /// One of the commands
    command: Option<String>,
}

// === impl Completions ===

impl Completions {
    pub(crate) fn run(&self, mut command: Command) -> Result<(), Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut command, "coalmine", &mut text);
        output::print_plain(&String::from_utf8_lossy(&text))
    }
}

// === impl Man ===

impl Man {
    pub(crate) fn run(&self, mut command: Command) -> Result<(), Failure> {
        command.build();
        let page = match &self.command {
            None => command,
            Some(name) => {
                let known: Vec<String> =
                    command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
                let found = command.find_subcommand(name).cloned();
                let found = found.ok_or_else(|| {
                    Failure::usage(
                        format!("there is no command {name:?}"),
                        format!("there are: {}", known.join(", ")),
                    )
                })?;
                // `coalmine-validate`, as git and cargo call such pages.
                let title: &'static str = format!("coalmine-{name}").leak();
                found.name(title)
            }
        };
        let mut text = Vec::new();
        clap_mangen::Man::new(page).render(&mut text)?;
        output::print_plain(&String::from_utf8_lossy(&text))
    }
}
