//! Guards on the operator's queries: counts of no proxy, which say something only where all proxies have the same weight.

use coalmine_steer::inputs::{Queried, QueryCounts};
use coalmine_steer::{Inputs, Kind, Phase, Plan, State, Step, tick};

use crate::common::{Story, plan};

const PLAN: &str =
    "{dwell: 1h, warmUp: 30s, minRequests: 1, steps: [5, 25], guards: {payments: {query: payments}}}";

/// A rollout at its first step, moment by moment.
struct Moments {
    plan: Plan,
    state: State,
    inputs: Inputs,
}

// === impl Moments ===

impl Moments {
    fn new() -> Self {
        let mut story = Story::kubernetes(PLAN);
        story.until_weight(5);
        story.tick();
        let inputs = story.history.last().unwrap().inputs.clone();
        Self { plan: plan(PLAN, true), state: story.world.state.clone(), inputs }
    }

    /// The next tick, 15 seconds later, where the query says this.
    fn next(&mut self, queried: Queried) -> Step {
        let now = self.inputs.now + self.inputs.tick;
        for proxy in &mut self.inputs.proxies {
            proxy.seen = now;
            if let Some(counted) = &mut proxy.counted {
                (counted.from, counted.until) = (self.inputs.now, now);
            }
        }
        self.inputs.now = now;
        self.inputs.queried = [("payments".to_owned(), queried)].into();
        let step = tick(&self.plan, &self.state, &self.inputs);
        self.state = step.state.clone();
        step
    }

    /// What the query counted since the tick before: this many of each arm, and of the canary's so many bad ones.
    fn counted(&self, all: u64, bad: u64) -> Queried {
        let (from, until) = (self.inputs.now, self.inputs.now + self.inputs.tick);
        let counted = QueryCounts { from, until, stable: [all, all / 500], canary: [all, bad] };
        Queried { counted: Some(counted), away: None }
    }

    /// Requests that were judged at this weight.
    fn judged(&self) -> u64 {
        self.state.release.as_ref().unwrap().here.requests
    }
}

fn held(step: &Step) -> String {
    let holds = step.conditions.iter().filter(|it| it.kind == Kind::NoEvidence && it.holds);
    holds.map(|it| it.message.clone()).collect::<Vec<_>>().join("; ")
}

#[test]
fn harm_that_only_a_query_sees_rolls_back() {
    let mut moments = Moments::new();
    for _ in 0..40 {
        let counted = moments.counted(1_000, 200);
        if moments.next(counted).state.said.phase == Phase::RollingBack {
            let message = &moments.state.said.message;
            assert!(message.contains("payments: the canary has "), "{message}");
            return;
        }
    }
    panic!("never: {:?}", moments.state.said);
}

#[test]
fn counts_from_before_the_warm_up_are_left_out() {
    let mut moments = Moments::new();
    let step = moments.next(moments.counted(1_000, 0));
    assert_eq!(
        (moments.judged(), held(&step).as_str()),
        (0, ""),
        "all proxies have the weight, and are not warm"
    );
    for _ in 0..4 {
        moments.next(moments.counted(1_000, 0));
    }
    let judged = moments.judged();
    assert!(judged >= 1_000, "{judged}");
    // As long as the answer before is from another weight, so is what was counted since.
    let mut late = moments.counted(1_000, 0);
    late.counted.as_mut().unwrap().from = 0;
    moments.next(late);
    assert_eq!(moments.judged(), judged);
}

#[test]
fn what_no_query_says_holds_and_never_passes() {
    let mut moments = Moments::new();
    for _ in 0..4 {
        moments.next(moments.counted(1_000, 0));
    }
    let away = Queried { counted: None, away: Some("it answers 500".to_owned()) };
    assert_eq!(held(&moments.next(away)), "payments: no counts: it answers 500");
    assert_eq!(held(&moments.next(Queried::default())), "payments: nothing new is counted");
    moments.inputs.proxies[0].revision = Some(1);
    let counted = moments.counted(1_000, 0);
    assert_eq!(
        held(&moments.next(counted)),
        "payments: it counts all proxies, and not all of them run the latest form"
    );
    assert_eq!(moments.state.weight, 50_000);
}
