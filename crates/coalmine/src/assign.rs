//! `coalmine assign`: the variant of every user in a list.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use coalmine_core::policy::{Policy, Rollout};

use crate::failure::Failure;

/// Print the variant of every user in a list
#[derive(Args)]
pub(crate) struct Assign {
    /// The policy, as JSON
    policy: PathBuf,
    /// The rollout; needed where the policy has several
    #[arg(long, value_name = "NAME")]
    rollout: Option<String>,
    /// One identity per line, raw bytes; - for standard input
    #[arg(long, value_name = "FILE")]
    users: PathBuf,
    /// How the lines look
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Format {
    /// With a header line: user,variant,bucket,reason
    #[default]
    Csv,
}

// === impl Assign ===

impl Assign {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let text = std::fs::read(&self.policy).map_err(Failure::read(&self.policy))?;
        let policy =
            Policy::from_json(&text).map_err(|problems| Failure::Policy(self.policy.clone(), problems))?;
        let rollout = self.rollout(&policy)?;
        let users: Box<dyn BufRead> = match self.users.to_str() {
            Some("-") => Box::new(io::stdin().lock()),
            _ => Box::new(BufReader::new(File::open(&self.users).map_err(Failure::read(&self.users))?)),
        };
        match self.format {
            Format::Csv => self.csv(rollout, users, BufWriter::new(io::stdout().lock())),
        }
    }

    /// The rollout that was asked for, or the only one.
    fn rollout<'p>(&self, policy: &'p Policy) -> Result<&'p Rollout, Failure> {
        let rollouts = policy.rollouts();
        let names = || rollouts.iter().map(Rollout::name).collect::<Vec<_>>().join(", ");
        match (&self.rollout, rollouts) {
            (Some(name), _) => rollouts.iter().find(|rollout| rollout.name() == name).ok_or_else(|| {
                Failure::Usage(format!(
                    "{} has no rollout {name:?}; it has: {}",
                    self.policy.display(),
                    names()
                ))
            }),
            (None, [only]) => Ok(only),
            (None, []) => Err(Failure::Usage(format!("{} has no rollouts", self.policy.display()))),
            (None, _) => Err(Failure::Usage(format!(
                "{} has several rollouts; say which with --rollout: {}",
                self.policy.display(),
                names()
            ))),
        }
    }

    fn csv(&self, rollout: &Rollout, mut users: impl BufRead, output: impl Write) -> Result<(), Failure> {
        let mut output = csv::Writer::from_writer(output);
        let written = |result: Result<(), csv::Error>| result.map_err(|error| Failure::Write(error.into()));
        written(output.write_record(["user", "variant", "bucket", "reason"]))?;
        let mut line = Vec::new();
        loop {
            line.clear();
            if users.read_until(b'\n', &mut line).map_err(Failure::read(&self.users))? == 0 {
                break;
            }
            let user = line.strip_suffix(b"\n").unwrap_or(&line);
            let decision = rollout.assign(Some(user));
            let bucket = decision.lot.map(|lot| lot.bucket.to_string()).unwrap_or_default();
            let record: [&[u8]; 4] = [
                user,
                decision.variant_name().as_bytes(),
                bucket.as_bytes(),
                decision.reason.as_str().as_bytes(),
            ];
            written(output.write_record(record))?;
        }
        output.flush().map_err(Failure::Write)
    }
}
