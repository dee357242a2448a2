//! The command against a real server: `coalmine serve` on free ports, with a store of its own and no proxy.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Lab, Run};

const ROLLOUT: &str = "# Whom it concerns.
name: shop/checkout
policy:
  identity: [{header: x-user-id}]
  variants: [{name: canary}]
plan: {steps: [5, 25]}
";

/// A server that is killed at the end of its test.
pub(crate) struct Serving {
    child: Child,
    pub(crate) url: String,
    pub(crate) admin: String,
    lab: Lab,
    /// What it logs, line by line.
    log: Mutex<mpsc::Receiver<String>>,
}

// === impl Serving ===

impl Serving {
    pub(crate) fn start(config: &str) -> Self {
        Self::start_in(Lab::new().with("checkout.yaml", ROLLOUT), config, &[], &[])
    }

    pub(crate) fn start_in(lab: Lab, config: &str, variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        let config = format!("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\ntick: 1s\n{config}");
        let lab = lab.with("server.yaml", config);
        let mut child = Command::new(env!("CARGO_BIN_EXE_coalmine"))
            .args(["serve", "--config", "server.yaml"])
            .args(arguments)
            .current_dir(lab.path())
            .env_clear()
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let addresses = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, rest) = line.split_once("serves on ")?;
            let (url, admin) = rest.split_once(", health and metrics on ")?;
            Some((url.to_owned(), admin.to_owned()))
        });
        // What it logs is read, or it would wait; not every test looks at it.
        let (sender, log) = mpsc::channel();
        let log = Mutex::new(log);
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        let (url, admin) = addresses.expect("the server does not start");
        Self { child, url, admin, lab, log }
    }

    /// The lines of the log up to the next one that has this in it.
    pub(crate) fn logged(&self, what: &str) -> Vec<String> {
        let (log, mut lines) = (self.log.lock().unwrap(), Vec::<String>::new());
        while lines.last().is_none_or(|line| !line.contains(what)) {
            let line = log.recv_timeout(Duration::from_secs(20));
            lines.push(line.unwrap_or_else(|error| panic!("no {what}: {error}\n{lines:#?}")));
        }
        lines
    }

    fn run(&self, words: &str) -> Run {
        self.run_as("", words)
    }

    pub(crate) fn run_as(&self, token: &str, words: &str) -> Run {
        let variables = [("COALMINE_SERVER", self.url.as_str()), ("COALMINE_TOKEN", token)];
        self.lab.run_in(&variables, &words.split_ascii_whitespace().collect::<Vec<_>>(), b"")
    }

    /// What it prints, where it does what it should.
    pub(crate) fn done(&self, words: &str) -> String {
        let run = self.run(words);
        assert_eq!(run.code, 0, "{words}: {}", run.stderr);
        run.stdout
    }

    /// What it says against it, where it should not do it.
    fn refused(&self, code: i32, words: &str) -> String {
        let run = self.run(words);
        assert_eq!(run.code, code, "{words}: {}{}", run.stdout, run.stderr);
        run.stderr
    }

    fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.done(&format!("{words} --format json"))).unwrap()
    }

    /// Writes a file of its folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.lab.path().join(name), text).unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn documents_are_applied_printed_and_deleted() {
    let serving = Serving::start("");
    assert_eq!(serving.done("get"), "");
    assert_eq!(serving.done("apply checkout.yaml --dry-run"), "shop/checkout would be created\n");
    assert_eq!(serving.done("apply checkout.yaml"), "shop/checkout created\n");
    assert_eq!(serving.done("apply checkout.yaml"), "shop/checkout unchanged\n");
    assert_eq!(serving.done("get"), "shop/checkout\n");
    assert_eq!(serving.done("get shop/checkout"), ROLLOUT, "with its comments");
    std::fs::write(serving.lab.path().join("other.yaml"), ROLLOUT.replace("25", "50")).unwrap();
    assert_eq!(serving.done("apply other.yaml"), "shop/checkout changed\n");
    assert_eq!(serving.json("status shop/checkout")["steps"], serde_json::json!([5.0, 50.0]));
    std::fs::write(serving.lab.path().join("wrong.yaml"), ROLLOUT.replace("plan", "plam")).unwrap();
    let why = serving.refused(1, "apply wrong.yaml");
    assert!(why.contains("wrong.yaml: 2 problems") && why.contains("plam"), "{why}");
    let gate = ROLLOUT.replace("[5, 25]", "[5, {weight: 25, gate: smoke}]");
    std::fs::write(serving.lab.path().join("gate.yaml"), gate).unwrap();
    let why = serving.refused(1, "apply gate.yaml");
    assert!(why.contains("6:38: plan.steps[1].gate: this server has no gate smoke; it has none"), "{why}");
    serving.done("delete shop/checkout");
    let why = serving.refused(1, "get nothing");
    assert_eq!(why, "coalmine: there is no rollout default/nothing\n");
}

