//! Where the problems of a policy are marked: one case per shape of place. What the problems say is asserted in the core.

use crate::harness::Lab;
use crate::marks::assert_marked;

/// A rollout with these fields more, in the block style.
fn rollout(fields: &str) -> String {
    format!("rollouts:\n- name: checkout\n  identity: [{{peer: true}}]\n{fields}")
}

/// The problems of a rollout with these fields are at its marks, at these paths.
#[track_caller]
fn assert_in_rollout(fields: &str, paths: &[&str]) {
    assert_marked("policy.yaml", &rollout(fields), paths);
}

const WEIGHT: &str = "rollouts[0].variants[0].weight";
const VARIANTS: &str = "  variants: [{name: canary, weight: 5}]\n";

#[test]
fn a_scalar_in_the_flow_style() {
    assert_in_rollout("  variants: [{name: canary, weight: «105»}]\n", &[WEIGHT]);
}

#[test]
fn a_scalar_in_the_block_style() {
    assert_in_rollout("  variants:\n  - name: canary\n    weight: «105»  # percent\n", &[WEIGHT]);
}

#[test]
fn a_scalar_in_quotes() {
    assert_in_rollout(
        "  variants:\n  - {name: canary, weight: «'5'»}\n  - {name: baseline, weight: «\"5\"»}\n",
        &[WEIGHT, "rollouts[0].variants[1].weight"],
    );
}

/// Only the first line of a scalar is marked.
#[test]
fn a_scalar_over_several_lines() {
    for salt in ["«a:b»\n    c", "|\n    «a:b»\n    c", ">-\n    «a:b»\n    c", "«\"a:b»\n    c\""] {
        assert_in_rollout(&format!("  salt: {salt}\n{VARIANTS}"), &["rollouts[0].salt"]);
    }
}

/// The colon of its key is marked, or what is behind its dash, not what comes next.
#[test]
fn a_scalar_that_is_not_there() {
    assert_in_rollout("  variants:\n  - name: canary\n    weight«:»\n  pins: {}\n", &[WEIGHT]);
    assert_in_rollout("  variants:\n  -«»\n  - {name: canary, weight: 5}\n", &["rollouts[0].variants[0]"]);
    assert_in_rollout("  variants«:»", &["rollouts[0].variants"]);
}

#[test]
fn an_unknown_key() {
    assert_in_rollout(
        "  «slat»: x\n  «\"pin\"»:\n    canary:\n    - alice\n  variants: [{name: canary, weight: 5, «'wieght'»: 5}]\n",
        &["rollouts[0].slat", "rollouts[0].pin", "rollouts[0].variants[0].wieght"],
    );
    assert_marked("policy.yaml", "version: 1\n«revison»: 7\n", &["revison"]);
}

#[test]
fn a_duplicate_key() {
    assert_in_rollout(
        "  variants: [{name: canary, weight: 5, «weight»: 6}]\n  «variants»:\n  - name: blue\n",
        &["rollouts[0].variants[0].weight", "rollouts[0].variants"],
    );
    assert_marked("policy.yaml", "revision: 1\nversion: 1\n«revision»: 2\n", &["revision"]);
}

/// The map is marked from its bracket on, on its first line.
#[test]
fn a_missing_field_of_a_map_in_the_flow_style() {
    let path = "rollouts[0].variants[0]";
    assert_in_rollout("  variants: [«{name: canary}»]\n", &[path]);
    assert_in_rollout("  variants: [«{name:»\n    canary}]\n", &[path]);
}

/// The key is marked: the map has no bracket, and begins on another line.
#[test]
fn a_missing_field_of_a_map_below_its_key() {
    assert_in_rollout(
        "  variants: [{name: canary}]\n  «ramp»:\n    start: 2026-11-21T09:00:00Z\n    allowDown: true\n",
        &["rollouts[0].ramp"],
    );
}

