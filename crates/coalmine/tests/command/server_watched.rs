//! `coalmine status --watch` against a real server.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::server::Serving;

/// A dashboard, and what it prints.
pub(crate) struct Watching {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Watching {
    fn start(serving: &Serving) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coalmine"));
        command.args(["status", "--watch"]).env("COALMINE_SERVER", &serving.url);
        Self::of(command)
    }

    pub(crate) fn of(mut command: Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || output.map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        Self { child, lines }
    }

    /// Waits for a line that has this in it.
    pub(crate) fn shows(&self, what: &str, within: Duration) {
        let until = Instant::now() + within;
        loop {
            let line = self.lines.recv_timeout(until.saturating_duration_since(Instant::now()));
            if line.unwrap_or_else(|error| panic!("no {what}: {error}")).contains(what) {
                return;
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn who_watches_sees_what_happens_at_once_and_ends_when_told() {
    let serving = Serving::start("");
    let mut watching = Watching::start(&serving);
    watching.shows("no rollouts", Duration::from_secs(20));
    // It looks again unasked after 15 seconds: several times in a row, only events are as soon as this.
    let soon = Duration::from_secs(10);
    serving.done("apply checkout.yaml");
    watching.shows("Idle", soon);
    serving.done("start shop/checkout");
    watching.shows("Progressing", soon);
    serving.done("pause shop/checkout");
    watching.shows("Paused", soon);
    serving.done("rollback shop/checkout");
    watching.shows("RolledBack", soon);
    // Whoever starts tests in the background has SIGINT ignored, by their children too. It ends by either in the same way.
    let pid = watching.child.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
    let ended = watching.child.wait().unwrap();
    assert_eq!(ended.signal(), Some(15), "as the shell expects it");
    let mut remarks = String::new();
    watching.child.stderr.take().unwrap().read_to_string(&mut remarks).unwrap();
    assert_eq!(remarks, "");
}
