//! `coalmine validate` on rollouts for a server: every problem with its place, and advice about plans.

use serde_json::Value;

use crate::harness::Lab;

const ROLLOUT: &str = "\
name: shop/checkout
workloads: {service: checkout, stable: {deployment: checkout-stable}, canary: {deployment: checkout-canary}}
policy:
  match: {hosts: [checkout.shop]}
  identity: [{header: x-user-id}]
  variants: [{name: canary}]
plan: {}
";

fn problems(text: &str) -> Vec<String> {
    let lab = Lab::new().with("rollout.yaml", text);
    let run = lab.run("validate rollout.yaml --format json");
    let output: Value = serde_json::from_str(&run.stdout).unwrap();
    let problems = output["problems"].as_array().unwrap();
    let said = |problem: &Value| {
        let text = |name: &str| problem[name].as_str().unwrap().to_owned();
        format!("{}:{} {}: {}", problem["line"], problem["column"], text("place"), text("message"))
    };
    problems.iter().map(said).collect()
}

#[test]
fn a_rollout_that_is_right_is_said_in_a_line() {
    let judged = ROLLOUT.replace("plan: {}", "plan: {mode: judge}");
    let weights = ROLLOUT.replace("plan: {}", "weights: {canary: 5}");
    let lab = Lab::new().with("a.yaml", ROLLOUT).with("b.yaml", judged).with("c.yaml", weights);
    let run = lab.run("validate a.yaml b.yaml c.yaml");
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (
            0,
            "a.yaml: valid; shop/checkout: 1, 5, 25, 50 %, then all users, after 40m at least\n\
             b.yaml: valid; shop/checkout: another controller moves the weights, Coalmine judges; errors by a server \
             with `counters: served`\n\
             c.yaml: valid; shop/checkout: the file owns the weights: canary 5 %\n"
        )
    );
    let output: Value = serde_json::from_str(&lab.run("validate a.yaml --format json").stdout).unwrap();
    assert_eq!(output["rollouts"][0]["steps"], serde_json::json!([1.0, 5.0, 25.0, 50.0]));
    assert_eq!(output["rollouts"][0]["dwellSeconds"], 2400);
}

#[test]
fn what_a_server_refuses_is_said_before_where_its_configuration_is_there() {
    let judged = ROLLOUT.replace("plan: {}", "plan: {mode: judge, steps: [{weight: 5, gate: smoke}, 25]}");
    let object = "apiVersion: coalmine.dev/v1alpha1\nkind: CanaryRollout\nmetadata: {namespace: shop, name: search}\nspec:\n";
    let spec = ROLLOUT.replace("name: shop/checkout\n", "").replace("plan: {}", "plan: {notify: [oncall]}");
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    let route = "policy: {bucketRoute: {bucketHeader: {name: x-bucket, total: 100}}}\n";
    let served = "evidence: {served: {version: '{variant}'}, counters: served}\n";
    let gates = "gates: {smoke: {env: SMOKE}}\nnotifiers: {oncall: {env: ONCALL}}\n";
    let lab = Lab::new()
        .with("a.yaml", judged)
        .with("b.yaml", format!("{object}{spec}"))
        .with("bare.yaml", "listen: 127.0.0.1:8470\n")
        .with("blind.yaml", format!("{route}{gates}"))
        .with("right.yaml", format!("{route}{gates}{served}"));
    let said = |files: &str| {
        let output: Value =
            serde_json::from_str(&lab.run(&format!("validate {files} --format json")).stdout).unwrap();
        let problems = output["problems"].as_array().unwrap().clone();
        let said = |it: &Value| format!("{}:{}", it["file"].as_str().unwrap(), it["place"].as_str().unwrap());
        problems.iter().map(said).collect::<Vec<_>>()
    };
    assert_eq!(
        said("a.yaml b.yaml bare.yaml"),
        ["a.yaml:plan.mode", "a.yaml:plan.mode", "a.yaml:plan.steps[0].gate", "b.yaml:spec.plan.notify[0]"]
    );
    assert_eq!(said("a.yaml b.yaml blind.yaml"), ["a.yaml:plan.mode"]);
    assert!(said("a.yaml b.yaml right.yaml").is_empty());
    assert!(said("a.yaml b.yaml").is_empty(), "nobody knows the server");
    assert!(said("a.yaml b.yaml bare.yaml blind.yaml").is_empty(), "nobody knows which server");
    let told = lab.run("validate a.yaml blind.yaml").stdout;
    assert!(told.contains("would never count anything for errors"), "{told}");
}

