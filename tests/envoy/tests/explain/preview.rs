//! What the command says about a request.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use coalmine_harness::tools;
use serde_json::Value;

use super::requests::RandomRequest;

/// A run of `coalmine explain`.
#[derive(Clone, Debug)]
pub(crate) struct Preview {
    command: PathBuf,
    arguments: Vec<String>,
}

/// What the command has said.
#[derive(Clone, Debug)]
pub(crate) struct Previewed(Value);

// === impl Preview ===

impl Preview {
    /// The run for this request, which the proxy takes to come from this address, and which was issued this identity.
    pub(crate) fn new(
        policy: &Path,
        request: &RandomRequest,
        address: IpAddr,
        issued: Option<&str>,
    ) -> Result<Self> {
        let text = |text: &str| text.to_owned();
        let mut arguments = vec![text("explain"), policy.display().to_string()];
        arguments.extend([text("--request"), text(request.method), request.url.clone()]);
        let blanks = request.blanks;
        for (name, value) in &request.headers {
            arguments.extend([text("-H"), format!("{name}: {blanks}{value}{blanks}")]);
        }
        arguments.extend([text("--source-ip"), address.to_string()]);
        if let Some(issued) = issued {
            arguments.extend([text("--issued"), text(issued)]);
        }
        arguments.extend(["--format", "json"].map(text));
        Ok(Self { command: tools::command()?, arguments })
    }

    /// Runs the command.
    pub(crate) fn run(&self) -> Result<Previewed> {
        let output = Command::new(&self.command).args(&self.arguments).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the command says `{said}`");
        Ok(Previewed(serde_json::from_slice(&output.stdout).context("what the command prints is no JSON")?))
    }

    /// The run as it is typed into a shell, at this time.
    pub(crate) fn line(&self, time: &str) -> String {
        let quoted = |text: &String| format!("'{}'", text.replace('\'', "'\\''"));
        let arguments: Vec<String> = self.arguments.iter().map(quoted).collect();
        format!("{} {} --at {time}", self.command.display(), arguments.join(" "))
    }
}

// === impl Previewed ===

impl Previewed {
    fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field)?.as_str()
    }

    /// Rollout, variant and reason as the access log writes them.
    pub(crate) fn assignment(&self) -> [Option<&str>; 3] {
        [self.text("rollout").or(Some("-")), self.text("variant"), self.text("reason")]
    }

    /// The identity that is issued.
    pub(crate) fn issued(&self) -> Option<&str> {
        self.text("issued")
    }

    /// The headers that are changed, and their values; `None` where one is removed.
    pub(crate) fn changes(&self) -> Vec<(&str, Option<&str>)> {
        let changes = self.0.get("headers").and_then(Value::as_array).into_iter().flatten();
        changes.filter_map(|change| Some((change["name"].as_str()?, change["value"].as_str()))).collect()
    }
}
