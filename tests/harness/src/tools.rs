//! Where Envoy and the two builds of the filter are, and which `make` target provides them.

use std::env;
use std::num::ParseIntError;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};

/// The root of the repository.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// The Envoy to test: `COALMINE_ENVOY`, or the newest that `make` has fetched.
pub fn envoy() -> Result<PathBuf> {
    if let Some(named) = env::var_os("COALMINE_ENVOY") {
        let path = root().join(named);
        return existing(&path, "COALMINE_ENVOY names no file");
    }
    let fetched = root().join(".tools/envoy");
    let newest = fetched
        .read_dir()
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version: Vec<u32> = entry
                .file_name()
                .to_str()?
                .split('.')
                .map(|part| part.parse().ok())
                .collect::<Option<_>>()?;
            Some((version, entry.path()))
        })
        .max();
    let Some((_, newest)) = newest else {
        bail!(
            "no Envoy in {}: `make test-envoy` fetches one, or name yours in COALMINE_ENVOY",
            fetched.display()
        );
    };
    existing(&newest.join("envoy/_bin/envoy"), "remove its folder, and `make` fetches it again")
}

/// The filter as it is shipped: `COALMINE_FILTER`, or what `make filter` has built.
pub fn filter() -> Result<PathBuf> {
    built("COALMINE_FILTER", "target/filter/coalmine.wasm", "`make filter` builds it")
}

/// The filter that traps on a request with the header [`CRASH_HEADER`], and refuses a policy that names it: `COALMINE_FILTER_CRASH`, or what
/// `make filter-crash` has built.
pub fn crashing_filter() -> Result<PathBuf> {
    built("COALMINE_FILTER_CRASH", "target/filter/coalmine-crash.wasm", "`make filter-crash` builds it")
}

/// The command: `COALMINE_COMMAND`, or what `make command` has built.
pub fn command() -> Result<PathBuf> {
    built("COALMINE_COMMAND", "target/release/coalmine", "`make command` builds it")
}

/// What makes the crashing build of the filter trap.
pub const CRASH_HEADER: &str = "x-coalmine-test-crash";

/// How many users a test draws: `COALMINE_USERS`, or `otherwise`.
pub fn users(otherwise: usize) -> Result<usize> {
    number("COALMINE_USERS", otherwise)
}

/// The number in this variable of the environment, or `otherwise`.
pub fn number<T: FromStr<Err = ParseIntError>>(variable: &str, otherwise: T) -> Result<T> {
    match env::var(variable) {
        Err(_) => Ok(otherwise),
        Ok(text) => text.parse().with_context(|| format!("{variable} is `{text}`, not a number")),
    }
}

fn built(variable: &str, otherwise: &str, advice: &str) -> Result<PathBuf> {
    let path = env::var_os(variable).map_or_else(|| PathBuf::from(otherwise), PathBuf::from);
    existing(&root().join(path), advice)
}

fn existing(path: &Path, otherwise: &str) -> Result<PathBuf> {
    if !path.is_file() {
        bail!("{} is missing: {otherwise}", path.display());
    }
    Ok(path.to_owned())
}
