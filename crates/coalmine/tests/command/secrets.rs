//! No secret of a document is shown: not by an excerpt, whichever mistake is next to it, and not by a diff.

use crate::harness::{Lab, Run};

/// A word that only the secret has.
const WORD: &str = "HUSH";
const SECRET: &str = "HUSH0123456789abcdef0123456789ab";
const STARS: &str = "********************************";

/// A rollout with these fields more, in the block style.
fn rollout(fields: &str) -> String {
    format!(
        "rollouts:\n- name: checkout\n  identity: [{{peer: true}}]\n  variants: [{{name: canary, weight: 5}}]\n{fields}"
    )
}

/// No command shows the secret of this file. Returns what `validate` says about it.
#[track_caller]
fn assert_unseen(name: &str, text: &str) -> Run {
    assert!(text.contains(SECRET), "no secret in {text}");
    let lab = Lab::new().with(name, text);
    for words in ["explain FILE --user u", "weights FILE canary=6 --dry-run", "diff FILE FILE --count 1"] {
        let run = lab.run(&words.replace("FILE", name));
        assert!(!run.to_string().contains(WORD), "{words}\n{run}");
    }
    for words in ["validate FILE --format json", "validate FILE"] {
        let run = lab.run(&words.replace("FILE", name));
        assert!(!run.to_string().contains(WORD), "{words}\n{run}");
    }
    lab.run(&format!("validate {name}"))
}

/// The secret of this rollout is not shown, but the line of its mistake is, with stars.
#[track_caller]
fn assert_stars(fields: &str) {
    let run = assert_unseen("policy.yaml", &rollout(fields));
    assert!(run.stdout.contains(STARS), "{run}");
}

#[test]
fn a_secret_that_will_not_do() {
    assert_stars(&format!("  algorithm: siphash-2-4\n  key: {SECRET}\n"));
    assert_stars(&format!("  override:\n    header: x-o\n    secret: [{{env: OLD}}, {SECRET}, {SECRET}]\n"));
    assert_stars(&format!("  override: {{header: x-o, secret: {{env: {SECRET}-}}}}\n"));
    assert_stars(&format!("  override: {{header: x-o, secret: {{evn: {SECRET}}}}}\n"));
}

/// A key whose digits are capitals has the form of a variable's name.
#[test]
fn a_key_in_place_of_a_variable() {
    let key = "A0102030405060708090A0B0C0D0E0F0";
    let policy = rollout(&format!("  algorithm: siphash-2-4\n  key: {{env: {key}}}\n"));
    let lab = Lab::new().with("policy.yaml", policy);
    for words in ["validate", "validate --format json", "explain --user u", "weights canary=6 --dry-run"] {
        let (command, rest) = words.split_once(' ').unwrap_or((words, ""));
        let run = lab.run(&format!("{command} policy.yaml {rest}")).to_string();
        assert!(run.contains("not shown") && !run.contains(key), "{words}\n{run}");
    }
    assert!(lab.run("validate policy.yaml").stdout.contains(STARS));
}

#[test]
fn a_secret_next_to_a_mistake() {
    assert_stars(&format!("  override: {{header: x o, secret: {SECRET}}}\n"));
    assert_stars(&format!("  override:\n    secret: {SECRET}\n    headr: x-o\n"));
}

#[test]
fn a_misspelt_field_of_a_secret() {
    assert_stars(&format!("  override: {{header: x-o, secrt: {SECRET}}}\n"));
    assert_stars(&format!("  override:\n    header: x-o\n    Secrets: [{SECRET}, {{env: OLD}}]\n"));
    assert_stars(&format!("  kee: {SECRET}\n"));
    assert_stars(&format!("  keys: [{SECRET}]\n"));
}

#[test]
fn a_secret_below_a_misspelt_field() {
    assert_stars(&format!("  overide: {{header: x-o, secret: {SECRET}}}\n"));
    let policy = format!(
        r#"{{"rolouts": [{{"name": "checkout", "override": {{"header": "x-o", "secret": "{SECRET}"}}}}]}}"#
    );
    assert_unseen("policy.json", &policy);
}

/// The fields of an override without their indentation, and others in the wrong map.
#[test]
fn a_secret_in_the_wrong_map() {
    assert_stars(&format!("  override:\n  header: x-o\n  secret: {SECRET}\n"));
    assert_stars(&format!("  override: {{header: x-o, secret: {{env: S}}, key: {SECRET}}}\n"));
    assert_stars(&format!("key: {SECRET}\n"));
    assert_stars(&format!("  route: {{header: x-v, secret: {SECRET}}}\n"));
}

