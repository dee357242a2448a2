//! A Prometheus that ends with the test.

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::time::Duration;

use coalmine_harness::{Connection, Port, Protocol, end_with_us, wait};
use http_body_util::Empty;
use hyper::Request;
use serde_json::Value;

pub(crate) struct Prometheus {
    process: Child,
    port: Port,
    pub(crate) url: String,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts one that scrapes these proxies once a second.
    pub(crate) fn start(targets: &[SocketAddr]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let targets: Vec<String> = targets.iter().map(|address| format!("'{address}'")).collect();
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: envoy\n  \
             metrics_path: /stats/prometheus\n  static_configs:\n  - targets: [{}]\n",
            targets.join(", ")
        );
        std::fs::write(&config, text).unwrap();
        let port = Port::hold().unwrap();
        let address = port.address();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(std::env::var("COALMINE_PROMETHEUS").unwrap());
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stderr(log);
        end_with_us(&mut command);
        let process = command.spawn().unwrap();
        Self { process, port, url: format!("http://{address}"), _folder: folder }
    }

    /// Waits until a query that comes to one number comes to this one.
    pub(crate) async fn until(&self, query: &str, number: f64) {
        let what = format!("{number} of {query} in Prometheus");
        wait::until(&what, || async { (self.query(query).await? == number).then_some(()) }).await.unwrap();
    }

    async fn query(&self, query: &str) -> Option<f64> {
        let mut connection = Connection::open(self.port.address(), Protocol::Http1).await.ok()?;
        let request = Request::get(format!("/api/v1/query?query={query}")).header("host", "prometheus");
        let answer = connection.send(request.body(Empty::new()).ok()?).await.ok()?;
        let answer: Value = serde_json::from_slice(&answer.body).ok()?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A time since 1970 as the command reads it, in whole seconds.
pub(crate) fn rfc3339(time: Duration) -> String {
    let time = std::time::SystemTime::UNIX_EPOCH + time;
    humantime::format_rfc3339_seconds(time).to_string()
}
