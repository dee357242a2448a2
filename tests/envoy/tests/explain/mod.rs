//! What `coalmine explain --request` previews is what a real Envoy does: for random requests under random policies, the
//! rollout, the variant and the reason are the access log's, the identity that is issued is the response's, and the
//! headers are those that the application gets.
//!
//! `COALMINE_REQUESTS` says how many requests, `COALMINE_SEED` which ones.

mod compare;
mod policies;
mod preview;
mod proxy;
mod requests;
mod words;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use coalmine_core::Reason;
use coalmine_harness::access_log::Entry;
use coalmine_harness::tools;

use self::compare::Case;
use self::policies::RandomPolicy;
use self::proxy::Proxy;
use self::requests::RandomRequest;
use coalmine_envoy_tests::random::Random;

const REQUESTS: u64 = 1_000;
const REQUESTS_PER_POLICY: u64 = 50;
const SEED: u64 = 49_313;
/// How many commands run at a time.
const COMMANDS: usize = 4;
/// How many disagreements are shown in full.
const SHOWN: usize = 5;

/// Sends all requests, each under its policy, and returns them with what the access log says. The policies are put into
/// the folder.
async fn send_all(requests: u64, seed: u64, folder: &Path) -> Result<Vec<(Case, Entry)>> {
    let now = SystemTime::now();
    let mut proxy = Proxy::start().await?;
    let mut cases = Vec::new();
    for turn in 0..requests.div_ceil(REQUESTS_PER_POLICY) {
        let policy = RandomPolicy::new(&mut Random::of(seed, [turn, 0]), 1 + turn, now)?;
        proxy.accept(&policy.document).await.with_context(|| policy.document.to_string())?;
        // The command reads a policy on its own, and in the file that Envoy reads.
        let file = if turn.is_multiple_of(2) {
            let file = folder.join(format!("policy-{turn}.json"));
            std::fs::write(&file, policy.document.to_string()).map(|()| file)
        } else {
            let file = folder.join(format!("coalmine-{turn}.yaml"));
            std::fs::copy(proxy.policy_file(), &file).map(|_| file)
        };
        let file = file.context("cannot keep the policy")?;
        let policy = Arc::new(policy);
        let first = turn * REQUESTS_PER_POLICY;
        for number in first..requests.min(first + REQUESTS_PER_POLICY) {
            let mut random = Random::of(seed, [turn, 1 + number]);
            let request = RandomRequest::new(&mut random, &policy, proxy.connections(), now)?;
            let outcome = proxy.send(&request).await;
            let outcome = outcome.with_context(|| format!("request {number} under {file:?}: {request:?}"))?;
            cases.push(Case { number, policy: Arc::clone(&policy), file: file.clone(), request, outcome });
        }
    }
    let mut logged: BTreeMap<String, Entry> = BTreeMap::new();
    for entry in proxy.logged(cases.len()).await? {
        logged.insert(entry.request_id.clone(), entry);
    }
    let with_entry = |case: Case| {
        let entry = logged.remove(&case.outcome.request_id).context("a request is not in the access log")?;
        Ok((case, entry))
    };
    cases.into_iter().map(with_entry).collect()
}

/// What proxy and command disagree about, a few commands at a time.
fn disagreements(cases: &[(Case, Entry)]) -> Result<Vec<String>> {
    let next = AtomicUsize::new(0);
    let lane = || {
        let mut found = Vec::new();
        while let Some((case, entry)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            found.extend(case.disagreement(entry)?.map(|told| (case.number, told)));
        }
        anyhow::Ok(found)
    };
    let mut all = thread::scope(|scope| {
        let lanes: Vec<_> = (0..COMMANDS).map(|_| scope.spawn(lane)).collect();
        let found = lanes.into_iter().map(|lane| lane.join().unwrap());
        found.collect::<Result<Vec<_>>>().map(|found| found.concat())
    })?;
    all.sort_unstable();
    Ok(all.into_iter().map(|(_, told)| told).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_previewed_is_what_the_proxy_does() {
    let requests = tools::number("COALMINE_REQUESTS", REQUESTS).unwrap();
    let seed = tools::number("COALMINE_SEED", SEED).unwrap();
    println!("COALMINE_SEED={seed} COALMINE_REQUESTS={requests}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("explain-{seed}"));
    std::fs::create_dir_all(&folder).unwrap();

    let cases = send_all(requests, seed, &folder).await.unwrap();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, entry) in &cases {
        *reasons.entry(entry.reason.as_deref().unwrap_or("none")).or_default() += 1;
    }
    let issued = cases.iter().filter(|(case, _)| !case.outcome.set_cookies.is_empty()).count();
    println!("{reasons:?}, {issued} issued a cookie");

    let found = tokio::task::block_in_place(|| disagreements(&cases)).unwrap();
    let shown = found[..found.len().min(SHOWN)].join("\n");
    let again = format!("COALMINE_SEED={seed} COALMINE_REQUESTS={requests}");
    assert!(found.is_empty(), "{} disagreements ({again}), the first of them:\n{shown}", found.len());
    std::fs::remove_dir_all(folder).unwrap();
    let possible = Reason::ALL.into_iter().filter(|reason| *reason != Reason::NoKey);
    let missed: Vec<Reason> = possible.filter(|reason| !reasons.contains_key(reason.as_str())).collect();
    assert!(requests < REQUESTS || missed.is_empty() && issued > 0, "no request was {missed:?}");
}
