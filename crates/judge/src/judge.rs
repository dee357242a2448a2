//! The judge: batches in, an assessment out.

use crate::assessment::Assessment;
use crate::batch::{Batch, Counts, MAX_COUNT, Refusal, Tally};
use crate::config::{Config, ConfigProblem};
use crate::guard::Guard;
use crate::trust::TrustState;

/// Evidence of one life: one canary against one stable. Another version of either begins with a new judge.
#[derive(Clone, Debug, PartialEq)]
pub struct Judge {
    pub(crate) config: Config,
    pub(crate) looks: u64,
    /// Of the latest batch.
    pub(crate) weight: Option<u32>,
    pub(crate) guards: Vec<Guard>,
    pub(crate) trust: TrustState,
}

// === impl Judge ===

impl Judge {
    /// Judge that has seen nothing.
    ///
    /// # Errors
    /// A configuration with a number out of its range.
    pub fn new(config: Config) -> Result<Self, ConfigProblem> {
        config.check()?;
        let guards = config.guards.iter().map(Guard::new).collect();
        Ok(Self { config, looks: 0, weight: None, guards, trust: TrustState::default() })
    }

    /// What it judges by.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Takes in what was counted since the last batch.
    ///
    /// Batches may be of any length. A batch must be formed without a look at its errors: whoever leaves out the bad
    /// ones has no guarantee.
    ///
    /// # Errors
    /// A batch that makes no sense. Nothing of it is taken in.
    pub fn observe(&mut self, batch: &Batch) -> Result<(), Refusal> {
        self.check(batch)?;
        self.looks += 1;
        if self.weight != batch.weight {
            // Counts of different weights are never summed.
            self.weight = batch.weight;
            self.guards.iter_mut().for_each(|guard| guard.waiting = None);
        }
        let threshold = self.config.harm_threshold();
        for ((guard, config), tally) in self.guards.iter_mut().zip(&self.config.guards).zip(&batch.guards) {
            guard.observe(config, tally, self.looks, threshold);
        }
        self.trust.observe(batch);
        Ok(())
    }

    /// True if harm is proved in a guard: the one part of an assessment that is at hand without computing the rest.
    pub fn harm_is_proved(&self) -> bool {
        self.guards.iter().any(|guard| guard.harm_at.is_some())
    }

    /// What is proved now.
    pub fn assess(&self) -> Assessment {
        let guards = self.guards.iter().zip(&self.config.guards);
        Assessment {
            looks: self.looks,
            guards: guards.map(|(guard, config)| guard.assess(config, &self.config)).collect(),
            trust: self.trust.assess(self.config.alpha),
        }
    }

    fn check(&self, batch: &Batch) -> Result<(), Refusal> {
        if batch.guards.len() != self.guards.len() {
            return Err(Refusal::Guards { found: batch.guards.len(), expected: self.guards.len() });
        }
        for (place, ((guard, config), tally)) in
            self.guards.iter().zip(&self.config.guards).zip(&batch.guards).enumerate()
        {
            if matches!(tally, Tally::Groups(_)) != config.groups {
                return Err(Refusal::Form { guard: place, groups: config.groups });
            }
            for counts in tally.parts().iter().flat_map(|arms| [arms.stable, arms.canary]) {
                if counts.bad > counts.all {
                    return Err(Refusal::BadExceedsAll { guard: place, counts });
                }
            }
            let sum = guard.counts.plus(tally.total());
            for Counts { all, .. } in [sum.stable, sum.canary] {
                if all > MAX_COUNT {
                    return Err(Refusal::TooLarge(all));
                }
            }
        }
        if let Some(weight) = batch.weight.filter(|weight| *weight > 1_000_000) {
            return Err(Refusal::Weight(weight));
        }
        for open in batch.open.iter().flat_map(|arms| [arms.stable, arms.canary]) {
            if open.open > open.begun {
                return Err(Refusal::OpenExceedsBegun(open));
            }
        }
        Ok(())
    }
}
