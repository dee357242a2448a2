//! Where everything is kept.

use std::path::PathBuf;

use coalmine_document::{Cursor, Known, Value};

use super::{NAME, Surroundings, read_filled, secret};
use crate::kubernetes::ApiAddress;
use crate::store::Address;

const STORE: Known = Known::new(&["kubernetes"]);
const KUBERNETES: Known = Known::new(&["namespace", "kubeconfig"]);

/// The file unless the configuration says otherwise.
const FILE: &str = "coalmine.db";

/// Where everything is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAddress {
    /// In SQLite or PostgreSQL.
    Sql(Address),
    /// In the API of a Kubernetes cluster.
    Kubernetes(ApiAddress),
}

/// A file, a URL of PostgreSQL that is a secret, or `{kubernetes: {..}}`.
pub(super) fn read(cursor: &Cursor<'_, '_>, surroundings: &Surroundings<'_>) -> StoreAddress {
    let is_in_cluster = match cursor.value() {
        Value::Map(entries) => entries.iter().any(|entry| entry.key == "kubernetes"),
        _ => false,
    };
    if is_in_cluster {
        let fields = cursor.fields_as(&STORE, "{kubernetes: {}}");
        return StoreAddress::Kubernetes(
            fields.get("kubernetes").map(|it| read_cluster(&it)).unwrap_or_default(),
        );
    }
    let is_in_clear = matches!(cursor.value(), Value::String(_));
    let expected = "a file, {env: NAME} with a URL of PostgreSQL, or {kubernetes: {}}";
    let Some(text) = secret::read(cursor, surroundings, expected) else { return StoreAddress::default() };
    let is_url = ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
    if is_url && is_in_clear {
        cursor.problem("is a URL, which holds a password; write {env: NAME} or {file: PATH}");
    }
    StoreAddress::Sql(if is_url { Address::Postgres(text) } else { Address::File(PathBuf::from(text)) })
}

fn read_cluster(cursor: &Cursor<'_, '_>) -> ApiAddress {
    let fields = cursor.fields_as(&KUBERNETES, "{} in a cluster, or {kubeconfig: PATH} outside of it");
    let namespace = fields.get("namespace").and_then(|field| field.text(&NAME).map(str::to_owned));
    let kubeconfig = fields.get("kubeconfig").and_then(|field| read_filled(&field)).map(PathBuf::from);
    ApiAddress { namespace, kubeconfig }
}

// === impl StoreAddress ===

impl Default for StoreAddress {
    fn default() -> Self {
        Self::Sql(Address::File(PathBuf::from(FILE)))
    }
}
