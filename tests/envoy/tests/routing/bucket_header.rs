//! The weights stay in Envoy's route, and change there; the filter says where in them a user stands.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coalmine_core::Edit;
use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use coalmine_envoy_tests::alive::decided;
use coalmine_envoy_tests::{USER, compile, token, user, visit};
use coalmine_harness::raw::RawRequest;
use coalmine_harness::{Lab, LabBuilder, PolicyFile, get, load, tools, wait};
use tempfile::TempDir;

use super::HOST;

const EXAMPLE: &str = "envoy/bucket-header";
const USERS: usize = 2000;
const WEIGHTS: [u32; 6] = [5, 25, 50, 100, 5, 0];

/// Where the canary is in the route's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Canary {
    First,
    Last,
}

/// The file of routes, with a weight of the canary that changes.
struct Routes {
    folder: TempDir,
    text: String,
    canary: Canary,
}

// === impl Canary ===

impl Canary {
    const BOTH: [Self; 2] = [Self::First, Self::Last];

    /// The policy of the example for this order, with these fields besides.
    fn policy(self, fields: &str) -> String {
        let document = PolicyFile::policy_of(EXAMPLE).unwrap();
        assert!(document.contains(r#""total": 100"#) && document.contains(r#""salt": "checkout-1","#));
        let document =
            document.replace(r#""salt": "checkout-1","#, &format!(r#""salt": "checkout-1", {fields}"#));
        match self {
            Self::First => document,
            Self::Last => document.replace(r#""total": 100"#, r#""total": 100, "canary": "last""#),
        }
    }

    /// Where the route's weights send this bucket.
    fn expected(self, bucket: u32, weight: u32) -> &'static str {
        let is_canary = match self {
            Self::First => bucket < weight,
            Self::Last => bucket >= 100 - weight,
        };
        if is_canary { "canary" } else { "stable" }
    }
}

// === impl Routes ===

impl Routes {
    fn new(canary: Canary) -> Self {
        let text = std::fs::read_to_string(tools::root().join(EXAMPLE).join("routes.yaml")).unwrap();
        let routes = Self { folder: tempfile::tempdir().unwrap(), text, canary };
        routes.weigh(5);
        routes
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("routes.yaml")
    }

    fn weigh(&self, canary: u32) {
        let [first, last] = ["- {name: canary, weight: 5}", "- {name: stable, weight: 95}"];
        assert!(self.text.contains(first) && self.text.contains(last));
        let canary_line = format!("- {{name: canary, weight: {canary}}}");
        let stable_line = format!("- {{name: stable, weight: {}}}", 100 - canary);
        let (new_first, new_last) = match self.canary {
            Canary::First => (canary_line, stable_line),
            Canary::Last => (stable_line, canary_line),
        };
        let text = self.text.replace(last, "- LAST").replace(first, &new_first).replace("- LAST", &new_last);
        let next = self.folder.path().join("next.yaml");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(&next, self.path()).unwrap();
    }

    /// Sets a weight and waits until this user's variant says that it is in force.
    async fn weigh_and_see(&self, lab: &Lab, canary: u32, user: &str, variant: &str) {
        self.weigh(canary);
        wait::until("the new weights", || async {
            let answer = lab.ask(get(HOST).header(USER, user)).await.ok()?;
            (answer.variant() == Some(variant)).then_some(())
        })
        .await
        .unwrap();
    }

    fn lab(&self) -> LabBuilder {
        let shipped = "envoy/bucket-header/routes.yaml, watched_directory: {path: envoy/bucket-header}";
        let (path, folder) = (self.path(), self.folder.path());
        let routes = format!("{}, watched_directory: {{path: {}}}", path.display(), folder.display());
        let lab = Lab::example(EXAMPLE).unwrap();
        lab.edit(|bootstrap| bootstrap.replace(shipped, &routes)).unwrap()
    }
}

/// What core writes into the header for this user.
fn bucket(policy: &Policy, user: &str) -> u32 {
    let request = StaticRequest::new("GET", HOST, "/").with_header(USER, user);
    let outcome = policy.decide(&request, Duration::ZERO);
    let [Edit::Set("x-coalmine-bucket", value)] = outcome.edits.as_slice() else { panic!("{outcome:?}") };
    std::str::from_utf8(value).unwrap().parse().unwrap()
}

async fn variants(lab: &Lab) -> Vec<&'static str> {
    let variant = |_, answer: coalmine_harness::Answer| answer.variant();
    let request = |index| visit(HOST, &user(index));
    let answers = load::send_all(lab.address(), 8, USERS, request, variant).await.unwrap();
    answers.into_iter().collect::<Option<_>>().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_sticky_and_monotone_where_core_says() {
    for canary in Canary::BOTH {
        let document = canary.policy("");
        let policy = compile(&document).unwrap();
        let buckets: Vec<u32> = (0..USERS).map(|index| bucket(&policy, &user(index))).collect();
        let routes = Routes::new(canary);
        let mut lab = routes.lab().without_access_log().start(&document).await.unwrap();
        let mut before: Option<(u32, BTreeSet<usize>)> = None;
        for weight in WEIGHTS {
            // Somebody whom the change moves.
            let last = before.as_ref().map_or(0, |(last, _)| *last);
            let of = |index: usize, weight| canary.expected(buckets[index], weight);
            let witness = (0..USERS).find(|&index| of(index, last) != of(index, weight)).unwrap();
            routes.weigh_and_see(&lab, weight, &user(witness), of(witness, weight)).await;
            let found = variants(&lab).await;
            for (index, variant) in found.iter().enumerate() {
                assert_eq!(*variant, of(index, weight), "{} at {weight}, canary {canary:?}", user(index));
            }
            assert_eq!(variants(&lab).await, found, "everybody keeps the variant");
            let canaries: BTreeSet<usize> = (0..USERS).filter(|&index| found[index] == "canary").collect();
            println!("{weight} of 100: {} of {USERS} users in the canary", canaries.len());
            if let Some((last, before)) = &before {
                let (fewer, more) = if *last < weight { (before, &canaries) } else { (&canaries, before) };
                assert!(fewer.is_subset(more), "only those move who must, from {last} to {weight}");
            }
            before = Some((weight, canaries));
        }
        routes.weigh(25);
        lab.restart(2).await.unwrap();
        let again = variants(&lab).await;
        assert!(
            (0..USERS).all(|index| again[index] == canary.expected(buckets[index], 25)),
            "after a restart"
        );
    }
}

const PINS: &str = r#""pins": {"canary": ["pinned-to-canary"], "stable": ["pinned-to-stable"]},"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_can_forge_and_nobody_is_drawn_without_a_name() {
    for canary in Canary::BOTH {
        let policy = compile(&canary.policy("")).unwrap();
        let routes = Routes::new(canary);
        let lab = routes.lab().start(&canary.policy(PINS)).await.unwrap();
        let of = |variant| {
            (0..).map(user).find(|user| canary.expected(bucket(&policy, user), 5) == variant).unwrap()
        };
        let users = [
            (Some(of("canary")), "canary"),
            (Some(of("stable")), "stable"),
            (Some("pinned-to-canary".to_owned()), "canary"),
            (Some("pinned-to-stable".to_owned()), "stable"),
            (None, "stable"),
            (Some(String::new()), "stable"),
        ];
        let forgeries: [&[&str]; 7] = [&[], &["0"], &["99"], &["x"], &[""], &["0", "0"], &["4294967296"]];
        for (user, variant) in &users {
            for forgery in forgeries {
                let mut request = RawRequest::get(HOST, "/");
                if let Some(user) = user {
                    request = request.header(USER, user);
                }
                let request =
                    forgery.iter().fold(request, |request, value| request.header("X-Coalmine-Bucket", value));
                let answer = request.send(lab.address()).await.unwrap();
                assert_eq!(
                    (answer.status, answer.body.trim_end()),
                    (200, *variant),
                    "{forgery:?} of {user:?}"
                );
            }
        }
        let metrics = decided(&lab, users.len() * forgeries.len()).await.unwrap();
        let counted = |variant, reason| {
            let labels = [("rollout", "checkout"), ("variant", variant), ("reason", reason)];
            metrics.sum("coalmine_requests_total", &labels).unwrap_or_default() / forgeries.len() as f64
        };
        assert_eq!(counted("route", "bucket"), 2.0, "the filter does not know the weights");
        assert_eq!((counted("route", "pinned"), counted("stable", "pinned")), (1.0, 1.0));
        assert_eq!(counted("stable", "noIdentity"), 2.0);
    }
}

/// What is stable without a draw reaches stable also where the route has nothing left for it, and in every order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stable_is_stable_at_every_weight() {
    const SECRET: &str = "a-secret-of-the-tests-0123456789abcdef";
    let override_ = format!(r#""override": {{"header": "x-over", "secret": "{SECRET}"}}, {PINS}"#);
    let token = |variant| token(SECRET, "checkout", variant, 600).unwrap();
    for canary in Canary::BOTH {
        let policy = compile(&canary.policy("")).unwrap();
        let routes = Routes::new(canary);
        let lab = routes.lab().start(&canary.policy(&override_)).await.unwrap();
        let middle = (0..).map(user).find(|user| (40..60).contains(&bucket(&policy, user))).unwrap();
        let variant_of = async |headers: &[(&str, &str)]| {
            let request =
                headers.iter().fold(get(HOST), |request, (name, value)| request.header(*name, *value));
            lab.ask(request).await.unwrap().variant()
        };
        for (weight, drawn, forced) in
            [(0, "stable", "stable"), (100, "canary", "canary"), (5, "stable", "canary")]
        {
            routes.weigh_and_see(&lab, weight, &middle, drawn).await;
            // At 5 the witness is as at 0: what a pin to the canary gets tells them apart.
            routes.weigh_and_see(&lab, weight, "pinned-to-canary", forced).await;
            assert_eq!(variant_of(&[]).await, Some("stable"), "{canary:?} at {weight}");
            assert_eq!(variant_of(&[(USER, "pinned-to-stable")]).await, Some("stable"));
            let to_stable = [(USER, "pinned-to-canary"), ("x-over", &token("stable"))];
            assert_eq!(variant_of(&to_stable).await, Some("stable"), "{canary:?} at {weight}");
            let to_canary = [(USER, "pinned-to-stable"), ("x-over", &token("canary"))];
            assert_eq!(variant_of(&to_canary).await, Some(forced), "{canary:?} at {weight}");
        }
        let killed = canary.policy(&format!(r#""enabled": false, {override_}"#));
        lab.accept_policy(&killed).await.unwrap();
        for weight in [5, 100] {
            routes.weigh(weight);
            for headers in
                [&[(USER, &*middle)][..], &[(USER, "pinned-to-canary")], &[("x-over", &token("canary"))]]
            {
                assert_eq!(variant_of(headers).await, Some("stable"), "switched off, {canary:?} at {weight}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_filter_everybody_gets_stable() {
    let document = PolicyFile::policy_of(EXAMPLE).unwrap();
    let routes = Routes::new(Canary::First);
    routes.weigh(50);
    let lab = routes.lab().module(Path::new("no/such/module.wasm")).start(&document).await.unwrap();
    for index in 0..40 {
        let request = get(HOST).header(USER, user(index)).header("x-coalmine-bucket", "0");
        assert_eq!(lab.ask(request).await.unwrap().variant(), Some("stable"));
    }
}