/// The first entry is marked: an item has no key.
#[test]
fn a_missing_field_of_a_map_in_a_list() {
    let path = "rollouts[0].variants[0]";
    assert_in_rollout("  variants:\n  - «name: canary»\n", &[path]);
    assert_in_rollout("  variants:\n  -\n    «name: canary»\n", &[path]);
    assert_marked(
        "policy.yaml",
        "rollouts:\n- «name: checkout»\n  identity: [{peer: true}]\n",
        &["rollouts[0]"],
    );
}

/// No field of the document has to be there, so it is only ever of the wrong kind.
#[test]
fn the_document_itself() {
    for document in ["«- a»\n- b\n", "# A list.\n\n«[a, b]»\n", "---\n«policy»\n"] {
        assert_marked("policy.yaml", document, &[""]);
    }
    assert_marked("policy.json", "\n «[1,»\n 2]\n", &[""]);
}

#[test]
fn an_item_of_a_list() {
    let (first, second) = ("rollouts[0].match.hosts[1]", "rollouts[0].match.methods[0]");
    assert_in_rollout(
        &format!("  match:\n    hosts:\n    - a\n    - «A»\n    methods: [«get», POST]\n{VARIANTS}"),
        &[first, second],
    );
}

#[test]
fn a_list_below_its_key() {
    assert_in_rollout(&format!("  «match»:\n  - hosts\n{VARIANTS}"), &["rollouts[0].match"]);
    assert_in_rollout(&format!("  «match»:\n    - hosts\n{VARIANTS}"), &["rollouts[0].match"]);
}

/// The forgotten dash.
#[test]
fn a_map_below_its_key() {
    assert_in_rollout("  «variants»:\n    name: canary\n    weight: 5\n", &["rollouts[0].variants"]);
    assert_marked("policy.yaml", "«rollouts»:\n  name: checkout\n", &["rollouts"]);
}

/// The alias is marked, not what it stands for: that may be good where it is written.
#[test]
fn an_alias() {
    assert_in_rollout("  salt: &salt a\n  variants: [{name: canary, weight: «*salt»}]\n", &[WEIGHT]);
}

/// A place inside of what an alias stands for is where the alias is.
#[test]
fn a_value_inside_an_alias() {
    let second =
        "- name: search\n  match: {hosts: [search]}\n  identity: [{peer: true}]\n  variants: «»*both\n";
    assert_in_rollout(
        &format!("  variants: &both\n  - name: canary\n    weight: «105»\n{second}"),
        &[WEIGHT, "rollouts[1].variants[0].weight"],
    );
}

/// A policy that is put inside other texts.
const JSON: &str = r#"{"rollouts": [{"name": «"é"», "identity": [{"peer": true}], "variants": [{"name": "canary", "weight": «105»}]}]}"#;

/// The problems of [`JSON`], with this path before theirs.
fn paths(before: &str) -> [String; 2] {
    ["rollouts[0].name", WEIGHT].map(|path| format!("{before}{path}"))
}

#[track_caller]
fn assert_in_config_map(policy: &str) {
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: policy}}\ndata:\n  policy.json: {policy}\n"
    );
    let paths = paths("data[\"policy.json\"].");
    assert_marked("map.yaml", &map, &paths.each_ref().map(String::as_str));
}

#[test]
fn json_in_a_literal_block() {
    assert_in_config_map(&format!("|\n    {JSON}"));
    let lines = JSON.replace(", \"", ",\n\n      \"");
    assert_in_config_map(&format!("|-\n\n    {lines}"));
    assert_in_config_map(&format!("|2\n      {lines}"));
}

/// What is marked is the text of the file, with its escapes.
#[test]
fn json_in_double_quotes_on_one_line() {
    let escaped = JSON.replace('"', "\\\"");
    assert_in_config_map(&format!("\"{escaped}\""));
    assert_in_config_map(&format!("\"{}\"", escaped.replace('é', "\\u00e9").replace(", ", ",\\n\\t")));
}

#[test]
fn json_in_single_quotes_on_one_line() {
    assert_in_config_map(&format!("'{JSON}'"));
}

/// The place of a value is not known, so that it is where the whole text begins.
#[test]
fn json_in_a_folded_block() {
    let policy = JSON.replace(['«', '»'], "");
    assert_in_config_map(&format!(">\n    «»«»{policy}"));
}

