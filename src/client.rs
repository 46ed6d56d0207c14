//! Asks a running daemon over HTTP, for commands that need what it knows.
//!
//! Invariant: a password is in no message.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Uri};
use rustls::ClientConfig;
use rustls::crypto::ring;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::model::{Secret, WireText};
use crate::net::http::{HttpAnswer, HttpClient, HttpError};
use crate::net::{pem, trust};

/// How long an answer may take, from the first packet to its last byte, where no other limit is given.
const PATIENCE: Duration = Duration::from_secs(40);

/// Where a daemon is, and how it is asked.
#[derive(Debug, Clone, Default)]
pub struct ClientSettings {
    /// `http://` or `https://`, host, port and, behind a proxy, the path it is mounted at.
    pub server: String,
    /// The user and the password, where it asks for them.
    pub login: Option<(String, Secret)>,
    /// The token for what changes state; where there is one, it is sent with that in place of user and password.
    pub token: Option<Secret>,
    /// Roots to trust, PEM; `None` for the platform's.
    pub ca_file: Option<PathBuf>,
    /// The certificate to show and its key, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A daemon that can be asked.
#[derive(Debug)]
pub struct Client {
    /// As it was given, without a slash at its end.
    server: String,
    http: HttpClient,
    authorization: Option<HeaderValue>,
    /// What is sent in its place with what changes state.
    admin: Option<HeaderValue>,
    patience: Duration,
}

/// What a daemon answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAnswer {
    /// The status.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
}

impl ServerAnswer {
    /// The document of an answer that is good; of one that is not, what it says is wrong.
    ///
    /// # Errors
    /// In words for a person: the status, and what the daemon said of it.
    pub fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        serde_json::from_slice(self.good(path)?).map_err(|error| {
            format!(
                "{path}: the daemon's answer is not the expected JSON document: {error}; is the \
                                      daemon of another version?"
            )
        })
    }

    /// The body of an answer that is good; of one that is not, what it says is wrong.
    ///
    /// # Errors
    /// In words for a person: the status, and what the daemon said of it.
    pub fn good(&self, path: &str) -> Result<&[u8], String> {
        #[derive(Deserialize)]
        struct Problem {
            error: String,
        }
        if (200..300).contains(&self.status) {
            return Ok(&self.body);
        }
        let problem = serde_json::from_slice(&self.body).map(|Problem { error }| error);
        let words = problem.unwrap_or_else(|_| String::from_utf8_lossy(&self.body).into_owned());
        let problem_is_of_token = words.contains("token");
        let hint = match self.status {
            // Where a token is wanted, the daemon says so.
            401 if !problem_is_of_token => "; give --user NAME and --password-file FILE",
            _ => "",
        };
        Err(format!("{path}: {}: {}{hint}", self.status, WireText::new(words.trim())))
    }
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The address of the daemon is not valid.
    #[error("{0:?} is not the address of a daemon: {1}; write http://HOST:PORT or https://HOST:PORT")]
    Server(String, &'static str),
    /// The token cannot be sent. It is not shown.
    #[error(
        "the token is empty, or holds a space, a line end or a character that is not ASCII; give the file that the \
         daemon reads (server.admin_token_file)"
    )]
    Token,
    /// A file cannot be used.
    #[error("{0}: {1}")]
    File(PathBuf, String),
    /// The platform's roots cannot be had.
    #[error("the platform has no trusted roots ({0}); install ca-certificates, or name the roots with --ca-file")]
    Platform(String),
    /// There is no answer from that address.
    #[error("cannot reach {url}: {source}; is the daemon running, and is this where it listens (server.listen)?")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What the system said.
        source: io::Error,
    },
    /// TLS did not come about.
    #[error("cannot speak TLS with {url}: {source}; {hint}")]
    Tls {
        /// What was asked for.
        url: String,
        /// What the library said.
        source: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The connection broke, or what came is no answer.
    #[error("{url} did not answer: {words}{hint}")]
    Broken {
        /// What was asked for.
        url: String,
        /// What went wrong.
        words: String,
        /// What to do, with what stands before it; empty where nothing is known.
        hint: &'static str,
    },
}

