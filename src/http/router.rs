//! Which path is answered by what, and what stands before all of them.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response, map_response_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use tokio::sync::Semaphore;

use super::admit::{self, AccessControl};
use super::guard::Guard;
use super::state::AppState;
use super::{admin, caches, events, health, page, reply};

/// Every path the daemon answers, for requests that the guard lets through.
pub(super) fn router(state: AppState, guard: Arc<Guard>) -> Router {
    let access = AccessControl::new(Arc::clone(&guard), Arc::clone(&state.metrics));
    Router::new()
        .route("/", get(page::overview))
        .route("/caches/{name}", get(page::cache))
        .route("/assets/page.css", get(page::style))
        .route("/assets/page.js", get(page::script))
        .route("/assets/icon.svg", get(page::icon))
        .route("/metrics", get(admin::metrics))
        .route("/livez", get(health::live))
        .route("/-/healthy", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/-/ready", get(health::ready))
        .route("/healthz", get(health::of_all))
        .route("/healthz/{cache}", get(health::of_one))
        .route("/api/v1/caches", get(caches::caches))
        .route("/api/v1/caches/{name}", get(caches::cache))
        .route("/api/v1/findings", get(caches::findings))
        .route("/api/v1/caches/{name}/baseline", post(admin::accept))
        .route("/api/v1/events", get(events::events))
        .route("/api/v1/stream", get(events::stream))
        .route("/-/reload", post(admin::reload))
        .fallback(reply::no_such_path)
        .method_not_allowed_fallback(reply::no_such_method)
        // The last one is the first that a request meets.
        .layer(from_fn_with_state(Arc::new(Semaphore::new(admit::AT_ONCE)), admit::apart))
        .layer(from_fn(admit::with_small_body))
        .layer(from_fn_with_state(access, admit::admit))
        .layer(from_fn(admit::in_time))
        .layer(map_response(seal))
        .layer(map_response_with_state(guard, admit::with_headers))
        .with_state(state)
}

/// Tells the browser to run nothing, to load nothing from elsewhere, and to keep nothing.
async fn seal(mut response: Response) -> Response {
    const SEALS: [(HeaderName, &str); 4] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in SEALS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
