//! `make demo`: real releases on real Envoys, steered by the server, and then the filter alone, with five thousand users,
//! measured. `make demo-filter` is the second part.
//!
//! Two upstream servers, the shipped configuration, the shipped module, and the real command for the preview. The
//! answer to *which variant?* is never computed here: Envoy gives it, and `coalmine assign` has said it before.
//!
//! Exit codes: 0 when every promise was kept, 1 when one was broken or the demo could not run.

mod crowd;
mod report;
mod story;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use coalmine_harness::fleet::FleetParts;
use coalmine_harness::{Lab, PolicyFile};
use console::style;
use serde_json::Value;

use crate::crowd::Crowd;
use crate::report::Report;
use coalmine_harness::Preview;

/// A real rollout on a real Envoy, measured.
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
    /// Only the filter, without a server
    #[arg(long)]
    filter_only: bool,
    /// Leave everything running at the end, to be tried with curl
    #[arg(long)]
    keep: bool,
}

const WORKERS: u32 = 2;
/// The canary's weights: at first, and after the change.
const WEIGHTS: [u32; 2] = [5, 25];

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every promise was kept.
async fn run(arguments: &Arguments) -> Result<bool> {
    let mut report = Report::default();
    if !arguments.filter_only {
        let parts = FleetParts::new(
            absolute(&arguments.coalmine)?,
            absolute(&arguments.envoy)?,
            absolute(&arguments.filter)?,
        );
        story::tell(parts, &mut report).await?;
    }
    let crowd = Crowd::default();
    let [first, second] = [policy(1, WEIGHTS[0])?, policy(2, WEIGHTS[1])?];
    let before = Preview::of(&arguments.coalmine, &first, crowd.users())?;
    let after = Preview::of(&arguments.coalmine, &second, crowd.users())?;

    let builder = Lab::builder()?.envoy(&absolute(&arguments.envoy)?).module(&absolute(&arguments.filter)?);
    let lab = builder.workers(WORKERS).start(&first).await?;
    report.title(&version(&lab).await?, WORKERS, crowd.users().len());

    let visits = crowd.visit(&lab, &before).await?;
    report.split(WEIGHTS[0], &visits, &before)?;

    let change = crowd.change(&lab, &second).await?;
    report.change(WEIGHTS, &change, [&before, &after])?;

    let kept = report.verdict();
    if arguments.keep {
        invite(&lab, &after);
        tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
    }
    Ok(kept)
}

/// The shipped policy, with this revision and this weight of the canary.
fn policy(revision: u32, weight: u32) -> Result<String> {
    let mut policy = PolicyFile::shipped_policy()?;
    for (shipped, new) in [
        ("\"revision\": 1,", format!("\"revision\": {revision},")),
        ("\"weight\": 5}", format!("\"weight\": {weight}}}")),
    ] {
        ensure!(
            policy.matches(shipped).count() == 1,
            "`{shipped}` does not occur once in the shipped policy"
        );
        policy = policy.replacen(shipped, &new, 1);
    }
    Ok(policy)
}

/// Envoy runs in the same folder, but its configuration should not depend on that.
fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize().with_context(|| format!("there is no {}", path.display()))
}

async fn version(lab: &Lab) -> Result<String> {
    let info: Value = serde_json::from_str(&lab.envoy().admin("/server_info").await?)?;
    let version = info.get("version").and_then(Value::as_str).and_then(|version| version.split('/').nth(1));
    Ok(version.context("Envoy does not tell its version")?.to_owned())
}

/// What a reader can try by hand.
fn invite(lab: &Lab, preview: &Preview) {
    let (proxy, admin) = (lab.address(), lab.envoy().admin_address());
    let [stable, canary] =
        ["stable", "canary"].map(|variant| preview.somebody(variant).unwrap_or("user-0001"));
    let policy = lab.policy_file().display();
    println!("\n{}", style("All of it goes on running until you press Ctrl-C. Try:").bold());
    println!("  curl -H 'x-user-id: {stable}' http://{proxy}/                                  # stable");
    println!("  curl -H 'x-user-id: {canary}' http://{proxy}/                                  # canary");
    println!(
        "  curl -H 'x-user-id: {stable}' -H 'x-coalmine-variant: canary' http://{proxy}/  # stable: forged"
    );
    println!("  curl -s http://{admin}/stats/prometheus | grep ^coalmine_");
    println!("  tail -f {}", lab.access_log().display());
    println!("Change a weight, and count the revision up, in a copy; then rename it:");
    println!("  cp {policy} next.yaml && $EDITOR next.yaml && mv next.yaml {policy}");
}
