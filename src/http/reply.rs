//! The shape of an answer.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::api::Versioned;

#[derive(Serialize)]
struct ErrorDocument<'a> {
    error: &'a str,
}

/// A JSON document with its status.
pub(super) fn json(status: StatusCode, body: impl Serialize) -> Response {
    (status, Json(Versioned::new(body))).into_response()
}

/// A JSON document that says what is wrong.
pub(super) fn problem(status: StatusCode, error: &str) -> Response {
    json(status, ErrorDocument { error })
}

/// No cache of that name. The name is not repeated: it came from the request.
pub(super) fn no_such_cache() -> Response {
    problem(StatusCode::NOT_FOUND, "no cache of that name is configured; GET /api/v1/caches lists them")
}

/// A path that is not answered.
pub(super) async fn no_such_path() -> Response {
    problem(StatusCode::NOT_FOUND, "not found; GET / shows the caches")
}

/// A path that is answered, but not to this method.
pub(super) async fn no_such_method() -> Response {
    problem(StatusCode::METHOD_NOT_ALLOWED, "this path does not support that method")
}
