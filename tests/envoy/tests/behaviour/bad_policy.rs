//! A bad policy, at the start and at an update: Envoy's log says what is wrong and where, and requests go on.

use coalmine_envoy_tests::{USER, compile, rollout, user_with};
use coalmine_harness::{Answer, Lab, get};
use serde_json::{Value, json};

const HOST: &str = "bad.test";

fn good(revision: u32) -> Value {
    json!({"revision": revision, "rollouts": [rollout("bad", HOST, 50.0)]})
}

fn canary_user() -> String {
    user_with(&compile(&good(1).to_string()).unwrap(), HOST, "canary").unwrap()
}

async fn ask(lab: &Lab, user: &str) -> Answer {
    lab.ask(get(HOST).header(USER, user)).await.unwrap()
}

/// The good policy with one value put in the place of another, or added.
fn with(pointer: &str, value: Value) -> String {
    let mut policy = good(2);
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    match policy.pointer_mut(parent).unwrap() {
        Value::Array(items) => items.push(value),
        Value::Object(fields) => drop(fields.insert(field.to_owned(), value)),
        other => panic!("nothing can be put into {other}"),
    }
    policy.to_string()
}

/// Every kind of bad document, with the places that the log must name.
fn bad_documents() -> Vec<(String, Vec<&'static str>)> {
    let one = |pointer: &str, value: Value, place: &'static str| (with(pointer, value), vec![place]);
    vec![
        // The document as a whole: the place is the line and column.
        (String::from("not JSON"), vec!["line 1 column"]),
        (good(2).to_string().replace("]}]}", "]}]"), vec!["line 1 column"]),
        (String::from("[]"), vec!["must be a map"]),
        (good(2).to_string().replace(HOST, &"x".repeat(1 << 20)), vec!["1048576"]),
        // The top level.
        one("/version", json!(2), "version: "),
        one("/revision", json!(0), "revision: "),
        one("/revision", json!("7"), "revision: "),
        one("/rollout", json!([]), "rollout: "),
        one("/rollouts", json!({}), "rollouts: "),
        one("/source", json!({"cluster": 7}), "source"),
        one("/observe", json!({"accessLog": "yes"}), "observe.accessLog: "),
        (good(2).to_string().replacen('{', "{\"revision\":1,", 1), vec!["revision: "]),
        // A rollout.
        one("/rollouts/0/name", json!("Bad Name"), "rollouts[0].name: "),
        one("/rollouts/0/name", json!("none"), "rollouts[0].name: "),
        one("/rollouts/-", rollout("bad", HOST, 1.0), "rollouts[1].name: "),
        one("/rollouts/0/enabled", json!(1), "rollouts[0].enabled: "),
        one("/rollouts/0/salt", json!("a b"), "rollouts[0].salt: "),
        one("/rollouts/0/algorithm", json!("md5"), "rollouts[0].algorithm: "),
        one("/rollouts/0/onMissingIdentity", json!("guess"), "rollouts[0].onMissingIdentity: "),
        one("/rollouts/0/ramp", json!({}), "rollouts[0].ramp"),
        one("/rollouts/0/pins", json!({"canary": [7]}), "rollouts[0].pins"),
        // Its conditions, identities and route.
        one("/rollouts/0/match", json!({}), "rollouts[0].match: "),
        one("/rollouts/0/match/hosts", json!([]), "rollouts[0].match.hosts: "),
        one("/rollouts/0/match/hosts", json!(["a.test", "B.test"]), "rollouts[0].match.hosts[1]: "),
        one("/rollouts/0/match/hosts", json!(["a.test:80"]), "rollouts[0].match.hosts[0]: "),
        one("/rollouts/0/match/hosts", json!(["*"]), "rollouts[0].match.hosts[0]: "),
        one("/rollouts/0/match/paths", json!([{}]), "rollouts[0].match.paths[0]: "),
        one("/rollouts/0/match/methods", json!(["get"]), "rollouts[0].match.methods[0]: "),
        one("/rollouts/0/match/headers", json!([{"name": "x"}]), "rollouts[0].match.headers[0]: "),
        one("/rollouts/0/identity", json!([]), "rollouts[0].identity: "),
        one("/rollouts/0/identity", json!([{"header": "authorization"}]), "rollouts[0].identity[0].header: "),
        one("/rollouts/0/identity", json!([{"sourceIP": true}]), "rollouts[0].identity[0].sourceIP: "),
        one("/rollouts/0/route", json!({"header": "x-envoy-me"}), "rollouts[0].route.header: "),
        one("/rollouts/0/route", json!({"header": USER}), "rollouts[0].route.header: "),
        // Its variants.
        one("/rollouts/0/variants", json!([{"name": "canary", "weight": 101}]), "rollouts[0].variants[0].weight: "),
        one("/rollouts/0/variants", json!([{"name": "canary", "weight": -1}]), "rollouts[0].variants[0].weight: "),
        one("/rollouts/0/variants", json!([{"name": "canary", "weight": "5"}]), "rollouts[0].variants[0].weight: "),
        one("/rollouts/0/variants", json!([{"name": "canary", "weight": 0.00001}]), "rollouts[0].variants[0].weight: "),
        one("/rollouts/0/variants", json!([{"name": "stable", "weight": 1}]), "rollouts[0].variants[0].name: "),
        (
            with(
                "/rollouts/0/variants",
                json!([{"name": "canary", "weight": 60}, {"name": "baseline", "weight": 44}]),
            ),
            vec!["rollouts[0].variants: weights add up to 104 %, at most 100 % can leave stable"],
        ),
        // Several at once: each of them is told.
        (
            json!({"revision": 0.5, "rollouts": [{"name": "x", "idenity": [], "variants": [{"weight": 200}]}]}).to_string(),
            vec!["revision: ", "rollouts[0].idenity: ", "rollouts[0].variants[0].weight: "],
        ),
    ]
}