impl Client {
    /// Gets ready to ask; nothing is sent yet.
    ///
    /// # Errors
    /// Where the address is not valid, or a file cannot be used.
    pub fn new(settings: &ClientSettings) -> Result<Self, ClientError> {
        let server = settings.server.trim_end_matches('/').to_owned();
        let wrong = |words| ClientError::Server(settings.server.clone(), words);
        let uri: Uri = settings.server.parse().map_err(|_| wrong("it cannot be read"))?;
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        if authority.as_str().contains('@') {
            // Not shown: what stands before the @ may be a password.
            return Err(ClientError::Server("(not shown)".to_owned(), "it must not hold user and password"));
        }
        let speaks_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("its scheme is neither http nor https")),
        };
        if uri.query().is_some() {
            return Err(wrong("it has a query"));
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let tls = if speaks_tls { Some(Arc::new(client_config(settings)?)) } else { None };
        let authorization = settings.login.as_ref().map(|(user, password)| basic(user, password));
        let admin = settings.token.as_ref().map(bearer).transpose()?;
        let port = authority.port_u16().unwrap_or(if speaks_tls { 443 } else { 80 });
        Ok(Self { server, http: HttpClient { host, port, tls }, authorization, admin, patience: PATIENCE })
    }

    /// This client, with less patience or more.
    #[must_use]
    pub fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Where the daemon is: what stands before each path.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Whether what is sent, a password too, can be read on the way.
    #[must_use]
    pub fn is_in_the_clear(&self) -> bool {
        let HttpClient { host, tls, .. } = &self.http;
        let is_here = host == "localhost"
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
        tls.is_none() && !is_here
    }

    /// Asks for a path.
    ///
    /// # Errors
    /// Where there is no answer. A status that tells of an error is an answer.
    pub async fn get(&self, path: &str) -> Result<ServerAnswer, ClientError> {
        self.ask(Method::GET, path).await
    }

    /// Asks for something to be done.
    ///
    /// # Errors
    /// Where there is no answer. A status that tells of an error is an answer.
    pub async fn post(&self, path: &str) -> Result<ServerAnswer, ClientError> {
        self.ask(Method::POST, path).await
    }

    async fn ask(&self, method: Method, path: &str) -> Result<ServerAnswer, ClientError> {
        let url = format!("{}{path}", self.server);
        let admin = self.admin.as_ref().filter(|_| method != Method::GET);
        let mut request = Request::builder().method(method).uri(&url);
        if let Some(authorization) = admin.or(self.authorization.as_ref()) {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let answer = match request.body(Full::default()) {
            Ok(request) => self.http.send(request, self.patience).await,
            Err(error) => Err(HttpError::Broken(error.to_string())),
        };
        answer.map(|HttpAnswer { status, body }| ServerAnswer { status, body }).map_err(|error| match error {
            HttpError::Unreachable(source) => ClientError::Unreachable { url, source },
            HttpError::NoServerName => ClientError::Server(self.server.clone(), "no certificate can cover its host"),
            HttpError::Tls(source) => {
                let hint = hint(&source);
                ClientError::Tls { url, source, hint }
            }
            HttpError::Unanswered(words) => self.unanswered(url, words),
            HttpError::Broken(words) => ClientError::Broken { url, words, hint: "" },
        })
    }

    /// The request was sent, and what came back is no answer.
    fn unanswered(&self, url: String, words: String) -> ClientError {
        let hint = match &self.http.tls {
            // Under TLS 1.3 a server tells only after the handshake that it wanted a certificate.
            Some(_) if words.contains("CertificateRequired") => {
                "; the daemon asks for a client certificate: --client-cert FILE --client-key FILE"
            }
            Some(_) if words.contains("fatal alert") => "; the daemon does not accept the certificate of --client-cert",
            Some(_) => "",
            None => "; if the daemon uses TLS, write https://",
        };
        ClientError::Broken { url, words, hint }
    }
}

fn basic(user: &str, password: &Secret) -> HeaderValue {
    let encoded = BASE64_STANDARD.encode(format!("{user}:{}", password.reveal()));
    let mut value = HeaderValue::from_str(&format!("Basic {encoded}")).expect("base64 is a header's value");
    // Kept out of every Debug.
    value.set_sensitive(true);
    value
}

fn bearer(token: &Secret) -> Result<HeaderValue, ClientError> {
    let token = token.reveal();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ClientError::Token);
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ClientError::Token)?;
    // Kept out of every Debug.
    value.set_sensitive(true);
    Ok(value)
}

/// What to do about a handshake that failed.
fn hint(error: &io::Error) -> &'static str {
    use rustls::{CertificateError, Error};
    match error.get_ref().and_then(|error| error.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "its certificate is for another name: use that name in --server https://NAME:PORT",
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "no trusted root issued its certificate: name the roots with --ca-file"
        }
        Some(Error::InvalidMessage(_)) => "if the daemon does not use TLS, write http://",
        Some(Error::AlertReceived(_)) => {
            "the daemon refuses this client: if it requires a certificate, give --client-cert and --client-key"
        }
        _ => "see the log of the daemon",
    }
}

fn client_config(settings: &ClientSettings) -> Result<ClientConfig, ClientError> {
    let of_file = |path: &Path, words: String| ClientError::File(path.to_owned(), words);
    let roots = match &settings.ca_file {
        Some(path) => pem::roots(path).map_err(|words| of_file(path, words))?,
        None => trust::platform_store().map_err(ClientError::Platform)?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring offers the default versions")
        .with_root_certificates(roots);
    match &settings.identity {
        None => Ok(builder.with_no_client_auth()),
        Some((cert_file, key_file)) => {
            let chain = pem::certificates(cert_file).map_err(|words| of_file(cert_file, words))?;
            let key = pem::private_key(key_file).map_err(|words| of_file(key_file, words))?;
            let unusable = |error| of_file(cert_file, format!("cannot be used with its key: {error}"));
            builder.with_client_auth_cert(chain, key).map_err(unusable)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(server: &str) -> String {
        Client::new(&ClientSettings { server: server.to_owned(), ..ClientSettings::default() }).unwrap_err().to_string()
    }

    #[test]
    fn an_address_is_a_scheme_a_host_and_a_port() {
        for server in ["http://127.0.0.1:9847", "http://[::1]:9847/", "http://cachewatch.example/behind/a/proxy"] {
            Client::new(&ClientSettings { server: server.to_owned(), ..ClientSettings::default() }).unwrap();
        }
        for (server, words) in [
            ("127.0.0.1:9847", "scheme"),
            ("ftp://example", "scheme"),
            ("http://", "cannot be read"),
            ("", "cannot be read"),
            ("http://a/?x", "query"),
            ("http://me:hunter2@example:1", "user and password"),
        ] {
            let said = refused(server);
            assert!(said.contains(words) && !said.contains("hunter2"), "{server}: {said}");
        }
    }

    #[test]
    fn a_password_is_kept_out_of_sight() {
        let login = Some(("alice".to_owned(), Secret::new("hunter2".to_owned())));
        let client =
            Client::new(&ClientSettings { server: "http://example:1".to_owned(), login, ..ClientSettings::default() });
        let shown = format!("{:?}", client.unwrap());
        assert!(!shown.contains("hunter2") && !shown.contains(&BASE64_STANDARD.encode("alice:hunter2")), "{shown}");
    }
}
