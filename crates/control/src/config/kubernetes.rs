//! The cluster whose workloads are followed.

use std::path::PathBuf;

use coalmine_document::{Cursor, Known};

use super::{NAME, read_filled};

const KUBERNETES: Known = Known::new(&["kubeconfig", "namespace", "rootNamespace", "tokens"]);
const TOKENS: Known = Known::new(&["audience"]);

/// How a cluster is reached, and what of it counts here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kubernetes {
    /// The file that says how; none for the cluster that the server itself runs in.
    pub kubeconfig: Option<PathBuf>,
    /// The only namespace that is followed; all where none is given.
    pub namespace: Option<String>,
    /// Istio's root namespace, where it is not the usual one.
    pub root_namespace: Option<String>,
    /// Whether tokens of the cluster are taken.
    pub tokens: Option<ClusterTokens>,
}

/// Which tokens of a cluster are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterTokens {
    /// Whom they have to be made for; the cluster's own API where none is given.
    pub audience: Option<String>,
}

pub(super) fn read(cursor: &Cursor<'_, '_>) -> Kubernetes {
    let expected = "the cluster whose workloads are followed, as {namespace: shop} or {}";
    let fields = cursor.fields_as(&KUBERNETES, expected);
    let name = |name: &'static str| fields.get(name).and_then(|field| field.text(&NAME).map(str::to_owned));
    let tokens = fields.get("tokens").map(|field| {
        let fields =
            field.fields_as(&TOKENS, "which tokens of the cluster are taken, as {audience: coalmine}");
        ClusterTokens { audience: fields.get("audience").and_then(|field| read_filled(&field)) }
    });
    Kubernetes {
        kubeconfig: fields.get("kubeconfig").and_then(|field| read_filled(&field)).map(PathBuf::from),
        namespace: name("namespace"),
        root_namespace: name("rootNamespace"),
        tokens,
    }
}
