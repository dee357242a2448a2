//! Routes against policies: what is shipped, what Istio's documentation shows, and mistakes. Each file has a policy and
//! the routes beside it.

use std::path::PathBuf;

use crate::harness::{Lab, shipped};

/// What `validate` finds: severity, code and place.
pub(crate) fn found(files: &[PathBuf]) -> Vec<String> {
    let mut arguments = vec!["validate".to_owned(), "--format".to_owned(), "json".to_owned()];
    arguments.extend(files.iter().map(|file| file.display().to_string()));
    let run = Lab::new().run_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), b"");
    let output: serde_json::Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run}"));
    let text = |problem: &serde_json::Value, field: &str| problem[field].as_str().unwrap().to_owned();
    let problems = output["problems"].as_array().unwrap().iter();
    problems
        .map(|problem| ["severity", "code", "place"].map(|field| text(problem, field)).join(" "))
        .collect()
}

/// The files in `routes/` and what is to be found in them. Istio's examples are those of its documentation, with a
/// policy for the service.
const FILES: &[(&str, &[&str])] = &[
    ("istio-all-v1", &["error notObeyed spec.http"]),
    ("istio-weights", &["error notObeyed spec.http"]),
    ("istio-weights-any-host", &["error notObeyed spec.http"]),
    ("istio-end-user", &["error notObeyed spec.http"]),
    ("istio-end-user-and-ours", &["warning notDrawn spec.http[1].match[0]"]),
    ("istio-cookie", &[]),
    ("istio-other-service", &[]),
    ("istio-gateway", &[]),
    ("istio-source-labels", &[]),
    ("istio-mirror-fault", &[]),
    ("flagger-a-b", &[]),
    ("without-headers", &[]),
    ("present", &[]),
    ("uri-too", &[]),
    ("two-destination-rules", &[]),
    ("unknown-regex", &[]),
    ("baseline-on-the-old-version", &[]),
    ("exempt-path", &[]),
    ("two-rollouts-one-host", &[]),
    ("gateway-in-front", &[]),
    ("switched-off", &[]),
    ("rewrite", &[]),
    ("delegate", &[]),
    ("tcp", &[]),
    ("outside-the-match", &[]),
    ("bucket", &[]),
    ("bucket-stable-first", &[]),
    ("bucket-present", &[]),
    ("bucket-no-default", &["error defaultNotStable spec.http"]),
    ("bucket-no-match", &["error notObeyed spec.http"]),
    ("bucket-pins", &[]),
    ("bucket-pins-canary-last", &["error bucketWeights spec.http[0].route[1].destination"]),
    ("bucket-sum", &["error bucketWeights spec.http[0].route"]),
    ("kept", &["warning headerKept spec.http[0].route"]),
    ("alternatives", &["error matchAlternatives spec.http[0].match[1]"]),
    ("default-first", &["error routeShadowed spec.http[1].route"]),
    ("swallowed", &["error routeShadowed spec.http[1].route"]),
    ("mistyped-value", &["error noVariant spec.http[0].match[0].headers.x-coalmine-variant"]),
    ("value-stable", &["warning noVariant spec.http[1].match[0].headers.x-coalmine-variant"]),
    ("no-route-for-baseline", &["error variantNotTaken spec.http"]),
    ("swapped", &["error wrongVariant spec.http[0].route"]),
    ("no-default", &["error defaultNotStable spec.http"]),
    ("default-canary", &["error defaultNotStable spec.http[1].route"]),
    ("default-other-path", &["error defaultNotStable spec.http"]),
    ("default-split", &["warning defaultNotStable spec.http[1].route"]),
    ("default-split-canary", &["error defaultNotStable spec.http[1].route"]),
    ("path-to-canary", &["error defaultNotStable spec.http[0].route"]),
    ("other-header", &["error headerDiffers spec.http[0].match[0].headers.x-version"]),
    ("missing-subset", &["error missingSubset spec.http[0].route[0].destination"]),
    ("gateway-by-short-name", &[]),
    ("host-that-is-no-service", &[]),
    ("host-of-every-service", &[]),
    ("one-destination-by-two-names", &["error defaultNotStable spec.http[1].route"]),
    ("host-as-a-header", &[]),
    ("claims-and-path-first", &[]),
    ("delegate-first", &[]),
    ("set-again", &["warning headerKept spec.http[0].route"]),
    ("removed-where-the-weight-is", &[]),
    ("aborted", &[]),
    ("filter-of-the-other-door", &["error notObeyed spec.http"]),
    ("filter-of-another-host", &["error notObeyed spec.http"]),
    ("filter-named-by-match", &[]),
    ("filter-to-a-missing-subset", &["error missingSubset spec.configPatches[1].patch.value.route.cluster"]),
    ("filter-that-misses-the-name", &["error notObeyed spec.http"]),
    ("filter-before-a-left-out-default", &["error defaultNotStable spec.http"]),
    ("filter-that-removes", &["warning notObeyed spec.http"]),
    ("filter-that-inserts-before-a-route", &["error routeShadowed spec.http[1].route"]),
    ("destination-rule-of-no-service", &["error missingSubset spec.http[0].route[0].destination"]),
    ("destination-rule-of-many", &["error missingSubset spec.http[0].route[0].destination"]),
    ("destination-rule-of-many-and-one", &[]),
    (
        "refused",
        &[
            "error istioRefuses spec.http[0].match[0].uri.regex",
            "error istioRefuses spec.http[1].match[0].headers.x-region.regex",
            "error istioRefuses spec.http[3].match[0].withoutHeaders.x-region.regex",
            "error istioRefuses spec.http[4].match[0].queryParams.q.regex",
            "error istioRefuses spec.http[5].match[0].headers.x-region.prefix",
            "error istioRefuses spec.http[0]",
            "error istioRefuses spec.http[1].redirect",
            "error istioRefuses spec.http[2].rewrite",
            "error istioRefuses spec.http[2].directResponse.status",
            "error istioRefuses spec.http[3].route",
            "error istioRefuses spec.http[0].route",
            "error istioRefuses spec.http[1].route[0].destination.subset",
            "error istioRefuses spec.http[2].route[0]",
            "error istioRefuses spec.hosts[1]",
            "error istioRefuses spec.hosts[2]",
            "error istioRefuses spec.http[0].match[0].headers[\"@request.auth.claims.group\"]",
            "error istioRefuses spec",
        ],
    ),
    (
        "two-plugins-disagree",
        &[
            "warning policiesDiffer spec.pluginConfig.rollouts[0].salt",
            "warning policiesDiffer spec.pluginConfig.revision",
        ],
    ),
    ("two-plugins-agree", &[]),
    ("environment-not-given", &["error envNotGiven spec.pluginConfig.rollouts[0].key.env"]),
    ("environment-given", &[]),
    (
        "environment-not-given-by-envoy",
        &["error envNotGiven typed_config.config.configuration.value.rollouts[0].override.secret[1].env"],
    ),
];

