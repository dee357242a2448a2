//! Medians, and how far they may be trusted.

use coalmine_judge::simulate::Random;
use serde_json::{Value, json};

/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

const RESAMPLES: usize = 1000;

// === impl Estimate ===

impl Estimate {
    /// Of one list of bursts per process. The interval is a bootstrap: processes are drawn again, then bursts within
    /// each, since what differs between processes is more than what differs between bursts.
    pub(crate) fn of(processes: &[Vec<f64>]) -> Option<Self> {
        let median_of_all = median(processes.concat())?;
        // The same interval for the same bursts.
        let mut random = Random::new(1);
        let mut medians: Vec<f64> = (0..RESAMPLES)
            .filter_map(|_| {
                let drawn = processes.iter().filter_map(|_| pick(processes, &mut random)).collect::<Vec<_>>();
                let bursts = drawn.into_iter().flat_map(|process| {
                    process.iter().filter_map(|_| pick(process, &mut random)).collect::<Vec<_>>()
                });
                median(bursts.copied().collect())
            })
            .collect();
        medians.sort_by(f64::total_cmp);
        let low = *medians.get(RESAMPLES / 40)?;
        let high = *medians.get(RESAMPLES - 1 - RESAMPLES / 40)?;
        Some(Self { median: median_of_all, low, high })
    }

    pub(crate) fn json(self) -> Value {
        json!({"median": self.median, "low": self.low, "high": self.high})
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (half, is_odd) = (values.len() / 2, values.len() % 2 == 1);
    let upper = *values.get(half)?;
    if is_odd { Some(upper) } else { Some((upper + values.get(half.checked_sub(1)?)?) / 2.0) }
}

fn pick<'a, T>(from: &'a [T], random: &mut Random) -> Option<&'a T> {
    from.get(random.below(from.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_bursts_there_is_no_doubt() {
        let estimate = Estimate::of(&[vec![2.0; 5], vec![2.0; 5]]).unwrap();
        assert_eq!(estimate, Estimate { median: 2.0, low: 2.0, high: 2.0 });
    }

    #[test]
    fn of_processes_that_differ_the_interval_covers_them() {
        let estimate = Estimate::of(&[vec![1.0; 5], vec![2.0; 5], vec![3.0; 5]]).unwrap();
        assert_eq!(estimate, Estimate { median: 2.0, low: 1.0, high: 3.0 });
    }
}
