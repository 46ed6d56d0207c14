//! Asks a server over HTTP/1.1, with a connection of its own for each request.
//!
//! Invariant: an answer costs a bounded amount of time and memory.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderValue};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::ByteStream;

/// How long the connection, TLS included, may take.
const CONNECT: Duration = Duration::from_secs(10);

/// The largest answer that is read.
const LARGEST: usize = 16 << 20;

/// A server that is asked over HTTP.
#[derive(Debug)]
pub(crate) struct HttpClient {
    /// A name, or an address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// `None` speaks in the clear.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum HttpError {
    /// There is no connection.
    Unreachable(io::Error),
    /// No certificate can cover the host.
    NoServerName,
    /// TLS did not come about.
    Tls(io::Error),
    /// The request was sent, and what came back is no answer; in words.
    Unanswered(String),
    /// The time was up, the request cannot be written or the answer cannot be read to its end; in words.
    Broken(String),
}

impl HttpClient {
    /// Sends a request, whose URI is the whole URL, and reads the whole answer. It ends within `patience`.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        patience: Duration,
    ) -> Result<HttpAnswer, HttpError> {
        let answered = async {
            match timeout(CONNECT, self.connect()).await {
                Ok(stream) => exchange(stream?, on_the_wire(request)?).await,
                Err(_) => Err(HttpError::Broken(format!("no connection within {CONNECT:?}"))),
            }
        };
        match timeout(patience, answered).await {
            Ok(answer) => answer,
            Err(_) => Err(HttpError::Broken(format!("no complete answer within {patience:?}"))),
        }
    }

    async fn connect(&self) -> Result<Box<dyn ByteStream>, HttpError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(HttpError::Unreachable)?;
        let Some(config) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(self.host.clone()).map_err(|_| HttpError::NoServerName)?;
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await.map_err(HttpError::Tls)?;
        Ok(Box::new(stream))
    }
}

fn broken(error: &dyn Error) -> HttpError {
    HttpError::Broken(error.to_string())
}

/// The request as it is written: the host stands in a header, and no other request follows.
fn on_the_wire(mut request: Request<Full<Bytes>>) -> Result<Request<Full<Bytes>>, HttpError> {
    let uri = std::mem::take(request.uri_mut()).into_parts();
    if let Some(authority) = uri.authority {
        let host = HeaderValue::from_str(authority.as_str()).map_err(|error| broken(&error))?;
        request.headers_mut().insert(header::HOST, host);
    }
    if let Some(path) = uri.path_and_query {
        *request.uri_mut() = Uri::from(path);
    }
    request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

async fn exchange(stream: Box<dyn ByteStream>, request: Request<Full<Bytes>>) -> Result<HttpAnswer, HttpError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(|error| HttpError::Unanswered(causes(&error)))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        let body = body.map_err(|error| broken(&*error))?.to_bytes().to_vec();
        Ok(HttpAnswer { status, body })
    };
    // The connection moves the bytes while the answer is awaited; it breaks or closes with it.
    let mut answered = std::pin::pin!(answered);
    tokio::select! {
        biased;
        answer = &mut answered => answer,
        ended = connection => match (answered.await, ended) {
            // Which of the two is told why it broke is a matter of luck.
            (Err(HttpError::Broken(words) | HttpError::Unanswered(words)), Err(error)) => {
                Err(HttpError::Unanswered(format!("{words}: {}", causes(&error))))
            }
            (answer, _) => answer,
        },
    }
}

/// An error with all that caused it.
fn causes(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
