//! What the daemon answers over HTTP. Everything is read from the sinks; no request starts a probe.
//!
//! Invariants: nothing here waits for a cache; every response forbids scripts and foreign content; every JSON document
//! carries `schema_version`.

mod admin;
mod api;
mod health;
mod page;
mod reply;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::sink::{Board, Metrics, Pulse};

/// A request to read the configuration again. The answer says what was taken into use, or all that is wrong.
pub type Reload = oneshot::Sender<Result<String, String>>;

/// What the handlers read, and the one thing they can ask for.
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
}

/// Every path the daemon answers.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/", get(page::status))
        .route("/assets/page.css", get(page::style))
        .route("/metrics", get(admin::metrics))
        .route("/livez", get(health::live))
        .route("/-/healthy", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/-/ready", get(health::ready))
        .route("/healthz", get(health::of_all))
        .route("/healthz/{cache}", get(health::of_one))
        .route("/api/v1/caches", get(api::caches))
        .route("/api/v1/caches/{name}", get(api::cache))
        .route("/api/v1/findings", get(api::findings))
        .route("/-/reload", post(admin::reload))
        .fallback(reply::no_such_path)
        .method_not_allowed_fallback(reply::no_such_method)
        .layer(map_response(guard))
        .with_state(state)
}

/// Answers until `shutdown` completes, then lets open requests end.
///
/// # Errors
/// Where the listener breaks.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(shutdown).await
}

/// Tells the browser to run nothing, to load nothing from elsewhere, and to keep nothing.
async fn guard(mut response: Response) -> Response {
    const GUARDS: [(HeaderName, &str); 4] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in GUARDS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
