//! How many files the process may have open: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are no connections of clients: the store, the log, connections to proxies, gates and notifiers.
const OTHERS: u64 = 200;

/// Takes as many as the system allows, and says where that is not enough for so many connections. What a process is given
/// unasked, mostly 1,024, is for programs that cannot have more.
pub(crate) fn take(connections: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let had = current;
    let current = match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!("the limit of open files stays as it is: {error}");
            had
        }
    };
    tracing::debug!(?had, ?current, "open files");
    let needed = (connections as u64).saturating_add(OTHERS);
    if let Some(allowed) = current.filter(|allowed| *allowed < needed) {
        tracing::warn!(
            "{allowed} files may be open, too few for {connections} connections: raise the hard limit of open files, as \
             LimitNOFILE= of systemd, or lower \"limits.connections\""
        );
    }
}
