//! Guards, their margins, and the error rates that are promised.

use std::fmt;

/// What the judge watches, and how sure it has to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The guards: at least one.
    pub guards: Vec<GuardConfig>,
    /// Chance that a canary that harms in no guard is ever called harmful: over all guards and all looks, in (0, 1).
    pub alpha: f64,
    /// Chance that a canary that is not good enough in a guard is ever called safe there, in (0, 1).
    pub beta: f64,
    /// Requests of the canary below which an assessment names requests as missing.
    pub min_requests: u64,
}

/// One thing that may go wrong: errors, slow requests, failed payments.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardConfig {
    /// Name for people.
    pub name: String,
    /// Process that weighs the evidence.
    pub process: Process,
    /// Harm is proved when the canary's rate is above this.
    pub worse_than: Margin,
    /// Safety is proved when the canary's rate is below this.
    pub safe_within: Margin,
    /// Whether every tally comes by hash group: harm must then survive without the canary's worst two.
    pub groups: bool,
}

/// Bound for the canary's rate, from stable's: `times * stable + plus`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margin {
    /// Factor, at least 0.01 and at most 100.
    pub times: f64,
    /// Summand, as a share: 0.001 is 0.1 percentage points. From 0 to less than 1.
    pub plus: f64,
}

/// How evidence is weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// By the canary's share of the bad requests: for rates up to some 5 %, as errors.
    Share,
    /// By both rates at once: for larger rates, as slow requests.
    Exact,
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigProblem {
    /// No guard.
    NoGuards,
    /// `alpha` or `beta` outside (0, 1).
    ErrorRate(&'static str, f64),
    /// A margin of the guard of this name is out of range, or is not a number.
    Margin(String, Margin),
    /// Two guards have this name.
    SameName(String),
}

// === impl Config ===

impl Default for Config {
    /// One guard on errors, by group: harm above 1.25 times stable plus 0.1 points, safe below twice stable plus 1
    /// point; alpha 1 %, beta 5 %, 500 requests.
    fn default() -> Self {
        Self { guards: vec![GuardConfig::errors()], alpha: 0.01, beta: 0.05, min_requests: 500 }
    }
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), ConfigProblem> {
        let rate = |name, value: f64| match value > 0.0 && value < 1.0 {
            true => Ok(()),
            false => Err(ConfigProblem::ErrorRate(name, value)),
        };
        rate("alpha", self.alpha)?;
        rate("beta", self.beta)?;
        if self.guards.is_empty() {
            return Err(ConfigProblem::NoGuards);
        }
        for (place, guard) in self.guards.iter().enumerate() {
            for margin in [guard.worse_than, guard.safe_within] {
                if !margin.is_possible() {
                    return Err(ConfigProblem::Margin(guard.name.clone(), margin));
                }
            }
            if self.guards.iter().take(place).any(|earlier| earlier.name == guard.name) {
                return Err(ConfigProblem::SameName(guard.name.clone()));
            }
        }
        Ok(())
    }

    /// Evidence that proves harm, as a logarithm: `ln(K / alpha)` with K guards.
    pub fn harm_threshold(&self) -> f64 {
        (self.guards.len() as f64 / self.alpha).ln()
    }

    /// Evidence that proves safety, as a logarithm: `ln(1 / beta)`. It is not divided among guards, because a
    /// promotion needs all of them.
    pub fn safe_threshold(&self) -> f64 {
        (1.0 / self.beta).ln()
    }
}

// === impl GuardConfig ===

impl GuardConfig {
    /// Guard on errors, with the default margins.
    pub fn errors() -> Self {
        Self {
            name: "errors".to_owned(),
            process: Process::Share,
            worse_than: Margin { times: 1.25, plus: 0.001 },
            safe_within: Margin { times: 2.0, plus: 0.01 },
            groups: true,
        }
    }

    /// Guard on slow requests, with the default margins.
    pub fn latency() -> Self {
        Self {
            name: "latency".to_owned(),
            process: Process::Exact,
            worse_than: Margin { times: 1.25, plus: 0.01 },
            safe_within: Margin { times: 1.5, plus: 0.02 },
            groups: true,
        }
    }
}

// === impl Margin ===

impl Margin {
    /// Bound for the canary's rate when stable's is `stable`. It may be above 1.
    pub fn bound(&self, stable: f64) -> f64 {
        self.times * stable + self.plus
    }

    fn is_possible(&self) -> bool {
        (0.01..=100.0).contains(&self.times) && (0.0..1.0).contains(&self.plus)
    }
}

// === impl ConfigProblem ===

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGuards => f.write_str("there is no guard; at least one is needed"),
            Self::ErrorRate(name, value) => {
                write!(f, "{name} is {value}; a number above 0 and below 1 is expected")
            }
            Self::Margin(guard, Margin { times, plus }) => write!(
                f,
                "guard {guard:?} has the margin {times} times plus {plus}; times goes from 0.01 to 100, plus from 0 to \
                 less than 1"
            ),
            Self::SameName(name) => {
                write!(f, "two guards have the name {name:?}; give each a name of its own")
            }
        }
    }
}

impl std::error::Error for ConfigProblem {}