#[test]
fn a_secret_that_is_given_twice() {
    assert_stars(&format!("  algorithm: siphash-2-4\n  key: {{env: KEY}}\n  key: {SECRET}\n"));
    assert_stars(&format!("  override: {{header: x-o, secret: {{env: S}}, secret: {SECRET}}}\n"));
    assert_stars(&format!(
        "  override: {{header: x-o, secret: {{env: S}}}}\n  override: {{header: x-o, secret: {SECRET}}}\n"
    ));
}

#[test]
fn a_secret_in_a_value_of_the_wrong_kind() {
    assert_stars(&format!("  override: [{{header: x-o, secret: {SECRET}}}]\n"));
    let policy = format!("rollouts: {{name: checkout, override: {{header: x-o, secret: {SECRET}}}}}\n");
    assert_unseen("policy.yaml", &policy);
}

/// The secret is hidden where it is written too.
#[test]
fn a_secret_by_an_alias() {
    assert_unseen(
        "policy.yaml",
        &format!("x-secret: &secret {SECRET}\n{}", rollout("  override: {header: x-o, secret: *secret}\n")),
    );
    assert_stars(&format!(
        "  pins: {{none: [&secret {SECRET}]}}\n  override: {{header: x-o, secret: *secret}}\n"
    ));
}

#[test]
fn a_secret_in_the_place_of_a_field() {
    assert_unseen("policy.yaml", &rollout(&format!("  algorithm: siphash-2-4\n  key:\n    {SECRET}:\n")));
}

/// The text inside of a text, in each style: also where the places of its values are not known.
#[test]
fn a_secret_of_an_embedded_policy() {
    let policy = format!(
        r#"{{"version": 2, "rollouts": [{{"name": "checkout's", "override": {{"header": "x-o", "secret": "{SECRET}"}}}}]}}"#
    );
    for text in [
        format!("|\n    {policy}"),
        format!(">\n    {policy}"),
        format!("\"{}\"", policy.replace('"', "\\\"")),
        format!("\"{}\"", policy.replace('"', "\\\"").replace(", ", ",\n      ")),
        format!("'{}'", policy.replace('\'', "''")),
    ] {
        let map = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: policy}}\ndata:\n  policy.json: {text}\n"
        );
        assert_unseen("map.yaml", &map);
    }
}

/// The variables of the virtual machine, which is where `{env: NAME}` comes from.
#[test]
fn a_secret_of_the_plugin_around_a_policy() {
    let plugin = format!(
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: coalmine}}\nspec:\n  vmConfig:\n    env:\n    \
         - {{name: COALMINE_SECRET, value: {SECRET}}}\n  pluginConfig: 5\n"
    );
    assert_unseen("plugin.yaml", &plugin);
}

/// Where the secrets of such a file are is not known, so lines that may hold one are not shown.
#[test]
fn a_secret_of_a_file_that_breaks_off() {
    for fields in [
        format!("  key: {SECRET}\n   salt: x\n"),
        format!("  override: {{secret: {SECRET}\n"),
        format!("  key: \"{SECRET}\n"),
    ] {
        let run = assert_unseen("policy.yaml", &rollout(&fields));
        assert!(run.stdout.contains("policy.yaml:"), "{run}");
    }
}

/// The lines around a change are shown with stars, and written as they are.
#[test]
fn a_secret_next_to_a_weight() {
    let block = format!(
        "revision: 1\nrollouts:\n- name: checkout\n  algorithm: siphash-2-4\n  key: 0123456789abcdef0123456789abcdef\n  variants: [{{name: canary, weight: 5}}]\n  \
         override: {{header: x-o, secret: {SECRET}}}\n  identity: [{{peer: true}}]\n"
    );
    let flow = format!(
        r#"{{"rollouts": [{{"name": "checkout", "identity": [{{"peer": true}}], "variants": [{{"name": "canary", "weight": 5}}], "override": {{"header": "x-o", "secret": "{SECRET}"}}}}]}}"#
    );
    for (name, policy) in [("policy.yaml", block), ("policy.json", flow)] {
        let lab = Lab::new().with(name, &policy);
        let run = lab.run(&format!("weights {name} canary=10 --dry-run"));
        assert_eq!(run.code, 0, "{run}");
        assert!(run.stdout.contains("\n+") && run.stdout.contains(STARS), "{run}");
        assert!(!run.to_string().contains(WORD) && !run.to_string().contains("0123456789abcdef"), "{run}");
        assert_eq!(lab.run(&format!("weights {name} canary=10")).code, 0);
        let changed = std::fs::read_to_string(lab.path().join(name)).unwrap();
        let expected = policy.replace("weight: 5", "weight: 10").replace("\"weight\": 5", "\"weight\": 10");
        assert_eq!(changed, expected.replace("revision: 1\n", "revision: 2\n"));
        let piped = lab.run_with(&["weights", "-", "canary=10"], changed.as_bytes());
        assert!(piped.stdout.contains(SECRET) && !piped.stderr.contains(WORD), "{piped}");
    }
}
