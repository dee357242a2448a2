//! What a server knows of the workloads of its rollouts, and what it does to them.
//!
//! A server without a cluster, as beside plain Envoys, knows nothing of versions and replicas.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use coalmine_steer::inputs::{GONE_AFTER, Holder, Workloads};
use coalmine_steer::{Action, Condition, Kind};

use crate::evidence::{ProxyReading, Reading};
use crate::rollout::{Name, Operator, Spec, WorkloadNames};

/// How long a change of a workload may take.
const WITHIN: Duration = Duration::from_secs(30);

/// Where the workloads of rollouts are.
#[async_trait]
pub trait Cluster: Send + Sync + fmt::Debug {
    /// What is known of a rollout now. It is asked at every tick, so it asks nobody.
    fn observe(&self, name: &Name, spec: &Spec, operator: &Operator) -> Observed;

    /// The proxies that are there, and which of them are to run the policy of a fleet; none where that is not known.
    fn sidecars(&self, fleet: &str) -> Option<Sidecars>;

    /// Gives stable's Deployment the canary's pod template, if the canary's has this version. It may be repeated.
    ///
    /// # Errors
    /// A sentence. Nothing has changed then.
    async fn copy_to_stable(
        &self,
        namespace: &str,
        names: &WorkloadNames,
        version: &str,
    ) -> Result<(), String>;

    /// Scales the canary's Deployment to 0. It may be repeated.
    ///
    /// # Errors
    /// A sentence. Nothing has changed then.
    async fn scale_down_canary(&self, namespace: &str, names: &WorkloadNames) -> Result<(), String>;
}

/// What is known of the workloads of a rollout at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Versions and replicas, where they are known.
    pub workloads: Option<Workloads>,
    /// What is missing for a release, each as a sentence.
    pub obstacles: Vec<String>,
    /// Canary's weight in parts per million that another controller holds, where one is named and says it.
    pub held: Option<u32>,
    /// What that controller says of its release beside, where it is read.
    pub holder: Option<Holder>,
}

/// The proxies of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sidecars {
    /// The only namespace whose proxies are known; all where none is given.
    pub namespace: Option<String>,
    /// The proxies that are there.
    pub pods: Vec<Sidecar>,
}

/// A proxy that is there, whether or not anybody has read its metrics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sidecar {
    /// Its Pod, as `NAME.NAMESPACE`.
    pub pod: String,
    /// The address of its Pod.
    pub address: String,
    /// Whether it is to run the policy of the fleet.
    pub is_expected: bool,
}

/// Carries out what steering does to workloads, beside the ticks: no tick waits for it. What fails is tried again at the next
/// tick, because steering says it until it is done.
#[derive(Clone, Default)]
pub(crate) struct Hands {
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// What goes on, so that nothing is done twice at a time.
    doing: BTreeSet<Name>,
    /// Why it was not done, the last time.
    failed: BTreeMap<Name, String>,
}

