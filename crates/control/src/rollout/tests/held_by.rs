//! Rollouts whose weights another controller holds.

use crate::rollout::{Holder, Spec, read_text};

fn read(workloads: &str, plan: &str) -> Result<Spec, String> {
    let text = format!(
        "workloads: {{service: checkout, {workloads}}}
policy: {{match: {{hosts: [checkout.shop]}}, identity: [{{header: x-user}}], variants: [{{name: canary}}]}}
plan: {{{plan}}}"
    );
    let spec = Spec::of_name(&"shop/checkout".parse().unwrap(), &read_text(&text).unwrap());
    spec.map_err(|problems| problems.to_string())
}

const BOTH: &str = "stable: {deployment: checkout-primary}, canary: {deployment: checkout}";

#[test]
fn the_object_that_holds_the_weights_is_named() {
    let holder = |workloads: &str| read(workloads, "mode: judge").unwrap().workloads.unwrap();
    let flagger = holder(&format!("{BOTH}, heldBy: {{flagger: checkout}}"));
    assert_eq!(flagger.held_by, Some(Holder::Flagger("checkout".to_owned())));
    assert!(flagger.has_deployments());
    let argo = holder("heldBy: {rollout: checkout}");
    assert_eq!(argo.held_by, Some(Holder::Argo("checkout".to_owned())));
    assert!(!argo.has_deployments(), "Argo has both versions in one object");
    assert_eq!(holder(BOTH).held_by, None);
}

#[test]
fn what_makes_no_sense_is_told() {
    for (workloads, plan, said) in [
        (format!("{BOTH}, heldBy: {{flagger: checkout}}"), "", "\"heldBy\" is for a plan with mode: judge"),
        (
            format!("{BOTH}, heldBy: {{}}"),
            "mode: judge",
            "names no object; write {flagger: NAME} or {rollout: NAME}",
        ),
        (
            format!("{BOTH}, heldBy: {{flagger: a, rollout: a}}"),
            "mode: judge",
            "one controller holds the weights",
        ),
        (
            "heldBy: {flagger: checkout}".to_owned(),
            "mode: judge",
            "its Deployment, as {deployment: checkout}",
        ),
    ] {
        let problems = read(&workloads, plan).unwrap_err();
        assert!(problems.contains(said), "{problems}");
    }
}
