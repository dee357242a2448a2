//! The files in `envoy/` work as they are: only ports and paths are other ones.

use coalmine_envoy_tests::{compile, user};
use coalmine_harness::{Lab, PolicyFile, get};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipped_policy_is_in_force() {
    let policy = PolicyFile::shipped_policy().unwrap();
    let compiled = compile(&policy).unwrap();
    let lab = Lab::builder().unwrap().start(&policy).await.unwrap();
    let users: Vec<String> = (0..100).map(user).collect();
    for user in &users {
        let expected = compiled.rollouts()[0].assign(Some(user.as_bytes())).variant_name().to_owned();
        let by_header = lab.ask(get("shop.example").header("x-user-id", user)).await.unwrap();
        let by_cookie = lab.ask(get("shop.example").header("cookie", format!("sid={user}"))).await.unwrap();
        assert_eq!([by_header.variant(), by_cookie.variant()], [Some(expected.as_str()); 2], "{user}");
    }
    let entries = lab.logged_requests(2 * users.len()).await.unwrap();
    assert!(entries.iter().all(|entry| entry.rollout.as_deref() == Some("checkout")));
}
