//! The access log of the shipped configuration, line by line.

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// One request, as the proxy logged it. What the filter did not set is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When the proxy began to read the request.
    pub start: SystemTime,
    /// The id that the client got in the answer.
    pub request_id: String,
    /// The connection that the request came on; one number is one connection for as long as the proxy runs.
    pub connection: u64,
    /// The status code.
    pub code: u64,
    /// The cluster that the request was sent to.
    pub cluster: Option<String>,
    /// `wasm.coalmine_rollout`.
    pub rollout: Option<String>,
    /// `wasm.coalmine_variant`.
    pub variant: Option<String>,
    /// `wasm.coalmine_reason`.
    pub reason: Option<String>,
    /// `wasm.coalmine_revision`.
    pub revision: Option<String>,
}

/// Reads all complete lines that are in the file by now.
pub fn read(path: &Path) -> Result<Vec<Entry>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let complete = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
    complete
        .lines()
        .map(|line| Entry::parse(line).with_context(|| format!("in the access log: `{line}`")))
        .collect()
}

/// A point in time as the log writes it, and as a policy does: RFC 3339, to the millisecond.
pub fn written(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

// === impl Entry ===

impl Entry {
    fn parse(line: &str) -> Result<Self> {
        let line: Value = serde_json::from_str(line)?;
        let text = |field: &str| line.get(field).and_then(Value::as_str).map(str::to_owned);
        let number = |field: &str| line.get(field).and_then(Value::as_u64);
        Ok(Self {
            start: time(text("start_time").as_deref())?,
            request_id: text("request_id").context("no request_id")?,
            connection: number("connection").context("no connection")?,
            code: number("code").context("no code")?,
            cluster: text("cluster"),
            rollout: text("rollout"),
            variant: text("variant"),
            reason: text("reason"),
            revision: text("revision"),
        })
    }
}

fn time(rfc3339: Option<&str>) -> Result<SystemTime> {
    let text = rfc3339.context("no start_time")?;
    humantime::parse_rfc3339(text).with_context(|| format!("start_time is {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_shipped_format_is_understood() {
        let entry = Entry::parse(
            r#"{"cluster":"canary","code":200,"connection":1,"flags":"-","method":"GET","protocol":"HTTP/1.1",
            "reason":"bucket","request_id":"f44a","revision":"7","rollout":"checkout",
            "start_time":"2026-11-21T22:31:34.298Z","variant":null}"#,
        );
        let expected = Entry {
            start: SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_795_300_294_298),
            request_id: "f44a".to_owned(),
            connection: 1,
            code: 200,
            cluster: Some("canary".to_owned()),
            rollout: Some("checkout".to_owned()),
            variant: None,
            reason: Some("bucket".to_owned()),
            revision: Some("7".to_owned()),
        };
        assert_eq!(entry.unwrap(), expected);
    }
}
