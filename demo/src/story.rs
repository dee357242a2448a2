//! Two releases, steered by the server: a healthy version is promoted, a broken one is taken back by itself.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context as _, Result};
use coalmine_harness::fleet::{Fleet, FleetParts, Seen, Traffic, went_back};
use console::style;
use serde_json::Value;

use crate::report::{Report, grouped};

const NAME: &str = "shop/checkout";
const USERS: usize = 2_000;
const LANES: usize = 8;

/// A plan as a cautious engineer writes it, in seconds rather than hours.
const ROLLOUT: &str = "
name: shop/checkout
policy:
  identity: [{header: x-user-id}]
  variants: [{name: canary}]
plan:
  steps: [1, 5, 25, 50]
  dwell: 2s
  warmUp: 0s
  minRequests: 25
  onInconclusive: promote
";

/// How many of a hundred requests fail at the broken version.
const BROKEN: u32 = 20;

/// Tells both, and remembers which promises were kept.
pub(crate) async fn tell(parts: FleetParts, report: &mut Report) -> Result<()> {
    let proxies = parts.proxies;
    let fleet = Fleet::start(parts).await?;
    fleet.write("checkout.yaml", ROLLOUT)?;
    fleet.done("apply checkout.yaml").await?;
    let traffic = fleet.traffic(USERS, LANES);
    let title = format!("A server and {proxies} Envoys that follow it, {} users", grouped(USERS));
    println!("\n{}", style(title).bold());
    healthy(&fleet, &traffic, report).await?;
    broken(&fleet, &traffic, report).await?;
    traffic.stop().await;
    Ok(())
}

async fn healthy(fleet: &Fleet, traffic: &Traffic, report: &mut Report) -> Result<()> {
    println!("\nA healthy version: coalmine start {NAME}\n");
    let began = Instant::now();
    fleet.done("start shop/checkout --message healthy --wait-for Promoting --timeout 100s").await?;
    let seen = since(traffic, began);
    happened(fleet, 1).await?;
    let failed = seen.iter().filter(|visit| visit.status != 200).count();
    let back = went_back(&seen).len();
    report.promise(back == 0, "sticky", &format!("users sent back to stable on the way: {}", grouped(back)));
    report.promise(
        failed == 0,
        "safe",
        &format!("requests failed: {} of {}", grouped(failed), grouped(seen.len())),
    );
    println!("\n  stable is renewed, so: coalmine promote {NAME}");
    let ran = fleet.run("promote shop/checkout --wait --timeout 60s").await?;
    let took = style(format!("{:.0} s", began.elapsed().as_secs_f64())).bold();
    println!("  everybody has the new version, on stable again, {took} after the start\n");
    report.promise(ran.code == 0, "ends", "the release ended promoted");
    Ok(())
}

async fn broken(fleet: &Fleet, traffic: &Traffic, report: &mut Report) -> Result<()> {
    println!("\nThe next version, of which {BROKEN} % of the requests fail: coalmine start {NAME}\n");
    fleet.canary_fails(BROKEN);
    let began = Instant::now();
    let ran = fleet.run("start shop/checkout --message broken --wait --timeout 100s").await?;
    let took = began.elapsed();
    let ended = Instant::now();
    let stable =
        |seen: &[Seen]| seen.len() > USERS && seen.iter().all(|visit| visit.variant == Some("stable"));
    traffic.until("everybody on stable", ended, stable).await?;
    happened(fleet, 2).await?;
    let seen = since(traffic, began);
    let canary = || seen.iter().filter(|visit| visit.variant == Some("canary"));
    let users: BTreeSet<usize> = canary().map(|visit| visit.user).collect();
    let failed = canary().filter(|visit| visit.status != 200).count();
    println!(
        "  {} of {} users met it, {} of their {} requests failed; it took {:.0} s\n",
        grouped(users.len()),
        grouped(USERS),
        grouped(failed),
        grouped(canary().count()),
        took.as_secs_f64()
    );
    report.promise(ran.code == 3, "judged", "the server rolled it back by itself, with proof");
    let elsewhere = seen.iter().filter(|visit| visit.status != 200).count() - failed;
    report.promise(elsewhere == 0, "safe", &format!("requests failed on stable: {}", grouped(elsewhere)));
    Ok(())
}

/// Prints the history of a release.
async fn happened(fleet: &Fleet, release: u64) -> Result<()> {
    let history = fleet.done("history shop/checkout --limit 200 --format json").await?.stdout;
    let history: Vec<Value> = serde_json::from_str(&history).context("the history makes no sense")?;
    let text =
        |line: &Value, field: &str| line.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut lines: Vec<&Value> = history.iter().rev().collect();
    let starts = lines.iter().enumerate().filter(|(_, line)| text(line, "what") == "started");
    let start = starts.map(|(place, _)| place).nth(release.saturating_sub(1) as usize);
    lines.drain(..start.context("the release did not start")?);
    for line in lines {
        let weight = line.get("weight").and_then(Value::as_f64).unwrap_or_default();
        let time = text(line, "at").get(11..19).unwrap_or_default().to_owned();
        println!("  {time}  {weight:>5} %  {}", text(line, "why"));
    }
    println!();
    Ok(())
}

fn since(traffic: &Traffic, began: Instant) -> Vec<Seen> {
    traffic.seen().into_iter().filter(|visit| visit.at >= began).collect()
}
