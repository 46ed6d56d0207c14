//! The status page: HTML that is whole without a script, in a text browser too, and follows the daemon with one.
//!
//! Invariants: every value goes through maud, which escapes it; no script and no style stands in the page itself. What can
//! change has an id and a version (`components::versioned`), so that `page.js` repaints what changed and nothing else.

mod assets;
mod components;
mod since;
mod trend;

mod document;

mod cache;
mod overview;

use axum::extract::{Path, Query as Parameters, State as Shared};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::Markup;

pub(super) use self::assets::{icon, script, style};
use self::overview::Selection;
use self::since::RevisionToken;
use super::state::AppState;
use crate::clock;

/// `/`
pub(super) async fn overview(
    Shared(state): Shared<AppState>,
    Parameters(parameters): Parameters<Vec<(String, String)>>,
) -> Response {
    let (selection, snapshot) = (Selection::read(&parameters), state.board.snapshot());
    let since = RevisionToken::read(&parameters, &snapshot);
    sealed(StatusCode::OK, &overview::render(&snapshot, &selection, since, clock::now()))
}

/// `/caches/{name}`
pub(super) async fn cache(
    Shared(state): Shared<AppState>,
    Path(name): Path<String>,
    Parameters(parameters): Parameters<Vec<(String, String)>>,
) -> Response {
    let (snapshot, now) = (state.board.snapshot(), clock::now());
    let since = RevisionToken::read(&parameters, &snapshot);
    match snapshot.caches.get(name.as_str()) {
        Some(watched) => sealed(StatusCode::OK, &cache::render(&snapshot, watched, since, now)),
        None => sealed(StatusCode::NOT_FOUND, &cache::render_missing(&snapshot, now)),
    }
}

/// A page may run the one script, which may ask the daemon that sent it and no other server.
fn sealed(status: StatusCode, page: &Markup) -> Response {
    const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                          base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    let policy = [(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))];
    (status, policy, Html(page.0.clone())).into_response()
}

#[cfg(test)]
mod tests;
