//! The two dialects of the protocol.

use envoy_types::pb::envoy::config::core::v3::Node as WireNode;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use envoy_types::pb::google::protobuf::Any;
use envoy_types::pb::google::rpc;

use super::gate::Node;
use super::resource::NAME;
use super::session::{Asked, Subscription};

/// How requests are read and responses written.
pub(super) trait Dialect: 'static {
    /// What a proxy sends.
    type Request: Send + 'static;
    /// What it gets.
    type Response: Send + 'static;

    /// Who it says it is; only the first request of a stream says so.
    fn node(request: &Self::Request) -> Node;
    /// What it asks for; `is_first` on a stream.
    fn read(request: Self::Request, is_first: bool) -> Asked;
    /// The one resource.
    fn write(revision: u64, nonce: String, resource: Any) -> Self::Response;
}

/// Only what changes is said.
pub(super) enum Delta {}

/// Every message says all of it.
pub(super) enum World {}

// === impl Delta ===

impl Dialect for Delta {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;

    fn node(request: &Self::Request) -> Node {
        node(request.node.as_ref())
    }

    fn read(mut request: Self::Request, is_first: bool) -> Asked {
        let names_it = |names: &[String]| names.iter().any(|name| name == NAME);
        // Both in one request: the protocol has the subscription win.
        let subscription = if names_it(&request.resource_names_subscribe) {
            Subscription::Asked
        } else if names_it(&request.resource_names_unsubscribe) {
            Subscription::Dropped
        } else {
            Subscription::Kept
        };
        let has = request.initial_resource_versions.remove(NAME).filter(|_| is_first);
        Asked { subscription, has, nonce: request.response_nonce, refuses: reason(request.error_detail) }
    }

    fn write(revision: u64, nonce: String, resource: Any) -> Self::Response {
        let version = revision.to_string();
        DeltaDiscoveryResponse {
            system_version_info: version.clone(),
            type_url: resource.type_url.clone(),
            resources: vec![Resource {
                name: NAME.to_owned(),
                version,
                resource: Some(resource),
                ..Resource::default()
            }],
            nonce,
            ..DeltaDiscoveryResponse::default()
        }
    }
}

// === impl World ===

impl Dialect for World {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    fn node(request: &Self::Request) -> Node {
        node(request.node.as_ref())
    }

    fn read(request: Self::Request, is_first: bool) -> Asked {
        let is_listed = request.resource_names.iter().any(|name| name == NAME);
        let subscription = if is_listed { Subscription::Listed } else { Subscription::Dropped };
        let has = is_first.then_some(request.version_info);
        Asked { subscription, has, nonce: request.response_nonce, refuses: reason(request.error_detail) }
    }

    fn write(revision: u64, nonce: String, resource: Any) -> Self::Response {
        DiscoveryResponse {
            version_info: revision.to_string(),
            type_url: resource.type_url.clone(),
            resources: vec![resource],
            nonce,
            ..DiscoveryResponse::default()
        }
    }
}

fn node(node: Option<&WireNode>) -> Node {
    node.map(|node| Node { id: node.id.clone(), cluster: node.cluster.clone() }).unwrap_or_default()
}

fn reason(status: Option<rpc::Status>) -> Option<String> {
    status.map(|status| status.message)
}
