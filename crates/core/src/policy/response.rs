//! What is taken out of a response because it would tell the arms apart.

use super::names;
use crate::document::{Cursor, Known, quoted};

const RESPONSE: Known = Known { fields: &["removeHeaders"], unsupported: &[] };
/// Each costs every response a call into the host.
const MAX_REMOVED: usize = 32;
/// Headers that say where a message ends or what the connection speaks.
const FRAMING: [&str; 7] =
    ["connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// Reads the names of the response headers that a rollout removes.
pub(super) fn read_removed(cursor: &Cursor<'_>) -> Option<Vec<Box<str>>> {
    let fields = cursor.map(&RESPONSE)?;
    let list =
        fields.required("removeHeaders", "the headers that would tell the arms apart, as [x-app-version]")?;
    let items = list.filled_list("leave \"response\" out to remove nothing")?;
    if items.len() > MAX_REMOVED {
        list.problem(format!("has {} names; at most {MAX_REMOVED}", items.len()));
    }
    let names: Vec<Option<Box<str>>> = items.iter().map(read_name).collect();
    names.into_iter().collect()
}

fn read_name(cursor: &Cursor<'_>) -> Option<Box<str>> {
    let name = names::header(cursor)?;
    if FRAMING.contains(&&*name) {
        cursor.problem(format!("{} holds the message together and cannot be removed", quoted(&name)));
        return None;
    }
    Some(name)
}