#[test]
fn health_is_one_question_and_an_exit_code() {
    let serving = Serving::start("");
    assert_eq!(serving.done(&format!("health {}/readyz", serving.admin)), "ok\n");
    let why = serving.refused(1, &format!("health {}/nothing", serving.admin));
    assert_eq!(why, format!("coalmine: {}/nothing answers 404\n", serving.admin));
    let url = format!("{}/readyz", serving.admin);
    drop(serving);
    let run = Lab::new().run(&format!("health {url}"));
    assert_eq!(run.code, 1, "2 would be Docker's own: {}", run.stderr);
    assert!(run.stderr.starts_with(&format!("coalmine: {url} does not answer: ")), "{}", run.stderr);
}

#[test]
fn a_host_without_certificates_of_authorities_can_serve() {
    let nothing = [("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/dev/null")];
    let plain =
        "gates: {smoke: 'http://127.0.0.1:1/smoke'}\nevidence: {prometheus: {url: 'http://127.0.0.1:1'}}\n";
    let lab = Lab::new().with("checkout.yaml", ROLLOUT);
    let status = Serving::start_in(lab, plain, &nothing, &[]).done("status");
    assert!(status.starts_with("no rollouts"), "{status}");
    let lab = Lab::new().with(
        "server.yaml",
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n".to_owned() + &plain.replace("http:", "https:"),
    );
    let refused = lab.run_in(&nothing, &["serve", "--config", "server.yaml"], b"");
    assert!(refused.stderr.contains("gates and notifiers cannot be asked: "), "{}", refused.stderr);
}

#[test]
fn verbs_move_a_rollout_and_say_why_they_do_not() {
    let serving = Serving::start("");
    serving.done("apply checkout.yaml");
    let why = serving.refused(1, "advance shop/checkout");
    assert_eq!(why, "coalmine: no release is in progress\n");
    serving.done("start shop/checkout --dry-run");
    assert_eq!(serving.json("status shop/checkout")["phase"], "Idle");
    serving.done("start shop/checkout --message build-1");
    serving.done("advance shop/checkout");
    serving.done(&format!("weights shop/checkout canary=7 --server {}", serving.url));
    let status = serving.json("status shop/checkout");
    assert_eq!((&status["phase"], &status["weight"]), (&"Progressing".into(), &7.0.into()));
    serving.done("pause shop/checkout");
    assert_eq!(serving.json("status shop/checkout")["phase"], "Paused");
    serving.done("resume shop/checkout");
    assert!(serving.refused(2, "hold shop/checkout").contains("--no-rollback"));
    serving.done("hold shop/checkout --no-rollback");
    serving.done("freeze --message incident");
    let why = serving.refused(1, "advance shop/checkout");
    assert_eq!(why, "coalmine: the server is frozen: by anonymous (incident)\n");
    serving.done("freeze --end");
    let history = serving.done("history shop/checkout");
    assert!(history.contains("start by anonymous (build-1)") && history.contains("[anonymous]"), "{history}");
    let why = serving.refused(2, &format!("weights shop/checkout blue=7 --server {}", serving.url));
    assert!(why.contains("not blue"), "{why}");
}

#[test]
fn who_waits_is_told_how_it_ended() {
    let serving = Serving::start("");
    serving.done("apply checkout.yaml");
    let late = serving.refused(4, "start shop/checkout --wait --timeout 1s");
    assert!(late.contains("coalmine: not over after 1s, and it goes on: "), "{late}");
    serving.done("advance shop/checkout");
    let rolled_back = serving.done("rollback shop/checkout --wait --format json");
    let release: Value = serde_json::from_str(&rolled_back).unwrap();
    assert_eq!((&release["phase"], &release["outcome"]), (&"RolledBack".into(), &"RolledBack".into()));
    serving.done("rollback shop/checkout");
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| serving.refused(3, "start shop/checkout --wait --timeout 50s"));
        while serving.json("status shop/checkout")["phase"] != "Progressing" {}
        serving.done("rollback shop/checkout");
        waiting.join().unwrap()
    });
    assert!(waiting.contains("shop/checkout release 2: "), "{waiting}");
}

