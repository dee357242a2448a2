//! Which hosts a rollout may match, and what they stand for. In a cluster the Services of a namespace are its own, and every other
//! host is granted by the operator.

use coalmine_document::{Node, Value};

/// What the full name of a Service ends in.
const DOMAIN: &str = ".svc.cluster.local";

/// Whether a granted host, exact or with a wildcard in front, covers a host pattern of a rollout.
pub(super) fn covers(grant: &str, host: &str) -> bool {
    let (grant, host) = (grant.to_ascii_lowercase(), host.to_ascii_lowercase());
    match grant.strip_prefix('*') {
        Some("") => true,
        Some(suffix) => host.ends_with(suffix) && host != suffix,
        None => grant == host,
    }
}

/// Whether a host is a name that means another Service in each namespace, as `checkout`.
pub(super) fn is_bare(host: &str) -> bool {
    !host.contains(['.', '*', ':'])
}

/// A host that is a Service of this namespace, as `checkout.shop`; none of any other host.
pub(super) fn service(host: &str, namespace: &str) -> Option<String> {
    let host = host.to_ascii_lowercase();
    let short = host.strip_suffix(DOMAIN).or_else(|| host.strip_suffix(".svc")).unwrap_or(&host);
    let (name, of) = short.split_once('.')?;
    (of == namespace && !name.is_empty() && !name.contains('*')).then(|| short.to_owned())
}

/// A policy part in which each Service of this namespace stands by all its names with the namespace, since callers use any.
pub(super) fn with_all_names(mut policy: Node, namespace: &str) -> Node {
    let Value::Map(entries) = &mut policy.value else { return policy };
    let matches = entries.iter_mut().find(|entry| entry.key == "match").map(|entry| &mut entry.node.value);
    let Some(Value::Map(fields)) = matches else { return policy };
    let hosts = fields.iter_mut().find(|entry| entry.key == "hosts").map(|entry| &mut entry.node.value);
    let Some(Value::List(hosts)) = hosts else { return policy };
    let mut named: Vec<Node> = Vec::new();
    for host in std::mem::take(hosts) {
        let names = match host.text().and_then(|text| service(text, namespace)) {
            Some(short) => ["", ".svc", DOMAIN].map(|end| Node::of_text(format!("{short}{end}"))).to_vec(),
            None => vec![host],
        };
        for name in names {
            if !named.iter().any(|known| known.text() == name.text()) {
                named.push(name);
            }
        }
    }
    *hosts = named;
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_with_a_wildcard_covers_what_is_below_it() {
        assert!(covers("*", "x"));
        assert!(covers("*.shop.example", "a.b.Shop.example"));
        assert!(covers("*.shop.example", "*.a.shop.example"));
        assert!(covers("*.shop.example", "*.shop.example"));
        assert!(!covers("*.shop.example", "shop.example"));
        assert!(!covers("*.shop.example", ".shop.example"));
        assert!(!covers("*.shop.example", "evilshop.example"));
        assert!(!covers("a.shop.example", "*.shop.example"));
    }

    #[test]
    fn a_service_of_the_namespace_is_known_by_each_of_its_names() {
        let known = ["checkout.shop", "Checkout.shop.svc", "checkout.shop.svc.cluster.local"];
        for host in known {
            assert_eq!(service(host, "shop").as_deref(), Some("checkout.shop"), "{host}");
        }
        let others =
            ["checkout", "checkout.bank", "a.checkout.shop", "*.shop", ".shop", "checkout.shop.example"];
        for host in others {
            assert_eq!(service(host, "shop"), None, "{host}");
        }
    }

    #[test]
    fn a_service_stands_in_the_policy_by_all_its_names_once() {
        let policy = coalmine_document::json::read(
            br#"{"match": {"hosts": ["checkout.shop.svc", "shop.example", "checkout.shop"]}, "identity": []}"#,
        );
        let named = with_all_names(policy.unwrap(), "shop");
        let hosts = named.descend(&["match", "hosts"]).unwrap().items();
        let hosts: Vec<&str> = hosts.iter().filter_map(|host| host.text()).collect();
        let names = ["checkout.shop", "checkout.shop.svc", "checkout.shop.svc.cluster.local", "shop.example"];
        assert_eq!(hosts, names);
    }
}
