//! `coalmine assign`: the variant of every user in a list.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use coalmine_core::policy::Assignment;
use coalmine_core::policy::Rollout;
use serde::Serialize;

use crate::args::{AtArgument, PolicyArgument, RolloutArgument};
use crate::failure::Failure;
use crate::output;
use crate::policy_file::PolicyFile;
use crate::users::Users;

const AFTER: &str = "\
Examples:
  coalmine assign policy.yaml --users users.txt
  coalmine assign policy.yaml --users users.txt --format csv > assigned.csv
  zcat users.gz | coalmine assign wasmplugin.yaml --users - --rollout checkout --format json | jq -r .variant

Any number of users, in constant memory. The lines come in the order of the list.";

/// Print the variant of every user in a list
///
/// Every line of the list is an identity, its bytes as they are: not trimmed, not case-folded. An empty line is
/// a user without an identity.
#[derive(Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Assign {
    #[command(flatten)]
    policy: PolicyArgument,
    #[command(flatten)]
    rollout: RolloutArgument,
    #[command(flatten)]
    at: AtArgument,
    /// One identity per line, raw bytes; - for standard input
    #[arg(long, value_name = "FILE")]
    users: PathBuf,
    /// How the lines look
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Format {
    /// Columns, for people
    #[default]
    Table,
    /// With a header line: user,variant,bucket,reason
    Csv,
    /// An object per line
    Json,
}

/// One line of output.
trait Line {
    fn header(&mut self) -> io::Result<()>;
    fn write(&mut self, user: &[u8], assignment: &Assignment<'_>) -> io::Result<()>;
    fn finish(&mut self) -> io::Result<()>;
}

struct Table<W> {
    output: W,
    variant_width: usize,
}

struct Csv<W: Write>(csv::Writer<W>);

struct Json<W>(W);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonLine<'a> {
    user: &'a str,
    /// The identity's bytes, where they are no UTF-8 and `user` only looks like them.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_hex: Option<String>,
    variant: &'a str,
    bucket: Option<u32>,
    reason: &'a str,
}

// === impl Assign ===

impl Assign {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let file = PolicyFile::load_with_secrets(&self.policy.path)?;
        let rollout = file.rollout(self.rollout.name.as_deref())?;
        let at = self.at.time();
        let users = Users::open(&self.users)?;
        let output = output::lines();
        match self.format {
            Format::Table => Self::lines(rollout, at, users, Table::new(output, rollout)),
            Format::Csv => Self::lines(rollout, at, users, Csv(csv::Writer::from_writer(output))),
            Format::Json => Self::lines(rollout, at, users, Json(output)),
        }
    }

    fn lines(rollout: &Rollout, at: Duration, users: Users, mut line: impl Line) -> Result<(), Failure> {
        line.header()?;
        users.each(|user| Ok(line.write(user, &rollout.assign(Some(user), at))?))?;
        Ok(line.finish()?)
    }
}

// === impl Table ===

impl<W: Write> Table<W> {
    fn new(output: W, rollout: &Rollout) -> Self {
        let variant_width = rollout.variants().map(|(_, name)| name.len()).max().unwrap_or_default().max(7);
        Self { output, variant_width }
    }
}

impl<W: Write> Line for Table<W> {
    fn header(&mut self) -> io::Result<()> {
        writeln!(
            self.output,
            "{:<24}  {:<width$}  bucket  reason",
            "user",
            "variant",
            width = self.variant_width
        )
    }

    fn write(&mut self, user: &[u8], assignment: &Assignment<'_>) -> io::Result<()> {
        let user = String::from_utf8_lossy(user);
        let shown = output::visible(&user);
        let bucket =
            assignment.bucketed.map_or_else(|| "-".to_owned(), |bucketed| bucketed.bucket.to_string());
        let (variant, reason) = (assignment.variant_name(), assignment.reason.as_str());
        writeln!(
            self.output,
            "{shown:<24}  {variant:<width$}  {bucket:>6}  {reason}",
            width = self.variant_width
        )
    }

    fn finish(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

// === impl Csv ===

impl<W: Write> Line for Csv<W> {
    fn header(&mut self) -> io::Result<()> {
        Ok(self.0.write_record(["user", "variant", "bucket", "reason"])?)
    }

    fn write(&mut self, user: &[u8], assignment: &Assignment<'_>) -> io::Result<()> {
        let bucket = assignment.bucketed.map(|bucketed| bucketed.bucket.to_string()).unwrap_or_default();
        let record: [&[u8]; 4] = [
            user,
            assignment.variant_name().as_bytes(),
            bucket.as_bytes(),
            assignment.reason.as_str().as_bytes(),
        ];
        Ok(self.0.write_record(record)?)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

// === impl Json ===

impl<W: Write> Line for Json<W> {
    fn header(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn write(&mut self, user: &[u8], assignment: &Assignment<'_>) -> io::Result<()> {
        let text = String::from_utf8_lossy(user);
        let is_text = matches!(text, std::borrow::Cow::Borrowed(_));
        let hex = || user.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = JsonLine {
            user: &text,
            user_hex: (!is_text).then(hex),
            variant: assignment.variant_name(),
            bucket: assignment.bucketed.map(|bucketed| bucketed.bucket.number()),
            reason: assignment.reason.as_str(),
        };
        serde_json::to_writer(&mut self.0, &line)?;
        self.0.write_all(b"\n")
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
