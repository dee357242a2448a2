//! One Envoy process with all contenders: each is checked, then all are measured in turn, each beside the baseline.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use coalmine_harness::{Envoy, LOG_LEVEL, Launch, Preview, Upstream};
use tempfile::TempDir;

use crate::bootstrap::{DIRECT, PROXIED, bootstrap};
use crate::contender::{BASELINE, Contender, Expected, WEIGHT};
use crate::load::Load;

/// How many users ask.
const USERS: usize = 400;

/// The users, the same in every process.
pub(crate) fn users() -> Vec<String> {
    (0..USERS).map(|index| format!("user-{index:05}")).collect()
}

/// What a burst is sent to: a contender by one path, with all users' requests ready.
struct Lane {
    name: &'static str,
    path: &'static str,
    load: Load,
    requests: Vec<Vec<u8>>,
}

/// The bursts of one contender by one path, in one process: microseconds of processor time per request.
#[derive(Clone, Debug)]
pub(crate) struct Bursts {
    pub(crate) name: &'static str,
    pub(crate) is_direct: bool,
    /// All that Envoy used.
    pub(crate) whole: Vec<f64>,
    /// More than the baseline's burst just before.
    pub(crate) added: Vec<f64>,
}

/// What the contenders run on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tools<'a> {
    pub(crate) envoy: &'a Path,
    pub(crate) filter: &'a Path,
    pub(crate) coalmine: &'a Path,
    pub(crate) contenders: &'a Path,
}

/// Starts an Envoy with a listener for each contender, in a folder that must outlive it.
pub(crate) async fn launch(
    tools: Tools<'_>,
    contenders: &[Contender],
    upstreams: &[Upstream; 2],
    workers: u32,
) -> Result<(Envoy, TempDir)> {
    let addresses = [&upstreams[0], &upstreams[1]].map(Upstream::address);
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let config = bootstrap(contenders, addresses, tools.filter, tools.contenders).to_string();
    let launch =
        Launch { binary: tools.envoy.to_owned(), workers, log_level: LOG_LEVEL, variables: Vec::new() };
    Ok((Envoy::start(&launch, &config, folder.path()).await?, folder))
}

/// Starts an Envoy, checks every contender, and measures so many bursts of each.
pub(crate) async fn race(
    tools: Tools<'_>,
    contenders: &[Contender],
    users: &[String],
    bursts: usize,
) -> Result<Vec<Bursts>> {
    let upstreams = [Upstream::start("stable", 0).await?, Upstream::start("canary", 0).await?];
    let (envoy, _folder) = launch(tools, contenders, &upstreams, 1).await?;
    let listeners = envoy.listeners().await?;
    let mut lanes = Vec::new();
    for contender in contenders {
        let found = listeners.iter().find(|(name, _)| name == contender.name);
        let (_, address) = found.with_context(|| format!("no listener for {}", contender.name))?;
        for path in [DIRECT, PROXIED] {
            if path == DIRECT && !contender.is_direct() {
                continue;
            }
            let requests = users.iter().map(|user| contender.request(path, user)).collect();
            lanes.push(Lane { name: contender.name, path, load: Load::open(*address)?, requests });
        }
    }
    tokio::task::block_in_place(|| {
        for lane in &mut lanes {
            let contender = contenders.iter().find(|one| one.name == lane.name);
            check(tools, contender.context("a lane of nobody")?, users, lane)?;
        }
        measure(&envoy, &mut lanes, bursts)
    })
}

/// That it sends every user where it must.
fn check(tools: Tools<'_>, contender: &Contender, users: &[String], lane: &mut Lane) -> Result<()> {
    let bodies = lane.load.send(&lane.requests)?;
    let name = contender.name;
    match &contender.expected {
        Expected::All(variant) => {
            ensure!(bodies.iter().all(|body| body == variant), "{name}: not every user gets {variant}");
        }
        Expected::Share => {
            let canary = bodies.iter().filter(|body| *body == "canary").count();
            let share = 100 * canary / bodies.len().max(1);
            // Wider than luck makes it with this many users.
            let fair = usize::try_from(WEIGHT / 3)?..=usize::try_from(WEIGHT * 2)?;
            ensure!(fair.contains(&share), "{name}: {share} % of the users get the canary, not {WEIGHT} %");
        }
        Expected::Assigned(policy) => {
            let preview = Preview::of(tools.coalmine, &policy.to_string(), users)?;
            for (user, body) in users.iter().zip(&bodies) {
                let said = preview.variant(user);
                ensure!(said == body, "{name}: {user} gets {body}, and `coalmine assign` says {said}");
            }
        }
    }
    Ok(())
}

fn measure(envoy: &Envoy, lanes: &mut [Lane], bursts: usize) -> Result<Vec<Bursts>> {
    let mut all: Vec<Bursts> = lanes
        .iter()
        .map(|lane| Bursts {
            name: lane.name,
            is_direct: lane.path == DIRECT,
            whole: Vec::new(),
            added: Vec::new(),
        })
        .collect();
    let baselines: Vec<usize> = lanes
        .iter()
        .map(|lane| lanes.iter().position(|other| other.name == BASELINE && other.path == lane.path))
        .collect::<Option<_>>()
        .context("no baseline among the contenders")?;
    for _ in 0..bursts {
        for (at, (&baseline, into)) in baselines.iter().zip(&mut all).enumerate() {
            let before = burst(envoy, lanes.get_mut(baseline).context("no baseline")?)?;
            let own = burst(envoy, lanes.get_mut(at).context("no lane")?)?;
            into.whole.push(own);
            into.added.push(own - before);
        }
    }
    Ok(all)
}

/// Microseconds per request.
fn burst(envoy: &Envoy, lane: &mut Lane) -> Result<f64> {
    let before = envoy.process().cpu_time()?;
    let answers = lane.load.send(&lane.requests)?.len();
    Ok((envoy.process().cpu_time()? - before).as_secs_f64() * 1e6 / answers as f64)
}
