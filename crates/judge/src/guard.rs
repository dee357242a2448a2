//! What the judge remembers of one guard.

use crate::assessment::{Evidence, Finding, GuardAssessment, Missing, Users};
use crate::batch::{Arms, Counts, GROUPS, Tally};
use crate::config::{Config, GuardConfig, Process};
use crate::harm::{self, without_one_more, without_worst};
use crate::interval::RatioEvidence;
use crate::latency::{self, Past, Side};
use crate::numeric::log_mean_exp;
use crate::safety;

/// Requests of one arm that wait for the first one of the other, so that batches may be as short as one likes. What is
/// above it is left out: the base rate may have moved since. Only how many requests there are decides about that.
const MOST_WAITING: u64 = 1000;

/// State of one guard.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Guard {
    /// By alternative, by group; evidence without groups has the first column only.
    pub(crate) harm: Vec<[f64; GROUPS]>,
    pub(crate) safe: Vec<f64>,
    pub(crate) past: Past,
    pub(crate) counts: Arms<Counts>,
    pub(crate) ratio: RatioEvidence,
    /// Counts that wait for the first request of an arm.
    pub(crate) waiting: Option<Tally>,
    /// Look at which harm was proved first.
    pub(crate) harm_at: Option<u64>,
}

// === impl Guard ===

impl Guard {
    pub(crate) fn new(config: &GuardConfig) -> Self {
        let (harm, safe) = match config.process {
            Process::Share => (harm::RATIOS.len(), safety::RATIOS.len()),
            Process::Exact => (latency::RATIOS.len(), latency::RATIOS.len()),
        };
        Self {
            harm: vec![[0.0; GROUPS]; harm],
            safe: vec![0.0; safe],
            past: Past::default(),
            counts: Arms::default(),
            ratio: RatioEvidence::default(),
            waiting: None,
            harm_at: None,
        }
    }

    /// Takes in counts that have been checked; `look` is their number, from 1.
    pub(crate) fn observe(&mut self, config: &GuardConfig, tally: &Tally, look: u64, threshold: f64) {
        self.counts = self.counts.plus(tally.total());
        let waited = self.waiting.take().map(|waiting| waiting.plus(tally));
        let tally = waited.as_ref().unwrap_or(tally);
        let total = tally.total();
        if total.lacks_an_arm() {
            let few = total.stable.all.max(total.canary.all) <= MOST_WAITING;
            self.waiting = few.then(|| tally.clone());
            return;
        }
        let past = self.past;
        let harm = |counts: &Arms<Counts>, alternative: usize| match config.process {
            Process::Share => harm::RATIOS
                .get(alternative)
                .map_or(0.0, |&ratio| harm::increment(counts, config.worse_than, ratio)),
            Process::Exact => latency::RATIOS.get(alternative).map_or(0.0, |&ratio| {
                latency::increment(counts, &past, Side::Harm, config.worse_than, ratio)
            }),
        };
        for (alternative, row) in self.harm.iter_mut().enumerate() {
            for (sum, counts) in row.iter_mut().zip(tally.parts()) {
                *sum += harm(counts, alternative);
            }
        }
        let margin = config.safe_within;
        match config.process {
            Process::Share => {
                for (sum, ratio) in self.safe.iter_mut().zip(safety::RATIOS) {
                    *sum += safety::increment(&total, margin, ratio);
                }
            }
            Process::Exact => {
                for (sum, ratio) in self.safe.iter_mut().zip(latency::RATIOS) {
                    *sum += latency::increment(&total, &past, Side::Safety, margin, ratio);
                }
            }
        }
        self.past.learn(total.stable);
        self.ratio.observe(&total);
        if self.harm_at.is_none() && self.harm_evidence(config) >= threshold {
            self.harm_at = Some(look);
        }
    }

    pub(crate) fn assess(&self, guard: &GuardConfig, config: &Config) -> GuardAssessment {
        let harm = Evidence { log: self.harm_evidence(guard), needed: config.harm_threshold() };
        let safe = Evidence { log: log_mean_exp(self.safe.iter().copied()), needed: config.safe_threshold() };
        let users = self.users(guard, harm);
        let finding = match (self.harm_at, users) {
            (Some(at), _) => Finding::Harm { at },
            // What hides harm from its process feigns safety in the mirrored one.
            (None, Users::HiddenByGroup(_)) => Finding::Undecided,
            (None, _) if safe.is_proof() => Finding::Safe,
            (None, _) => Finding::Undecided,
        };
        GuardAssessment {
            name: guard.name.clone(),
            finding,
            harm,
            safe,
            counts: self.counts,
            ratio: self.ratio.interval(config.beta),
            users,
            missing: self.missing(guard, config, finding),
        }
    }

    /// Logarithm of the evidence for harm.
    fn harm_evidence(&self, config: &GuardConfig) -> f64 {
        match config.groups {
            true => without_worst(&self.harm),
            false => self.plain_evidence(),
        }
    }

    fn plain_evidence(&self) -> f64 {
        log_mean_exp(self.harm.iter().map(|row| row.iter().sum()))
    }

    fn users(&self, config: &GuardConfig, harm: Evidence) -> Users {
        if !config.groups {
            return Users::NotChecked;
        }
        if self.harm_at.is_some() {
            return Users::Checked;
        }
        let (log, group) = without_one_more(&self.harm);
        if log >= harm.needed {
            return Users::HiddenByGroup(group);
        }
        match self.plain_evidence() >= harm.needed {
            true => Users::FewInCanary,
            false => Users::Checked,
        }
    }

    fn missing(&self, guard: &GuardConfig, config: &Config, finding: Finding) -> Vec<Missing> {
        let Arms { stable, canary } = self.counts;
        let mut missing = Vec::new();
        if matches!(finding, Finding::Harm { .. }) {
            return missing;
        }
        for (is_canary, counts) in [(true, canary), (false, stable)] {
            if counts.all == 0 {
                missing.push(Missing::Arm { canary: is_canary });
            }
        }
        let fewest = match finding {
            Finding::Safe => None,
            _ => safety::fewest_requests(guard.safe_within, config.safe_threshold())
                .filter(|_| guard.process == Process::Share),
        };
        let need = config.min_requests.max(fewest.unwrap_or_default());
        if canary.all < need {
            missing.push(Missing::Requests { have: canary.all, need });
        } else if finding == Finding::Undecided {
            missing.push(Missing::Evidence);
        }
        missing
    }
}
