//! Names in a resource of Istio, completed as istiod completes them.

/// What the whole name of a Service ends in.
pub(super) const DOMAIN: &str = ".svc.cluster.local";

/// The host that a name in a resource of this namespace stands for. A name without a dot is a Service of the namespace;
/// every other name is taken as it is: `checkout.shop` is no Service.
pub fn host(name: &str, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) if !name.contains('.') && name != "*" => format!("{name}.{namespace}{DOMAIN}"),
        _ => name.to_ascii_lowercase(),
    }
}

/// The gateway that a name in a resource of this namespace stands for, as `namespace/name`: `shop`, `./shop`, `shop.edge`.
pub(super) fn gateway(name: &str, namespace: Option<&str>) -> String {
    let here = |gateway: &str| match namespace {
        Some(namespace) => format!("{namespace}/{gateway}"),
        None => gateway.to_owned(),
    };
    match (name.split_once('/'), name.split_once('.')) {
        (Some((".", gateway)), _) => here(gateway),
        (Some(_), _) => name.to_owned(),
        (None, None) => here(name),
        (None, Some((gateway, rest))) => {
            let namespace = rest.split('.').next().unwrap_or_default();
            format!("{namespace}/{gateway}")
        }
    }
}

/// The names by which callers in its namespace know a host, itself among them: a Service has short ones too. A Service
/// whose namespace is not known has its short name alone.
pub(super) fn known_as(host: &str) -> Vec<String> {
    let Some(short) = host.strip_suffix(DOMAIN) else { return vec![host.to_owned()] };
    let longer = ["", ".svc", DOMAIN, ".svc.cluster.local."].map(|end| format!("{short}{end}"));
    let service = short.split('.').next().unwrap_or_default();
    // `*` alone would be every host.
    let short = Some(service.to_owned()).filter(|service| service != "*");
    short.into_iter().chain(longer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_istiod_does_it() {
        let in_shop = |name| host(name, Some("shop"));
        assert_eq!(in_shop("checkout"), "checkout.shop.svc.cluster.local");
        for whole in
            ["checkout.shop", "checkout.shop.svc", "checkout.shop.svc.cluster.local", "*", "shop.example"]
        {
            assert_eq!(in_shop(whole), whole);
        }
        assert_eq!(host("checkout", None), "checkout");
    }

    #[test]
    fn gateways_are_completed_as_istiod_does_it() {
        let in_shop = |name| gateway(name, Some("shop"));
        assert_eq!(
            ["edge", "./edge", "shop/edge", "edge.shop.svc.cluster.local"].map(in_shop),
            ["shop/edge"; 4]
        );
        assert_eq!(in_shop("edge.ingress"), "ingress/edge");
        assert_eq!(gateway("edge", None), "edge");
    }

    #[test]
    fn a_service_has_short_names() {
        let names = known_as("checkout.shop.svc.cluster.local");
        let whole = "checkout.shop.svc.cluster.local";
        assert_eq!(
            names,
            ["checkout", "checkout.shop", "checkout.shop.svc", whole, "checkout.shop.svc.cluster.local."]
        );
        assert_eq!(known_as("*.shop.svc.cluster.local")[0], "*.shop");
        assert_eq!(known_as("checkout.shop"), ["checkout.shop"]);
    }
}
