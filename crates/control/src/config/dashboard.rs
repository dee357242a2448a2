//! Whether there are pages for people.

use coalmine_document::{Cursor, Known, Value};

const DASHBOARD: Known = Known::new(&["readOnly"]);
const OFF: &str = "off";

/// Whether there are pages for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dashboard {
    /// With verbs, for who may say them.
    #[default]
    On,
    /// Without verbs.
    ReadOnly,
    /// None.
    Off,
}

/// `off`, or what it is like.
pub(super) fn read(cursor: &Cursor<'_, '_>) -> Dashboard {
    if matches!(cursor.value(), Value::String(text) if text == OFF) {
        return Dashboard::Off;
    }
    let fields = cursor.fields_as(&DASHBOARD, "off, or the dashboard, as {readOnly: true}");
    match fields.get("readOnly").is_some_and(|field| field.boolean()) {
        true => Dashboard::ReadOnly,
        false => Dashboard::On,
    }
}
