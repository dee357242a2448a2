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

/// What is in a block of Lua is no nginx, and all cookies together name no user.
#[test]
fn from_split_clients_behind_lua() {
    let text =
        "init_by_lua_block {\n  -- 'tis one apostrophe\n}\nsplit_clients $http_cookie $v { 10% b; * a; }\n";
    assert_snapshot!(imported("split-clients", "openresty.conf", text, "--identity cookie=sid"));
}

#[test]
fn from_what_is_wrong() {
    let text = "split_clients $cookie_sid $v {\n  ${PERCENT}% a;\n  5% b\n  * c;\n}\n";
    assert_snapshot!(imported("split-clients", "nginx.conf", text, ""));
    let text = INGRESS.replace("\"25\"", "a quarter").replace("\"1000\"", "1000");
    assert_snapshot!(imported("ingress-nginx", "ingress.yaml", &text, ""));
}

#[test]
fn from_standard_input() {
    let run = |kind: &str, input: &[u8]| Lab::new().run_with(&["import", kind, "-"], input);
    for (kind, input) in [
        ("split-clients", &b"split_clients $cookie_sid $v { x% a; }"[..]),
        ("split-clients", b"http {}"),
        ("split-clients", b"\xff"),
        ("ingress-nginx", b"a: ["),
        ("ingress-nginx", b""),
    ] {
        let run = run(kind, input);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run}");
        assert!(run.stderr.starts_with("coalmine: <stdin>: "), "{run}");
    }
}

#[test]
fn by_an_identity_that_is_none() {
    for source in ["user", "header=", "header=cookie", "header=authorization", "cookie=a b", "peer=true"] {
        let run = Lab::new()
            .with("nginx.conf", NGINX)
            .run_with(&["import", "split-clients", "nginx.conf", "--identity", source], b"");
        assert_eq!(run.code, 2, "{source}: {run}");
    }
}

#[test]
fn from_nothing() {
    assert_snapshot!(imported("split-clients", "nginx.conf", "http { server { listen 80; } }", ""));
    assert_snapshot!(imported("ingress-nginx", "ingress.yaml", "a: [\n", ""));
    assert_snapshot!(imported("ingress-nginx", "ingress.yaml", INGRESS, "--identity user"));
}
