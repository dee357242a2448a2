//! A valid policy in one line.

use std::fmt;
use std::time::Duration;

use coalmine_core::policy::{Policy, Rollout, RouteValue};
use coalmine_core::split::Weight;
use serde::Serialize;

use crate::scan::EmbeddedPolicy;
use coalmine_document::SourceText;

/// What a valid policy says.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    file: String,
    line: usize,
    /// What the policy is embedded in: `WasmPlugin shop/coalmine`.
    #[serde(rename = "holder", skip_serializing_if = "String::is_empty")]
    container: String,
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
    pub(super) fn of(source: &SourceText, embedded: &EmbeddedPolicy, policy: &Policy, now: Duration) -> Self {
        Self {
            file: source.name().to_owned(),
            line: source.line_of(embedded.node.span.start) + 1,
            container: embedded.title().to_owned(),
            revision: policy.revision(),
            rollouts: policy.rollouts().iter().map(|rollout| RolloutSummary::of(rollout, now)).collect(),
        }
    }
}

/// `policy.yaml: valid, revision 42; checkout: stable 95 %, canary 5 %`
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file)?;
        if !self.container.is_empty() {
            write!(f, "{}: ", self.container)?;
        }
        f.write_str("valid")?;
        if let Some(revision) = self.revision {
            write!(f, ", revision {revision}")?;
        }
        if self.rollouts.is_empty() {
            f.write_str("; no rollouts: all users are stable")?;
        }
        self.rollouts.iter().try_for_each(|rollout| write!(f, "; {rollout}"))
    }
}

// === impl RolloutSummary ===

impl RolloutSummary {
    fn of(rollout: &Rollout, now: Duration) -> Self {
        let variant = |(name, weight): (&str, Weight)| VariantSummary {
            name: name.to_owned(),
            weight: weight.to_string(),
        };
        let in_route = matches!(rollout.route().value(), RouteValue::Bucket(_));
        Self {
            name: rollout.name().to_owned(),
            enabled: rollout.is_enabled(),
            weights_in_route: in_route,
            variants: if in_route {
                Vec::new()
            } else {
                rollout.shares(now).into_iter().map(variant).collect()
            },
        }
    }
}

impl fmt::Display for RolloutSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        if !self.enabled {
            return f.write_str("switched off, all users are stable");
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
