//! `coalmine import`.

use insta::assert_snapshot;

use crate::harness::Lab;

/// What is imported is a policy.
fn imported(kind: &str, name: &str, text: &str, options: &str) -> String {
    let lab = Lab::new().with(name, text);
    let run = lab.run(&format!("import {kind} {name} {options}"));
    if run.code == 0 && options.is_empty() {
        let valid = lab.run_with(&["validate", "-"], run.stdout.as_bytes());
        assert_eq!(valid.code, 0, "{valid}");
    }
    run.to_string()
}

const INGRESS: &str = r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
spec: {rules: [{host: shop.example}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: Shop_Canary
  annotations:
    nginx.ingress.kubernetes.io/canary: "true"
    nginx.ingress.kubernetes.io/canary-weight: "25"
    nginx.ingress.kubernetes.io/canary-weight-total: "1000"
    nginx.ingress.kubernetes.io/canary-by-header: X-Canary
    nginx.ingress.kubernetes.io/canary-by-cookie: canary
    nginx.ingress.kubernetes.io/affinity: cookie
spec:
  rules:
  - host: Shop.example
    http:
      paths:
      - {path: /api, pathType: Prefix, backend: {service: {name: shop-v2, port: {number: 80}}}}
      - {path: /cart, pathType: Exact, backend: {service: {name: shop-v2, port: {number: 80}}}}
"#;

#[test]
fn from_ingress_nginx() {
    assert_snapshot!(imported("ingress-nginx", "ingress.yaml", INGRESS, ""));
    assert_snapshot!(imported(
        "ingress-nginx",
        "ingress.yaml",
        INGRESS,
        "--identity cookie=session --format json"
    ));
}

/// The example of nginx's own documentation, and a few others.
const NGINX: &str = r#"
http {
    # split_clients "not this" $one { 1% a; }
    split_clients "${remote_addr}AAA" $variant {
                   0.5%               .one;
                   2.0%               .two;
                   *                  "";
    }
    split_clients "$cookie_sid" $upstream { 10% new_backend; * old_backend; }
    split_clients $request_id$http_x_user $color { 10% red; 20% green; 30% blue; }
    server { listen 80; }
}
"#;

#[test]
fn from_split_clients() {
    assert_snapshot!(imported("split-clients", "nginx.conf", NGINX, ""));
}

#[test]
fn from_nothing() {
    assert_snapshot!(imported("split-clients", "nginx.conf", "http { server { listen 80; } }", ""));
    assert_snapshot!(imported("ingress-nginx", "ingress.yaml", "a: [\n", ""));
    assert_snapshot!(imported("ingress-nginx", "ingress.yaml", INGRESS, "--identity user"));
}
