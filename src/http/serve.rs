//! The loop that takes connections, and what one connection may cost.
//!
//! Invariant: whatever a client does or leaves undone, it holds one of a fixed number of places for a bounded time, it keeps
//! no other client from the open paths, and nothing that goes wrong with one connection ends the loop.

use std::convert::Infallible;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;

use super::admit::{self, Caller};
use super::guard::{Guard, Look};
use super::paced::{Answered, Pace, Paced};
use super::places::{Place, Places};
use super::router::router;
use super::state::AppState;
use super::undelivered::{Held, Undelivered};
use crate::sink::{Loop, Metrics};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a connection may stay open between two requests: longer than Prometheus' usual interval.
const IDLE: Duration = Duration::from_secs(75);

/// The largest request line with its headers, and the most headers; beyond either the answer is 431. What hyper is told
/// is half of it: its buffer doubles, and it looks at the limit when the buffer is full.
const HEAD: usize = 64 << 10;
const MOST_HEADERS: usize = 100;

/// How often the loop turns at least, so that its pulse is felt.
const TURN: Duration = Duration::from_secs(1);

/// How long the loop waits after an error that is this machine's: no descriptors, no memory.
const BREATH: Duration = Duration::from_secs(1);

/// How often the files that guard the daemon are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Answers at most so many connections at once, and a few more that ask for an open path, until `shutdown` completes, then lets open requests end.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    guard: Arc<Guard>,
    max_connections: usize,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopped) = watch::channel(());
    let metrics = Arc::clone(&state.metrics);
    let pulse = Arc::clone(&state.pulse);
    let shared = Acceptor {
        router: router(state, Arc::clone(&guard)),
        metrics: Arc::clone(&metrics),
        undelivered: Arc::default(),
        stopped,
    };
    let places = Arc::new(Places::new(max_connections));
    let (open, mut ended) = mpsc::channel::<Infallible>(1);
    let watching = tokio::spawn(watch_files(Arc::clone(&guard), Arc::clone(&metrics)));
    let taking = async {
        let mut turns = interval(TURN);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pulse.turned(Loop::Http);
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = turns.tick() => continue,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let tls = guard.now().tls.clone();
                    let place = places.take(peer.ip());
                    let (shared, open) = (shared.clone(), open.clone());
                    tokio::spawn(async move {
                        shared.connection(stream, peer, tls, place).await;
                        drop(open);
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections; trying again in {BREATH:?}");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    };
    tokio::select! {
        () = taking => {}
        () = shutdown => {}
    }
    drop(listener);
    watching.abort();
    drop(stop);
    drop(open);
    // Each connection holds a sender, and none of them sends.
    let _ = ended.recv().await;
}

/// What every connection shares.
#[derive(Clone)]
struct Acceptor {
    router: Router,
    metrics: Arc<Metrics>,
    /// What waits to be read, over all connections.
    undelivered: Arc<Undelivered>,
    /// Its sender goes when the daemon stops.
    stopped: watch::Receiver<()>,
}

impl Acceptor {
    /// One connection, until it ends or another has its place.
    async fn connection(&self, stream: TcpStream, peer: SocketAddr, tls: Option<Arc<ServerConfig>>, place: Place) {
        let was_served = AtomicBool::new(false);
        let holder =
            Speaker { pace: Arc::clone(place.pace()), is_reserved: place.is_reserved(), was_served: &was_served };
        tokio::select! {
            () = self.speak(stream, peer, tls, holder) => {}
            () = place.lost() => tracing::debug!(%peer, "a connection was closed to make room for another"),
        }
        if place.is_reserved() && !was_served.load(Ordering::Relaxed) {
            self.metrics.connection_refused();
        }
    }

    async fn speak(&self, stream: TcpStream, peer: SocketAddr, tls: Option<Arc<ServerConfig>>, holder: Speaker<'_>) {
        let Some(config) = tls else {
            return self.converse(stream, Caller { peer, certified: false }, holder).await;
        };
        let mut stopped = self.stopped.clone();
        let handshake = tokio::select! {
            handshake = timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)) => handshake,
            _ = stopped.changed() => return,
        };
        let error = match handshake {
            Ok(Ok(stream)) => {
                let certified = stream.get_ref().1.peer_certificates().is_some();
                return self.converse(stream, Caller { peer, certified }, holder).await;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no end within {HANDSHAKE:?}"),
        };
        self.metrics.tls_handshake_failed();
        tracing::debug!(%peer, error, "a client's TLS handshake failed");
    }

    async fn converse(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        caller: Caller,
        Speaker { pace, is_reserved, was_served }: Speaker<'_>,
    ) {
        let held = Arc::new(Held::of(&self.undelivered));
        let stream = Paced::new(stream, Arc::clone(&pace), Arc::clone(&held));
        let inner = TowerToHyperService::new(self.router.clone());
        let service = service_fn(|mut request: hyper::Request<hyper::body::Incoming>| {
            let answering = pace.answer();
            let is_open = admit::is_open(request.uri().path());
            let is_refused = is_reserved && !is_open;
            request.extensions_mut().insert(ConnectInfo(caller.peer));
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(Arc::clone(&pace));
            let answer = if is_refused { None } else { Some(inner.call(request)) };
            let held = Arc::clone(&held);
            async move {
                let mut response = match answer {
                    None => full("too many open connections\n"),
                    Some(answer) => answer.await?,
                };
                let size = response.body().size_hint().exact().map(usize::try_from);
                if let Some(Ok(size)) = size
                    && !is_open
                    && !held.take(size)
                {
                    response = full("too many bytes of earlier answers are not read yet\n");
                }
                if is_reserved {
                    was_served.fetch_or(!is_refused, Ordering::Relaxed);
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response.map(|body| Answered::new(body, answering)))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_buf_size(HEAD / 2)
            .max_headers(MOST_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut stopped = self.stopped.clone();
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            _ = stopped.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(peer = %caller.peer, %error, "a connection broke");
        }
    }
}

/// What a connection knows of its place.
struct Speaker<'a> {
    pace: Arc<Pace>,
    is_reserved: bool,
    /// Set once an open path was answered in a reserved place.
    was_served: &'a AtomicBool,
}

/// What is told to a client for which there is no place, or no room for its answer.
fn full(words: &'static str) -> Response {
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, words).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Whether an error of `accept` speaks of the connection that was to be taken, which may be gone again.
fn is_of_one_connection(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Takes what the files say into use when they change, until it is dropped.
async fn watch_files(guard: Arc<Guard>, metrics: Arc<Metrics>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let guard = Arc::clone(&guard);
        match tokio::task::spawn_blocking(move || guard.look()).await {
            Ok(Look::Same) => {}
            Ok(Look::Taken) => {
                metrics.guard_reloaded(true);
                tracing::info!("certificate, key and users were reloaded");
            }
            Ok(Look::Refused(error)) => {
                metrics.guard_reloaded(false);
                tracing::warn!("a changed file is refused, the previous one stays in use: {error}");
            }
            Err(error) => tracing::error!(%error, "the thread that reads certificate, key and users panicked"),
        }
    }
}