#[test]
fn yaml_in_a_config_map() {
    let policy = "rollouts:\n    - name: checkout\n      identity: [{peer: true}]\n      «variants»:\n        canary: 5";
    assert_marked(
        "map.yaml",
        &format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: policy}}\ndata:\n  policy.yaml: |\n    {policy}\n"
        ),
        &["data[\"policy.yaml\"].rollouts[0].variants"],
    );
}

#[test]
fn a_list_of_resources() {
    let list = "apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: checkout}}
- apiVersion: extensions.istio.io/v1alpha1
  kind: WasmPlugin
  metadata: {name: coalmine}
  spec:
    failStrategy: FAIL_OPEN
    match: [{mode: CLIENT}]
    pluginConfig:
      rollouts:
      - «name: checkout»
        identity: [{header: x-user-id}]
";
    assert_marked("list.yaml", list, &["items[1].spec.pluginConfig.rollouts[0]"]);
}

/// Text inside of text: a policy in a ConfigMap in a `List`, all of it JSON.
#[test]
fn a_list_of_resources_in_one_line_of_json() {
    let policy = JSON.replace('"', "\\\"");
    let list = format!(
        r#"{{"apiVersion": "v1", "kind": "List", "items": [{{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {{"name": "é"}}, "data": {{"policy.json": "{policy}"}}}}]}}"#
    );
    let paths = paths("items[0].data[\"policy.json\"].");
    assert_marked("list.json", &list, &paths.each_ref().map(String::as_str));
}

#[test]
fn json_in_one_line() {
    let paths = paths("");
    assert_marked("policy.json", JSON, &paths.each_ref().map(String::as_str));
}

#[test]
fn json_in_many_lines() {
    let policy = "{\n\t«\"revison\"»: 7,\n\t\"rollouts\": [\n\t\t{\n\t\t\t\"name\": \"checkout\",\t\"identity\": [{\"peer\": true}],\n\
                  \t\t\t\"match\":\t«[»\n\t\t\t\t1\n\t\t\t],\n\t\t\t\"variants\": [{ \"name\": \"canary\", \"weight\": «\"5\"» }]\n\t\t}\n\t]\n}\n";
    assert_marked("policy.json", policy, &["revison", "rollouts[0].match", WEIGHT]);
}

/// Columns count characters: not bytes, not the columns of a terminal.
#[test]
fn characters_of_several_bytes_before_the_place() {
    assert_in_rollout(
        "  variants: [{name: «\"日本 é😀\"», weight: «105»}]  # é\n",
        &["rollouts[0].variants[0].name", WEIGHT],
    );
    assert_marked("policy.yaml", "\u{feff}# é\nrevision: «é»\n", &["revision"]);
}

#[test]
fn lines_that_end_as_on_windows() {
    let policy = rollout("  variants:\n  - name: canary\n    weight: «105»\n  «slat»: |\n    x\n")
        .replace('\n', "\r\n");
    assert_marked("policy.yaml", &policy, &[WEIGHT, "rollouts[0].slat"]);
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: policy}}\ndata:\n  policy.json: |\n    {JSON}\n"
    );
    let paths = paths("data[\"policy.json\"].");
    assert_marked("map.yaml", &map.replace('\n', "\r\n"), &paths.each_ref().map(String::as_str));
    assert_marked(
        "policy.json",
        "{\r\n  \"revision\": «\"7\"»,\r\n  «\"rollout\"»: []\r\n}\r\n",
        &["revision", "rollout"],
    );
}

#[test]
fn several_documents() {
    assert_marked(
        "policies.yaml",
        "# one\nrevision: «a»\n---\n---\nrollouts:\n- «6»\n",
        &["revision", "rollouts[0]"],
    );
}

