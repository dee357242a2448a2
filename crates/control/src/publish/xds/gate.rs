//! Who may come in, and into which fleet.

use std::fmt;
use std::net::SocketAddr;

use async_trait::async_trait;
use tonic::metadata::MetadataMap;

/// Who is at the other end of a connection. Whoever accepts connections puts it into the extensions of each request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: Option<SocketAddr>,
    /// The URIs among the subject alternative names of its certificate, once that is verified; none without one.
    pub names: Vec<String>,
}

/// What is known of a caller before it has said anything.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// What it sent along: `authorization` among it.
    pub metadata: &'a MetadataMap,
    /// The other end of the connection.
    pub peer: &'a Peer,
}

/// What a proxy says of itself. It is free to lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// `node.id`.
    pub id: String,
    /// `node.cluster`.
    pub cluster: String,
}

/// Why somebody may not come in. The sentence is sent to the caller: it never holds what the caller brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It did not say who it is, or that does not hold.
    Unknown(String),
    /// It is known, and may not do this.
    Forbidden(String),
}

/// Decides who may read the policy of a fleet.
#[async_trait]
pub trait Gate: Send + Sync + 'static {
    /// Whether the caller may open a stream at all: asked before it has said which proxy it is.
    async fn enter(&self, caller: Caller<'_>) -> Result<(), Denied>;

    /// The fleet of the proxy; none where it is of none.
    async fn fleet(&self, caller: Caller<'_>, node: &Node) -> Result<Option<String>, Denied>;
}

/// Everybody may come in, and `node.cluster` is the name of the fleet: for loopback.
#[derive(Clone, Copy, Debug)]
pub struct ByCluster;

// === impl Caller ===

impl fmt::Debug for Caller<'_> {
    // The metadata holds tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("peer", self.peer).finish_non_exhaustive()
    }
}

// === impl Denied ===

impl From<Denied> for tonic::Status {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unknown(why) => Self::unauthenticated(why),
            Denied::Forbidden(why) => Self::permission_denied(why),
        }
    }
}

// === impl ByCluster ===

#[async_trait]
impl Gate for ByCluster {
    async fn enter(&self, _: Caller<'_>) -> Result<(), Denied> {
        Ok(())
    }

    async fn fleet(&self, _: Caller<'_>, node: &Node) -> Result<Option<String>, Denied> {
        Ok(Some(node.cluster.clone()))
    }
}
