//! Who is let through to the handlers, and what a request may cost.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{self, Body};
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::Body as _;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::guard::{Credentials, Crowded, Guard};
use super::handed_on;
use super::paced::Pace;
use super::reply;
use crate::clock;
use crate::sink::Metrics;

/// What is open to everybody: whether the daemon itself is well, and nothing of any cache. A kubelet has no password.
const OPEN: [&str; 4] = ["/livez", "/readyz", "/-/healthy", "/-/ready"];

/// Whether that path is answered to everybody, and tells nothing of any cache.
pub(super) fn is_open(path: &str) -> bool {
    OPEN.contains(&path)
}

/// The one answer that does not end by itself.
const STREAM: &str = "/api/v1/stream";

/// How long an answer may take from the first byte of the request's body.
const ANSWER: Duration = Duration::from_secs(30);

/// How large a request's body may be, and how long it may take to come. Nothing here needs one.
const LARGEST_BODY: usize = 64 << 10;
const BODY: Duration = Duration::from_secs(10);

/// How often failed logins are told in the log, at most.
const TOLD: Duration = Duration::from_mins(1);

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    pub(super) peer: SocketAddr,
    /// Whether a client certificate was shown and verified.
    pub(super) certified: bool,
}

/// What is known of the sender of a request, where something is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// It has shown a certificate, a password or the token.
    Authenticated,
    /// It has shown nothing, and what changes state wants the token.
    WithoutToken,
}

/// A request on an open path, where other paths need authentication.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unauthenticated;

/// What decides which requests to let through.
#[derive(Clone)]
pub(super) struct AccessControl {
    guard: Arc<Guard>,
    metrics: Arc<Metrics>,
    failures: Arc<Failures>,
}

impl AccessControl {
    pub(super) fn new(guard: Arc<Guard>, metrics: Arc<Metrics>) -> Self {
        Self { guard, metrics, failures: Arc::default() }
    }

    /// A password or a token was wrong.
    fn fail(&self, caller: Option<Caller>) {
        self.metrics.auth_failed();
        self.failures.tell(caller);
    }
}

/// Lets a request through, or says what is missing.
pub(super) async fn admit(Shared(access): Shared<AccessControl>, mut request: Request, next: Next) -> Response {
    if is_open(request.uri().path()) {
        if access.guard.now().asks_for_credentials() {
            request.extensions_mut().insert(Unauthenticated);
        }
        return next.run(request).await;
    }
    if !access.guard.admits_another() {
        return reply::problem(StatusCode::TOO_MANY_REQUESTS, "more requests than rate_limit allows");
    }
    let now = access.guard.now();
    if !now.asks_for_credentials() && is_rebound(&access.guard, &request) {
        return reply::problem(
            StatusCode::FORBIDDEN,
            "this daemon has no authentication, so it accepts only requests whose Host is an address, localhost or \
             this machine's own name; add other names to server.allowed_hosts",
        );
    }
    let caller = request.extensions().get::<Caller>().copied();
    let mut is_proven = now.wants_certificate && caller.is_some_and(|caller| caller.certified);
    if now.wants_certificate && !is_proven {
        // A connection from before the certificate was asked for.
        return unauthorised("a client certificate is required; connect again with one");
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let token = now.token.as_ref().filter(|_| changes);
    let shows_token = token.and_then(|token| token.is_shown(request.headers()));
    if shows_token == Some(false) {
        access.fail(caller);
        return bearer("the token is wrong");
    }
    if shows_token == Some(true) {
        is_proven = true;
    } else if let Some(users) = &now.users {
        let Some(credentials) = Credentials::of(request.headers()) else {
            return unauthorised("a user and a password are required");
        };
        // A request that came over no connection is a test's.
        let client = caller.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |caller| caller.peer.ip());
        match access.guard.verify(users, &credentials, client).await {
            Ok(true) => is_proven = true,
            Ok(false) => {
                access.fail(caller);
                return unauthorised("the user or the password is wrong");
            }
            Err(Crowded) => return crowded(),
        }
    }
    if is_proven {
        request.extensions_mut().insert(Sender::Authenticated);
    } else if token.is_some() {
        request.extensions_mut().insert(Sender::WithoutToken);
    }
    next.run(request).await
}

/// Whether a page of another name may have asked: each `Host` counts, and the one of the request's own line.
fn is_rebound(guard: &Guard, request: &Request) -> bool {
    let own_line = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let hosts = request.headers().get_all(header::HOST);
    guard.is_rebound(hosts.iter().map(HeaderValue::as_bytes).chain(own_line))
}

