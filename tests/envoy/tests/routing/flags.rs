//! A flag in the application and the route in the mesh give one user one answer. The application is real, and so is
//! its flag library: GrowthBook's own, from PyPI.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use coalmine_envoy_tests::{compile, user, visit};
use coalmine_harness::{Lab, PolicyFile, end_with_us, get, load, tools};

use super::{HOST, drawn, server};

const EXAMPLE: &str = "envoy/flags";
const USERS: usize = 500;

/// The application of the example, running.
struct Application {
    process: Child,
    port: u16,
}

// === impl Application ===

impl Application {
    fn start(name: &str) -> Self {
        let python = tools::root().join(".venv/bin/python");
        let mut command = Command::new(&python);
        command.arg(tools::root().join(EXAMPLE).join("app.py")).args(["--name", name, "--port", "0"]);
        end_with_us(&mut command);
        let started = command.stdout(Stdio::piped()).spawn();
        let mut process = started.unwrap_or_else(|error| panic!("{}: {error}", python.display()));
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse();
        let port =
            port.unwrap_or_else(|_| panic!("no port; `make flags` fetches what the application needs"));
        Self { process, port }
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_flag_and_the_route_agree_on_every_user() {
    let document = PolicyFile::policy_of(EXAMPLE).unwrap();
    let policy = compile(&document).unwrap();
    let (stable, canary) = (Application::start("stable"), Application::start("canary"));
    let lab = Lab::builder().unwrap().servers(stable.address(), canary.address());
    let lab = lab.start(&document).await.unwrap();
    // GrowthBook counts in UTF-16, and so does the algorithm: names that are not ASCII agree too.
    let named =
        |index: usize| if index.is_multiple_of(5) { format!("\u{e4}\u{1f426}{index}") } else { user(index) };
    let request = move |index| visit(HOST, &named(index));
    let answers =
        load::send_all(lab.address(), 4, USERS, request, |_, answer| server(&answer)).await.unwrap();
    for (index, answer) in answers.iter().enumerate() {
        let expected = match drawn(&policy, &named(index)) {
            "canary" => "canary, flag on",
            _ => "stable, flag off",
        };
        assert_eq!(answer, expected, "{}", named(index));
    }
    let on = answers.iter().filter(|answer| answer.ends_with("on")).count();
    println!("the flag is on for {on} of {USERS} users, and they are the canary's");
    assert_eq!(server(&lab.ask(get(HOST)).await.unwrap()), "stable, flag off", "nobody");
}
