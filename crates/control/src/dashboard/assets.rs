//! The style and the script, compiled in. Their names hold a digest of what is in them, so that they may be kept for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::rollout::digest;

/// How much of a digest stands in a name.
const DIGITS: usize = 12;
pub(super) const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// One file.
pub(super) struct Asset {
    /// Its name, with the digest.
    name: String,
    content_type: &'static str,
    text: &'static str,
}

/// The style.
pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("css", "text/css; charset=utf-8", include_str!("dashboard.css")));
/// The script.
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("js", "text/javascript; charset=utf-8", include_str!("dashboard.js")));

// === impl Asset ===

impl Asset {
    fn new(ending: &str, content_type: &'static str, text: &'static str) -> Self {
        let digest: String = digest(text).chars().take(DIGITS).collect();
        Self { name: format!("dashboard.{digest}.{ending}"), content_type, text }
    }

    /// Where it is.
    pub(super) fn path(&self) -> String {
        format!("/static/{}", self.name)
    }
}

pub(super) async fn show(Path(file): Path<String>) -> Response {
    match [&*STYLE, &*SCRIPT].into_iter().find(|asset| asset.name == file) {
        Some(asset) => {
            let headers = [(header::CONTENT_TYPE, asset.content_type), (header::CACHE_CONTROL, FOR_EVER)];
            (headers, asset.text).into_response()
        }
        None => (StatusCode::NOT_FOUND, "there is no such file; load the page again").into_response(),
    }
}
