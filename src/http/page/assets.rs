//! The files that a page loads: style, script and icon.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::http::header;
use axum::response::{IntoResponse, Response};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const ICON: &str = include_str!("icon.svg");

/// `/assets/page.css`
pub(in crate::http) async fn style() -> Response {
    asset("text/css; charset=utf-8", STYLE)
}

/// `/assets/page.js`
pub(in crate::http) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

/// `/assets/icon.svg`
pub(in crate::http) async fn icon() -> Response {
    asset("image/svg+xml", ICON)
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// Changes with everything that a page left open would miss: the script and the style it was loaded with.
pub(super) fn build() -> String {
    let mut hasher = DefaultHasher::new();
    (env!("CARGO_PKG_VERSION"), STYLE, SCRIPT).hash(&mut hasher);
    format!("{:x}", hasher.finish())
}
