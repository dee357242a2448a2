//! The cluster of a command that goes there by a kubeconfig.

use std::path::PathBuf;

use clap::Args;
use coalmine_control::kubernetes::{Kubectl, Reached};

use super::variable;
use crate::failure::Failure;

/// Where a server in a cluster is unless told otherwise.
const NAMESPACE: &str = "coalmine-system";

/// The cluster, and where the server is in it.
#[derive(Args, Clone, Debug, Default)]
#[group(id = "cluster", multiple = true)]
pub(crate) struct ClusterArguments {
    /// A cluster, as this kubeconfig says, or kubectl's own without PATH; also the variable COALMINE_KUBECONFIG
    #[arg(long, value_name = "PATH", help_heading = "Server")]
    kubeconfig: Option<Option<PathBuf>>,
    /// A context of the kubeconfig, rather than the current one; also COALMINE_CONTEXT
    #[arg(long, value_name = "NAME", help_heading = "Server")]
    context: Option<String>,
    /// The server's namespace in the cluster, rather than coalmine-system; also COALMINE_SERVER_NAMESPACE
    #[arg(long, value_name = "NAME", help_heading = "Server")]
    server_namespace: Option<String>,
}

// === impl ClusterArguments ===

impl ClusterArguments {
    /// Whether an argument says that a cluster is meant.
    pub(crate) fn is_given(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some() || self.server_namespace.is_some()
    }

    pub(crate) fn server_namespace(&self) -> String {
        let given = self.server_namespace.clone().or_else(|| variable("COALMINE_SERVER_NAMESPACE"));
        given.unwrap_or_else(|| NAMESPACE.to_owned())
    }

    /// The way to the API of the cluster.
    pub(crate) async fn reach(&self) -> Result<Reached, Failure> {
        let kubeconfig = self.kubeconfig.clone().flatten();
        let kubectl = Kubectl {
            kubeconfig: kubeconfig.or_else(|| variable("COALMINE_KUBECONFIG").map(PathBuf::from)),
            context: self.context.clone().or_else(|| variable("COALMINE_CONTEXT")),
        };
        kubectl.reach().await.map_err(|why| {
            Failure::usage(
                why.to_string(),
                "--kubeconfig takes a file, and --context a name in it, as kubectl does",
            )
        })
    }
}
