//! What the filter tells about requests besides their assignment.

use std::time::Duration;

use coalmine_document::{Cursor, Known, Value};

const OBSERVE: Known = Known::new(&["accessLog", "responses", "slow", "histogram"]);
const SLOW: Known = Known::new(&["at", "groups"]);

/// The most thresholds: each is a counter of every variant, or one of every group of its users.
const MAX_SLOW: usize = 4;
const FORM: &str = "a time, as 250ms, or a map, as {at: 250ms, groups: true}";

/// What the filter tells about requests besides their assignment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observe {
    /// Whether each request's assignment is shown to the proxy's access log.
    pub access_log: bool,
    /// Whether the responses of the observed rollouts are counted.
    pub responses: bool,
    /// The times beyond which a response is counted as slow, ascending; at most four.
    pub slow: Vec<Threshold>,
    /// Whether the times of responses are recorded in a histogram, for people.
    pub histogram: bool,
}

/// A time beyond which a response is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// The time, in whole milliseconds: 1 ms to an hour.
    pub at: Duration,
    /// Whether slow responses are counted by the group of their users too.
    pub groups: bool,
}

// === impl Observe ===

impl Observe {
    pub(super) fn read(cursor: &Cursor<'_, '_>) -> Self {
        let fields = cursor.fields(&OBSERVE);
        let is_set = |name| fields.get(name).is_some_and(|field| field.boolean());
        let responses = is_set("responses");
        for name in ["slow", "histogram"] {
            if let Some(field) = fields.get(name)
                && fields.get("responses").is_none()
            {
                field.conflict("only counts with \"responses: true\"; add it, or leave this out");
            }
        }
        let slow = fields.get("slow").map(|slow| read_slow(&slow)).unwrap_or_default();
        Self { access_log: is_set("accessLog"), responses, slow, histogram: is_set("histogram") }
    }
}

fn read_slow(cursor: &Cursor<'_, '_>) -> Vec<Threshold> {
    let items = cursor.filled_items("list the first threshold, as 250ms");
    if items.len() > MAX_SLOW {
        cursor.too_large(format!("has {} thresholds; at most {MAX_SLOW}", items.len()));
        return Vec::new();
    }
    let mut thresholds: Vec<Threshold> = Vec::new();
    for item in items {
        let fields = matches!(item.value(), Value::Map(_)).then(|| item.fields(&SLOW));
        let at = match &fields {
            Some(fields) => fields.required("at", "the time beyond which a response is slow, as 250ms"),
            None => Some(item),
        };
        let groups = fields.as_ref().and_then(|fields| fields.get("groups")).is_some_and(|it| it.boolean());
        let Some(milliseconds) = at.and_then(|at| at.milliseconds(FORM)) else { continue };
        let at = Duration::from_millis(milliseconds);
        if thresholds.last().is_some_and(|before| at <= before.at) {
            item.problem("is not longer than the threshold before it; list them from the shortest");
        }
        thresholds.push(Threshold { at, groups });
    }
    thresholds
}

// === impl Threshold ===

impl Threshold {
    /// Its name in metrics: `250ms`, or whole seconds as `1s`.
    pub fn name(&self) -> String {
        match (self.at.as_secs(), self.at.subsec_millis()) {
            (seconds, 0) => format!("{seconds}s"),
            (seconds, milliseconds) => format!("{}ms", seconds * 1000 + u64::from(milliseconds)),
        }
    }
}
