//! The file through which Envoy gets the filter and its policy: the shipped `envoy/coalmine.yaml`, with another policy.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

const VALUE: &str = "        value: |\n";
/// What every line of the policy begins with.
const INDENT: &str = "          ";
const VM: &str = "        vm_id: coalmine\n";
const MODULE: &str = "target/filter/coalmine.wasm";

/// A copy of `envoy/coalmine.yaml` in a folder of its own, always replaced by one rename.
#[derive(Debug)]
pub struct PolicyFile {
    path: PathBuf,
    /// The text up to the policy, which is the last thing in the file.
    head: String,
    /// Whether the folder is a volume with a ConfigMap.
    is_mounted: bool,
}

// === impl PolicyFile ===

impl PolicyFile {
    /// Prepares a copy of the file of `example`, a folder with a configuration, in `folder`, for the filter in
    /// `module`. It exists from the first [`PolicyFile::replace`] on.
    pub fn new(example: &str, folder: &Path, module: &Path) -> Result<Self> {
        let (head, _) = read(example)?;
        ensure!(
            head.matches(MODULE).count() == 1,
            "`{MODULE}` does not occur once in {example}/coalmine.yaml"
        );
        let head = head.replacen(MODULE, &module.display().to_string(), 1);
        Ok(Self { path: folder.join("coalmine.yaml"), head, is_mounted: false })
    }

    /// From the first replacement on, the file is a ConfigMap's that is mounted in a folder of its own.
    pub fn mount(&mut self) -> Result<()> {
        let volume = self.path.with_file_name("volume");
        std::fs::create_dir(&volume).with_context(|| format!("cannot make {}", volume.display()))?;
        (self.path, self.is_mounted) = (volume.join("coalmine.yaml"), true);
        Ok(())
    }

    /// From the next replacement on, `vm_config` has this as its `environment_variables`, in YAML's flow style.
    pub fn set_environment(&mut self, variables: &str) -> Result<()> {
        ensure!(self.head.matches(VM).count() == 1, "coalmine.yaml has no `vm_id`");
        self.head = self.head.replacen(VM, &format!("{VM}        environment_variables: {variables}\n"), 1);
        Ok(())
    }

    /// The policy in the file that is shipped.
    pub fn shipped_policy() -> Result<String> {
        Self::policy_of("envoy")
    }

    /// The policy in the file of an example: its folder, from the root of the repository.
    pub fn policy_of(example: &str) -> Result<String> {
        Ok(read(example)?.1)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From the next replacement on, Envoy shall load the filter from another file.
    pub fn change_module(&mut self, old: &Path, new: &Path) -> Result<()> {
        let old = old.display().to_string();
        ensure!(self.head.matches(&old).count() == 1, "{old} is not the module of this file");
        self.head = self.head.replacen(&old, &new.display().to_string(), 1);
        Ok(())
    }

    /// Hands this document to the filter, good or bad. Tells when the file was renamed.
    pub fn replace(&self, document: &str) -> Result<SystemTime> {
        let value = if document.contains('\n') {
            // As people write it.
            format!("{VALUE}{INDENT}{}\n", document.trim_end().replace('\n', &format!("\n{INDENT}")))
        } else {
            // A JSON string is a YAML string, with every byte as it is.
            format!("        value: {}\n", Value::from(document))
        };
        self.write(&format!("{}{value}", self.head))
    }

    fn write(&self, text: &str) -> Result<SystemTime> {
        if self.is_mounted {
            return self.swap(text).with_context(|| format!("cannot swap {}", self.path.display()));
        }
        let next = self.path.with_extension("yaml.new");
        std::fs::write(&next, text).with_context(|| format!("cannot write {}", next.display()))?;
        // Taken before the rename, so that no delay that is measured from it comes out too short.
        let now = SystemTime::now();
        std::fs::rename(&next, &self.path).with_context(|| format!("cannot rename {}", next.display()))?;
        Ok(now)
    }

    /// What the kubelet does: `coalmine.yaml` is a link to `..data/coalmine.yaml`, and `..data` one to a folder, which is
    /// replaced by renaming another link over it. The file itself is never renamed.
    fn swap(&self, text: &str) -> Result<SystemTime> {
        use std::os::unix::fs::symlink;
        let volume = self.path.parent().context("no volume")?;
        let (link, next) = (volume.join("..data"), volume.join("..data_tmp"));
        let old = std::fs::read_link(&link).ok();
        let folder = tempfile::Builder::new().prefix("..2026_").tempdir_in(volume)?.keep();
        std::fs::write(folder.join("coalmine.yaml"), text)?;
        symlink(folder.file_name().context("no name")?, &next)?;
        let now = SystemTime::now();
        std::fs::rename(&next, &link)?;
        match old {
            Some(old) => std::fs::remove_dir_all(volume.join(old))?,
            None => symlink("..data/coalmine.yaml", &self.path)?,
        }
        Ok(now)
    }
}

/// The file of an example: its text up to the policy, and the policy.
fn read(example: &str) -> Result<(String, String)> {
    let path = crate::tools::root().join(example).join("coalmine.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let (head, policy) = text
        .split_once(VALUE)
        .with_context(|| format!("no `value: |` before a policy in {}", path.display()))?;
    let policy: Vec<&str> = policy.lines().map(|line| line.strip_prefix(INDENT).unwrap_or(line)).collect();
    Ok((head.to_owned(), policy.join("\n")))
}
