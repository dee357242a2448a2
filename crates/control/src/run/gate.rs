//! Which proxies may read which policy.

use async_trait::async_trait;

use crate::access::{May, Tokens};
use crate::api;
use crate::fleets::{Fleets, Members};
use crate::publish::xds::{Caller, Denied, Gate, Node};

/// A proxy that may read the policy of its fleet has a token that may read every rollout in it; or a certificate with a
/// SPIFFE id of the fleet, where the fleet names some.
pub(super) struct ByProof {
    pub(super) tokens: Tokens,
    pub(super) fleets: Fleets,
    /// Seconds since 1970.
    pub(super) clock: fn() -> u64,
}

// === impl ByProof ===

impl ByProof {
    async fn known(&self, caller: Caller<'_>) -> Result<crate::access::Caller, Denied> {
        let token = api::token(caller.metadata.as_ref());
        let known = self.tokens.caller(token.as_deref(), (self.clock)()).await;
        known.map_err(|denial| Denied::Unknown(denial.to_string()))
    }

    async fn may_read(&self, caller: &crate::access::Caller, fleet: &str) -> Result<bool, Denied> {
        let Some(members) = self.fleets.members(fleet) else { return Ok(false) };
        let may = caller.may(May::Read, &members.rollouts).await;
        may.map_err(|denial| Denied::Unknown(denial.to_string()))
    }
}

fn forbidden() -> Denied {
    Denied::Forbidden("the token may not read every rollout of the fleet, which this needs".to_owned())
}

#[async_trait]
impl Gate for ByProof {
    async fn enter(&self, caller: Caller<'_>) -> Result<(), Denied> {
        if self.fleets.know(&caller.peer.names) {
            return Ok(());
        }
        let known = self.known(caller).await?;
        for fleet in self.fleets.names() {
            if self.may_read(&known, fleet).await? {
                return Ok(());
            }
        }
        Err(forbidden())
    }

    async fn fleet(&self, caller: Caller<'_>, node: &Node) -> Result<Option<String>, Denied> {
        let found = self.fleets.of_proxy(&node.cluster, &caller.peer.names);
        if let Some(fleet) = found.filter(|fleet| self.fleets.members(fleet).is_some_and(Members::is_proved))
        {
            return Ok(Some(fleet.to_owned()));
        }
        let known = self.known(caller).await?;
        let Some(fleet) = found else { return Ok(None) };
        if self.may_read(&known, fleet).await? { Ok(Some(fleet.to_owned())) } else { Err(forbidden()) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tonic::metadata::MetadataMap;

    use super::*;
    use crate::access::tests::issuer::{Issuer, Signer, claims_of};
    use crate::access::tests::{NOW, rule};
    use crate::access::{KeySource, Token};
    use crate::publish::xds::Peer;

    fn gate() -> ByProof {
        let members = |clusters: &str, rollouts: &str| Members {
            clusters: vec![clusters.parse().unwrap()],
            spiffe: Vec::new(),
            rollouts: vec![rollouts.parse().unwrap()],
        };
        let token = |name: &str, rollouts: &str| {
            Token::new(name, &format!("{name}-secret"), May::Read, vec![rollouts.parse().unwrap()])
        };
        ByProof {
            tokens: Tokens::new(vec![
                token("shop", "shop/*"),
                token("one", "shop/checkout"),
                token("all", "*"),
            ]),
            fleets: Fleets::new(BTreeMap::from([
                ("shop".to_owned(), members("shop-*", "shop/*")),
                ("bank".to_owned(), members("bank", "bank/*")),
            ])),
            clock: || 0,
        }
    }

    async fn fleet(token: &str, cluster: &str) -> Result<Option<String>, Denied> {
        let mut metadata = MetadataMap::new();
        if !token.is_empty() {
            metadata.insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let peer = Peer::default();
        let (gate, caller) = (gate(), Caller { metadata: &metadata, peer: &peer });
        gate.enter(caller).await?;
        gate.fleet(caller, &Node { id: "edge-1".to_owned(), cluster: cluster.to_owned() }).await
    }

    #[tokio::test]
    async fn a_proxy_gets_the_policy_of_its_fleet_with_a_token_for_all_of_that() {
        assert_eq!(fleet("shop-secret", "shop-eu").await, Ok(Some("shop".to_owned())));
        assert_eq!(fleet("all-secret", "bank").await, Ok(Some("bank".to_owned())));
        assert_eq!(fleet("all-secret", "other").await, Ok(None));
        assert_eq!(fleet("shop-secret", "bank").await, Err(forbidden()), "of another fleet");
        assert_eq!(fleet("one-secret", "shop-eu").await, Err(forbidden()), "of a part of it");
        assert!(matches!(fleet("", "shop-eu").await, Err(Denied::Unknown(_))));
        assert!(matches!(fleet("guessed-secret", "shop-eu").await, Err(Denied::Unknown(_))));
    }

    #[tokio::test]
    async fn a_fleet_with_spiffe_ids_takes_a_certificate_and_no_token() {
        let mut edge =
            Members { spiffe: vec!["spiffe://a/ns/edge/*".parse().unwrap()], ..Members::default() };
        edge.rollouts = vec!["shop/*".parse().unwrap()];
        let fleets = Fleets::new(BTreeMap::from([("edge".to_owned(), edge)]));
        let gate = ByProof { fleets, ..gate() };
        let node = Node { id: "edge-1".to_owned(), cluster: "edge".to_owned() };
        let fleet = async |token: &str, name: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("authorization", format!("Bearer {token}").parse().unwrap());
            let peer = Peer { names: vec![name.to_owned()], ..Peer::default() };
            let caller = Caller { metadata: &metadata, peer: &peer };
            gate.enter(caller).await?;
            gate.fleet(caller, &node).await
        };
        assert_eq!(fleet("", "spiffe://a/ns/edge/sa/x").await, Ok(Some("edge".to_owned())));
        assert_eq!(
            fleet("all-secret", "spiffe://a/ns/other/sa/x").await,
            Ok(None),
            "no token is a certificate"
        );
        assert!(matches!(fleet("", "spiffe://a/ns/other/sa/x").await, Err(Denied::Unknown(_))));
    }

    #[tokio::test]
    async fn a_proxy_may_have_a_token_that_an_issuer_has_made() {
        let signer = Signer::ed25519("a");
        let issuer = Issuer::of(&[&signer]).await;
        let gate = ByProof { clock: || NOW, ..gate() };
        crate::tls::choose_provider();
        gate.tokens.set(Vec::new(), &[rule(&issuer.url, KeySource::Discovered)]).unwrap();
        let enter = async |token: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("authorization", format!("Bearer {token}").parse().unwrap());
            gate.enter(Caller { metadata: &metadata, peer: &Peer::default() }).await
        };
        let mut claims = claims_of(&issuer.url);
        assert_eq!(enter(&signer.token(&claims)).await, Ok(()));
        claims["exp"] = (NOW - 40).into();
        let why = "this token is refused: it expired 40 s ago".to_owned();
        assert_eq!(enter(&signer.token(&claims)).await, Err(Denied::Unknown(why)));
    }
}
