//! For the machinery: the metrics, and a reload.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::{mpsc, oneshot};

use super::{State, reply};

/// `/metrics`. Gathering a large registry takes longer than a loop may stand still, so it has a thread of its own.
pub(super) async fn metrics(Shared(state): Shared<State>) -> Response {
    match tokio::task::spawn_blocking(move || state.metrics.encode()).await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Ok(Err(error)) => {
            tracing::error!(%error, "cannot write the metrics");
            reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written; the log says why")
        }
        Err(error) => {
            tracing::error!(%error, "the thread that writes the metrics broke");
            reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written; the log says why")
        }
    }
}

/// `POST /-/reload`: 200 and what is in use now, or 400 and every problem of the new configuration, while the old one
/// stays in use.
pub(super) async fn reload(
    Shared(state): Shared<State>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    if !is_from_this_machine(peer, &headers) {
        return reply::problem(StatusCode::FORBIDDEN, "a reload is taken from this machine only; or send SIGHUP");
    }
    let (answer, answered) = oneshot::channel();
    match state.reload.try_send(answer) {
        Ok(()) => {}
        Err(mpsc::error::TrySendError::Full(_)) => {
            return reply::problem(StatusCode::SERVICE_UNAVAILABLE, "other reloads are under way");
        }
        Err(mpsc::error::TrySendError::Closed(_)) => {
            return reply::problem(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping");
        }
    }
    match answered.await {
        Ok(Ok(done)) => format!("{done}\n").into_response(),
        Ok(Err(problems)) => (StatusCode::BAD_REQUEST, format!("{problems}\n")).into_response(),
        Err(_) => reply::problem(StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping"),
    }
}

/// Whether somebody on this machine asks, and not for somebody else: a proxy names whom it speaks for, and a browser
/// names the page that made it ask.
fn is_from_this_machine(peer: SocketAddr, headers: &HeaderMap) -> bool {
    let speaks_for_another = ["forwarded", "x-forwarded-for", "origin"].iter().any(|name| headers.contains_key(*name));
    peer.ip().to_canonical().is_loopback() && !speaks_for_another
}