#[test]
fn every_problem_has_its_place() {
    let found = problems(
        "name: Shop/checkout
workloads: {service: checkout, stable: checkout, canary: {deployment: checkout-canary}}
policy:
  match: {hosts: [checkout.shop:80]}
  route: {header: x-mine}
  variants: [{name: canary, weight: 5}]
plan: {steps: [5, 1], dwel: 3m}
weights: {green: 5}
",
    );
    assert_eq!(
        found,
        [
            "2:40 workloads.stable: must be a workload, as {deployment: checkout}, not the string \"checkout\"",
            "8:10 weights: \"plan\" and \"weights\" both say who moves the weights; keep one",
            "7:23 plan.dwel: unknown field; did you mean \"dwell\"?",
            "7:19 plan.steps[1]: does not lie above the step before it, 5 %: steps ascend",
            "5:10 policy.route: does not belong here: the operator names the route header once, in the server's \
             configuration; leave it out",
            "6:14 policy.variants[0]: has a weight, which the plan or \"weights\" beside the policy says; leave it out",
            "1:7 name: \"Shop/checkout\" is not a valid name: 1 to 63 of a-z, 0-9 and -, alone or behind a namespace of \
             the same form, as shop/checkout",
            "4:19 policy.match.hosts[0]: \"checkout.shop:80\" is not a valid host: leave out the port; it is taken off \
             the request before the comparison",
            "4:3 policy: \"identity\" is missing: say what names the user, as [{header: x-user-id}]",
            "8:18 weights.green: is the weight of \"green\", which is no variant of the policy",
        ]
    );
}

#[test]
fn what_is_missing_is_told() {
    assert_eq!(
        problems("policy: {identity: [{header: x-user-id}]}\n"),
        [
            "1:1 : \"name\" is missing: [namespace/]name, as shop/checkout",
            "1:1 : \"plan\" is missing: {} for the usual one; or \"weights\", which the file then owns",
            "1:9 policy: \"variants\" is missing: [{name: canary}], and {name: baseline} if one is wanted",
        ]
    );
    assert_eq!(
        problems(&ROLLOUT.replace("{name: canary}", "{name: blue}")),
        ["6:13 policy.variants: has no \"canary\"; a plan moves the weight of the variant with this name"]
    );
}

#[test]
fn a_secret_in_clear_is_refused_and_not_shown() {
    let lab = Lab::new().with(
        "rollout.yaml",
        ROLLOUT.replace(
            "  variants",
            "  algorithm: siphash-2-4\n  key: 000102030405060708090a0b0c0d0e0f\n  variants",
        ),
    );
    let run = lab.run("validate rollout.yaml");
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("policy.key: is a secret in clear"), "{}", run.stdout);
    assert!(!run.stdout.contains("0001020304"), "{}", run.stdout);
}

#[test]
fn a_custom_resource_is_read() {
    let spec = ROLLOUT.lines().skip(1).map(|line| format!("  {line}\n")).collect::<String>();
    let text = format!(
        "apiVersion: coalmine.dev/v1alpha1\nkind: CanaryRollout\nmetadata: {{name: checkout, namespace: shop}}\nspec:\n{spec}"
    );
    let lab = Lab::new()
        .with("rollout.yaml", &text)
        .with("wrong.yaml", text.replace("plan: {}", "plan: {steps: [100]}"));
    let run = lab.run("validate rollout.yaml");
    assert!(run.stdout.contains("valid; shop/checkout: 1, 5, 25, 50 %"), "{}", run.stdout);
    let run = lab.run("validate wrong.yaml");
    assert!(run.stdout.contains("error: spec.plan.steps[0]: is 100 %"), "{}", run.stdout);
    assert_eq!(lab.run("rehearse rollout.yaml").code, 0);
}

#[test]
fn advice_is_a_warning_at_its_place() {
    let lab =
        Lab::new().with("rollout.yaml", ROLLOUT.replace("plan: {}", "plan: {steps: [5, 50], deadline: 50m}"));
    let run = lab.run("validate rollout.yaml --traffic 3/s");
    assert_eq!(run.code, 0);
    assert!(
        run.stdout.contains("warning: plan.steps[0]: 5 % of 3 requests a second cannot reach `minRequests` (500) in the deadline of 50m"),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains(" --> rollout.yaml:7:"), "{}", run.stdout);
    assert_eq!(lab.run("validate rollout.yaml --traffic 3/s --strict").code, 1);
    assert_eq!(lab.run("validate rollout.yaml").stdout.matches("warning").count(), 0);
}
