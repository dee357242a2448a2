//! The state as bytes: small, with a version, and read back only where it fits.
//!
//! Little endian throughout. A header `CMJ` and the version; the number of looks; for each guard a fingerprint of its
//! name, margins, process and form, then its sums; then what the checks of trust remember. A guard whose fingerprint is not
//! in the configuration is dropped, and a guard that the bytes do not have begins with nothing: a changed margin zeroes
//! its guard and no other.

use std::fmt;

use crate::batch::{Arms, Counts, GROUPS, MAX_COUNT, Open, Served, Tally};
use crate::config::{Config, ConfigProblem, GuardConfig};
use crate::guard::Guard;
use crate::judge::Judge;
use crate::latency::Past;
use crate::trust::{SampleRatio, TrustState};

/// Version of the form. A reader refuses every other one.
pub const VERSION: u8 = 1;
const MAGIC: [u8; 4] = [b'C', b'M', b'J', VERSION];

/// Why a state was not read.
#[derive(Clone, Debug, PartialEq)]
pub enum StateProblem {
    /// The bytes are no state of a judge.
    NotAState,
    /// Version that this one does not know.
    Version(u8),
    /// The bytes end early, go on too long, or have a value that cannot be.
    Damaged(&'static str),
    /// The configuration itself is wrong.
    Config(ConfigProblem),
}

struct Reader<'a> {
    rest: &'a [u8],
}

// === impl Judge ===

impl Judge {
    /// State as bytes: some 2 kB for a guard with groups.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        put(&mut bytes, self.looks);
        put(&mut bytes, self.weight.map_or(u64::MAX, u64::from));
        put(&mut bytes, self.guards.len() as u64);
        for (guard, config) in self.guards.iter().zip(&self.config.guards) {
            put(&mut bytes, fingerprint(config));
            put(&mut bytes, u64::from(columns(config)));
            put(&mut bytes, guard.harm.len() as u64);
            for row in &guard.harm {
                row.iter().take(columns(config).into()).for_each(|value| put(&mut bytes, value.to_bits()));
            }
            put(&mut bytes, guard.safe.len() as u64);
            guard.safe.iter().for_each(|value| put(&mut bytes, value.to_bits()));
            put(&mut bytes, guard.past.bad.to_bits());
            put(&mut bytes, guard.past.all.to_bits());
            put_arms(&mut bytes, guard.counts);
            guard.ratio.sums.iter().flatten().flatten().for_each(|value| put(&mut bytes, value.to_bits()));
            put(&mut bytes, guard.harm_at.unwrap_or_default());
            put(&mut bytes, u64::from(guard.waiting.is_some()));
            for arms in guard.waiting.iter().flat_map(|tally| tally.parts()) {
                put_arms(&mut bytes, *arms);
            }
        }
        put_trust(&mut bytes, &self.trust);
        bytes
    }

    /// Judge of this configuration that goes on from a state.
    ///
    /// # Errors
    /// Bytes that are no state, of another version, or damaged; a configuration that is wrong.
    pub fn from_bytes(config: Config, bytes: &[u8]) -> Result<Self, StateProblem> {
        let mut judge = Judge::new(config).map_err(StateProblem::Config)?;
        let (head, rest) = bytes.split_first_chunk::<4>().ok_or(StateProblem::NotAState)?;
        match head {
            head if *head == MAGIC => {}
            [b'C', b'M', b'J', version] => return Err(StateProblem::Version(*version)),
            _ => return Err(StateProblem::NotAState),
        }
        let mut reader = Reader { rest };
        judge.looks = reader.number()?;
        judge.weight = reader.weight()?;
        for _ in 0..reader.number()? {
            let print = reader.number()?;
            let guard = reader.guard(judge.looks)?;
            let places = judge.guards.iter_mut().zip(&judge.config.guards);
            for (place, _) in places.filter(|(place, config)| {
                fingerprint(config) == print
                    && place.harm.len() == guard.harm.len()
                    && place.safe.len() == guard.safe.len()
            }) {
                *place = guard.clone();
            }
        }
        judge.trust = reader.trust()?;
        match reader.rest.is_empty() {
            true => Ok(judge),
            false => Err(StateProblem::Damaged("bytes after the end")),
        }
    }
}

fn columns(config: &GuardConfig) -> u8 {
    if config.groups { GROUPS as u8 } else { 1 }
}

