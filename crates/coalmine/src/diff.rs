//! `coalmine diff`: who moves between two policies.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use coalmine_core::Reason;
use coalmine_core::policy::Rollout;
use coalmine_core::weight::Weight;
use serde::Serialize;

use crate::cli::{AtArgument, RolloutArgument};
use crate::crowd::CrowdArguments;
use crate::failure::Failure;
use crate::movement::Movement;
use crate::policy_file::PolicyFile;
use crate::terminal::{self, visible};

const AFTER: &str = "\
Examples:
  coalmine diff policy.yaml policy.new.yaml --users users.txt
  git show HEAD:policy.yaml | coalmine diff - policy.yaml --count 100000
  coalmine diff old.yaml new.yaml --users users.txt --format csv > moved.csv

Exit codes: 0 nobody leaves a variant but stable without need; 1 somebody does; 2 used wrongly.
A need is: the variant's weight shrinks by as much, the user's pin changed, the rollout was switched off.";

/// How many users are named in the summary.
const NAMED: usize = 5;

/// Tell who moves from where to where, and whether fewer could have
///
/// For one rollout of both policies, found by its name. The least number that has to move follows from the weights
/// alone: half the sum of their differences.
#[derive(Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Diff {
    /// The policy that is; - for standard input
    old: PathBuf,
    /// The policy that is to be; - for standard input
    new: PathBuf,
    #[command(flatten)]
    rollout: RolloutArgument,
    #[command(flatten)]
    at: AtArgument,
    #[command(flatten)]
    crowd: CrowdArguments,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A summary, for people
    #[default]
    Text,
    /// Everybody who moves: user,from,to
    Csv,
    /// A summary, for programs
    Json,
}

/// What came out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    rollout: String,
    users: u64,
    moved: u64,
    moves: Vec<Move>,
    /// Users who leave a variant but stable, although nothing makes them.
    without_need: u64,
    /// Whether both policies draw alike: the same salt, algorithm and key.
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
        let (old, new) = (PolicyFile::load_to_draw(&self.old, at)?, PolicyFile::load_to_draw(&self.new, at)?);
        let old = old.rollout(self.rollout.name.as_deref())?;
        let pair = Pair::new(old, new.rollout(Some(old.name()))?);
        let mut csv = csv::Writer::from_writer(terminal::lines());
        if self.format == Format::Csv {
            csv.write_record(["user", "from", "to"]).map_err(std::io::Error::from)?;
        }
        let mut moves: BTreeMap<(&str, &str), Move> = BTreeMap::new();
        let mut without_need = 0;
        let users = self.crowd.each(|user| {
            let (before, after) = (pair.old.assign(Some(user)), pair.new.assign(Some(user)));
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
        let answer = Answer {
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
            Format::Text => terminal::print(&answer.text())?,
            Format::Csv => csv.flush()?,
            Format::Json => terminal::json(&answer)?,
        }
        if without_need > 0 { Err(Failure::Told) } else { Ok(()) }
    }
}

// === impl Pair ===

impl<'p> Pair<'p> {
    fn new(old: &'p Rollout, new: &'p Rollout) -> Self {
        // A key is nobody's to compare: two that give the same buckets to a few are the same.
        let buckets = |rollout: &Rollout| {
            let draw = rollout.draw()?;
            Some([0_u8, 1, 2, 3].map(|probe| draw.lot(&[b'p', probe]).bucket))
        };
        let same_text = old.salt() == new.salt() && old.algorithm() == new.algorithm();
        let same_draw = same_text && buckets(old) == buckets(new);
        Self { old, new, movement: Movement::between(old, new), same_draw }
    }

    /// Whether everybody who leaves this variant has to, for its weight to become what it is to be.
    fn has_to_lose(&self, variant: &str) -> bool {
        if !self.new.is_enabled() {
            return true;
        }
        let (given, needed) = self.movement.leaving(variant);
        self.same_draw && given <= needed
    }
}

// === impl Answer ===

impl Answer {
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
                "the salt, the algorithm or the key changes: everybody is drawn for anew; the weights alone would move {least} %"
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
            let _ = writeln!(text, "{} users leave a variant without need", self.without_need);
        }
        text
    }
}
