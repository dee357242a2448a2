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
  coalmine man validate > coalmine-validate.1
  coalmine man import ingress-nginx | man -l -")]
pub(crate) struct Man {
    /// One of the commands, and a command of that one
    command: Vec<String>,
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
        let mut page = command;
        for name in &self.command {
            let found = page.find_subcommand(name).cloned();
            page = found.ok_or_else(|| unknown(&page, name))?;
        }
        if !self.command.is_empty() {
            // `coalmine-validate`, as git and cargo call such pages.
            let title: &'static str = format!("coalmine-{}", self.command.join("-")).leak();
            page = page.name(title);
        }
        let mut text = Vec::new();
        clap_mangen::Man::new(page).render(&mut text)?;
        output::print_plain(&String::from_utf8_lossy(&text))
    }
}

/// A command that is none of this one's.
fn unknown(command: &Command, name: &str) -> Failure {
    let known: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    let hint = match known.as_slice() {
        [] => format!("{} has no commands of its own", command.get_name()),
        known => format!("there are: {}", known.join(", ")),
    };
    Failure::usage(format!("there is no command {name:?}"), hint)
}
