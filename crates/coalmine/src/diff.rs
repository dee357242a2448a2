//! `coalmine diff`: the users who change variant between two policies.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use coalmine_core::Reason;
use coalmine_core::policy::Rollout;
use coalmine_core::split::Weight;
use serde::Serialize;

use crate::args::{AtArgument, RolloutArgument};
use crate::failure::Failure;
use crate::output::{self, visible};
use crate::policy_file::PolicyFile;
use crate::users::UsersArguments;
use coalmine_core::split::Movement;

const AFTER: &str = "\
Examples:
  coalmine diff policy.yaml policy.new.yaml --users users.txt
  git show HEAD:policy.yaml | coalmine diff - policy.yaml --count 100000
  coalmine diff old.yaml new.yaml --users users.txt --format csv > moved.csv

Exit codes: 0 every move is needed; 1 users leave a variant although nothing requires it; 2 used wrongly.
A move is needed where the user leaves stable, the variant's weight shrinks by as much, the user's pin changed, or the
rollout was switched off.";

/// How many users are named in the summary.
const NAMED: usize = 5;

/// Show which users change variant between two policies, and whether fewer could have
///
/// For one rollout of both policies, found by its name. The least number that has to move follows from the weights
/// alone: half the sum of their differences.
#[derive(Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Diff {
    /// The current policy; - for standard input
    old: PathBuf,
    /// The new policy; - for standard input
    new: PathBuf,
    #[command(flatten)]
    rollout: RolloutArgument,
    #[command(flatten)]
    at: AtArgument,
    #[command(flatten)]
    users: UsersArguments,
    /// How the summary looks
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A summary, for people
    #[default]
    Text,
    /// A line per user who moves: user,from,to
    Csv,
    /// A summary, for programs
    Json,
}

/// What came out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DiffOutput {
    rollout: String,
    users: u64,
    moved: u64,
    moves: Vec<Move>,
    /// Users who leave a variant other than stable, although nothing requires it.
    without_need: u64,
    /// Whether both policies give the same buckets: the same salt, algorithm and key.
    same_draw: bool,
    /// Parts per million of all possible users that move by the ranges, and that have to.
    moved_ppm: u32,
    least_ppm: u32,
}

#[derive(Serialize)]
struct Move {
    from: String,
    to: String,
    users: u64,
    /// The first of them.
    examples: Vec<String>,
}

/// Two rollouts of one name.
struct Pair<'p> {
    old: &'p Rollout,
    new: &'p Rollout,
    movement: Movement,
    same_draw: bool,
}

// === impl Diff ===

impl Diff {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let at = self.at.time();
        let (old, new) =
            (PolicyFile::load_with_secrets(&self.old)?, PolicyFile::load_with_secrets(&self.new)?);
        let old = old.rollout(self.rollout.name.as_deref())?;
        let pair = Pair::new(old, new.rollout(Some(old.name()))?, at);
        let mut csv = csv::Writer::from_writer(output::lines());
        if self.format == Format::Csv {
            csv.write_record(["user", "from", "to"]).map_err(std::io::Error::from)?;
        }
        let mut moves: BTreeMap<(&str, &str), Move> = BTreeMap::new();
        let mut without_need = 0;
        let users = self.users.each(|user| {
            let (before, after) = (pair.old.assign(Some(user), at), pair.new.assign(Some(user), at));
            let (from, to) = (before.variant_name(), after.variant_name());
            if from == to {
                return Ok(());
            }
            let by_pin = before.reason == Reason::Pinned || after.reason == Reason::Pinned;
            if from != "stable" && !by_pin && !pair.has_to_lose(from) {
                without_need += 1;
            }
            let entry = moves.entry((from, to)).or_insert_with(|| Move {
                from: from.to_owned(),
                to: to.to_owned(),
                users: 0,
                examples: Vec::new(),
            });
            entry.users += 1;
            if entry.examples.len() < NAMED {
                entry.examples.push(String::from_utf8_lossy(user).into_owned());
            }
            if self.format == Format::Csv {
                let record = [user, from.as_bytes(), to.as_bytes()];
                csv.write_record(record).map_err(std::io::Error::from)?;
            }
            Ok(())
        })?;
        let moves: Vec<Move> = moves.into_values().collect();
        let summary = DiffOutput {
            rollout: pair.old.name().to_owned(),
            users,
            moved: moves.iter().map(|each| each.users).sum(),
            moves,
            without_need,
            same_draw: pair.same_draw,
            moved_ppm: pair.movement.moved(),
            least_ppm: pair.movement.least(),
        };
        match self.format {
            Format::Text => output::print(&summary.text())?,
            Format::Csv => csv.flush()?,
            Format::Json => output::json(&summary)?,
        }
        if without_need > 0 { Err(Failure::Reported) } else { Ok(()) }
    }
}

// === impl Pair ===

impl<'p> Pair<'p> {
    fn new(old: &'p Rollout, new: &'p Rollout, at: Duration) -> Self {
        // Keys are not compared: two that give a few probes the same buckets are the same.
        let buckets = |rollout: &Rollout| {
            let bucketer = rollout.bucketer()?;
            Some([0_u8, 1, 2, 3].map(|probe| bucketer.bucket(&[b'p', probe]).bucket))
        };
        let same_text = old.salt() == new.salt() && old.algorithm() == new.algorithm();
        let same_draw = same_text && buckets(old) == buckets(new);
        let movement = Movement::between(&old.named_ranges(at), &new.named_ranges(at));
        Self { old, new, movement, same_draw }
    }

    /// Whether every user who leaves this variant has to, for its weight to become the new one.
    fn has_to_lose(&self, variant: &str) -> bool {
        if !self.new.is_enabled() {
            return true;
        }
        let (given, needed) = self.movement.leaving(variant);
        self.same_draw && given <= needed
    }
}

// === impl DiffOutput ===

impl DiffOutput {
    fn text(&self) -> String {
        let percent = |ppm: u32| Weight::from_ppm(ppm).unwrap_or(Weight::ALL);
        let mut text = String::new();
        let _ = writeln!(text, "{}: {} of {} users move", self.rollout, self.moved, self.users);
        for each in &self.moves {
            let examples: Vec<_> = each.examples.iter().map(|user| visible(user)).collect();
            let more = if each.users > each.examples.len() as u64 { ", .." } else { "" };
            let (from, to, users) = (&each.from, &each.to, each.users);
            let _ = writeln!(text, "  {from} -> {to}: {users} ({}{more})", examples.join(", "));
        }
        let (moved, least) = (percent(self.moved_ppm), percent(self.least_ppm));
        let _ = match (self.same_draw, self.moved_ppm.cmp(&self.least_ppm).is_gt()) {
            (false, _) => writeln!(
                text,
                "the salt, the algorithm or the key changes: every user gets a new bucket; the weights alone would move {least} %"
            ),
            (true, true) => writeln!(text, "by the ranges {moved} % of all users move; {least} % would do"),
            (true, false) => {
                writeln!(
                    text,
                    "by the ranges {moved} % of all users move: the least that these weights allow"
                )
            }
        };
        if self.without_need > 0 {
            let _ =
                writeln!(text, "{} users change variant although no weight requires it", self.without_need);
        }
        text
    }
}
