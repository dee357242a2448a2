//! Who takes part: each contender's routes, filter and requests, and which variant its users must get.

use std::path::Path;

use serde_json::{Value, json};

/// The share of users that every contender which splits sends to the canary, in percent.
pub(crate) const WEIGHT: u32 = 10;
/// The contender that all others are compared with.
pub(crate) const BASELINE: &str = "no filter";

/// One way to send a request to a variant.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    /// Its name, and that of its listener.
    pub(crate) name: &'static str,
    pub(crate) routes: Routes,
    pub(crate) filter: Filter,
    pub(crate) identity: Identity,
    pub(crate) expected: Expected,
}

/// How its routes find the variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Routes {
    /// One route, to stable.
    One,
    /// The canary by a header, and stable.
    Header,
    /// Two clusters by weight, at random.
    Weighted,
    /// Two clusters by weight, by a hash of the user's header.
    Hashed,
}

/// What stands in front of the router.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    None,
    Lua,
    /// A module in this file's name, below the folder of contenders.
    Module(&'static str),
    /// Coalmine with this policy.
    Coalmine(Value),
    /// The same, enabled for the host of the policy alone: [`POLICY_HOST`], which no request is for.
    Elsewhere(Value),
}

/// Where a request carries its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    Header,
    Cookie,
}

/// What a contender must do before it is measured.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    /// Every user gets stable.
    Stable,
    /// About [`WEIGHT`] percent of users get the canary.
    Share,
    /// Every user gets what `coalmine assign` says of this policy, which has the one rollout that takes part.
    Assigned(Value),
}

const LUA: &str = r#"
function envoy_on_request(handle)
  local headers = handle:headers()
  local user = headers:get("x-user-id")
  if user == nil then return end
  local hash = 5381
  for at = 1, #user do hash = (hash * 65599 + user:byte(at)) % 4294967296 end
  hash = (hash * 40503) % 4294967296
  if hash < 429496730 then headers:replace("x-coalmine-variant", "canary") end
end
"#;

/// All of them, the baseline first.
pub(crate) fn all() -> Vec<Contender> {
    let plain = |name, routes, filter, expected| Contender {
        name,
        routes,
        filter,
        identity: Identity::Header,
        expected,
    };
    let coalmine = |name, policy: Value| {
        plain(name, Routes::Header, Filter::Coalmine(policy.clone()), Expected::Assigned(policy))
    };
    let one = rollout("checkout", json!({}));
    let mut observed = document(vec![rollout("checkout", json!({"observe": true}))]);
    merge(&mut observed, json!({"observe": {"responses": true, "slow": ["100ms", "250ms", "1s"]}}));
    let cookie = document(vec![rollout("checkout", json!({"identity": [{"cookie": "sid"}]}))]);
    let many = (0..1000).map(|index| {
        let host = if index == 500 { HOST.to_owned() } else { format!("host-{index}.example") };
        let name = if index == 500 { "checkout".to_owned() } else { format!("rollout-{index}") };
        rollout(&name, json!({"match": {"hosts": [host]}}))
    });
    let elsewhere = document(vec![rollout("checkout", json!({"match": {"hosts": [POLICY_HOST]}}))]);
    vec![
        plain(BASELINE, Routes::One, Filter::None, Expected::Stable),
        plain("two header routes", Routes::Header, Filter::None, Expected::Stable),
        plain("weighted clusters", Routes::Weighted, Filter::None, Expected::Share),
        plain("use_hash_policy", Routes::Hashed, Filter::None, Expected::Share),
        plain("Lua", Routes::Header, Filter::Lua, Expected::Share),
        plain("SDK, empty", Routes::Header, Filter::Module("empty.wasm"), Expected::Stable),
        plain("SDK, two gets", Routes::Header, Filter::Module("two-gets.wasm"), Expected::Stable),
        coalmine("Coalmine", document(vec![one.clone()])),
        coalmine("Coalmine, observed", observed),
        Contender {
            expected: Expected::Assigned(document(vec![one])),
            ..coalmine("Coalmine, 1,000 rollouts", document(many.collect()))
        },
        coalmine("Coalmine, siphash", document(vec![rollout("checkout", keyed())])),
        Contender { identity: Identity::Cookie, ..coalmine("Coalmine, cookie", cookie) },
        coalmine("Coalmine, override set up", document(vec![rollout("checkout", overridable())])),
        coalmine("Coalmine, everything", everything()),
        plain("Coalmine, other host", Routes::One, Filter::Elsewhere(elsewhere), Expected::Stable),
    ]
}

