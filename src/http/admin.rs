//! For the machinery: the metrics, and what changes state.

use std::net::SocketAddr;

use axum::Extension;
use axum::extract::{ConnectInfo, Path, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::admit::{Sender, may_change};
use super::reply;
use super::state::{Accept, AcceptError, AppState};
use crate::api::baseline::Accepted;
use crate::clock;

/// `/metrics`. Gathering a large registry takes longer than a loop may stand still, so it has a thread of its own.
pub(super) async fn metrics(Shared(state): Shared<AppState>) -> Response {
    let encode = move || {
        state.metrics.before_scrape(&state.pulse, state.standstill, clock::now());
        state.metrics.encode()
    };
    match tokio::task::spawn_blocking(encode).await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Ok(Err(error)) => {
            tracing::error!(%error, "cannot write the metrics");
            reply::problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the metrics cannot be written; see the log of the daemon",
            )
        }
        Err(error) => {
            tracing::error!(%error, "the thread that writes the metrics panicked");
            reply::problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the metrics cannot be written; see the log of the daemon",
            )
        }
    }
}

/// `POST /-/reload`: 200 and what is in use now, or 400 and every problem of the new configuration, while the old one
/// stays in use.
pub(super) async fn reload(
    Shared(state): Shared<AppState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    sender: Option<Extension<Sender>>,
    headers: HeaderMap,
) -> Response {
    if let Err(refusal) = may_change(peer, &headers, sender.map(|Extension(sender)| sender)) {
        return *refusal;
    }
    let (answer, answered) = oneshot::channel();
    match ask(&state.reload, answer, answered).await {
        Ok(Ok(done)) => format!("{done}\n").into_response(),
        Ok(Err(problems)) => (StatusCode::BAD_REQUEST, format!("{problems}\n")).into_response(),
        Err(refusal) => *refusal,
    }
}

/// `POST /api/v1/caches/{name}/baseline`: what the resolvers answered last is right from now on. 200 and what was
/// accepted, 404 where there is no such cache, 409 where there is nothing to accept.
pub(super) async fn accept(
    Shared(state): Shared<AppState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    sender: Option<Extension<Sender>>,
    headers: HeaderMap,
    Path(cache): Path<String>,
) -> Response {
    if let Err(refusal) = may_change(peer, &headers, sender.map(|Extension(sender)| sender)) {
        return *refusal;
    }
    let (answer, answered) = oneshot::channel();
    match ask(&state.accept, Accept { cache: cache.clone(), answer }, answered).await {
        Ok(Ok(accepted)) => reply::json(StatusCode::OK, Accepted { cache, accepted }),
        Ok(Err(AcceptError::NoSuchCache)) => reply::no_such_cache(),
        Ok(Err(error @ AcceptError::Nothing(_))) => reply::problem(StatusCode::CONFLICT, &error.to_string()),
        Err(refusal) => *refusal,
    }
}

/// Asks a loop of the daemon for something, and waits for its answer.
async fn ask<Q, A>(loop_: &mpsc::Sender<Q>, question: Q, answered: oneshot::Receiver<A>) -> Result<A, Box<Response>> {
    let refusal = |words| Box::new(reply::problem(StatusCode::SERVICE_UNAVAILABLE, words));
    loop_.try_send(question).map_err(|error| match error {
        TrySendError::Full(_) => refusal("too many of these requests are waiting; try again"),
        TrySendError::Closed(_) => refusal("the daemon is stopping"),
    })?;
    answered.await.map_err(|_| refusal("the daemon is stopping"))
}
