//! What the operator says once for all rollouts of a server.

use coalmine_document::Node;

/// The parts of a policy that no rollout may say: they concern all requests of a proxy, or name secrets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operator {
    /// The `route` of every rollout that Coalmine steers; none for the usual header.
    pub route: Option<Node>,
    /// The `route` of every rollout that another controller moves, a `bucketHeader`; without it such rollouts are refused.
    pub bucket_route: Option<Node>,
    /// The `override` of every rollout; none where no tokens are taken.
    pub override_: Option<Node>,
    /// Times in milliseconds beyond which a response is slow, ascending, at most four: those that guards may name.
    pub slow: Vec<u64>,
    /// Whether each assignment goes to the access log.
    pub access_log: bool,
}
