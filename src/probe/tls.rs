//! Stage three: the TLS handshake, and the proof that the peer is who the name says.
//!
//! The handshake is completed even where the certificate does not verify, so that version, cipher and chain can be
//! reported with the failure.
//!
//! Invariant: a session whose certificate did not verify is closed here and never handed on, so nothing of the
//! application, least of all a password, is sent over it.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::deadline::{Deadline, Late};
use super::guarded::Guarded;
use super::{blame, certificate, plaintext};
use crate::clock;
use crate::file::FileCache;
use crate::model::{Fault, FaultKind, Stage, TlsSession};

/// What a handshake gave.
pub(super) struct Handshake<S> {
    /// What was seen; `None` where the peer broke off before it showed a certificate.
    pub(super) session: Option<TlsSession>,
    /// The stream, only where everything verified.
    pub(super) outcome: Result<TlsStream<Guarded<S>>, Fault>,
}

impl<S> Handshake<S> {
    fn failed(session: Option<TlsSession>, fault: Fault) -> Self {
        Self { session, outcome: Err(fault) }
    }
}

/// Speaks TLS over `stream`, a connection to `dialled`, and verifies `server_name`.
pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    dialled: SocketAddr,
    server_name: &str,
    roots: &Roots,
    limit: Duration,
    deadline: Deadline,
) -> Handshake<S> {
    let Ok(name) = ServerName::try_from(server_name.to_owned()) else {
        let words = format!("{server_name} is not a name that a certificate can cover");
        return Handshake::failed(None, Fault::new(Stage::Tls, FaultKind::NameMismatch, words));
    };
    let observer = Arc::new(Observer {
        inner: Arc::clone(&roots.verifier),
        pinned: Arc::clone(&roots.pinned),
        seen: Mutex::default(),
    });
    let mut config = roots.config.clone();
    config.dangerous().set_certificate_verifier(Arc::clone(&observer) as Arc<dyn ServerCertVerifier>);
    config.client_auth_cert_resolver = Arc::clone(&observer) as Arc<dyn ResolvesClientCert>;

    let (deadline, allowed) = deadline.stage(limit);
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, Guarded::new(stream)).into_fallible();
    let mut handshake = pin!(deadline.run(connecting));
    // Towards the end of a handshake that will not end, the peer is asked whether it speaks plain text.
    let patience = plaintext::PATIENCE.min(allowed / 2);
    let suspicion = async {
        tokio::time::sleep(allowed.saturating_sub(patience)).await;
        plaintext::answer(dialled, deadline).await
    };
    let (result, plain) = tokio::select! {
        biased;
        result = &mut handshake => (result, None),
        plain = suspicion => (handshake.await, plain),
    };
    let seen = observer.take();
    let mut session = (!seen.chain.is_empty()).then(|| TlsSession {
        version: String::new(),
        cipher: String::new(),
        server_name: server_name.to_owned(),
        verified: false,
        chain: certificate::chain(&seen.chain),
    });
    let mut stream = match result {
        Ok(Ok(stream)) => stream,
        Ok(Err((error, mut stream))) => {
            let end = stream.take_end();
            return Handshake::failed(session, blame::handshake(&error, end.as_ref(), stream.first(), seen.asked));
        }
        Err(Late) => {
            if let Some(answer) = plain {
                return Handshake::failed(session, blame::plaintext(allowed, &answer));
            }
            let words = format!("the handshake did not end within {}", blame::span(allowed));
            return Handshake::failed(session, Fault::new(Stage::Tls, FaultKind::Timeout, words));
        }
    };
    if let Some(session) = &mut session {
        describe(&stream, session);
    }
    match seen.verdict {
        Some(Ok(())) => {
            if let Some(session) = &mut session {
                session.verified = true;
            }
            stream.get_mut().0.renew();
            Handshake { session, outcome: Ok(stream) }
        }
        Some(Err(error)) => {
            let fault = blame::certificate(&error, session.as_ref().and_then(TlsSession::leaf));
            Handshake::failed(session, fault)
        }
        // Without resumption every handshake presents a certificate; one that did not proves nothing.
        None => {
            let fault = Fault::new(Stage::Tls, FaultKind::CertificateInvalid, "the peer presented no certificate");
            Handshake::failed(session, fault)
        }
    }
}

