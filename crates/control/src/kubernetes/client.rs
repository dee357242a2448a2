//! How the Kubernetes API is reached.

use std::path::Path;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// A client of the cluster that this file says, or of the one that the server runs in.
///
/// # Errors
/// There is no such file, or the server runs in no cluster: a sentence without secrets.
pub async fn client(kubeconfig: Option<&Path>) -> Result<Client, String> {
    let config = match kubeconfig {
        Some(path) => {
            let why = |error: &dyn std::fmt::Display| format!("kubeconfig {}: {error}", path.display());
            let file = Kubeconfig::read_from(path).map_err(|error| why(&error))?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(file, &options).await.map_err(|error| why(&error))?
        }
        None => Config::incluster().map_err(|error| {
            format!("the server runs in no cluster, so say \"kubeconfig\" in \"kubernetes\": {error}")
        })?,
    };
    Client::try_from(config).map_err(|error| super::sentence(&error))
}
