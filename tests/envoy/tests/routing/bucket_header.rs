//! The weights stay in Envoy's route, and change there; the filter says where in them a user stands.

use std::time::Duration;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use coalmine_core::Edit;
use coalmine_core::policy::Policy;
use coalmine_core::request::StaticRequest;
use coalmine_envoy_tests::alive::decided;
use coalmine_envoy_tests::{USER, compile, user, visit};
use coalmine_harness::raw::RawRequest;
use coalmine_harness::{Lab, LabBuilder, PolicyFile, get, load, tools, wait};
use tempfile::TempDir;

use super::HOST;

const EXAMPLE: &str = "envoy/bucket-header";
const USERS: usize = 2000;
const WEIGHTS: [u32; 6] = [5, 25, 50, 100, 5, 0];

/// The file of routes, with a weight of the canary that changes.
struct Routes {
    folder: TempDir,
    text: String,
}

// === impl Routes ===

impl Routes {
    fn new() -> Self {
        let text = std::fs::read_to_string(tools::root().join(EXAMPLE).join("routes.yaml")).unwrap();
        assert!(text.contains("weight: 5}") && text.contains("weight: 95}"));
        let routes = Self { folder: tempfile::tempdir().unwrap(), text };
        routes.weigh(5);
        routes
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("routes.yaml")
    }

    fn weigh(&self, canary: u32) {
        let text = self.text.replace("weight: 95}", &format!("weight: {}}}", 100 - canary));
        let text = text.replace("weight: 5}", &format!("weight: {canary}}}"));
        let next = self.folder.path().join("next.yaml");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(&next, self.path()).unwrap();
    }

    fn lab(&self) -> LabBuilder {
        let path = self.path().display().to_string();
        let lab = Lab::example(EXAMPLE).unwrap();
        lab.edit(|bootstrap| bootstrap.replace("envoy/bucket-header/routes.yaml", &path)).unwrap()
    }
}

/// What core writes into the header for this user.
fn bucket(policy: &Policy, user: &str) -> u32 {
    let request = StaticRequest::new("GET", HOST, "/").with_header(USER, user);
    let outcome = policy.decide(&request, Duration::ZERO);
    let [Edit::Set("x-coalmine-bucket", value)] = outcome.edits.as_slice() else { panic!("{outcome:?}") };
    std::str::from_utf8(value).unwrap().parse().unwrap()
}

/// Where the route's weights send this bucket: the canary is first.
fn expected(bucket: u32, weight: u32) -> &'static str {
    if bucket < weight { "canary" } else { "stable" }
}

async fn variants(lab: &Lab) -> Vec<&'static str> {
    let variant = |_, answer: coalmine_harness::Answer| answer.variant();
    let request = |index| visit(HOST, &user(index));
    let answers = load::send_all(lab.address(), 8, USERS, request, variant).await.unwrap();
    answers.into_iter().collect::<Option<_>>().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_sticky_and_monotone_where_core_says() {
    let document = PolicyFile::policy_of(EXAMPLE).unwrap();
    let policy = compile(&document).unwrap();
    let buckets: Vec<u32> = (0..USERS).map(|index| bucket(&policy, &user(index))).collect();
    let routes = Routes::new();
    let mut lab = routes.lab().without_access_log().start(&document).await.unwrap();
    let mut before: Option<(u32, BTreeSet<usize>)> = None;
    for weight in WEIGHTS {
        routes.weigh(weight);
        if let Some((last, _)) = before {
            // Somebody whom the change moves.
            let between = last.min(weight)..last.max(weight);
            let witness = (0..USERS).find(|&index| between.contains(&buckets[index])).unwrap();
            wait::until("the new weights", || async {
                let answer = lab.ask(get(HOST).header(USER, user(witness))).await.ok()?;
                (answer.variant() == Some(expected(buckets[witness], weight))).then_some(())
            })
            .await
            .unwrap();
        }
        let found = variants(&lab).await;
        for (index, variant) in found.iter().enumerate() {
            assert_eq!(*variant, expected(buckets[index], weight), "{} at {weight}", user(index));
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
    assert!((0..USERS).all(|index| again[index] == expected(buckets[index], 25)), "after a restart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_can_forge_and_nobody_is_drawn_without_a_name() {
    let document = PolicyFile::policy_of(EXAMPLE).unwrap();
    let pinned = document.replace(
        r#""salt": "checkout-1","#,
        r#""salt": "checkout-1", "pins": {"canary": ["pinned-to-canary"], "stable": ["pinned-to-stable"]},"#,
    );
    let policy = compile(&pinned).unwrap();
    let routes = Routes::new();
    let lab = routes.lab().start(&pinned).await.unwrap();
    let of = |variant| (0..).map(user).find(|user| expected(bucket(&policy, user), 5) == variant).unwrap();
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
            assert_eq!((answer.status, answer.body.trim_end()), (200, *variant), "{forgery:?} of {user:?}");
        }
    }
    let metrics = decided(&lab, users.len() * forgeries.len()).await.unwrap();
    let labels = [("rollout", "checkout"), ("variant", "route"), ("reason", "bucket")];
    let counted = metrics.sum("coalmine_requests_total", &labels);
    assert_eq!(counted, Some(2.0 * forgeries.len() as f64), "the filter does not know the weights");

    let killed = pinned.replace(r#""name": "checkout","#, r#""name": "checkout", "enabled": false,"#);
    lab.accept_policy(&killed).await.unwrap();
    let answer = lab.ask(get(HOST).header(USER, "pinned-to-canary")).await.unwrap();
    assert_eq!(answer.variant(), Some("stable"), "the kill switch");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_filter_everybody_gets_stable() {
    let document = PolicyFile::policy_of(EXAMPLE).unwrap();
    let routes = Routes::new();
    routes.weigh(50);
    let lab = routes.lab().module(Path::new("no/such/module.wasm")).start(&document).await.unwrap();
    for index in 0..40 {
        let request = get(HOST).header(USER, user(index)).header("x-coalmine-bucket", "0");
        assert_eq!(lab.ask(request).await.unwrap().variant(), Some("stable"));
    }
}
