//! A stranger on a raw connection: whatever comes, everybody else is answered.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::{Config, Surroundings};
use crate::rollout::read_text;
use crate::run::Ready;

const TOKEN: &str = "admin-0123456789";
/// No test waits for longer than this.
const PATIENCE: Duration = Duration::from_secs(30);

/// A whole server.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Running {
    async fn start(limits: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("coalmine.db");
        let text = format!(
            "{{listen: '127.0.0.1:0', admin: '127.0.0.1:0', store: '{}', limits: {limits}, tokens: [{{name: admins, value: \
             {{env: X}}, may: write}}]}}",
            store.display()
        );
        let variable = |_: &str| Some(TOKEN.to_owned());
        let file = |path: &str| std::fs::read_to_string(path);
        let surroundings = Surroundings { variable: &variable, file: &file };
        let config = Config::from_document(&read_text(&text).unwrap(), &surroundings).unwrap();
        let ready = Ready::new(config).await.unwrap();
        let address = ready.address().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(ready.run(async {
            let _ = stopped.await;
        }));
        Self { address, stop, task, _folder: folder }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// All that comes back until the server closes the connection.
    async fn says(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // It may have answered, and closed, before all is sent.
        let _ = stream.write_all(bytes).await;
        rest(&mut stream).await
    }

    /// Somebody else is answered.
    async fn answers(&self) {
        let said = self.says(request("GET", "/v1/rollouts", "connection: close\r\n").as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    }

    async fn end(self) {
        drop(self.stop);
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: coalmine\r\nauthorization: Bearer {TOKEN}\r\n{headers}\r\n")
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server closes it in time");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_shapes_of_a_request_are_refused_and_nothing_is_smuggled() {
    let server = Running::start("{}").await;
    let smuggled = "DELETE /v1/freeze HTTP/1.1\r\nhost: coalmine\r\n\r\n";
    for (what, headers) in [
        ("two lengths", "content-length: 0\r\ncontent-length: 50\r\n"),
        ("a length that is none", "content-length: +5\r\n"),
        ("a folded header", "x-a: b\r\n  content-length: 5\r\n"),
        ("a space before the colon", "content-length : 5\r\n"),
        ("chunks that are not last", "transfer-encoding: chunked, identity\r\n"),
        ("a NUL", "x-a: b\0c\r\n"),
    ] {
        let said =
            server.says((request("POST", "/v1/rollouts/a/b/start", headers) + smuggled).as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 400 "), "{what}: {said}");
        assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{what}: {said}");
    }
    for path in ["/v1/rollouts/../../etc/passwd", "/v1/rollouts/a%2fb", "//v1/rollouts", "/v1/rollouts/a/%00"]
    {
        let said = server.says(request("GET", path, "connection: close\r\n").as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 404 "), "{path}: {said}");
    }
    let said = server.says(request("GET", &format!("/{}", "x".repeat(1 << 20)), "").as_bytes()).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    server.answers().await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_a_length_and_chunks_are_no_way_to_smuggle() {
    let server = Running::start("{}").await;
    for headers in [
        "content-length: 60\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 60\r\n",
    ] {
        let smuggled = "0\r\n\r\nGET /v1/rollouts HTTP/1.1\r\nhost: coalmine\r\n\r\n";
        let said = server.says((request("PUT", "/v1/freeze", headers) + smuggled).as_bytes()).await;
        // As RFC 9112, 6.1, has it: the chunks count, and after the answer the connection is closed.
        assert!(said.starts_with("HTTP/1.1 200 ") && said.contains("connection: close"), "{said}");
        assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{said}");
    }
    server.answers().await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_slow_is_given_up_and_others_are_answered() {
    let server = Running::start("{time: 1s}").await;
    let mut slow_headers = server.connect().await;
    slow_headers.write_all(b"GET /v1/rollouts HTTP/1.1\r\nhost: ").await.unwrap();
    let mut slow_body = server.connect().await;
    slow_body.write_all(request("PUT", "/v1/freeze", "content-length: 50\r\n").as_bytes()).await.unwrap();
    server.answers().await;
    let said = rest(&mut slow_body).await;
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("retry-after"), "{said}");
    assert_eq!(rest(&mut slow_headers).await, "");
    server.answers().await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_keep_nobody_out() {
    let server = Running::start("{}").await;
    let mut idle = Vec::new();
    for _ in 0..1_000 {
        idle.push(server.connect().await);
    }
    server.answers().await;
    drop(idle);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_requests_than_are_allowed_are_told_to_come_again() {
    let server = Running::start("{requests: 1}").await;
    let mut first = server.connect().await;
    let head =
        request("PUT", "/v1/freeze", "connection: close\r\ncontent-length: 2\r\nexpect: 100-continue\r\n");
    first.write_all(head.as_bytes()).await.unwrap();
    // Whoever is told to go on is in.
    let mut goes_on = [0; 25];
    timeout(PATIENCE, first.read_exact(&mut goes_on)).await.unwrap().unwrap();
    assert_eq!(&goes_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    let said = server.says(request("GET", "/v1/rollouts", "connection: close\r\n").as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("retry-after: "), "{said}");
    first.write_all(b"{}").await.unwrap();
    let said = rest(&mut first).await;
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    server.answers().await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deep_or_a_large_body_is_refused() {
    let server = Running::start("{body: 262144}").await;
    let put = |path: &str, body: &str| {
        let headers = format!("connection: close\r\ncontent-length: {}\r\n", body.len());
        request("PUT", path, &headers) + body
    };
    let deep = "[".repeat(100_000);
    let said = server.says(put("/v1/freeze", &deep).as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    for deep in [deep.clone(), "{\"a\":".repeat(40_000), "- ".repeat(100_000)] {
        let said = server.says(put("/v1/rollouts/shop/checkout", &deep).as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 422 "), "{said}");
    }
    let large = "x".repeat(10 << 20);
    let said = server.says(put("/v1/rollouts/shop/checkout", &large).as_bytes()).await;
    // The answer may be lost with a connection that is closed while more comes.
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 413 "), "{said}");
    server.answers().await;
    server.end().await;
}
