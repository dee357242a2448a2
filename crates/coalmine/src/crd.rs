//! `coalmine crd`: the definition of a rollout as an object of a Kubernetes cluster.

use clap::Args;
use coalmine_control::kubernetes::definition_text;

use crate::failure::Failure;
use crate::output;

const AFTER: &str = "\
Examples:
  coalmine crd | kubectl apply --server-side -f -";

/// Print the definition of CanaryRollout, for a Kubernetes cluster
#[derive(Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Crd {}

// === impl Crd ===

impl Crd {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        output::print_plain(&definition_text())
    }
}
