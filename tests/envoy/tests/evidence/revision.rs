//! Which policy is in force, as the gauge of its revision tells it.

use std::sync::Arc;

use coalmine_core::Reason;
use coalmine_envoy_tests::USER;
use coalmine_harness::{Connection, Metrics, Protocol, get};
use http_body_util::Empty;

use super::service::{Meetings, NUMBER};
use super::{HOST, go_on, policy, start};

const REVISION: &str = "coalmine_policy_revision";

/// The policy in which the rollout has changed.
fn changed(revision: u64) -> String {
    policy(revision).replace("\"since\":1", &format!("\"since\":{revision}"))
}

fn is(revision: f64) -> impl Fn(&Metrics) {
    move |metrics| assert_eq!(metrics.sum(REVISION, &[]), Some(revision))
}

/// The context of an older policy goes on beside the new one for as long as it has a request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_refused_policy_nor_an_old_one_shows_its_revision() {
    let meetings = Arc::new(Meetings::default());
    let (lab, _refused) = start(&policy(3), &meetings).await;
    let metrics = lab.envoy().metrics().await.unwrap();
    is(3.0)(&metrics);
    assert_eq!(metrics.sum("coalmine_all_total", &[]), Some(0.0), "there before the first request");
    assert_eq!(metrics.labels("coalmine_build_info"), ["node", "version"]);
    assert_eq!(metrics.sum("coalmine_build_info", &[("node", "coalmine-example")]), Some(1.0));

    let meeting = meetings.arrange(1);
    let mut connection = Connection::open(lab.address(), Protocol::Http1).await.unwrap();
    let request = get(HOST).uri(format!("http://{HOST}/hang")).header(USER, "alice").header(NUMBER, 1);
    let open = tokio::spawn(async move { connection.begin(request.body(Empty::new()).unwrap()).await });
    meeting.arrived.notified().await;

    lab.accept_policy(&changed(4)).await.unwrap();
    go_on(&lab, is(4.0)).await;
    lab.refuse_policy(&changed(5).replace("30.0", "300.0")).await.unwrap();
    let metrics = go_on(&lab, is(4.0)).await;
    assert_eq!(metrics.sum("coalmine_late_total", &[]), None, "the request is still open");

    // The client leaves; the request began before the rollout's change.
    open.abort();
    let late = |metrics: &Metrics| metrics.sum("coalmine_late_total", &[]) == Some(1.0);
    lab.metrics_when("the late request", late).await.unwrap();
    let metrics = go_on(&lab, is(4.0)).await;
    let reason = [("reason", Reason::Bucket.as_str())];
    assert_eq!(metrics.sum("coalmine_requests_total", &reason), Some(1.0));
    assert_eq!(metrics.sum("coalmine_all_total", &[]), Some(0.0), "evidence for neither side");
}
