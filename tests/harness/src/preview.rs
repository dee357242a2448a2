//! What `coalmine assign` says before anything is sent.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The variant of every user under one policy.
#[derive(Debug)]
pub struct Preview {
    variants: HashMap<String, String>,
    order: Vec<String>,
}

// === impl Preview ===

impl Preview {
    /// Asks the command.
    pub fn of(command: &Path, policy: &str, users: &[String]) -> Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let (policy_file, users_file) = (folder.path().join("policy.json"), folder.path().join("users.txt"));
        std::fs::write(&policy_file, policy)?;
        let mut list = std::fs::File::create(&users_file)?;
        users.iter().try_for_each(|user| writeln!(list, "{user}"))?;

        let mut assign = Command::new(command);
        assign.arg("assign").arg(&policy_file).arg("--users").arg(&users_file).args(["--format", "csv"]);
        let output = assign.output().with_context(|| format!("cannot run {}", command.display()))?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "coalmine assign: {}", complaint.trim_end());
        let this = Self::read(&output.stdout)?;
        ensure!(this.order.len() == users.len(), "coalmine assign told about {} users", this.order.len());
        Ok(this)
    }

    /// Reads `user,variant,bucket,reason`.
    fn read(csv: &[u8]) -> Result<Self> {
        let mut this = Self { variants: HashMap::new(), order: Vec::new() };
        for record in csv::Reader::from_reader(csv).deserialize() {
            let (user, variant, _bucket, _reason): (String, String, String, String) = record?;
            this.order.push(user.clone());
            this.variants.insert(user, variant);
        }
        Ok(this)
    }

    /// The variant that this user is to get.
    pub fn variant(&self, user: &str) -> &str {
        self.variants.get(user).map_or("", String::as_str)
    }

    /// The first user of this variant.
    pub fn somebody(&self, variant: &str) -> Option<&str> {
        self.order.iter().map(String::as_str).find(|user| self.variant(user) == variant)
    }
}
