//! Who takes part: each contender's routes, filter and requests, and which variant its users must get.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use coalmine_core::token::Secret;
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
    /// A token that every request carries.
    pub(crate) token: Option<String>,
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
    /// Every user gets this variant.
    All(&'static str),
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
pub(crate) fn all() -> Result<Vec<Contender>> {
    let plain = |name, routes, filter, expected| Contender {
        name,
        routes,
        filter,
        identity: Identity::Header,
        token: None,
        expected,
    };
    let coalmine = |name, policy: Value| {
        plain(name, Routes::Header, Filter::Coalmine(policy.clone()), Expected::Assigned(policy))
    };
    let one = document(vec![rollout("checkout", json!({}))]);
    let cookie = document(vec![rollout("checkout", json!({"identity": [{"cookie": "sid"}]}))]);
    let elsewhere = document(vec![rollout("checkout", json!({"match": {"hosts": [POLICY_HOST]}}))]);
    let override_set_up =
        coalmine("Coalmine, override set up", document(vec![rollout("checkout", overridable())]));
    let override_taken = Contender {
        name: "Coalmine, override taken",
        token: Some(token()?),
        expected: Expected::All("canary"),
        ..override_set_up.clone()
    };
    Ok(vec![
        plain(BASELINE, Routes::One, Filter::None, Expected::All("stable")),
        plain("two header routes", Routes::Header, Filter::None, Expected::All("stable")),
        plain("weighted clusters", Routes::Weighted, Filter::None, Expected::Share),
        plain("use_hash_policy", Routes::Hashed, Filter::None, Expected::Share),
        plain("Lua", Routes::Header, Filter::Lua, Expected::Share),
        plain("SDK, empty", Routes::Header, Filter::Module("empty.wasm"), Expected::All("stable")),
        plain("SDK, two gets", Routes::Header, Filter::Module("two-gets.wasm"), Expected::All("stable")),
        coalmine("Coalmine", one.clone()),
        coalmine("Coalmine, observed", observed(vec![rollout("checkout", json!({"observe": true}))], false)),
        Contender {
            expected: Expected::Assigned(one),
            ..coalmine("Coalmine, 1,000 rollouts", many(1000, WEIGHT, 1))
        },
        coalmine("Coalmine, siphash", document(vec![rollout("checkout", keyed())])),
        Contender { identity: Identity::Cookie, ..coalmine("Coalmine, cookie", cookie) },
        override_set_up,
        override_taken,
        coalmine("Coalmine, everything", everything()),
        plain("Coalmine, other host", Routes::One, Filter::Elsewhere(elsewhere), Expected::All("stable")),
    ])
}

/// A policy with so many rollouts, each for a host of its own: one of those in the middle is for [`HOST`].
pub(crate) fn many(count: usize, weight: u32, revision: usize) -> Value {
    let rollouts = (0..count).map(|index| {
        let is_ours = index == count / 2;
        let host = if is_ours { HOST.to_owned() } else { format!("host-{index}.example") };
        let name = if is_ours { "checkout".to_owned() } else { format!("rollout-{index}") };
        let variants = json!([{"name": "canary", "weight": weight}]);
        rollout(&name, json!({"match": {"hosts": [host]}, "variants": variants}))
    });
    let mut document = document(rollouts.collect());
    merge(&mut document, json!({"revision": revision}));
    document
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

const OVERRIDE: &str = "x-coalmine-override";
const SECRET: &str = "a secret of a measurement, not of a service";
/// How long a token is valid: longer than its contender is measured.
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

fn overridable() -> Value {
    json!({"override": {"header": OVERRIDE, "cookie": "coalmine-override", "secret": SECRET}})
}

fn token() -> Result<String> {
    let secret = Secret::new(SECRET.as_bytes()).context("the secret is too short")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(secret.mint("checkout", "canary", now + LIFETIME))
}

/// All that a rollout can have at once.
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
            "observe": true,
        }),
    );
    observed(vec![one], true)
}

/// A policy that has the responses of its rollouts counted, as a judge reads them.
fn observed(rollouts: Vec<Value>, access_log: bool) -> Value {
    let mut document = document(rollouts);
    let slow = ["250ms", "1s"];
    merge(&mut document, json!({"observe": {"responses": true, "slow": slow, "accessLog": access_log}}));
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
        let token = self.token.as_ref().map(|token| format!("{OVERRIDE}: {token}\r\n")).unwrap_or_default();
        format!(
            "GET {path} HTTP/1.1\r\nhost: {HOST}\r\nuser-agent: bench\r\naccept: */*\r\n{token}{identity}\r\n\r\n"
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