/// Notes what was agreed.
fn describe<S>(stream: &TlsStream<S>, session: &mut TlsSession) {
    let (_, connection) = stream.get_ref();
    if let Some(version) = connection.protocol_version() {
        session.version = version.as_str().map_or_else(|| format!("{version:?}"), |name| name.replace('_', "."));
    }
    if let Some(suite) = connection.negotiated_cipher_suite() {
        let name = suite.suite().as_str().unwrap_or("unknown");
        // rustls marks the suites of TLS 1.3 in its own way; IANA calls them TLS_AES_256_GCM_SHA384.
        session.cipher = name.replacen("TLS13_", "TLS_", 1);
    }
}

/// The roots that are trusted, read once per version of their file.
#[derive(Debug)]
pub(super) struct Trust {
    provider: Arc<CryptoProvider>,
    platform: OnceLock<Result<Roots, String>>,
    files: FileCache<Result<Roots, String>>,
}

/// A set of roots, ready for use.
#[derive(Debug, Clone)]
pub(super) struct Roots {
    pub(super) verifier: Arc<WebPkiServerVerifier>,
    pub(super) config: ClientConfig,
    /// The certificates of a file of roots, as they are; empty for the platform's store.
    pub(super) pinned: Arc<[CertificateDer<'static>]>,
}

impl Trust {
    pub(super) fn new() -> Self {
        Self {
            provider: Arc::new(ring::default_provider()),
            platform: OnceLock::new(),
            files: FileCache::new(file_roots),
        }
    }

    /// The roots of that file, or of the platform's store. Reading them is this machine's affair: it is not part of the
    /// time a handshake takes.
    pub(super) fn roots(&self, ca_file: Option<&Path>) -> Result<Roots, Fault> {
        let unreadable = |words: String| Fault::new(Stage::Tls, FaultKind::TrustUnreadable, words);
        let Some(path) = ca_file else {
            return self.platform.get_or_init(|| platform_roots(&self.provider)).clone().map_err(unreadable);
        };
        let named = |words: &dyn fmt::Display| unreadable(format!("{}: {words}", path.display()));
        let roots = self.files.read(path, clock::instant()).map_err(|error| named(&error))?;
        (*roots).clone().map_err(|words| named(&words))
    }
}

fn platform_roots(provider: &Arc<CryptoProvider>) -> Result<Roots, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        let words: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        return Err(format!("the platform has no trusted roots; install ca-certificates ({})", words.join("; ")));
    }
    Roots::new(store, provider, Vec::new())
}

fn file_roots(bytes: &[u8]) -> Result<Roots, String> {
    let mut store = RootCertStore::empty();
    let mut pinned = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(bytes) {
        let certificate = certificate.map_err(|error| format!("not PEM: {error}"))?;
        pinned.push(certificate.clone());
        store.add(certificate).map_err(|error| error.to_string())?;
    }
    Roots::new(store, &Arc::new(ring::default_provider()), pinned)
}

impl Roots {
    fn new(
        store: RootCertStore,
        provider: &Arc<CryptoProvider>,
        pinned: Vec<CertificateDer<'static>>,
    ) -> Result<Self, String> {
        let store = Arc::new(store);
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&store), Arc::clone(provider))
            .build()
            .map_err(|error| format!("no certificate in it can serve as a root ({error})"))?;
        let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_webpki_verifier(Arc::clone(&verifier))
            .with_no_client_auth();
        // Each probe proves the whole path: a resumed session would show no certificate.
        config.resumption = Resumption::disabled();
        Ok(Self { verifier, config, pinned: pinned.into() })
    }
}

