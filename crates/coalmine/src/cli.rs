//! The command line: which subcommand runs, and what becomes of its failure.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::{
    assign, backup, completions, crd, diff, explain, import, judge, output, power, rehearse, remote, render,
    schema, serve, simulate, token, uninstall, validate, weights,
};

const AFTER: &str = "\
Exit codes: 0 done; 1 what was asked about has problems; 2 the command was used wrongly, a file could not be read or \
written, or a server does not answer; 3 a release was rolled back; 4 it was not over in time.
Colours are for terminals only, and never where NO_COLOR is set.";

/// Blind, sticky canaries: see who gets the canary before it is live.
#[derive(Parser)]
#[command(name = "coalmine", version, arg_required_else_help = true, max_term_width = 110, after_long_help = AFTER)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Validate(validate::Validate),
    Explain(explain::Explain),
    Assign(assign::Assign),
    Simulate(simulate::Simulate),
    Diff(diff::Diff),
    Weights(weights::Weights),
    Token(token::Token),
    Render(render::Render),
    Import(import::Import),
    Judge(judge::Judge),
    Power(power::Power),
    Rehearse(rehearse::Rehearse),
    Serve(serve::Serve),
    Backup(backup::Backup),
    Get(remote::Get),
    Apply(remote::Apply),
    Delete(remote::Delete),
    Status(remote::Status),
    Proxies(remote::Proxies),
    History(remote::History),
    Start(remote::Start),
    /// Stop upward moves: judging and rollbacks go on
    Pause(remote::Verb),
    Hold(remote::Hold),
    /// Undo pause and hold, and give the deadline again
    Resume(remote::Verb),
    /// Go to the next step now
    Advance(remote::Verb),
    /// Approve the step
    Approve(remote::Verb),
    Rollback(remote::Rollback),
    /// Give the canary all users now; or say that stable is renewed
    Promote(remote::Verb),
    Freeze(remote::Freeze),
    Health(remote::Health),
    Schema(schema::Schema),
    Crd(crd::Crd),
    Uninstall(uninstall::Uninstall),
    Completions(completions::Completions),
    Man(completions::Man),
}

/// Runs the command on the arguments of this process.
pub(crate) fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Validate(validate) => validate.run(),
        Command::Explain(explain) => explain.run(),
        Command::Assign(assign) => assign.run(),
        Command::Simulate(simulate) => simulate.run(),
        Command::Diff(diff) => diff.run(),
        Command::Weights(weights) => weights.run(),
        Command::Token(token) => token.run(),
        Command::Render(render) => render.run(),
        Command::Import(import) => import.run(),
        Command::Judge(judge) => judge.run(),
        Command::Power(power) => power.run(),
        Command::Rehearse(rehearse) => rehearse.run(),
        Command::Serve(serve) => serve.run(),
        Command::Backup(backup) => backup.run(),
        Command::Get(get) => get.run(),
        Command::Apply(apply) => apply.run(),
        Command::Delete(delete) => delete.run(),
        Command::Status(status) => status.run(),
        Command::Proxies(proxies) => proxies.run(),
        Command::History(history) => history.run(),
        Command::Start(start) => start.run(),
        Command::Pause(verb) => verb.run("pause"),
        Command::Hold(hold) => hold.run(),
        Command::Resume(verb) => verb.run("resume"),
        Command::Advance(verb) => verb.run("advance"),
        Command::Approve(verb) => verb.run("approve"),
        Command::Rollback(rollback) => rollback.run(),
        Command::Promote(verb) => verb.run("promote"),
        Command::Freeze(freeze) => freeze.run(),
        Command::Health(health) => health.run(),
        Command::Schema(schema) => schema.run(),
        Command::Crd(crd) => crd.run(),
        Command::Uninstall(uninstall) => uninstall.run(),
        Command::Completions(completions) => completions.run(Arguments::command()),
        Command::Man(man) => man.run(Arguments::command()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            let message = failure.to_string();
            if !message.is_empty() {
                output::note(&format!("coalmine: {message}"));
            }
            failure.exit_code()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
