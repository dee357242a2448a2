//! What is exchanged while a server runs.

use std::net::SocketAddr;
use std::sync::Arc;

use super::now;
use crate::access::Tokens;
use crate::config::Config;
use crate::listen;
use crate::rollout::Operator;
use crate::server::Server;

/// Where a server listens, from its start to its end.
#[derive(Clone, Debug)]
pub(super) struct Listening {
    /// The API's, and that of health and metrics.
    addresses: [SocketAddr; 2],
    has_tls: bool,
    insecure: bool,
}

/// What can be exchanged while a server runs: its tokens, and what the operator says for all rollouts.
#[derive(Clone, Debug)]
pub struct Handle {
    server: Arc<Server>,
    tokens: Tokens,
    /// Whether the cluster's tokens are taken as well.
    has_reviewer: bool,
    listening: Listening,
}

// === impl Listening ===

impl Listening {
    pub(super) fn of(config: &Config) -> Self {
        let addresses = [config.listen, config.admin];
        Self { addresses, has_tls: config.tls.is_some(), insecure: config.insecure }
    }

    /// Why it would be unsafe to listen there: a sentence.
    pub(super) fn refuses(&self, has_tokens: bool) -> Option<String> {
        let [public, admin] = self.addresses;
        // Health and metrics have no TLS of their own.
        [(public, self.has_tls), (admin, false)]
            .into_iter()
            .find_map(|(address, has_tls)| listen::refuses(address, has_tokens, has_tls, self.insecure))
    }
}

// === impl Handle ===

impl Handle {
    pub(super) fn new(server: Arc<Server>, tokens: Tokens, has_reviewer: bool, listening: Listening) -> Self {
        Self { server, tokens, has_reviewer, listening }
    }

    /// Takes a configuration that was loaded anew, or says why the one before stays in force.
    pub(super) fn reload(&self, loaded: Result<Config, String>) {
        match loaded.and_then(|config| self.exchange(config)) {
            Ok(()) => {
                tracing::info!("the configuration was read again: its tokens and its policy are in force")
            }
            Err(why) => tracing::error!("the configuration before stays in force: {why}"),
        }
    }

    fn exchange(&self, config: Config) -> Result<(), String> {
        // It still listens where it did, so without tokens everybody who gets there would be let in.
        let has_tokens = !config.tokens.is_empty() || !config.oidc.is_empty() || self.has_reviewer;
        if let Some(why) = self.listening.refuses(has_tokens) {
            return Err(why);
        }
        self.tokens.set(config.tokens, &config.oidc)?;
        self.server.set_operator(self.operator(config.operator));
        let tokens = self.tokens.clone();
        tokio::spawn(async move { tokens.fetch_keys(now()).await });
        Ok(())
    }

    /// What the operator says now, but for what was made at the start: who is asked and told, what proxies get, and where and how
    /// evidence is read.
    fn operator(&self, said: Operator) -> Operator {
        let Operator { filters, served, slow, gates, notifiers, queries, has_services, .. } =
            Operator::clone(&self.server.operator());
        let others = [
            ("gates", said.gates != gates),
            ("notifiers", said.notifiers != notifiers),
            ("queries", said.queries != queries),
            ("policy.slow", said.slow != slow && !served.is_empty()),
        ];
        for (field, _) in others.into_iter().filter(|(_, is_another)| *is_another) {
            tracing::warn!("{field} stays as it was: another one needs a restart");
        }
        // What is served is counted by these times from the start on.
        let slow = if served.is_empty() { said.slow } else { slow };
        Operator { filters, served, slow, gates, notifiers, queries, has_services, ..said }
    }
}
