//! Both forms of the protocol, read and written: incremental, and state of the world.

use std::fmt::Debug;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use envoy_types::pb::google::protobuf::Any;

use super::RESOURCE;
use super::session::Said;

const WILDCARD: &str = "*";

/// A form of the protocol.
pub(super) trait Variant {
    /// What a proxy sends.
    type Request: Debug + Send + 'static;
    /// What it gets.
    type Response: Send + 'static;

    /// What a request says, and by whom, where it says that.
    fn read(request: Self::Request) -> (Said, Option<Node>);

    /// An answer with our resource in this version.
    fn write(resource: Any, version: String, nonce: String) -> Self::Response;
}

/// Incremental.
pub(super) enum Delta {}

/// State of the world.
pub(super) enum Whole {}

// === impl Delta ===

impl Variant for Delta {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;

    fn read(request: DeltaDiscoveryRequest) -> (Said, Option<Node>) {
        let names = |names: &[String]| names.iter().any(|name| name == RESOURCE || name == WILDCARD);
        let wants =
            match (names(&request.resource_names_subscribe), names(&request.resource_names_unsubscribe)) {
                (true, _) => Some(true),
                (false, true) => Some(false),
                (false, false) => None,
            };
        let said = Said {
            wants,
            has: request.initial_resource_versions.get(RESOURCE).cloned(),
            nonce: request.response_nonce,
            error: request.error_detail.map(|status| status.message),
        };
        (said, request.node)
    }

    fn write(resource: Any, version: String, nonce: String) -> DeltaDiscoveryResponse {
        DeltaDiscoveryResponse {
            system_version_info: version.clone(),
            type_url: resource.type_url.clone(),
            resources: vec![Resource {
                name: RESOURCE.to_owned(),
                version,
                resource: Some(resource),
                ..Resource::default()
            }],
            nonce,
            ..DeltaDiscoveryResponse::default()
        }
    }
}

// === impl Whole ===

impl Variant for Whole {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    fn read(request: DiscoveryRequest) -> (Said, Option<Node>) {
        // Each request lists everything that is wanted.
        let wants = request.resource_names.iter().any(|name| name == RESOURCE || name == WILDCARD);
        let said = Said {
            wants: Some(wants),
            has: Some(request.version_info).filter(|version| !version.is_empty()),
            nonce: request.response_nonce,
            error: request.error_detail.map(|status| status.message),
        };
        (said, request.node)
    }

    fn write(resource: Any, version: String, nonce: String) -> DiscoveryResponse {
        DiscoveryResponse {
            version_info: version,
            type_url: resource.type_url.clone(),
            resources: vec![resource],
            nonce,
            ..DiscoveryResponse::default()
        }
    }
}
