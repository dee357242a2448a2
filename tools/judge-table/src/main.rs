//! The table of docs/judge.md: each row is a world, simulated many times, and what the judge and the rules of Flagger
//! and Argo Rollouts make of it. `make judge-table` runs it.
//!
//! Arguments: runs of each row (10,000), the seed (20,261,125), and a part of a row's name to run only such rows.

mod cases;
mod rows;
mod rules;
mod trust_cases;

use std::process::ExitCode;

use anyhow::Context as _;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("judge-table: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |what: &str, usual: u64| match arguments.next() {
        Some(text) => text.parse().with_context(|| format!("{what} is {text:?}; a whole number is expected")),
        None => Ok(usual),
    };
    let runs: u64 = number("the number of runs", 10_000)?;
    let seed: u64 = number("the seed", 20_261_125)?;
    let only = arguments.next().unwrap_or_default();
    println!("{runs} runs a row, seed {seed}, alpha 0.01; in brackets exact 95 % intervals in percent\n");
    for (title, cases) in [
        ("What is promised", cases::promised()),
        ("Tries to break it", cases::hostile()),
        ("Users who are not alike", trust_cases::users()),
        ("Is the data to be believed?", trust_cases::data()),
    ] {
        let chosen: Vec<_> = cases.into_iter().filter(|case| case.name.contains(&only)).collect();
        if !chosen.is_empty() {
            println!("## {title}\n");
            rows::print(&chosen, runs, seed)?;
        }
    }
    Ok(())
}