fn crowded() -> Response {
    let words = "too many passwords are waiting to be verified; try again";
    let mut response = reply::problem(StatusCode::TOO_MANY_REQUESTS, words);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Asks for the token.
fn bearer(words: &str) -> Response {
    let mut response = reply::problem(StatusCode::UNAUTHORIZED, words);
    let challenge = HeaderValue::from_static("Bearer realm=\"cachewatch\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

fn unauthorised(words: &str) -> Response {
    let mut response = reply::problem(StatusCode::UNAUTHORIZED, words);
    let challenge = HeaderValue::from_static("Basic realm=\"cachewatch\", charset=\"UTF-8\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

/// So many answers are made at once; others wait for their turn.
pub(super) const AT_ONCE: usize = 4;

/// Makes an answer on a thread of its own: a page of many caches is work, and the threads that take connections must be free
/// for the open paths. What waits for another loop, and what does not end, is no work.
pub(super) async fn apart(Shared(turns): Shared<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if is_open(path) || path == STREAM || request.method() != Method::GET {
        return next.run(request).await;
    }
    // It is never closed, so there is no error.
    let turn = turns.acquire_owned().await;
    let runtime = Handle::current();
    let made = spawn_blocking(move || {
        let _turn = turn;
        runtime.block_on(next.run(request))
    });
    match made.await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "a request handler panicked, which is a defect of cachewatch");
            reply::problem(StatusCode::INTERNAL_SERVER_ERROR, "the request failed; see the log of the daemon")
        }
    }
}

/// Ends a request that takes too long; an endless answer is begun in time and ends when its reader does.
pub(super) async fn in_time(request: Request, next: Next) -> Response {
    if request.uri().path() == STREAM {
        return next.run(request).await;
    }
    match timeout(ANSWER, next.run(request)).await {
        Ok(response) => response,
        Err(_) => reply::problem(StatusCode::SERVICE_UNAVAILABLE, "the answer took too long"),
    }
}

/// Reads a request's body before its handler runs, as far as it is small and comes in time.
pub(super) async fn with_small_body(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    // Until it is there the connection waits for its client, and not the other way round.
    let pace = head.extensions.get::<Arc<Pace>>().filter(|_| !body.is_end_stream());
    let receiving = pace.map(Pace::receive);
    let body = timeout(BODY, body::to_bytes(body, LARGEST_BODY)).await;
    drop(receiving);
    let body = match body {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            return reply::problem(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the request body is larger than 64 KiB, or incomplete",
            );
        }
        Err(_) => return reply::problem(StatusCode::REQUEST_TIMEOUT, "the request body did not arrive in time"),
    };
    next.run(Request::from_parts(head, Body::from(body))).await
}

/// Adds what the operator wants every answer to say.
pub(super) async fn with_headers(Shared(guard): Shared<Arc<Guard>>, mut response: Response) -> Response {
    for (name, value) in &guard.now().headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

/// What to do where no credentials are asked for.
const CURE: &str =
    "set server.basic_auth_file, server.tls.client_ca_file or server.admin_token_file to accept it from other machines";

/// Whether a request may change something: its sender is authenticated, or, without authentication, it comes from this
/// machine and was not forwarded. A web page never may.
pub(super) fn may_change(peer: SocketAddr, headers: &HeaderMap, sender: Option<Sender>) -> Result<(), Box<Response>> {
    let refuse = |words: &str| Err(Box::new(reply::problem(StatusCode::FORBIDDEN, words)));
    let from_a_page = headers.get("sec-fetch-site").is_some_and(|site| site != "none");
    if headers.contains_key(header::ORIGIN) || from_a_page {
        return refuse("a web page may not make this request; use cachewatch, curl or SIGHUP");
    }
    match sender {
        Some(Sender::Authenticated) => return Ok(()),
        Some(Sender::WithoutToken) => {
            let words = "the token of server.admin_token_file is required: `Authorization: Bearer TOKEN`, or \
                         `cachewatch baseline accept NAME --token-file FILE`";
            return Err(Box::new(bearer(words)));
        }
        None => {}
    }
    if !peer.ip().to_canonical().is_loopback() {
        return refuse(&format!("without authentication this request is accepted from this machine only; {CURE}"));
    }
    if let Some(family) = handed_on::shown_by(headers) {
        return refuse(&format!(
            "without authentication this request is accepted from this machine only, and the header {family} shows \
             that a proxy or a service mesh forwards it; {CURE}"
        ));
    }
    Ok(())
}

/// Failed logins, told in the log once in a while and not once each.
#[derive(Default)]
struct Failures {
    untold: AtomicU64,
    told: Mutex<Option<Instant>>,
}

impl Failures {
    /// The user is not named: it may be a password, typed in the wrong place.
    fn tell(&self, caller: Option<Caller>) {
        let untold = self.untold.fetch_add(1, Ordering::Relaxed) + 1;
        let now = clock::instant();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|told| now.saturating_duration_since(told) < TOLD) {
            return;
        }
        *told = Some(now);
        self.untold.store(0, Ordering::Relaxed);
        let peer = caller.map(|caller| caller.peer.ip().to_canonical().to_string());
        tracing::warn!(
            peer,
            failures = untold,
            "a wrong user, password or token was given; logged at most once a minute"
        );
    }
}
