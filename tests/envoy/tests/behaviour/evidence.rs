//! What the filter counts of responses is what happened, to the last one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use coalmine_envoy_tests::{USER, rollout, together, user};
use coalmine_harness::{Bootstrap, Lab, Metrics};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

const HOST: &str = "evidence.test";
/// How many requests of each kind are sent, each by another user.
const EACH: usize = 20;
const RESPONSES: &str = "coalmine_responses_total";

/// What the service makes of a request, by its path, and the class that its response counts as. `leaves` marks those
/// that the client does not wait for.
struct Kind {
    path: &'static str,
    class: &'static str,
    leaves: bool,
    /// Whether it is slower than the threshold.
    is_slow: bool,
}

const fn kind(path: &'static str, class: &'static str) -> Kind {
    Kind { path, class, leaves: false, is_slow: false }
}

const KINDS: [Kind; 13] = [
    kind("/status/200", "2xx"),
    kind("/status/204", "2xx"),
    kind("/status/302", "3xx"),
    kind("/status/404", "4xx"),
    kind("/status/500", "5xx"),
    // Envoy answers in the service's place: 503, 503 and 504.
    kind("/cut", "5xx"),
    kind("/reset", "5xx"),
    Kind { path: "/timeout", class: "5xx", leaves: false, is_slow: true },
    kind("/cut-body", "broken"),
    Kind { path: "/hang", class: "gone", leaves: true, is_slow: false },
    Kind { path: "/hang-body", class: "gone", leaves: true, is_slow: false },
    Kind { path: "/slow", class: "2xx", leaves: false, is_slow: true },
    // Envoy follows it: the user has asked once.
    kind("/redirect", "2xx"),
];

fn policy() -> String {
    let mut observed = rollout("evidence", HOST, 50.0);
    observed["observe"] = json!(true);
    json!({"revision": 3, "rollouts": [observed],
        "observe": {"responses": true, "slow": ["250ms", {"at": "30s", "groups": true}]}})
    .to_string()
}

/// A service of which every answer goes as the path says. A request that is never answered adds a permit.
async fn service(hanging: Arc<Semaphore>) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, Arc::clone(&hanging)));
        }
    });
    address
}

async fn serve(mut socket: TcpStream, hanging: Arc<Semaphore>) -> std::io::Result<()> {
    loop {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            if socket.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let text = String::from_utf8_lossy(&request).into_owned();
        let path = text.split(' ').nth(1).unwrap_or_default();
        match path {
            "/cut" => return Ok(()),
            "/reset" => {
                socket.set_zero_linger()?;
                return Ok(());
            }
            "/cut-body" => {
                socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await?;
                return Ok(());
            }
            "/hang" | "/timeout" | "/hang-body" => {
                if path == "/hang-body" {
                    socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await?;
                }
                hanging.add_permits(usize::from(path != "/timeout"));
                // Until the proxy gives up.
                let _ = socket.read(&mut [0]).await?;
                return Ok(());
            }
            "/slow" => tokio::time::sleep(Duration::from_millis(400)).await,
            _ => {}
        }
        let status = path.strip_prefix("/status/").unwrap_or("200");
        let (status, location) = match path {
            "/redirect" => ("302", format!("location: http://{HOST}/status/200\r\n")),
            _ => (status, String::new()),
        };
        let answer = format!("HTTP/1.1 {status} Fine\r\n{location}content-length: 0\r\n\r\n");
        let answer = if status == "204" { answer.replace("content-length: 0\r\n", "") } else { answer };
        socket.write_all(answer.as_bytes()).await?;
    }
}

/// Sends one request, and leaves when the service has it in its hands, or reads the answer to its end.
async fn send(address: SocketAddr, kind: &Kind, user: &str, hanging: &Semaphore) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let path = kind.path;
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\n{USER}: {user}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    if kind.leaves {
        hanging.acquire().await.unwrap().forget();
        if path == "/hang-body" {
            let _ = socket.read(&mut [0]).await;
        }
    } else {
        let _ = socket.read_to_end(&mut Vec::new()).await;
    }
}

fn route(bootstrap: &mut Bootstrap) -> anyhow::Result<&mut Bootstrap> {
    for cluster in ["stable", "canary"] {
        bootstrap.replace(
            &format!("{{cluster: {cluster}}}"),
            &format!(
                "{{cluster: {cluster}, timeout: 1s, internal_redirect_policy: {{max_internal_redirects: 1}}}}"
            ),
        )?;
    }
    Ok(bootstrap)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_response_counts_once_as_what_it_was() {
    let hanging = Arc::new(Semaphore::new(0));
    let address = service(Arc::clone(&hanging)).await;
    let lab = Lab::builder().unwrap().servers(address, address).edit(route).unwrap();
    let lab = lab.start(&policy()).await.unwrap();

    let before = lab.envoy().metrics().await.unwrap();
    assert_eq!(before.sum("coalmine_all_total", &[]), Some(0.0), "there before the first request");
    assert_eq!(before.labels("coalmine_all_total"), ["group", "rollout", "variant"]);
    assert_eq!(before.sum("coalmine_policy_revision", &[]), Some(3.0));
    assert_eq!(before.labels("coalmine_build_info"), ["node", "version"]);

    let all = KINDS
        .iter()
        .enumerate()
        .flat_map(|(place, kind)| (0..EACH).map(move |index| (kind, place * EACH + index)));
    together(all.map(|(kind, index)| {
        let (lab, hanging) = (&lab, &hanging);
        async move { send(lab.address(), kind, &user(index), hanging).await }
    }))
    .await;

    let sent = (KINDS.len() * EACH) as f64;
    let ended = |metrics: &Metrics| metrics.sum("coalmine_all_total", &[]).unwrap_or_default() >= sent;
    let metrics = lab.metrics_when("every response in the metrics", ended).await.unwrap();
    assert_eq!(metrics.sum("coalmine_all_total", &[]), Some(sent), "no response counts twice");
    assert_eq!(metrics.sum("coalmine_requests_total", &[("reason", "bucket")]), Some(sent));
    let mut expected: BTreeMap<&str, f64> = BTreeMap::new();
    for kind in &KINDS {
        *expected.entry(kind.class).or_default() += EACH as f64;
    }
    for (class, count) in &expected {
        assert_eq!(metrics.sum(RESPONSES, &[("class", class)]), Some(*count), "{class}");
    }
    assert_eq!(metrics.sum(RESPONSES, &[]), Some(sent), "no other class");
    let bad: f64 = ["5xx", "broken"].iter().map(|class| expected[class]).sum();
    assert_eq!(metrics.sum("coalmine_bad_total", &[]), Some(bad));
    let slow = (KINDS.iter().filter(|kind| kind.is_slow).count() * EACH) as f64;
    assert_eq!(metrics.sum("coalmine_slow_total", &[("threshold", "250ms")]), Some(slow));
    assert_eq!(metrics.sum("coalmine_slow_total", &[("threshold", "30s")]), None);
}