/// Lets a handshake complete so that it can be described, keeps the verdict of the real verifier, and notes whether the
/// server asked who we are.
///
/// It weakens nothing by itself: signatures are still verified in place, and [`handshake`] closes every session whose
/// verdict is not good.
#[derive(Debug)]
struct Observer {
    inner: Arc<WebPkiServerVerifier>,
    pinned: Arc<[CertificateDer<'static>]>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    chain: Vec<CertificateDer<'static>>,
    verdict: Option<Result<(), rustls::Error>>,
    /// Whether a client certificate was asked for.
    asked: bool,
}

impl Observer {
    fn take(&self) -> Seen {
        std::mem::take(&mut self.seen())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a chain proves the name here and now.
pub(super) fn verdict(
    verifier: &WebPkiServerVerifier,
    pinned: &[CertificateDer<'static>],
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    server_name: &ServerName<'_>,
    ocsp_response: &[u8],
    now: UnixTime,
) -> Result<(), rustls::Error> {
    if pinned.contains(end_entity) {
        return verify_pinned(end_entity, server_name, now);
    }
    verifier
        .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        .map(|_| ())
        .map_err(|error| name_self_signed(end_entity, error))
}

/// A self-signed certificate is mostly marked as an authority's, which the verifier objects to before it looks for an
/// issuer. What is wrong with it is that nobody here trusts it.
fn name_self_signed(certificate: &CertificateDer<'_>, error: rustls::Error) -> rustls::Error {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(_)) if certificate::is_self_issued(certificate) => {
            CertificateError::UnknownIssuer.into()
        }
        error => error,
    }
}

/// Verifies a certificate that the operator trusts by itself: a self-signed one, named in the file of roots. OpenSSL and
/// the clients built on it accept such a server, so an application here does; validity and name must still be right.
fn verify_pinned(
    certificate: &CertificateDer<'_>,
    server_name: &ServerName<'_>,
    now: UnixTime,
) -> Result<(), rustls::Error> {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = certificate::validity(certificate).ok_or(CertificateError::BadEncoding)?;
    if seconds > validity.not_after {
        return Err(CertificateError::Expired.into());
    }
    if seconds < validity.not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    verify_server_name(&ParsedCertificate::try_from(certificate)?, server_name)
}

impl ServerCertVerifier for Observer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = verdict(&self.inner, &self.pinned, end_entity, intermediates, server_name, ocsp_response, now);
        let presented = std::iter::once(end_entity).chain(intermediates).take(TlsSession::LONGEST_CHAIN);
        let chain = presented.map(|certificate| certificate.clone().into_owned()).collect();
        let mut seen = self.seen();
        seen.chain = chain;
        seen.verdict = Some(verdict);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

impl ResolvesClientCert for Observer {
    /// There is none to show; a server that insists ends the handshake, and one that does not goes on.
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.seen().asked = true;
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Says goodbye, so that the peer does not log a broken connection. A peer that does not listen is not waited for, and
/// what goes wrong is of no account: the verdict stands by now.
pub(super) async fn close<S: AsyncWrite + Unpin>(stream: &mut S, deadline: Deadline) {
    const PATIENCE: Duration = Duration::from_millis(100);
    let _ = deadline.or_within(PATIENCE).run(tokio::io::AsyncWriteExt::shutdown(stream)).await;
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::*;
    use crate::clock::Stopwatch;

    /// A peer that takes nothing more.
    struct Deaf;

    impl AsyncWrite for Deaf {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_goodbye_does_not_outlast_the_probe() {
        for (left, most) in [(0, 0), (40, 40), (5_000, 100)] {
            let watch = Stopwatch::start();
            close(&mut Deaf, Deadline::after(Duration::from_millis(left))).await;
            assert_eq!(watch.elapsed().as_millis(), most, "with {left} ms left");
        }
    }
}
