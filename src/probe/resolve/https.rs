//! DNS over HTTPS (RFC 8484): a question is the body of a POST, and so is its answer.
//!
//! HTTP/2 where the server speaks it, as most do and some insist on; else HTTP/1.1, where questions wait for each other.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use hickory_resolver::proto::op::Message;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::rt::Executor;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::Mutex;

use super::exchange::{Failure, answers, decode, encode};
use super::lines::{Spawner, Tasks};
use super::secure::Proven;
use crate::model::{Outcome, Protocol};

/// The media type of a message (RFC 8484, 6).
const MEDIA_TYPE: &str = "application/dns-message";

/// The largest answer: what a message over TCP can be.
const LARGEST: usize = 65_535;

/// How much the server may send before it is read: one answer each for IPv4 and IPv6.
const WINDOW: u32 = 1 << 17;

/// A connection that takes questions.
pub(super) struct Client {
    requests: Requests,
    server: SocketAddr,
    /// `host` or `host:port`.
    authority: String,
    path: String,
}

enum Requests {
    Http2(http2::SendRequest<Full<Bytes>>),
    Http1(Mutex<http1::SendRequest<Full<Bytes>>>),
}

impl Client {
    /// Speaks HTTP over `stream`, whichever version was agreed on inside TLS.
    pub(super) async fn new(
        stream: Proven,
        server: SocketAddr,
        host: &str,
        path: &str,
        tasks: &Tasks,
    ) -> Result<Self, Failure> {
        let spawner = tasks.spawner();
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2".as_slice());
        let stream = TokioIo::new(stream);
        let failed = |error: hyper::Error| failure(server, &error);
        let requests = if is_http2 {
            let mut builder = http2::Builder::new(spawner.clone());
            builder.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
            let (requests, connection) = builder.handshake(stream).await.map_err(failed)?;
            spawner.spawn(async move { drop(connection.await) });
            Requests::Http2(requests)
        } else {
            let (requests, connection) = http1::handshake(stream).await.map_err(failed)?;
            spawner.spawn(async move { drop(connection.await) });
            Requests::Http1(Mutex::new(requests))
        };
        let port = server.port();
        let authority = if port == Protocol::Https.port() { host.to_owned() } else { format!("{host}:{port}") };
        Ok(Self { requests, server, authority, path: path.to_owned() })
    }

    pub(super) async fn ask(&self, question: &Message) -> Result<Message, Failure> {
        let body = Full::new(Bytes::from(encode(question)?));
        let failed = |error: hyper::Error| failure(self.server, &error);
        let response = match &self.requests {
            Requests::Http2(requests) => {
                let request = self.request(&format!("https://{}{}", self.authority, self.path), body)?;
                let mut requests = requests.clone();
                requests.ready().await.map_err(failed)?;
                requests.send_request(request).await.map_err(failed)?
            }
            Requests::Http1(requests) => {
                let mut request = self.request(&self.path, body)?;
                let host = self.authority.parse().map_err(|error| self.no_request(&error))?;
                request.headers_mut().insert(HOST, host);
                // Kept to the end of the answer: there is no second request before it.
                let mut requests = requests.lock().await;
                requests.ready().await.map_err(failed)?;
                let response = requests.send_request(request).await.map_err(failed)?;
                return self.read(response, question).await;
            }
        };
        self.read(response, question).await
    }

    fn request(&self, uri: &str, body: Full<Bytes>) -> Result<Request<Full<Bytes>>, Failure> {
        let request = Request::builder().method(Method::POST).uri(uri);
        let request = request.header(CONTENT_TYPE, MEDIA_TYPE).header(ACCEPT, MEDIA_TYPE);
        request.body(body).map_err(|error| self.no_request(&error))
    }

    /// There is no such URL; a configuration is checked for that.
    fn no_request(&self, error: &dyn Error) -> Failure {
        Failure::new(Outcome::HttpError, format!("https://{}{}: {error}", self.authority, self.path))
    }

    async fn read(&self, response: Response<Incoming>, question: &Message) -> Result<Message, Failure> {
        let wrong = |words: String| {
            let url = format!("https://{}{}", self.authority, self.path);
            Failure::new(Outcome::HttpError, format!("{} answered POST {url} with {words}", self.server))
        };
        match response.status() {
            StatusCode::OK => {}
            status @ (StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => {
                return Err(wrong(format!("status {status}; is the path right?")));
            }
            status => return Err(wrong(format!("status {status}"))),
        }
        let kind = response.headers().get(CONTENT_TYPE).map(|kind| String::from_utf8_lossy(kind.as_bytes()));
        let bare = kind.as_deref().and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
        if !bare.eq_ignore_ascii_case(MEDIA_TYPE) {
            let shown = if bare.is_empty() { "no content type" } else { bare };
            return Err(wrong(format!("{shown}, and not {MEDIA_TYPE}; is the path right?")));
        }
        let body = Limited::new(response.into_body(), LARGEST).collect().await.map_err(|error| {
            match error.downcast::<hyper::Error>() {
                Ok(error) => failure(self.server, &error),
                Err(error) if error.is::<LengthLimitError>() => too_large(self.server),
                Err(error) => wrong(error.to_string()),
            }
        })?;
        let message = decode(self.server, &body.to_bytes())?;
        if answers(&message, question) {
            Ok(message)
        } else {
            let words = format!("{}: the answer belongs to another question", self.server);
            Err(Failure::new(Outcome::Malformed, words))
        }
    }
}

/// Lets HTTP/2 start what it does in the background, for as long as the lookup lasts.
impl<F> Executor<F> for Spawner
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, work: F) {
        self.spawn(async move { drop(work.await) });
    }
}

fn too_large(server: SocketAddr) -> Failure {
    Failure::new(Outcome::TooLarge, format!("{server}: the answer is larger than 64 KiB"))
}

/// Why a request got no response.
fn failure(server: SocketAddr, error: &hyper::Error) -> Failure {
    let causes: Vec<&(dyn Error + 'static)> = std::iter::successors(error.source(), |&cause| cause.source()).collect();
    if let Some(socket) = causes.iter().find_map(|cause| cause.downcast_ref::<io::Error>()) {
        return Failure::of_stream(server, socket);
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return Failure::closed(server, "without an answer");
    }
    // The library says what it was doing; its last cause says why it could not.
    let cause = causes.last().map_or_else(String::new, |cause| format!(": {cause}"));
    Failure::new(Outcome::HttpError, format!("{server}: {error}{cause}"))
}
