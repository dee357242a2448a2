//! Where evidence is read, as the configuration says it.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, Config, Evidence, StoreAddress};
use crate::evidence::{Admins, Prometheus, Proxies, Source, Streams};
use crate::publish::xds::ProxyTable;
use crate::store::Address;

/// The part of a tick that a proxy may take for its metrics.
const READ_WITHIN: u32 = 2;

/// How long one reading may take.
pub(super) fn within(tick: u64) -> Duration {
    Duration::from_secs(tick) / READ_WITHIN
}

/// Where evidence of the fleet of this name is read. `table` has the streams of all fleets.
///
/// # Errors
/// No client can be made: a sentence.
pub(super) fn source(
    name: &str,
    fleet: &config::Fleet,
    table: &Arc<ProxyTable>,
    tick: u64,
) -> Result<Box<dyn Source>, String> {
    let (within, served) = (within(tick), fleet.served.clone());
    let admins = match &fleet.evidence {
        Evidence::Prometheus(address) => return Ok(Box::new(Prometheus::new(address, within, served)?)),
        Evidence::Proxies(addresses) => Admins::Listed(addresses.clone()),
        Evidence::Streams(port) => {
            Admins::Streams(Streams { fleet: name.to_owned(), port: *port, table: table.clone() })
        }
    };
    Ok(Box::new(Proxies::new(admins, within, served)?))
}

/// Says what a server on a store that others may share does not read.
pub(super) fn warn_of_others(config: &Config) {
    if matches!(config.store, StoreAddress::Sql(Address::File(_))) {
        return;
    }
    for (fleet, it) in &config.fleets {
        if matches!(it.evidence, Evidence::Streams(_)) {
            tracing::warn!(
                fleet,
                "evidence is read of the proxies that follow this server; of those that follow another one on the same \
                 store it is not: let there be one server, or write a list, a name or a Prometheus into \"evidence\""
            );
        }
    }
}