#[test]
fn tokens_say_who_may_do_what() {
    let tokens = "tokens:
- {name: reader, value: {file: reader.txt}, may: read, rollouts: [shop/*]}
- {name: pipeline, value: {env: PIPELINE}, may: operate, rollouts: [shop/*]}
- {name: admins, value: {env: ADMINS}, may: write}
";
    let [reader, pipeline, admins] = ["reader-0123456789", "pipeline-0123456789", "admins-0123456789"];
    let lab = Lab::new().with("checkout.yaml", ROLLOUT).with("reader.txt", format!("{reader}\n"));
    let serving = Serving::start_in(lab, tokens, &[("PIPELINE", pipeline), ("ADMINS", admins)], &[]);
    let why = serving.run("get");
    assert_eq!((why.code, why.stderr.contains("a token is needed")), (1, true));
    let why = serving.run_as("somebody-0123456789", "get");
    assert_eq!(
        (why.code, why.stderr.contains("not known here"), why.stderr.contains("somebody")),
        (1, true, false)
    );
    assert_eq!(serving.run_as(pipeline, "apply checkout.yaml").code, 1);
    assert_eq!(serving.run_as(admins, "apply checkout.yaml").code, 0);
    assert_eq!(serving.run_as(reader, "start shop/checkout").code, 1);
    assert_eq!(serving.run_as(pipeline, "start shop/checkout").code, 0);
    assert!(serving.run_as(reader, "history shop/checkout").stdout.contains("started by pipeline"));
    assert_eq!(serving.run_as(reader, "proxies").code, 1, "it may not read every rollout");
    assert_eq!(serving.run_as(admins, "proxies").code, 0);

    // Another token in the file, and a hint to read it.
    let newer = "reader-9876543210";
    std::fs::write(serving.lab.path().join("reader.txt"), newer).unwrap();
    serving.signal("HUP");
    while serving.run_as(newer, "get").code != 0 {}
    assert_eq!(serving.run_as(reader, "get").code, 1);
}

#[test]
fn what_is_wrong_with_a_configuration_that_is_read_again_is_logged_without_colours() {
    let serving = Serving::start("");
    let path = serving.lab.path().join("server.yaml");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{good}colour: red\n")).unwrap();
    serving.signal("HUP");
    let mut lines = serving.logged("server.yaml is no configuration");
    std::fs::write(&path, &good).unwrap();
    serving.signal("HUP");
    lines.extend(serving.logged("the configuration was read again"));
    let log = lines.join("\n");
    assert!(log.contains("unknown field") && log.contains("server.yaml:4:1"), "{log}");
    // The log writes an escape that it does not trust as text.
    assert!(!log.contains('\u{1b}') && !log.contains("x1b"), "{log}");
}

#[test]
fn a_token_goes_to_no_other_host_without_tls() {
    let lab = Lab::new();
    let run = lab.run_in(
        &[("COALMINE_TOKEN", "geheim-geheim")],
        &["status", "--server", "http://coalmine.example"],
        b"",
    );
    assert_eq!(run.code, 2);
    assert!(
        run.stderr.contains("would get the token without TLS") && !run.stderr.contains("geheim"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_server_that_would_be_unsafe_or_is_wrong_does_not_start() {
    let lab = Lab::new()
        .with("open.yaml", "listen: 0.0.0.0:0\n")
        .with("wrong.yaml", "lisen: 127.0.0.1:0\nstore: x.db\n");
    let run = lab.run("serve --config open.yaml");
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("open to other hosts, and there are no tokens"), "{}", run.stderr);
    let run = lab.run("serve --config wrong.yaml");
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.contains("did you mean \"listen\"?") && run.stderr.contains("wrong.yaml:1:1"),
        "{}",
        run.stderr
    );
}

#[test]
fn the_command_line_sets_fields_of_the_configuration() {
    let lab = Lab::new().with("server.yaml", "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\ntick: 15s\n");
    let refused = |set: &str| {
        let run = lab.run(&format!("serve --config server.yaml --set {set}"));
        assert_eq!(run.code, 1, "{}", run.stderr);
        run.stderr
    };
    let unsafe_now = refused("listen=0.0.0.0:0");
    assert!(unsafe_now.contains("open to other hosts, and there are no tokens"), "{unsafe_now}");
    let wrong = refused("tick=soon");
    assert!(wrong.contains("--set tick: \"soon\"") && !wrong.contains("server.yaml:"), "{wrong}");
    let unknown = refused("tock=1s");
    assert!(unknown.contains("--set tock: ") && unknown.contains("did you mean \"tick\"?"), "{unknown}");
    let run = lab.run("serve --set tick");
    assert!(run.code == 2 && run.stderr.contains("no FIELD=VALUE, as tick=5s"), "{}", run.stderr);
}

#[test]
fn a_server_ends_when_it_is_told() {
    let mut serving = Serving::start("");
    serving.done("apply checkout.yaml");
    serving.signal("TERM");
    assert!(serving.child.wait().unwrap().success());
}

#[test]
fn a_backup_of_a_running_server_is_a_store() {
    let serving = Serving::start("store: kept.db\n");
    for words in ["apply checkout.yaml", "start shop/checkout"] {
        assert_eq!(serving.run(words).code, 0, "{words}");
    }
    let copied = serving.run("backup --store kept.db copy.db");
    assert!(copied.code == 0 && copied.stderr.contains("copy.db is a copy of kept.db"), "{}", copied.stderr);
    for (words, why) in [
        ("backup --store kept.db copy.db", "copy.db is there already, and is not written over"),
        ("backup --store none.db other.db", "none.db: there is no such file"),
        ("backup --store checkout.yaml other.db", "checkout.yaml is no SQLite database"),
    ] {
        let ran = serving.run(words);
        assert_eq!(ran.code, 2, "{words}: {}", ran.stderr);
        assert!(ran.stderr.contains(why), "{words}: {}", ran.stderr);
    }
    let copy = std::fs::read(serving.lab.path().join("copy.db")).unwrap();
    drop(serving);
    let lab = Lab::new().with("checkout.yaml", ROLLOUT);
    std::fs::write(lab.path().join("copy.db"), copy).unwrap();
    let again = Serving::start_in(lab, "store: copy.db\n", &[], &[]);
    let history = again.run("history shop/checkout").stdout;
    assert!(history.contains("started by"), "{history}");
}
