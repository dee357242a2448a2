//! A valid policy in one line.

use std::fmt;

use coalmine_core::policy::{Policy, Rollout, Route};
use serde::Serialize;

use crate::found::Found;
use crate::shares::shares;
use crate::text::Source;

/// What a valid policy says.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    file: String,
    line: u32,
    /// What holds the policy: `WasmPlugin shop/coalmine`.
    #[serde(skip_serializing_if = "String::is_empty")]
    holder: String,
    revision: Option<u64>,
    rollouts: Vec<RolloutSummary>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RolloutSummary {
    name: String,
    enabled: bool,
    /// Whether the weights stay in a route of the proxy: then there are none here.
    weights_in_route: bool,
    variants: Vec<VariantSummary>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VariantSummary {
    name: String,
    /// In percent, as a decimal text: exact.
    weight: String,
}

// === impl Summary ===

impl Summary {
    pub(super) fn of(source: &Source, found: &Found, policy: &Policy) -> Self {
        Self {
            file: source.name().to_owned(),
            line: source.mark(found.tree.span.start).line,
            holder: found.title().to_owned(),
            revision: policy.revision(),
            rollouts: policy.rollouts().iter().map(RolloutSummary::of).collect(),
        }
    }
}

/// `policy.yaml: valid, revision 42; checkout: stable 95 %, canary 5 %`
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file)?;
        if !self.holder.is_empty() {
            write!(f, "{}: ", self.holder)?;
        }
        f.write_str("valid")?;
        if let Some(revision) = self.revision {
            write!(f, ", revision {revision}")?;
        }
        if self.rollouts.is_empty() {
            f.write_str("; no rollouts: everybody is stable")?;
        }
        self.rollouts.iter().try_for_each(|rollout| write!(f, "; {rollout}"))
    }
}

// === impl RolloutSummary ===

impl RolloutSummary {
    fn of(rollout: &Rollout) -> Self {
        let variant = |(name, weight): (&str, coalmine_core::weight::Weight)| VariantSummary {
            name: name.to_owned(),
            weight: weight.to_string(),
        };
        let in_route = matches!(rollout.route(), Route::BucketHeader { .. });
        Self {
            name: rollout.name().to_owned(),
            enabled: rollout.is_enabled(),
            weights_in_route: in_route,
            variants: if in_route { Vec::new() } else { shares(rollout).into_iter().map(variant).collect() },
        }
    }
}

impl fmt::Display for RolloutSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        if !self.enabled {
            return f.write_str("switched off, everybody is stable");
        }
        if self.weights_in_route {
            return f.write_str("the weights are the route's");
        }
        for (index, variant) in self.variants.iter().enumerate() {
            let joint = if index == 0 { "" } else { ", " };
            write!(f, "{joint}{} {} %", variant.name, variant.weight)?;
        }
        Ok(())
    }
}
