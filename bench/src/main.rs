//! `make bench-envoy`: what a request costs on a real Envoy with Coalmine, beside the alternatives.
//!
//! All contenders are listeners of one Envoy process with one worker, and take turns in short bursts. Each burst is
//! compared with one of the baseline just before it; several processes tell how much they differ. What is measured is
//! the time on a processor that the kernel counts for Envoy, not how long a request takes.
//!
//! Then memory per worker, and what a change of the policy takes, are measured on processes of their own.
//!
//! Before it is measured, each contender must send its users where it should.

mod bootstrap;
mod change;
mod contender;
mod load;
mod memory;
mod race;
mod report;
mod section;
mod statistics;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::change::{CHANGE, changes};
use crate::memory::{MEMORY, memory};
use crate::race::{Tools, race, users};
use crate::report::Report;
use crate::section::Section;

/// What a request costs on a real Envoy, beside the alternatives.
#[derive(Debug, Parser)]
struct Arguments {
    /// The Envoy to run
    #[arg(long, value_name = "FILE")]
    envoy: PathBuf,
    /// The filter's module
    #[arg(long, value_name = "FILE")]
    filter: PathBuf,
    /// The command that previews
    #[arg(long, value_name = "FILE")]
    coalmine: PathBuf,
    /// The folder with the modules of the other contenders
    #[arg(long, value_name = "FOLDER")]
    contenders: PathBuf,
    /// How many Envoy processes, one after the other
    #[arg(long, default_value_t = 5)]
    processes: usize,
    /// How many bursts of each contender in each process, and changes of each policy
    #[arg(long, default_value_t = 20)]
    bursts: usize,
    /// Write the figures here
    #[arg(long, value_name = "FILE")]
    json: PathBuf,
    /// Draw them here
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let [envoy, filter, coalmine, contenders] =
        [&arguments.envoy, &arguments.filter, &arguments.coalmine, &arguments.contenders]
            .map(|path| absolute(path));
    let (envoy, filter, coalmine, contenders) = (envoy?, filter?, coalmine?, contenders?);
    let tools = Tools { envoy: &envoy, filter: &filter, coalmine: &coalmine, contenders: &contenders };
    let all = contender::all()?;
    let users = users();
    let (mut bursts, mut held, mut changed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.processes {
        bursts.push(race(tools, &all, &users, arguments.bursts).await?);
        held.push(memory(tools, &all, &users).await?);
        changed.push(changes(&envoy, &filter, arguments.bursts).await?);
    }
    let sections = vec![Section::of(&MEMORY, &held), Section::of(&CHANGE, &changed)];
    let report = Report::of(tools, arguments.bursts, &bursts, sections)?;
    print!("{}", report.table());
    write(&arguments.json, &report.json().to_string())?;
    if let Some(svg) = &arguments.svg {
        write(svg, &report.svg())?;
    }
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize().with_context(|| format!("there is no {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