/// The host of every request.
pub(crate) const HOST: &str = "shop.example";
/// The name of what stands in front of the router.
pub(crate) const FILTER: &str = "contender";
/// The host of a policy that is for another host than the requests.
pub(crate) const POLICY_HOST: &str = "checkout.example";

fn keyed() -> Value {
    json!({"algorithm": "siphash-2-4", "key": "000102030405060708090a0b0c0d0e0f"})
}

fn overridable() -> Value {
    let secret = "a secret of a measurement, not of a service";
    json!({"override": {"header": "x-coalmine-override", "cookie": "coalmine-override", "secret": secret}})
}

/// All that a rollout can have at once, but what is observed of responses.
fn everything() -> Value {
    let mut one = rollout("checkout", keyed());
    merge(&mut one, overridable());
    merge(
        &mut one,
        json!({
            "match": {"hosts": [HOST], "paths": [{"prefix": "/"}], "methods": ["GET"]},
            "identity": [{"header": "x-account-id"}, {"header": "x-user-id"}, {"cookie": "sid"}],
            "pins": {"canary": ["alice"]},
            "response": {"removeHeaders": ["server"]},
        }),
    );
    let mut document = document(vec![one]);
    merge(&mut document, json!({"observe": {"accessLog": true}}));
    document
}

fn rollout(name: &str, more: Value) -> Value {
    let mut rollout = json!({
        "name": name,
        "identity": [{"header": "x-user-id"}],
        "salt": "checkout-1",
        "variants": [{"name": "canary", "weight": WEIGHT}],
    });
    merge(&mut rollout, more);
    rollout
}

fn document(rollouts: Vec<Value>) -> Value {
    json!({"version": 1, "revision": 1, "rollouts": rollouts})
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

// === impl Contender ===

impl Contender {
    /// A weight cannot choose between direct responses.
    pub(crate) fn is_direct(&self) -> bool {
        !matches!(self.routes, Routes::Weighted | Routes::Hashed)
    }

    /// The request of this user, as its bytes.
    pub(crate) fn request(&self, path: &str, user: &str) -> Vec<u8> {
        let identity = match self.identity {
            Identity::Header => format!("x-user-id: {user}"),
            Identity::Cookie => format!("cookie: theme=dark; sid={user}"),
        };
        format!(
            "GET {path} HTTP/1.1\r\nhost: {HOST}\r\nuser-agent: bench\r\naccept: */*\r\n{identity}\r\n\r\n"
        )
        .into_bytes()
    }

    /// What Envoy has in front of its router for this.
    pub(crate) fn http_filter(&self, coalmine: &Path, contenders: &Path) -> Option<Value> {
        let vm = |module: &Path, policy: String| {
            json!({
                "name": FILTER,
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                    "config": {
                        "name": self.name,
                        "vm_config": {
                            "vm_id": self.name,
                            "runtime": "envoy.wasm.runtime.v8",
                            "code": {"local": {"filename": module}},
                        },
                        "configuration": {
                            "@type": "type.googleapis.com/google.protobuf.StringValue",
                            "value": policy,
                        },
                    },
                },
            })
        };
        match &self.filter {
            Filter::None => None,
            Filter::Lua => Some(json!({
                "name": FILTER,
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
                    "default_source_code": {"inline_string": LUA},
                },
            })),
            Filter::Module(file) => Some(vm(&contenders.join(file), String::new())),
            Filter::Coalmine(policy) => Some(vm(coalmine, policy.to_string())),
            Filter::Elsewhere(policy) => {
                let mut filter = vm(coalmine, policy.to_string());
                merge(&mut filter, json!({"disabled": true}));
                Some(filter)
            }
        }
    }
}
