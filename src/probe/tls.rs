//! Stage three: the TLS handshake, and the proof that the peer is who the name says.
//!
//! The handshake is completed even where the certificate does not verify, so that version, cipher and chain can be
//! reported with the failure.
//!
//! Invariant: a session whose certificate did not verify is closed here and never handed on, so nothing of the
//! application, least of all a password, is sent over it.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{classify, plaintext};
use crate::model::{Fault, FaultKind, Stage, TlsSession};
use crate::net::certificate;
use crate::net::deadline::{Deadline, DeadlinePassed, span};
use crate::net::limited::LimitedStream;
use crate::net::trust::Roots;

/// What a handshake gave.
pub(super) struct Handshake<S> {
    /// What was seen; `None` where the peer broke off before it showed a certificate.
    pub(super) session: Option<TlsSession>,
    /// The stream, only where everything verified.
    pub(super) outcome: Result<TlsStream<LimitedStream<S>>, Fault>,
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
    roots: Roots,
    limit: Duration,
    deadline: Deadline,
) -> Handshake<S> {
    let Ok(name) = ServerName::try_from(server_name.to_owned()) else {
        let words = format!("{server_name} is not a name that a certificate can cover");
        return Handshake::failed(None, Fault::new(Stage::Tls, FaultKind::NameMismatch, words));
    };
    let observer = Arc::<Observer>::default();
    let mut config = roots.client_config({
        let observer = Arc::clone(&observer);
        move |end_entity, intermediates, verdict| {
            observer.note(end_entity, intermediates, verdict);
            Ok(())
        }
    });
    config.client_auth_cert_resolver = Arc::clone(&observer) as Arc<dyn ResolvesClientCert>;

    let (deadline, allowed) = deadline.stage(limit);
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, LimitedStream::new(stream)).into_fallible();
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
            return Handshake::failed(session, classify::handshake(&error, end.as_ref(), stream.first(), seen.asked));
        }
        Err(DeadlinePassed) => {
            if let Some(answer) = plain {
                return Handshake::failed(session, classify::plaintext(allowed, &answer));
            }
            let words = format!("the handshake did not end within {}", span(allowed));
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
            let fault = classify::certificate(&error, session.as_ref().and_then(TlsSession::leaf));
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

/// Lets a handshake complete so that it can be described: keeps the verdict of the verifier, and notes whether the server
/// asked who we are.
///
/// It weakens nothing by itself: signatures are still verified in place, and [`handshake`] closes every session whose
/// verdict is not good.
#[derive(Debug, Default)]
struct Observer(Mutex<ShownChain>);

#[derive(Debug, Default)]
struct ShownChain {
    chain: Vec<CertificateDer<'static>>,
    verdict: Option<Result<(), rustls::Error>>,
    /// Whether a client certificate was asked for.
    asked: bool,
}

impl Observer {
    /// Keeps what was presented and what is to be thought of it, and lets the handshake go on.
    fn note(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        verdict: Result<(), rustls::Error>,
    ) {
        let presented = std::iter::once(end_entity).chain(intermediates).take(TlsSession::LONGEST_CHAIN);
        let chain = presented.map(|certificate| certificate.clone().into_owned()).collect();
        let mut seen = self.seen();
        seen.chain = chain;
        seen.verdict = Some(verdict);
    }

    fn take(&self) -> ShownChain {
        std::mem::take(&mut self.seen())
    }

    fn seen(&self) -> MutexGuard<'_, ShownChain> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
/// what goes wrong does not matter: the verdict is known by now.
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
