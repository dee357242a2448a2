//! Random VirtualServices, DestinationRules, EnvoyFilters and policies, questions about them, and what the command's
//! model of routes answers. `tests/mesh/test_routes.py` puts the same questions to a real mesh.
//!
//! `coalmine-mesh-routes CASES SEED` prints one line of JSON for each case.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a part of a test: a case that cannot be made is a mistake in it"
)]

mod case;
mod conditions;
mod filters;
mod questions;
mod rules;

use std::io::Write as _;

use anyhow::{Context as _, Result};
use coalmine_envoy_tests::random::Random;
use serde_json::json;

use case::Case;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let mut number = |name: &str| {
        let usage = || format!("usage: coalmine-mesh-routes CASES SEED; {name}");
        arguments.next().with_context(|| format!("{} is missing", usage()))?.with_context(usage)
    };
    let (cases, seed) = (number("CASES")?, number("SEED")?);
    let mut output = std::io::stdout().lock();
    for index in 0..cases {
        // A case is the same whatever the others are.
        let mut random = Random::of(seed, [index, 0]);
        let case = Case::of(usize::try_from(index)?, &mut random);
        let questions = questions::questions(&case, &mut random);
        let line = json!({
            "name": case.names.service,
            "resources": case.resources,
            "rollouts": case.rollouts,
            "questions": questions,
        });
        writeln!(output, "{line}")?;
    }
    Ok(())
}