#[test]
fn every_file_has_what_is_to_be_found() {
    let folder = shipped("crates/coalmine/tests/command/routes");
    let mut named: Vec<String> = FILES.iter().map(|(name, _)| format!("{name}.yaml")).collect();
    let there =
        std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut there: Vec<String> = there.collect();
    named.sort();
    there.sort();
    assert_eq!(there, named);
    for (name, expected) in FILES {
        assert_eq!(found(&[folder.join(format!("{name}.yaml"))]), *expected, "{name}");
    }
}

/// What is shipped for Envoy: every folder by itself.
#[test]
fn nothing_is_found_in_what_is_shipped_for_envoy() {
    let folder = shipped("envoy");
    let folders = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut checked = 0;
    for folder in folders.filter(|path| path.is_dir()).chain([folder.clone()]) {
        let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        // Compose's file is for Compose alone.
        let is_ours = |path: &PathBuf| {
            path.extension().is_some_and(|end| end == "yaml") && !path.ends_with("docker-compose.yaml")
        };
        let files: Vec<PathBuf> = files.filter(is_ours).collect();
        assert_eq!(found(&files), [] as [String; 0], "{}", folder.display());
        checked += 1;
    }
    assert!(checked > 5, "{checked}");
}

/// What is shipped for Istio, put together as kustomize does it: every way to choose, every kind of plugin.
#[test]
fn nothing_is_found_in_what_is_shipped_for_istio() {
    let read = |path: &str| std::fs::read_to_string(shipped(path)).unwrap();
    let policy = read("istio/demo/policy.yaml");
    let spec: String = policy.split("\nspec:\n").nth(1).unwrap().to_owned();
    let by_bucket = |spec: &str| {
        let before = spec.split("    variants:\n").next().unwrap();
        format!("{before}    route: {{bucketHeader: {{name: x-coalmine-bucket, total: 100}}}}\n")
    };
    let app: String = ["stable", "canary"]
        .iter()
        .map(|version| {
            read("istio/app/workload/deployment.yaml").replace(
                "        app: checkout\n    spec:",
                &format!("        app: checkout\n        version: {version}\n    spec:"),
            ) + "---\n"
        })
        .collect();
    let around =
        ["istio/gateway/deployment.yaml", "istio/gateway/gateway.yaml", "istio/gateway/early-removal.yaml"];
    let all = |paths: &[&str]| paths.iter().map(|path| read(path) + "---\n").collect::<String>();
    let around = all(&around);
    // They put the match and the route to stable around the weighted route.
    let by_bucket_around = all(&["istio/bucket-header/gateway.yaml", "istio/bucket-header/sidecar.yaml"]);
    for kind in ["wasmplugin", "trafficextension"] {
        for (routes, spec, filters) in [
            ("istio/routes/virtualservice.yaml", spec.clone(), ""),
            ("istio/bucket-header/virtualservice.yaml", by_bucket(&spec), &*by_bucket_around),
        ] {
            for places in [&["gateway", "sidecar"][..], &["sidecar"], &["waypoint"]] {
                let mut text = format!(
                    "{app}{around}{filters}{}---\n{}---\n",
                    read(routes),
                    read("istio/routes/destinationrule.yaml")
                );
                for place in places {
                    let plugin = read(&format!("istio/plugin/{kind}/{place}/{kind}.yaml"));
                    let (before, _) = plugin.split_once("pluginConfig: {}").unwrap();
                    let indent = if kind == "wasmplugin" { "    " } else { "      " };
                    let inner: String = spec.lines().map(|line| format!("{indent}{line}\n")).collect();
                    text += &format!("{before}pluginConfig:\n{inner}---\n");
                }
                let lab = Lab::new().with("all.yaml", &text);
                assert_eq!(
                    found(&[lab.path().join("all.yaml")]),
                    [] as [String; 0],
                    "{kind} {routes} {places:?}"
                );
            }
        }
    }
}

