//! Arguments of a rehearsal: `stable=0.2,canary=3`, `latency:stable=5,canary=7`, `1,5,25`.

use coalmine_document::parts_per_million;
use coalmine_judge::Arms;

use crate::failure::Failure;

/// A number for each version, where it is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ArmNumbers {
    stable: Option<f64>,
    canary: Option<f64>,
}

/// Bad requests of a guard.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct GuardRates {
    pub(super) guard: String,
    pub(super) percents: ArmNumbers,
}

// === impl ArmNumbers ===

impl ArmNumbers {
    /// As shares, from percent.
    pub(super) fn shares(self, otherwise: f64) -> Result<Arms<f64>, Failure> {
        let share = |percent: Option<f64>| {
            let percent = percent.unwrap_or(otherwise);
            match (0.0..=100.0).contains(&percent) {
                true => Ok(percent / 100.0),
                false => Err(Failure::usage(format!("a rate is {percent} %"), "give a number from 0 to 100")),
            }
        };
        Ok(Arms { stable: share(self.stable)?, canary: share(self.canary)? })
    }

    /// As whole numbers.
    pub(super) fn whole(self, otherwise: u32) -> Result<Arms<u32>, Failure> {
        let whole = |number: Option<f64>| match number {
            None => Ok(otherwise),
            Some(number) if number.fract() == 0.0 && (0.0..=10_000.0).contains(&number) => Ok(number as u32),
            Some(number) => Err(Failure::usage(
                format!("{number} is no number of replicas"),
                "give a whole number, at most 10000",
            )),
        };
        Ok(Arms { stable: whole(self.stable)?, canary: whole(self.canary)? })
    }
}

pub(super) fn parse_arms(text: &str) -> Result<ArmNumbers, String> {
    let mut arms = ArmNumbers { stable: None, canary: None };
    for part in text.split(',') {
        let (arm, number) = part.split_once('=').ok_or("stable=NUMBER,canary=NUMBER is expected")?;
        let number: f64 =
            number.trim_end_matches('%').parse().map_err(|_| format!("{number} is not a number"))?;
        match arm {
            "stable" => arms.stable = Some(number),
            "canary" => arms.canary = Some(number),
            _ => return Err(format!("{arm} is neither stable nor canary")),
        }
    }
    Ok(arms)
}

pub(super) fn parse_guard_rates(text: &str) -> Result<GuardRates, String> {
    let (guard, arms) = text.split_once(':').ok_or("GUARD:stable=PERCENT,canary=PERCENT is expected")?;
    Ok(GuardRates { guard: guard.to_owned(), percents: parse_arms(arms)? })
}

/// A weight in percent, as parts per million.
pub(super) fn parse_weight(text: &str) -> Result<u32, String> {
    parts_per_million(text.parse().map_err(|_| format!("{text} is not a number"))?)
}
