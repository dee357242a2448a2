//! The headers that are taken out of a response because they would tell the arms apart.

use coalmine_document::{Cursor, Known, quoted};

use super::names;

const RESPONSE: Known = Known::new(&["removeHeaders"]);
/// Each costs every response a call into the host.
const MAX_REMOVED: usize = 32;
/// Headers that say where a message ends or what the connection speaks.
const FRAMING: [&str; 7] =
    ["connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// Reads the names of the response headers that a rollout removes.
pub(super) fn read_removed(cursor: &Cursor<'_, '_>) -> Vec<Box<str>> {
    let fields = cursor.fields(&RESPONSE);
    let why = "the headers that would tell the arms apart, as [x-app-version]";
    let Some(list) = fields.required("removeHeaders", why) else { return Vec::new() };
    let items = list.filled_items("leave \"response\" out to remove nothing");
    if items.len() > MAX_REMOVED {
        list.too_large(format!("has {} names; at most {MAX_REMOVED}", items.len()));
    }
    items.map(|item| read_name(&item)).collect()
}

fn read_name(cursor: &Cursor<'_, '_>) -> Box<str> {
    let name = names::header(cursor);
    if FRAMING.contains(&&*name) {
        cursor.problem(format!("{} holds the message together and cannot be removed", quoted(&name)));
    }
    name
}