/// FNV-1a over all that the sums of a guard depend on.
fn fingerprint(config: &GuardConfig) -> u64 {
    let GuardConfig { name, process, worse_than, safe_within, groups } = config;
    let margins = [worse_than.times, worse_than.plus, safe_within.times, safe_within.plus];
    let numbers = margins.iter().flat_map(|value| value.to_bits().to_le_bytes());
    let bytes = name.bytes().chain(numbers).chain([*process as u8, u8::from(*groups)]);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn put(bytes: &mut Vec<u8>, value: u64) {
    bytes.extend_from_slice(&value.to_le_bytes());
}

fn put_arms(bytes: &mut Vec<u8>, arms: Arms<Counts>) {
    for Counts { all, bad } in [arms.stable, arms.canary] {
        put(bytes, all);
        put(bytes, bad);
    }
}

fn put_trust(bytes: &mut Vec<u8>, trust: &TrustState) {
    put(bytes, trust.expected.stable.to_bits());
    put(bytes, trust.expected.canary.to_bits());
    put(bytes, u64::from(trust.weight_seen));
    put(bytes, u64::from(trust.served.is_some()));
    let served = trust.served.unwrap_or_default();
    for value in [served.assigned, served.served, u64::from(trust.leaks)] {
        put(bytes, value);
    }
    put(bytes, u64::from(trust.open.is_some()));
    let Arms { stable, canary } = trust.open.unwrap_or_default();
    for value in [stable.begun, stable.open, canary.begun, canary.open, u64::from(trust.hangs)] {
        put(bytes, value);
    }
    put(bytes, trust.sample_ratio.weight.map_or(u64::MAX, u64::from));
    put(bytes, u64::from(trust.sample_ratio.requests.is_some()));
    for arms in trust.sample_ratio.requests.iter().flat_map(|requests| requests.iter()) {
        put(bytes, arms.stable);
        put(bytes, arms.canary);
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn number(&mut self) -> Result<u64, StateProblem> {
        let (value, rest) =
            self.rest.split_first_chunk::<8>().ok_or(StateProblem::Damaged("the bytes end early"))?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*value))
    }

    fn float(&mut self) -> Result<f64, StateProblem> {
        let value = f64::from_bits(self.number()?);
        value.is_finite().then_some(value).ok_or(StateProblem::Damaged("a sum is not finite"))
    }

    fn at_most(&mut self, most: u64, what: &'static str) -> Result<u64, StateProblem> {
        let value = self.number()?;
        (value <= most).then_some(value).ok_or(StateProblem::Damaged(what))
    }

    fn small(&mut self) -> Result<u32, StateProblem> {
        Ok(self.at_most(u64::from(u32::MAX), "a number is too large")? as u32)
    }

    fn flag(&mut self) -> Result<bool, StateProblem> {
        Ok(self.at_most(1, "a flag is neither 0 nor 1")? == 1)
    }

    fn weight(&mut self) -> Result<Option<u32>, StateProblem> {
        match self.number()? {
            u64::MAX => Ok(None),
            weight if weight <= 1_000_000 => Ok(Some(weight as u32)),
            _ => Err(StateProblem::Damaged("a weight is above 1000000")),
        }
    }

    fn arms(&mut self) -> Result<Arms<Counts>, StateProblem> {
        Ok(Arms { stable: self.counts()?, canary: self.counts()? })
    }

    fn counts(&mut self) -> Result<Counts, StateProblem> {
        let all = self.at_most(MAX_COUNT, "a count is too large")?;
        Ok(Counts { all, bad: self.at_most(all, "more bad requests than requests")? })
    }

    fn guard(&mut self, looks: u64) -> Result<Guard, StateProblem> {
        let columns = self.at_most(GROUPS as u64, "there are too many groups")? as usize;
        let rows = self.at_most(16, "there are too many alternatives")?;
        let mut harm = Vec::new();
        for _ in 0..rows {
            let mut row = [0.0; GROUPS];
            for value in row.iter_mut().take(columns) {
                *value = self.float()?;
            }
            harm.push(row);
        }
        let rows = self.at_most(16, "there are too many alternatives")?;
        let safe = (0..rows).map(|_| self.float()).collect::<Result<_, _>>()?;
        let past = Past { bad: self.float()?, all: self.float()? };
        if past.bad < 0.0 || past.all < past.bad {
            return Err(StateProblem::Damaged("stable's past has a negative count"));
        }
        let counts = self.arms()?;
        let mut ratio = crate::interval::RatioEvidence::default();
        for value in ratio.sums.iter_mut().flatten().flatten() {
            *value = self.float()?;
        }
        let harm_at = self.at_most(looks, "harm was proved at a look that has not been")?;
        let waiting = match self.flag()? {
            true if columns == GROUPS => {
                let mut groups = Box::new([Arms::default(); GROUPS]);
                for group in groups.iter_mut() {
                    *group = self.arms()?;
                }
                Some(Tally::Groups(groups))
            }
            true => Some(Tally::Whole(self.arms()?)),
            false => None,
        };
        Ok(Guard { harm, safe, past, counts, ratio, waiting, harm_at: (harm_at > 0).then_some(harm_at) })
    }

    fn trust(&mut self) -> Result<TrustState, StateProblem> {
        let expected = Arms { stable: self.float()?, canary: self.float()? };
        let weight_seen = self.flag()?;
        let is_served = self.flag()?;
        let served = Served { assigned: self.number()?, served: self.number()? };
        let leaks = self.small()?;
        let is_open = self.flag()?;
        let mut open =
            || -> Result<Open, StateProblem> { Ok(Open { begun: self.number()?, open: self.number()? }) };
        let open = Arms { stable: open()?, canary: open()? };
        let hangs = self.small()?;
        let mut sample_ratio = SampleRatio { weight: self.weight()?, requests: None };
        if self.flag()? {
            for arms in sample_ratio.requests.get_or_insert_default().iter_mut() {
                *arms = Arms { stable: self.number()?, canary: self.number()? };
            }
        }
        Ok(TrustState {
            expected,
            weight_seen,
            served: is_served.then_some(served),
            leaks,
            open: is_open.then_some(open),
            hangs,
            sample_ratio,
        })
    }
}

// === impl StateProblem ===

impl fmt::Display for StateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAState => f.write_str("these bytes are no state of a judge"),
            Self::Version(version) => {
                write!(f, "the state has version {version}; version {VERSION} can be read")
            }
            Self::Damaged(what) => write!(f, "the state is damaged: {what}"),
            Self::Config(problem) => problem.fmt(f),
        }
    }
}

impl std::error::Error for StateProblem {}
