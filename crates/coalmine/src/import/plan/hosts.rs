//! The hosts of a rollout.

use coalmine_document::{Node, Span};

use super::Reading;

/// The names of a Service in a mesh: alone, with its namespace, and whole.
pub(in crate::import) fn of_service(service: &str, namespace: Option<&str>) -> Vec<String> {
    let mut hosts = vec![service.to_owned()];
    if let Some(namespace) = namespace {
        let ends = ["", ".svc", ".svc.cluster.local"];
        hosts.extend(ends.iter().map(|end| format!("{service}.{namespace}{end}")));
    }
    hosts
}

/// Adds hosts that are not there yet, in lower case, with their place in the file. `*` is every host: then there are
/// none, and `false` is returned.
pub(in crate::import) fn add_hosts<'n>(
    reading: &mut Reading<'_>,
    hosts: &mut Vec<Node>,
    added: impl IntoIterator<Item = (&'n str, Span)>,
) -> bool {
    for (host, span) in added {
        if host == "*" {
            reading.note(
                "its host is *, so the rollout has no hosts: it takes every request that the filter sees. Name hosts where \
                 the filter sees others.",
            );
            hosts.clear();
            return false;
        }
        let host = host.to_ascii_lowercase();
        if !hosts.iter().any(|known| known.text() == Some(&host)) {
            hosts.push(Node { span, ..Node::of_text(host) });
        }
    }
    true
}
