//! Workloads whose replicas take time to get ready.

use crate::inputs::{Workload, Workloads};

/// The workloads of both versions.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Stable.
    pub stable: Workload,
    /// The canary.
    pub canary: Workload,
    /// Seconds that a replica takes to get ready.
    pub start_up: u64,
    /// Seconds since stable and the canary began to change.
    changing: [Option<u64>; 2],
}

// === impl Cluster ===

impl Cluster {
    /// Stable with so many replicas and the canary with so many, all ready.
    pub fn new(stable: u32, canary: u32) -> Self {
        let workload = |version: &str, replicas: u32| Workload {
            version: version.to_owned(),
            replicas,
            ready: replicas,
            updating: false,
            trouble: None,
        };
        Self {
            stable: workload("v1", stable),
            canary: workload("v2", canary),
            start_up: 60,
            changing: [None, None],
        }
    }

    /// What is known of them.
    pub fn workloads(&self) -> Workloads {
        Workloads { stable: self.stable.clone(), canary: self.canary.clone() }
    }

    /// Rolls stable to this version, replica by replica.
    pub fn renew_stable(&mut self, version: &str) {
        if self.stable.version != version {
            begin(&mut self.stable, version);
            self.changing[0] = Some(0);
        }
    }

    /// Rolls the canary to this version, replica by replica.
    pub fn renew_canary(&mut self, version: &str) {
        if self.canary.version != version {
            begin(&mut self.canary, version);
            self.changing[1] = Some(0);
        }
    }

    /// Gives the canary so many replicas.
    pub fn scale_canary(&mut self, replicas: u32) {
        self.canary.replicas = replicas;
        self.canary.ready = self.canary.ready.min(replicas);
        self.changing[1] = Some(0);
    }

    /// Takes the canary's ready replicas away; they come back in time.
    pub fn restart_canary(&mut self) {
        self.canary.ready = 0;
        self.changing[1] = Some(0);
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        for (workload, since) in [&mut self.stable, &mut self.canary].into_iter().zip(&mut self.changing) {
            let Some(passed) = since else { continue };
            *passed += seconds;
            if *passed >= self.start_up {
                workload.ready = workload.replicas;
                workload.updating = false;
                *since = None;
            }
        }
    }
}

/// A rolling update: replicas stay ready, and for a time not all of them are new.
fn begin(workload: &mut Workload, version: &str) {
    version.clone_into(&mut workload.version);
    workload.updating = true;
    workload.ready = workload.ready.min(workload.replicas);
}
