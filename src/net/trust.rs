//! The roots that are trusted, and whether a chain proves a name by them.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::certificate;
use crate::clock;
use crate::file::FileCache;
use crate::model::{Fault, FaultKind, Stage};

/// The roots that are trusted, read once per version of their file.
#[derive(Debug)]
pub(crate) struct Trust {
    provider: Arc<CryptoProvider>,
    platform: OnceLock<Result<Roots, String>>,
    files: FileCache<Result<Roots, String>>,
}

impl Trust {
    pub(crate) fn new() -> Self {
        let provider = Arc::new(ring::default_provider());
        Self { provider, platform: OnceLock::new(), files: FileCache::new(file_roots) }
    }

    /// The roots of that file, or of the platform's store. Reading them is this machine's affair: it is not part of the
    /// time a handshake takes.
    pub(crate) fn roots(&self, ca_file: Option<&Path>) -> Result<Roots, Fault> {
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
    let store = platform_store()
        .map_err(|words| format!("the platform has no trusted roots; install ca-certificates ({words})"))?;
    Roots::new(store, provider, Vec::new())
}

/// The platform's roots.
///
/// # Errors
/// Where there is none, with what the system said.
pub(crate) fn platform_store() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        let words: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        return Err(words.join("; "));
    }
    Ok(store)
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

/// A set of roots, ready for use.
#[derive(Debug, Clone)]
pub(crate) struct Roots {
    verifier: Arc<WebPkiServerVerifier>,
    config: ClientConfig,
    /// The certificates of a file of roots, as they are; empty for the platform's store.
    pinned: Arc<[CertificateDer<'static>]>,
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
        // Each connection proves the whole path: a resumed session would show no certificate.
        config.resumption = Resumption::disabled();
        Ok(Self { verifier, config, pinned: pinned.into() })
    }

    /// How TLS is spoken to a server that these roots are to vouch for. `conclude` makes of each verdict what becomes of the
    /// handshake; it is told the server's own certificate, and the others it presented.
    ///
    /// Signatures are verified in place whatever `conclude` says; where it accepts what does not verify, nothing may be sent
    /// over the session.
    pub(crate) fn client_config<F: Conclude>(self, conclude: F) -> ClientConfig {
        let Self { verifier, mut config, pinned } = self;
        config.dangerous().set_certificate_verifier(Arc::new(Verifier { inner: verifier, pinned, conclude }));
        config
    }
}

/// What is made of a verdict: of the server's own certificate, of the others it presented, and of whether they prove the name.
pub(crate) trait Conclude:
    Fn(&CertificateDer<'_>, &[CertificateDer<'_>], Result<(), rustls::Error>) -> Result<(), rustls::Error>
    + Send
    + Sync
    + 'static
{
}

impl<F> Conclude for F where
    F: Fn(&CertificateDer<'_>, &[CertificateDer<'_>], Result<(), rustls::Error>) -> Result<(), rustls::Error>
        + Send
        + Sync
        + 'static
{
}

/// Verifies as the library does, and accepts a pinned certificate as OpenSSL does.
struct Verifier<F> {
    inner: Arc<WebPkiServerVerifier>,
    pinned: Arc<[CertificateDer<'static>]>,
    conclude: F,
}

impl<F> fmt::Debug for Verifier<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<F: Conclude> ServerCertVerifier for Verifier<F> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = if self.pinned.contains(end_entity) {
            verify_pinned(end_entity, server_name, now)
        } else {
            self.inner
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map(|_| ())
                .map_err(|error| name_self_signed(end_entity, error))
        };
        (self.conclude)(end_entity, intermediates, verdict).map(|()| ServerCertVerified::assertion())
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

/// A self-signed certificate is mostly marked as an authority's, which the verifier objects to before it looks for an
/// issuer. What is wrong with it is that nothing here trusts it.
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