/// Envoy's log has all these places, behind its first `since` bytes.
async fn is_told(lab: &Lab, since: usize, document: &str, places: &[&str]) {
    for place in places {
        let told = lab.envoy().logged(since, &["policy refused: ", place]).await;
        told.unwrap_or_else(|error| panic!("{error:#}\nthe policy is {document:.200}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_an_update_the_last_good_one_stays() {
    let user = canary_user();
    let lab = Lab::builder().unwrap().start(&good(1).to_string()).await.unwrap();
    for (document, places) in bad_documents() {
        let since = lab.envoy().log().unwrap().len();
        lab.refuse_policy(&document).await.unwrap();
        assert_eq!(ask(&lab, &user).await.variant(), Some("canary"), "after {document:.200}");
        is_told(&lab, since, &document, &places).await;
    }
    let nobody = json!({"revision": 3, "rollouts": [rollout("bad", HOST, 0.0)]});
    lab.accept_policy(&nobody.to_string()).await.unwrap();
    assert_eq!(ask(&lab, &user).await.variant(), Some("stable"), "a good one is taken after many bad ones");
}

/// An Envoy for each of some: what is different at the start is Envoy, not what the filter says of a document.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_start_everybody_is_stable() {
    let user = canary_user();
    for (document, places) in bad_documents().into_iter().step_by(6) {
        let lab = Lab::builder().unwrap().start(&document).await.unwrap();
        assert_eq!(ask(&lab, &user).await.variant(), Some("stable"), "with {document:.200}");
        let forged = get(HOST).header(USER, &user).header("x-coalmine-variant", "canary");
        assert_eq!(lab.ask(forged).await.unwrap().variant(), Some("stable"), "forged, with {document:.200}");
        is_told(&lab, 0, &document, &places).await;
        lab.accept_policy(&good(3).to_string()).await.unwrap();
        assert_eq!(ask(&lab, &user).await.variant(), Some("canary"), "the first good one comes into force");
    }
}