/// Of a line that is too long to be shown, what is around the place is.
#[test]
fn a_place_in_a_long_line() {
    let pins = |letter: &str| format!("[\"{}\"]", vec![letter.repeat(90); 60].join("\", \""));
    let policy = format!(
        "{{\"rollouts\": [{{\"name\": \"checkout\", \"identity\": [{{\"peer\": true}}], \"pins\": {{\"stable\": {}, \"gold\": «[]»}}, \
         \"variants\": [{{\"name\": \"canary\", \"weight\": «105»}}], «\"slat\"»: {}}}]}}",
        pins("é"),
        pins("x")
    );
    assert_marked("policy.json", &policy, &["rollouts[0].pins.gold", WEIGHT, "rollouts[0].slat"]);
}

#[test]
fn more_than_a_hundred() {
    let policy = format!("rollouts: [{}]", vec!["0"; 130].join(", "));
    let run = Lab::new().with("policy.yaml", policy).run("validate policy.yaml");
    let last = &run.stdout[run.stdout.find("rollouts[99]").unwrap()..];
    assert!(last.contains("and 30 more problems") && last.ends_with("policy.yaml: 130 problems\n"), "{last}");
}

/// Each problem of this policy for programs: `CODE KIND LINE PATH`, and behind an arrow those that it is about besides.
fn conflicts(policy: &str) -> Vec<String> {
    let run = Lab::new().with("policy.yaml", policy).run("validate policy.yaml --format json");
    let output: serde_json::Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run}"));
    let place =
        |at: &serde_json::Value| format!("{}:{} {}", at["line"], at["column"], at["place"].as_str().unwrap());
    let problem = |problem: &serde_json::Value| {
        let related: Vec<String> =
            problem["related"].as_array().map_or(&[][..], Vec::as_slice).iter().map(place).collect();
        let text = |field: &str| problem[field].as_str().unwrap().to_owned();
        format!("{} {} {} <- {}", text("code"), text("kind"), place(problem), related.join(", "))
    };
    output["problems"].as_array().unwrap().iter().map(problem).collect()
}

/// Rollouts of these names, hosts and route headers, five lines each.
fn rollouts(rollouts: &[[&str; 3]]) -> String {
    let rollout = |[name, host, header]: &[&str; 3]| {
        format!(
            "- name: {name}\n  match: {{hosts: [{host}]}}\n  identity: [{{peer: true}}]\n  variants: [{{name: canary, weight: 5}}]\n  \
             route: {{header: {header}}}\n"
        )
    };
    format!("rollouts:\n{}", rollouts.iter().map(rollout).collect::<String>())
}

/// Every rollout of a conflict is named by its path and has its place, the one to change or to leave out first.
#[test]
fn conflicts_between_rollouts() {
    let policy = rollouts(&[
        ["a", "a", "x-a"],
        ["b", "b", "x-b"],
        ["a", "c", "x-c"],
        ["d", "d", "x-d"],
        ["e", "e", "x-e"],
    ]);
    assert_eq!(
        conflicts(&policy),
        [
            "policy conflict 12:9 rollouts[2].name <- 2:9 rollouts[0].name",
            "policy conflict 26:19 rollouts[4].route.header <- 6:19 rollouts[0].route.header, 11:19 rollouts[1].route.header, \
             16:19 rollouts[2].route.header, 21:19 rollouts[3].route.header",
        ]
    );
    let policy = policy.replace("[{peer: true}]", "[{header: x-user}, {header: x-e}]");
    assert_eq!(
        conflicts(&policy)[1],
        "policy conflict 26:19 rollouts[4].route.header <- 4:41 rollouts[0].identity[1].header"
    );
    assert_marked("policy.yaml", &rollouts(&[["a", "a", "x-a"], ["«a»", "b", "x-b"]]), &["rollouts[1].name"]);
}

/// A rollout that never matches is in force all the same, so it is a warning.
#[test]
fn a_rollout_behind_another_one_of_its_host() {
    let policy = rollouts(&[["a", "shop", "x-a"], ["b", "b", "x-b"], ["c", "shop", "x-a"]]);
    assert_eq!(conflicts(&policy), ["neverMatches conflict 12:3 rollouts[2] <- 2:3 rollouts[0]"]);
    assert_marked("policy.yaml", &policy.replace("name: c\n", "«name: c»\n"), &["rollouts[2]"]);
}