/// Stable and canary in either order, unless something says where the canary stands.
#[test]
fn a_bucket_header_of_envoy_with_stable_first() {
    let read = |name: &str| std::fs::read_to_string(shipped(&format!("envoy/bucket-header/{name}"))).unwrap();
    let (canary, stable) =
        ("          - {name: canary, weight: 5}\n", "          - {name: stable, weight: 95}\n");
    let routes = read("routes.yaml").replace(&format!("{canary}{stable}"), &format!("{stable}{canary}"));
    let policy = read("coalmine.yaml");
    let pinned = policy.replace(r#""salt""#, r#""pins": {"canary": ["alice"]}, "salt""#);
    let place = "resources[0].virtual_hosts[0].routes[0].route.weighted_clusters.clusters[1].name";
    for (policy, expected) in [(policy, vec![]), (pinned, vec![format!("error bucketWeights {place}")])] {
        let lab = Lab::new().with("coalmine.yaml", policy).with("routes.yaml", &routes);
        assert_eq!(found(&["coalmine.yaml", "routes.yaml"].map(|name| lab.path().join(name))), expected);
    }
}

/// A VirtualService of the one kind is no VirtualService for the other kind of policy.
#[test]
fn the_shipped_routes_with_the_other_policy() {
    let text = |routes: &str, policy: &str| {
        std::fs::read_to_string(shipped(policy)).unwrap()
            + "---\n"
            + &std::fs::read_to_string(shipped(routes)).unwrap()
    };
    let lab = Lab::new()
        .with("all.yaml", text("istio/bucket-header/virtualservice.yaml", "istio/demo/policy.yaml"));
    assert_eq!(found(&[lab.path().join("all.yaml")]), ["error notObeyed spec.http"]);
}

/// Without the EnvoyFilters nothing takes the header into account, and with them in one half there is no route to stable.
#[test]
fn a_bucket_header_without_its_envoy_filters() {
    let read = |path: &str| std::fs::read_to_string(shipped(path)).unwrap() + "---\n";
    let policy = "apiVersion: coalmine.dev/v1\nkind: Policy\nmetadata: {name: p}\nspec:\n  rollouts:\n  - name: checkout\n    match: {hosts: [checkout.shop.svc.cluster.local]}\n    identity: [{header: x-user-id}]\n    route: {bucketHeader: {name: x-coalmine-bucket, total: 100, canary: last}}\n---\n";
    let routes = read("istio/bucket-header/virtualservice.yaml");
    let filters = read("istio/bucket-header/sidecar.yaml");
    let (merge_alone, _) = filters.split_once("  # Behind it, as the last route").unwrap();
    for (filters, expected) in [
        ("", vec!["error notObeyed spec.http".to_owned()]),
        (merge_alone, vec!["error defaultNotStable spec.http".to_owned()]),
        (&filters, vec![]),
    ] {
        let lab = Lab::new().with("all.yaml", format!("{policy}{routes}{filters}"));
        assert_eq!(found(&[lab.path().join("all.yaml")]), expected, "{filters}");
    }
}
