//! The files in `envoy/` work as they are: only ports and paths are other ones.

use std::time::Duration;

use coalmine_envoy_tests::{compile, user};
use coalmine_harness::{Lab, PolicyFile, get, tools};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipped_policy_is_in_force() {
    let policy = PolicyFile::shipped_policy().unwrap();
    let compiled = compile(&policy).unwrap();
    let lab = Lab::builder().unwrap().start(&policy).await.unwrap();
    let users: Vec<String> = (0..100).map(user).collect();
    for user in &users {
        let expected =
            compiled.rollouts()[0].assign(Some(user.as_bytes()), Duration::ZERO).variant_name().to_owned();
        let by_header = lab.ask(get("shop.example").header("x-user-id", user)).await.unwrap();
        let by_cookie = lab.ask(get("shop.example").header("cookie", format!("sid={user}"))).await.unwrap();
        assert_eq!([by_header.variant(), by_cookie.variant()], [Some(expected.as_str()); 2], "{user}");
    }
    let entries = lab.logged_requests(2 * users.len()).await.unwrap();
    assert!(entries.iter().all(|entry| entry.rollout.as_deref() == Some("checkout")));
}

/// Does what the README tells its reader to do, and sees what it says that the reader sees.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readme_tells_the_truth() {
    let readme = std::fs::read_to_string(tools::root().join("envoy/README.md")).unwrap();
    let mut policy = PolicyFile::shipped_policy().unwrap();
    let lab = Lab::builder().unwrap().start(&policy).await.unwrap();
    let (mut asked, mut changed) = (0, 0);
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("$ curl") && line.ends_with("http://127.0.0.1:10000/") {
            let headers = quoted(line, "-H '").map(|header| header.split_once(": ").unwrap());
            let request =
                headers.fold(get("127.0.0.1:10000"), |request, (name, value)| request.header(name, value));
            assert_eq!(lab.ask(request).await.unwrap().variant(), lines.next(), "{line}");
            asked += 1;
        } else if line.starts_with("$ sed ") {
            for replacement in quoted(line, "-e 's/") {
                let (old, new) = replacement.trim_end_matches('/').split_once('/').unwrap();
                policy = policy.replace(old, new);
            }
        } else if line.starts_with("$ mv ") {
            lab.accept_policy(&policy).await.unwrap();
            changed += 1;
        }
    }
    assert_eq!((asked, changed), (9, 1), "commands found in the README");
}

/// What stands in single quotes behind this.
fn quoted<'t>(line: &'t str, before: &'t str) -> impl Iterator<Item = &'t str> {
    line.split(before).skip(1).map(|rest| rest.split('\'').next().unwrap())
}
