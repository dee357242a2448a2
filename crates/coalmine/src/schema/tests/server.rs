//! Configurations of a server.

use coalmine_control::config::Config;
use coalmine_document::{Node, Problems};
use serde_json::{Value, json};

pub(super) fn read(document: &Node) -> Result<(), Problems> {
    Config::check(document).map(drop)
}

/// Documents that between them use every field.
pub(super) fn good() -> Vec<Value> {
    let secret = "0123456789abcdef0123456789abcdef";
    let prometheus = json!({"url": "https://a", "labels": {"job": "envoy"}, "token": {"env": "T"}, "ca": "ca.pem",
                            "certificate": "c.pem", "key": "k.pem"});
    let plugins = json!([{"kind": "TrafficExtension", "namespace": "istio-system", "name": "coalmine"}]);
    let prometheus_of_queries = json!({"url": "https://a"});
    vec![
        json!({}),
        json!({
            "listen": "127.0.0.1:8470", "admin": "[::1]:8471", "publicUrl": "https://coalmine.example", "store": "coalmine.db",
            "tls": {"certificate": "tls.crt", "key": "tls.key", "clientCa": "ca.crt"}, "insecure": true,
            "limits": {"connections": 100, "requests": 10, "body": 262144, "time": "10s"},
            "tokens": [{"name": "admins", "value": {"env": "A"}, "may": "write", "rollouts": ["*", "shop/*"]},
                       {"name": "proxies", "value": {"file": "f"}, "may": "read"}],
            "oidc": [{"name": "github", "issuer": "https://a", "audience": "b", "claims": {"sub": "c:*"}, "may": "operate",
                      "rollouts": ["shop/checkout"], "keys": "https://a/keys", "as": "sub"},
                     {"name": "other", "issuer": "https://b", "audience": "b", "claims": {"sub": "c"}, "may": "read",
                      "keys": {"file": "keys.json"}}],
            "xds": {"module": "/etc/coalmine.wasm", "environment": ["A"]}, "file": "policy.json",
            "evidence": {"proxies": ["127.0.0.1:9901"], "served": {"cluster": "{name}-{variant}"}, "counters": "served"}, "tick": "15s",
            "policy": {"route": {"header": "x-v"}, "bucketRoute": {"bucketHeader": {"name": "x-b", "total": 100, "canary": "last"}},
                       "override": {"header": "x-o", "cookie": "o", "secret": [{"env": "S"}, secret]}, "slow": ["250ms", "1s"],
                       "accessLog": true, "environmentPrefix": "SHOP_"},
            "grants": {"shop": ["*.shop.example"]}, "gates": {"smoke": "http://a", "other": {"env": "G"}},
            "notifiers": {"oncall": {"file": "hook"}, "chat": {"url": {"env": "U"}, "shape": "slack"},
                          "pipeline": {"url": "http://a", "shape": "webhook", "secret": {"env": "S"}}},
            "dashboard": {"readOnly": true}, "plugins": plugins,
            "kubernetes": {"kubeconfig": "kubeconfig", "namespace": "shop", "rootNamespace": "istio-system",
                           "tokens": {"audience": "coalmine"}},
            "queries": {"payments": {"prometheus": prometheus_of_queries, "all": "a{v=\"$variant\"}", "bad": "b{v=\"$variant\"}"},
                        "haste": {"prometheus": prometheus_of_queries, "all": "a{v=\"$variant\"}", "good": "b{v=\"$variant\"}",
                                  "names": {"stable": "primary", "baseline": "base", "canary": "next"}},
                        "orders": {"url": {"env": "U"}, "token": {"file": "t"}}},
        }),
        json!({"policy": {"route": {"bucketHeader": {"name": "x-b", "total": 100, "canary": "last"}}}}),
        json!({"store": {"env": "STORE"}, "xds": {"inline": "coalmine.wasm"},
               "evidence": {"prometheus": prometheus, "served": {"service": "{name}", "version": "{variant}"}}}),
        json!({"policy": {"route": {"clusterHeader": {"name": "x-c", "clusters": {"stable": "a", "canary": "b"}}}},
               "evidence": {"prometheus": {"url": "http://a", "user": "u", "password": {"file": "p"}}}}),
        json!({"tls": {"certificate": "tls.crt", "key": "tls.key", "clientCa": "ca.crt"}, "kubernetes": {},
               "store": {"kubernetes": {"namespace": "coalmine", "kubeconfig": "k"}}, "fleets": {
            "edge": {"clusters": ["edge-*"], "spiffe": ["spiffe://cluster.local/ns/edge/*"], "rollouts": ["shop/*"], "xds": {"inline": "a.wasm"}, "file": "a.json",
                     "evidence": {"prometheus": prometheus, "served": {"cluster": "c"}, "counters": "served"},
                     "plugins": plugins},
            "rest": {"rollouts": ["*"], "evidence": {"proxies": {"streams": 9901}}},
        }}),
    ]
}
