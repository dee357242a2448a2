//! The guards of a plan as they are written.

use coalmine_document::{Cursor, Known, TextRule, is_label};
use coalmine_judge::Margin;

use super::{Guard, GuardSource};

const GUARD: Known = Known::new(&["slowerThan", "query", "worseThan", "safeWithin"]);
const MARGIN: Known = Known::new(&["times", "plus"]);
const NAME: TextRule =
    TextRule { noun: "name of a guard", form: "1 to 63 of a-z, 0-9 and -", holds: is_label };
const QUERY: TextRule =
    TextRule { noun: "name of a query", form: "1 to 63 of a-z, 0-9 and -", holds: is_label };
/// How many guards a plan may have: each makes harm harder to prove in the others.
const MAX_GUARDS: usize = 16;

/// Reads the guards, those on responses first: the checks of trust look at the first one's requests.
pub(super) fn read(cursor: &Cursor<'_, '_>) -> Vec<Guard> {
    let entries = cursor.entries();
    if cursor.value() == &coalmine_document::Value::Map(Vec::new()) {
        cursor.problem("has no guard; leave it out for one on errors, or name one, as {errors: {}}");
    }
    if entries.len() > MAX_GUARDS {
        cursor.too_large(format!("has {} guards; at most {MAX_GUARDS}", entries.len()));
        return Vec::new();
    }
    let mut guards: Vec<Guard> = Vec::new();
    for field in &entries {
        if !(NAME.holds)(field.name) {
            let name = coalmine_document::quoted(field.name);
            field.value.problem(format!("{name} is not a valid {}: {}", NAME.noun, NAME.form));
        }
        let guard = read_one(field.name, &field.value);
        if let Some(other) = guards.iter().find(|other| other.source == guard.source) {
            field.value.conflict(format!("counts the same as the guard {:?}; keep one", other.name));
        }
        guards.push(guard);
    }
    guards.sort_by_key(|guard| match guard.source {
        GuardSource::Errors => 0,
        GuardSource::SlowerThan(_) => 1,
        GuardSource::Query(_) => 2,
    });
    guards
}

fn read_one(name: &str, cursor: &Cursor<'_, '_>) -> Guard {
    let fields = cursor.fields_as(&GUARD, "a guard, as {worseThan: {times: 1.25, plus: 0.1}}");
    let slower = fields.get("slowerThan");
    let query = fields.get("query");
    if let (Some(_), Some(query)) = (slower, query) {
        query.conflict("\"slowerThan\" and \"query\" both say what is counted; keep one");
    }
    if fields.is_map() && slower.is_none() && query.is_none() && name != "errors" {
        cursor.problem(
            "does not say what it counts: \"slowerThan\" with a time, or \"query\" with the name of one; without both only \
             the guard \"errors\" is known",
        );
    }
    let source = match (slower, query) {
        (Some(slower), _) => {
            GuardSource::SlowerThan(slower.milliseconds("a time, as 250ms").unwrap_or_default())
        }
        (None, Some(query)) => GuardSource::Query(query.text(&QUERY).unwrap_or_default().to_owned()),
        (None, None) => GuardSource::Errors,
    };
    let usual = Guard::usual(name.to_owned(), source);
    Guard {
        worse_than: fields.get("worseThan").map_or(usual.worse_than, |margin| read_margin(&margin)),
        safe_within: fields.get("safeWithin").map_or(usual.safe_within, |margin| read_margin(&margin)),
        ..usual
    }
}

/// A bound for the canary's rate: `times` stable's (1 unless given) plus `plus` percentage points (0 unless given).
fn read_margin(cursor: &Cursor<'_, '_>) -> Margin {
    let fields = cursor.fields_as(&MARGIN, "a margin, as {times: 1.25, plus: 0.1}");
    if fields.is_map() && fields.is_empty() {
        cursor
            .problem("says nothing: write a factor, percentage points or both, as {times: 1.25, plus: 0.1}");
    }
    let number = |name: &'static str, otherwise: f64, least: f64, most: f64| {
        let Some(field) = fields.get(name) else { return otherwise };
        let Some(number) = field.number() else { return otherwise };
        if !(least..=most).contains(&number) {
            let number = coalmine_document::number(number);
            field.problem(format!("must be from {least} to {most}, not {number}"));
            return otherwise;
        }
        number
    };
    Margin { times: number("times", 1.0, 0.01, 100.0), plus: number("plus", 0.0, 0.0, 99.0) / 100.0 }
}
