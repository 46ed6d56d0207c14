//! What the daemon answers over HTTP. Everything is read from the sinks; no request starts a probe.
//!
//! Invariants: nothing here waits for a cache; every response forbids foreign content, and all but the page scripts; every
//! JSON document carries `schema_version`; once credentials are set, all but four paths that tell nothing of any cache asks
//! for them.

mod guard;
mod paced;
mod peer;
mod places;
mod serve;
mod undelivered;

mod admit;
mod handed_on;

mod admin;
mod caches;
mod events;
mod health;
mod page;
mod reply;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response, map_response_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, oneshot};

use self::admit::Gate;
pub use self::events::Streams;
pub use self::guard::{Guard, GuardError};
pub use self::serve::serve;
use crate::model::Event;
use crate::sink::{Board, Journal, Loop, Metrics, Pulse};

/// A request to read the configuration again. The answer says what was taken into use, or all that is wrong.
pub type Reload = oneshot::Sender<Result<String, String>>;

/// A request to declare what the resolvers of a cache answered last to be right.
#[derive(Debug)]
pub struct Accept {
    /// The name of the cache, as the request gave it.
    pub cache: String,
    /// Where what was accepted is told.
    pub answer: oneshot::Sender<Result<Vec<Event>, AcceptError>>,
}

/// Why nothing was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AcceptError {
    /// No cache of that name is watched.
    #[error("no cache of that name is watched")]
    NoSuchCache,
    /// There is nothing to accept yet, in words.
    #[error("{0}")]
    Nothing(String),
}

/// What the handlers read, and what they can ask for.
#[derive(Clone)]
pub struct State {
    /// The last round of every cache.
    pub board: Arc<Board>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Whether the daemon's loops turn.
    pub pulse: Arc<Pulse>,
    /// How long a loop may stand still before the daemon counts as dead.
    pub standstill: Duration,
    /// Where requests to reload go; a few places are enough.
    pub reload: mpsc::Sender<Reload>,
    /// Where requests to accept a baseline go; a few places are enough.
    pub accept: mpsc::Sender<Accept>,
    /// What happened.
    pub journal: Journal,
    /// Who listens to what happens.
    pub streams: Streams,
}

impl State {
    /// Whether probes are started and judged: where one of the two stands still, what was seen last says nothing of now.
    fn is_judging(&self) -> bool {
        [Loop::Schedule, Loop::Dispatch].iter().all(|which| self.pulse.stands_still(*which, self.standstill).is_none())
    }
}

/// Every path the daemon answers, to those whom the guard lets through.
pub fn router(state: State, guard: Arc<Guard>) -> Router {
    let gate = Gate::new(Arc::clone(&guard), Arc::clone(&state.metrics));
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
        .layer(from_fn_with_state(gate, admit::admit))
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

#[cfg(test)]
mod tests;
