//! What a worker of Envoy holds in memory, with the filter and without.

use anyhow::{Context as _, Result};
use coalmine_harness::Upstream;

use crate::bootstrap::DIRECT;
use crate::contender::{BASELINE, Contender};
use crate::load::Load;
use crate::race::{Tools, launch};
use crate::section::{Measured, Subject};

/// One worker and many: what one more adds is the difference, by so many. Processes with the same workers differ by some
/// MiB, by what V8 has compiled by then, so few more workers would show nothing else.
const WORKERS: [u32; 2] = [1, 17];
/// Those of the contenders whose memory is measured, the baseline first.
const MEASURED: [&str; 5] =
    [BASELINE, "SDK, empty", "Coalmine", "Coalmine, 1,000 rollouts", "Coalmine, everything"];
/// Bundles of connections for each worker, so that all process about as many requests. The kernel spreads connections by
/// a hash: with so many, every worker gets some.
const BUNDLES: u32 = 2;

pub(crate) const MEMORY: Subject = Subject {
    key: "memory",
    title: "Memory that only Envoy has (Anonymous in smaps_rollup) in MiB, after requests to every worker",
    unit: "MiB",
    columns: &[
        ("with 1 worker", "oneWorker"),
        ("added by the filter", "oneWorkerAdded"),
        ("each further worker", "furtherWorker"),
        ("added by the filter", "furtherWorkerAdded"),
    ],
};

/// Measures each, on processes of its own.
pub(crate) async fn memory(
    tools: Tools<'_>,
    contenders: &[Contender],
    users: &[String],
) -> Result<Vec<Measured>> {
    let mut rows: Vec<Measured> = Vec::new();
    let mut baseline = None;
    for name in MEASURED {
        let contender = contenders.iter().find(|one| one.name == name).context("no such contender")?;
        let [one, many] = WORKERS.map(|workers| held(tools, contender, workers, users));
        let (one, many) = (one.await?, many.await?);
        let further = (many - one) / f64::from(WORKERS[1] - WORKERS[0]);
        let (base_one, base_further) = *baseline.get_or_insert((one, further));
        let values = [one, one - base_one, further, further - base_further];
        rows.push(Measured { row: name.to_owned(), values: values.map(|value| vec![value]).to_vec() });
    }
    Ok(rows)
}

/// MiB of a process with this contender alone.
async fn held(tools: Tools<'_>, contender: &Contender, workers: u32, users: &[String]) -> Result<f64> {
    let upstreams = [Upstream::start("stable", 0).await?, Upstream::start("canary", 0).await?];
    let (envoy, _folder) = launch(tools, std::slice::from_ref(contender), &upstreams, workers).await?;
    let requests: Vec<Vec<u8>> = users.iter().map(|user| contender.request(DIRECT, user)).collect();
    tokio::task::block_in_place(|| {
        let mut bundles =
            (0..workers * BUNDLES).map(|_| Load::open(envoy.address())).collect::<Result<Vec<_>>>()?;
        for bundle in &mut bundles {
            bundle.send(&requests)?;
        }
        Ok(envoy.process().anonymous_memory()? as f64 / f64::from(1 << 20))
    })
}
