//! History: what was known at each moment, so that each decision can be made again.

use serde::{Deserialize, Serialize};

use crate::actions::Step;
use crate::inputs::Inputs;
use crate::plan::Plan;
use crate::state::State;
use crate::tick::tick;
use crate::verbs::{Refusal, Request, verb};

/// One moment of a rollout: a tick, or a verb.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// What was known.
    pub inputs: Inputs,
    /// The verb; none of a tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
}

// === impl Moment ===

impl Moment {
    /// The step that this moment makes of a state.
    ///
    /// # Errors
    /// A verb that is refused.
    pub fn play(&self, plan: &Plan, state: &State) -> Result<Step, Refusal> {
        match &self.request {
            Some(request) => verb(plan, state, &self.inputs, request),
            None => Ok(tick(plan, state, &self.inputs)),
        }
    }
}
