//! What there is of Coalmine in a cluster, and what is to be done about it, in words.

use coalmine_control::kubernetes::{Left, Removal};
use coalmine_control::publish::istio::Written;

use crate::output::visible;

/// What there is.
pub(super) struct Look {
    /// Who steers the rollouts, where a server runs.
    pub(super) server: Option<String>,
    pub(super) rollouts: Vec<Left>,
    /// The plugins with a policy of a server, and in it only the rollouts that are to go.
    pub(super) plugins: Vec<Written>,
}

// === impl Look ===

impl Look {
    pub(super) async fn take(removal: &Removal, now: u64) -> Result<Self, String> {
        let mut plugins = removal.plugins().await?;
        for written in &mut plugins {
            written.rollouts.retain(|rollout| removal.concerns(rollout));
        }
        Ok(Self { server: removal.server(now).await?, rollouts: removal.rollouts().await?, plugins })
    }

    /// Whether nothing is left to do.
    pub(super) fn is_clear(&self) -> bool {
        self.rollouts.is_empty() && self.plugins.iter().all(|written| written.rollouts.is_empty())
    }

    pub(super) fn text(&self) -> String {
        let mut text = match &self.server {
            Some(holder) => format!("a server runs: {}\n", visible(holder)),
            None => "no server runs\n".to_owned(),
        };
        if self.rollouts.is_empty() {
            text.push_str("no CanaryRollout\n");
        }
        for rollout in &self.rollouts {
            text.push_str(&format!("CanaryRollout {rollout}{}\n", how(rollout)));
        }
        if self.plugins.is_empty() {
            text.push_str("no plugin with a policy of a server\n");
        }
        for Written { plugin, revision, rollouts } in &self.plugins {
            let named = if rollouts.is_empty() { "none of them".to_owned() } else { rollouts.join(", ") };
            text.push_str(&format!("{plugin}, revision {revision}, with {}\n", visible(&named)));
        }
        text
    }

    /// What would be done.
    pub(super) fn plan(&self, waits: bool) -> String {
        let mut steps = vec!["each CanaryRollout is deleted; its finalizer keeps it".to_owned()];
        if waits {
            steps.push("the server sends everybody to stable, and lets go of it".to_owned());
        } else {
            steps
                .push("the policy of each plugin loses these rollouts, so everybody is on stable".to_owned());
            steps.push("the finalizer comes off each CanaryRollout".to_owned());
        }
        let steps = (1..).zip(steps).map(|(number, step)| format!("  {number}. {step}\n"));
        format!("what would be done:\n{}", steps.collect::<String>())
    }

    /// What is left, in one line.
    pub(super) fn left(&self) -> String {
        let rollouts = self.rollouts.iter().map(|rollout| format!("CanaryRollout {rollout}"));
        let has_some = |written: &&Written| !written.rollouts.is_empty();
        let policies =
            self.plugins.iter().filter(has_some).map(|written| format!("the policy of {}", written.plugin));
        format!("there still are {}", rollouts.chain(policies).collect::<Vec<_>>().join(", "))
    }

    /// What a person does after it.
    pub(super) fn remains(&self, namespace: Option<&str>) -> String {
        if let Some(namespace) = namespace {
            return format!("nothing of Coalmine is left in {namespace}\n");
        }
        let mut steps = vec![
            ("the server", "kubectl delete -k istio/controller, or helm uninstall".to_owned()),
            (
                "the definition",
                "kubectl delete customresourcedefinition canaryrollouts.coalmine.dev".to_owned(),
            ),
            ("the routes by the filter's header", "without the filter, users could send it".to_owned()),
        ];
        for Written { plugin, .. } in &self.plugins {
            let kind = plugin.kind.to_string().to_lowercase();
            let delete = format!("kubectl delete {kind} {} -n {}", plugin.name, plugin.namespace);
            steps.push(("the plugin, last", delete));
        }
        let lines = steps.into_iter().map(|(what, how)| format!("  {what}: {how}\n"));
        format!("everybody is on stable. What remains, in this order:\n{}", lines.collect::<String>())
    }
}

/// Where a rollout is, as it says itself.
fn how(rollout: &Left) -> String {
    let mut how = match (&rollout.phase, rollout.weight) {
        (Some(phase), Some(weight)) => {
            format!(", {} at {} %", visible(phase), coalmine_document::number(weight))
        }
        _ => ", not accepted yet".to_owned(),
    };
    if rollout.is_being_deleted {
        how.push_str(", being deleted");
    }
    how
}