/// Where a proxy is, as its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place<'a> {
    /// Its Pod.
    Pod(&'a str),
    /// The address of its Pod.
    Address(&'a str),
}

// === impl Place ===

impl<'a> Place<'a> {
    /// Of Envoy's `node.id` in a mesh, `sidecar~ADDRESS~POD.NAMESPACE~DOMAIN`, or of an address with a port.
    fn of(proxy: &'a str) -> Self {
        let address = || proxy.rsplit_once(':').map_or(proxy, |(address, _)| address);
        pod_of(proxy).map_or_else(|| Self::Address(address()), Self::Pod)
    }
}

/// The Pod of a proxy of a mesh.
fn pod_of(proxy: &str) -> Option<&str> {
    let parts: Vec<&str> = proxy.split('~').collect();
    match parts.as_slice() {
        [_, _, pod, _] => Some(pod),
        _ => None,
    }
}

/// Completes a reading by what the cluster knows: a proxy that is there and cannot be read is shown, without a revision, and
/// one whose Pod is gone is not.
pub(crate) fn complete(reading: &mut Reading, Sidecars { namespace, pods: sidecars }: &Sidecars, now: u64) {
    if reading.away.is_some() {
        return;
    }
    let is_known = |pod: &str| match namespace {
        Some(namespace) => pod.rsplit_once('.').is_some_and(|(_, of)| of == namespace),
        None => true,
    };
    let pods: HashSet<&str> = sidecars.iter().map(|sidecar| sidecar.pod.as_str()).collect();
    reading
        .proxies
        .retain(|proxy| pod_of(&proxy.name).is_none_or(|pod| !is_known(pod) || pods.contains(pod)));
    let mut places = HashMap::new();
    for (place, proxy) in reading.proxies.iter().enumerate() {
        places.entry(Place::of(&proxy.name)).or_insert(place);
    }
    let expected = sidecars.iter().filter(|sidecar| sidecar.is_expected);
    let expected = expected.map(|sidecar| {
        let by = [Place::Pod(&sidecar.pod), Place::Address(&sidecar.address)];
        (sidecar, by.iter().filter_map(|by| places.get(by).copied()).min())
    });
    for (sidecar, place) in expected.collect::<Vec<_>>() {
        match place.and_then(|place| reading.proxies.get_mut(place)) {
            Some(proxy) if now.saturating_sub(proxy.seen) > GONE_AFTER => {
                proxy.revision = None;
                proxy.seen = now;
            }
            Some(_) => {}
            None => reading.proxies.push(ProxyReading {
                name: sidecar.pod.clone(),
                seen: now,
                ..ProxyReading::default()
            }),
        }
    }
}

// === impl Hands ===

impl Hands {
    /// Does this, unless it goes on already.
    pub(crate) fn carry_out(
        &self,
        cluster: &Arc<dyn Cluster>,
        name: &Name,
        names: &WorkloadNames,
        action: &Action,
    ) {
        if !self.known().doing.insert(name.clone()) {
            return;
        }
        let (hands, cluster) = (self.clone(), cluster.clone());
        let (name, names, action) = (name.clone(), names.clone(), action.clone());
        tokio::spawn(async move {
            let namespace = name.namespace();
            let (what, done) = match &action {
                Action::CopyToStable { version } => {
                    let copied =
                        tokio::time::timeout(WITHIN, cluster.copy_to_stable(namespace, &names, version));
                    ("stable does not get the canary's pod template", copied.await)
                }
                Action::ScaleDownCanary => {
                    let scaled = tokio::time::timeout(WITHIN, cluster.scale_down_canary(namespace, &names));
                    ("the canary is not scaled down", scaled.await)
                }
                _ => ("", Ok(Ok(()))),
            };
            let done = done.unwrap_or_else(|_| Err("the Kubernetes API does not answer in time".to_owned()));
            let mut known = hands.known();
            match done {
                Ok(()) => drop(known.failed.remove(&name)),
                Err(why) => {
                    let why = format!("{what}, which is tried again: {why}");
                    if known.failed.get(&name) != Some(&why) {
                        tracing::error!(rollout = %name, "{why}");
                    }
                    known.failed.insert(name.clone(), why);
                }
            }
            known.doing.remove(&name);
        });
    }

    /// Why the last thing that was to be done to a rollout's workloads was not, where that is so.
    pub(crate) fn trouble(&self, name: &Name) -> Option<Condition> {
        let message = self.known().failed.get(name)?.clone();
        Some(Condition { kind: Kind::Workload, holds: false, message })
    }

    /// Forgets what was to be done to a rollout's workloads: nothing is.
    pub(crate) fn rest(&self, name: &Name) {
        self.known().failed.remove(name);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Hands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hands").field("doing", &self.known().doing).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sidecar(pod: &str, address: &str) -> Sidecar {
        Sidecar { pod: pod.to_owned(), address: address.to_owned(), is_expected: true }
    }

    fn read(name: &str, seen: u64) -> ProxyReading {
        ProxyReading { name: name.to_owned(), revision: Some(7), seen, ..ProxyReading::default() }
    }

    #[test]
    fn thousands_of_proxies_are_no_work() {
        let all = 0..4_000;
        let pods = all.clone().map(|it| sidecar(&format!("web-{it}.shop"), &format!("10.0.{it}"))).collect();
        let node = |it| format!("sidecar~10.0.{it}~web-{it}.shop~shop.svc.cluster.local");
        let proxies: Vec<_> = all.map(|it| read(&node(it), 990)).collect();
        let mut reading = Reading { proxies: proxies.clone(), ..Reading::default() };
        let begin = std::time::Instant::now();
        complete(&mut reading, &Sidecars { namespace: None, pods }, 1_000);
        // Each compared with all others, it takes many times as long.
        assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
        assert_eq!(reading.proxies, proxies);
    }

    #[test]
    fn proxies_are_those_whose_pods_are_there() {
        let node = |pod: &str| format!("sidecar~10.0.0.1~{pod}~shop.svc.cluster.local");
        let mut reading = Reading {
            proxies: vec![
                read(&node("web-1.shop"), 990),
                read(&node("web-2.shop"), 990),
                read(&node("gone-1.shop"), 990),
                read("10.0.0.3:15020", 500),
                read(&node("other-1.shop"), 990),
                read("edge", 500),
            ],
            ..Reading::default()
        };
        let pods = vec![
            sidecar("web-1.shop", "10.0.0.1"),
            sidecar("web-2.shop", "10.0.0.2"),
            sidecar("web-3.shop", "10.0.0.3"),
            sidecar("web-4.shop", "10.0.0.4"),
            Sidecar { is_expected: false, ..sidecar("other-1.shop", "10.0.0.5") },
        ];
        let sidecars = Sidecars { namespace: None, pods };
        complete(&mut reading, &sidecars, 1_000);
        let seen: Vec<(&str, Option<u64>, u64)> =
            reading.proxies.iter().map(|proxy| (proxy.name.as_str(), proxy.revision, proxy.seen)).collect();
        let [one, two, other] = ["web-1.shop", "web-2.shop", "other-1.shop"].map(node);
        assert_eq!(
            seen,
            [
                (one.as_str(), Some(7), 990),
                (two.as_str(), Some(7), 990),
                ("10.0.0.3:15020", None, 1_000),
                (other.as_str(), Some(7), 990),
                ("edge", Some(7), 500),
                ("web-4.shop", None, 1_000),
            ]
        );
        let one_namespace = Sidecars { namespace: Some("bank".to_owned()), pods: Vec::new() };
        let gone = vec![read(&node("gone-1.shop"), 990)];
        let mut elsewhere = Reading { proxies: gone, ..Reading::default() };
        complete(&mut elsewhere, &one_namespace, 1_000);
        assert_eq!(elsewhere.proxies.len(), 1, "nothing is known of that namespace");
        let away = Reading { away: Some("nobody answers".to_owned()), ..Reading::default() };
        let mut completed = away.clone();
        complete(&mut completed, &sidecars, 1_000);
        assert_eq!(completed, away, "nothing is known of them");
    }
}
