//! DNS over HTTPS (RFC 8484): a question is the body of a POST, and so is its answer.
//!
//! HTTP/2 where the server speaks it, as most do and some insist on; else HTTP/1.1, where questions wait for each other.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use hickory_resolver::proto::op::Message;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::rt::Executor;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::Mutex;

use super::failure::Failure;
use super::message::{answers, decode, encode};
use super::tasks::{OwnedTasks, Spawner};
use super::tls::VerifiedStream;
use crate::model::{Outcome, Protocol};

/// The media type of a message (RFC 8484, 6).
const MEDIA_TYPE: &str = "application/dns-message";

/// The largest answer: what a message over TCP can be.
const LARGEST: usize = 65_535;

/// The most pieces of an answer, DATA frames of HTTP/2 or chunks of HTTP/1.1. A piece of one byte is as much work as a large
/// one; servers send the largest answer in some ten, and proxies in a hundred.
const MOST_PIECES: usize = 256;

/// How much the server may send before it is read: one answer each for IPv4 and IPv6, and as much again. The library lets so
/// many small frames wait to be read as half of it is quarters of a KiB: one answer each in [`MOST_PIECES`].
const WINDOW: u32 = 1 << 18;

/// A connection that takes questions.
pub(super) struct HttpsChannel {
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

impl HttpsChannel {
    /// Speaks HTTP over `stream`, whichever version was agreed on inside TLS.
    pub(super) async fn new(
        stream: VerifiedStream,
        server: SocketAddr,
        host: &str,
        path: &str,
        tasks: &OwnedTasks,
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
        let authority = if port == Protocol::Https.row().port { host.to_owned() } else { format!("{host}:{port}") };
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
        let body = gather(response.into_body()).await.map_err(|error| match error {
            BodyError::TooLarge => too_large(self.server),
            BodyError::TooManyPieces => too_many_pieces(self.server),
            BodyError::Broken(error) => failure(self.server, &error),
        })?;
        let message = decode(self.server, &body)?;
        if answers(&message, question) {
            Ok(message)
        } else {
            let words = format!("{}: the answer belongs to another question", self.server);
            Err(Failure::new(Outcome::Malformed, words))
        }
    }
}

/// Why a body is no answer.
#[derive(Debug, PartialEq, Eq)]
enum BodyError<E> {
    TooLarge,
    TooManyPieces,
    Broken(E),
}

/// Reads a body, within its bounds in bytes and in pieces.
async fn gather<B>(mut body: B) -> Result<Vec<u8>, BodyError<B::Error>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (mut gathered, mut pieces) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        pieces += 1;
        if pieces > MOST_PIECES {
            return Err(BodyError::TooManyPieces);
        }
        // What is not data is a trailer, and says nothing of the answer.
        let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() else { continue };
        if gathered.len() + data.len() > LARGEST {
            return Err(BodyError::TooLarge);
        }
        gathered.extend_from_slice(&data);
    }
    Ok(gathered)
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

fn too_many_pieces(server: SocketAddr) -> Failure {
    Failure::new(Outcome::TooLarge, format!("{server}: the answer came in more than {MOST_PIECES} pieces"))
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
    // What came faster than it was read is counted by the library, which has no other name for it.
    if cause.contains("too_many_data_frames") {
        return too_many_pieces(server);
    }
    Failure::new(Outcome::HttpError, format!("{server}: {error}{cause}"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::{StreamExt, stream};
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    /// What comes of a body of so many pieces of this length, and how many of them were taken.
    async fn gathered(pieces: usize, length: usize) -> (Result<usize, BodyError<Infallible>>, usize) {
        let taken = AtomicUsize::new(0);
        let body = stream::iter(0..pieces).map(|_| {
            taken.fetch_add(1, Ordering::Relaxed);
            Ok(Frame::data(Bytes::from(vec![7; length])))
        });
        let outcome = gather(StreamBody::new(body)).await.map(|bytes| bytes.len());
        (outcome, taken.into_inner())
    }

    #[tokio::test]
    async fn what_is_taken_of_an_answer_is_bounded_in_bytes_and_in_pieces() {
        assert_eq!(gathered(MOST_PIECES, 1).await, (Ok(MOST_PIECES), MOST_PIECES));
        assert_eq!(gathered(60_000, 1).await, (Err(BodyError::TooManyPieces), MOST_PIECES + 1));
        assert_eq!(gathered(60_000, 0).await, (Err(BodyError::TooManyPieces), MOST_PIECES + 1));
        assert_eq!(gathered(5, LARGEST / 5).await, (Ok(LARGEST), 5));
        assert_eq!(gathered(60_000, 1_024).await, (Err(BodyError::TooLarge), 64));
    }
}
