//! TLS to a name server: a session that proves the server's name, or none.
//!
//! Unlike the handshake with a cache, which is completed to be described, this one is broken off where the certificate does
//! not verify. Nothing is resumed: a resumed session shows no certificate, and an expired one would go on to be trusted.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use hickory_resolver::proto::op::{Message, Query as Question};
use hickory_resolver::proto::rr::{Name, RecordType as WireType};
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, OtherError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::Failure;
use super::message::framed;
use crate::model::{Fault, FaultKind, Outcome, Protocol, Stage, Tls, WireText};
use crate::net::certificate;
use crate::net::deadline::{Deadline, DeadlinePassed, span};
use crate::net::limited::LimitedStream;
use crate::net::trust::Trust;
use crate::probe::{classify, plaintext};

/// A stream over which a name server has proved its identity.
pub(super) type VerifiedStream = TlsStream<LimitedStream<TcpStream>>;

/// How one name server proves its identity, ready for use.
#[derive(Debug, Clone)]
pub(super) struct DnsTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    protocol: Protocol,
}

impl DnsTls {
    /// Reads the roots that are trusted. Without a name of its own the server must prove its address.
    ///
    /// # Errors
    /// Where the roots cannot be read, or where no certificate can cover the name.
    pub(super) fn new(settings: &Tls, address: SocketAddr, protocol: Protocol, trust: &Trust) -> Result<Self, Fault> {
        let name = match &settings.server_name {
            Some(name) => ServerName::try_from(name.clone()).map_err(|_| {
                let words = format!("{name} is not a name that a certificate can cover");
                Fault::new(Stage::Resolve, FaultKind::ResolverUntrusted, words)
            })?,
            None => ServerName::IpAddress(address.ip().into()),
        };
        let roots =
            trust.roots(settings.ca_file.as_deref()).map_err(|fault| Fault { stage: Stage::Resolve, ..fault })?;
        let mut config = roots.client_config(|end_entity, _, verdict| {
            verdict.map_err(|error| {
                let leaf = certificate::chain(std::slice::from_ref(end_entity));
                let fault = classify::certificate(&error, leaf.first());
                CertificateError::Other(OtherError(Arc::new(VerifyError(fault.detail)))).into()
            })
        });
        let offered = protocol.row().tls.unwrap_or_default();
        config.alpn_protocols = offered.iter().map(|word| word.as_bytes().to_vec()).collect();
        Ok(Self { config: Arc::new(config), name, protocol })
    }

    /// The name that the server proves, as a URL has it.
    pub(super) fn host(&self) -> String {
        let name = self.name.to_str();
        if name.contains(':') { format!("[{name}]") } else { name.into_owned() }
    }

    /// Speaks TLS over `stream`, a connection to `server`, until the server has proved its name.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        server: SocketAddr,
        deadline: Deadline,
    ) -> Result<VerifiedStream, Failure> {
        let allowed = deadline.remaining();
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let connecting = connector.connect(self.name.clone(), LimitedStream::new(stream)).into_fallible();
        let mut handshake = pin!(deadline.run(connecting));
        // A name server takes a TLS greeting for the length of a question, and waits for the rest of it, for ever. So
        // towards the end it is asked in plain text whether it is one.
        let patience = plaintext::PATIENCE.min(allowed / 2);
        let suspicion = async {
            if self.protocol.row().http {
                return std::future::pending().await;
            }
            tokio::time::sleep(allowed.saturating_sub(patience)).await;
            answers_plainly(server, deadline).await
        };
        let (result, is_plain) = tokio::select! {
            biased;
            result = &mut handshake => (result, false),
            is_plain = suspicion => (handshake.await, is_plain),
        };
        match result {
            Ok(Ok(mut stream)) => {
                stream.get_mut().0.renew();
                Ok(stream)
            }
            Ok(Err((error, mut stream))) => {
                let end = stream.take_end();
                let (outcome, words) = match untrusted(&error) {
                    Some(words) => (Outcome::Untrusted, words.to_string()),
                    None => classify::dns_handshake(&error, end.as_ref(), stream.first()),
                };
                Err(Failure::new(outcome, format!("{server}: {words}")))
            }
            Err(DeadlinePassed) if is_plain => {
                let words = format!("{server}: no answer to TLS; in plain text a name server answers there");
                Err(Failure::new(Outcome::NotTls, words))
            }
            Err(DeadlinePassed) => {
                let words = format!("{server}: the TLS handshake did not end within {}", span(allowed));
                Err(Failure::new(Outcome::Timeout, words))
            }
        }
    }
}

/// Whether a name server answers there without TLS. It is asked for the root, so that nothing is given away.
async fn answers_plainly(server: SocketAddr, deadline: Deadline) -> bool {
    let mut question = Message::query();
    question.add_query(Question::query(Name::root(), WireType::NS));
    let Ok(bytes) = question.to_vec() else { return false };
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(&framed(&bytes)).await?;
        // Two bytes of length, and then the id of the question.
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.map(|_| answer)
    };
    let answer = deadline.or_within(plaintext::PATIENCE).run(exchange).await;
    matches!(answer, Ok(Ok(answer)) if answer[2..] == question.metadata.id.to_be_bytes())
}

/// Why the verifier did not accept the certificate, where that is what broke the handshake off.
fn untrusted(error: &std::io::Error) -> Option<&WireText> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) = error else { return None };
    inner.downcast_ref::<VerifyError>().map(|VerifyError(words)| words)
}

/// Why a certificate was not accepted, in words for a person. It travels inside the library's error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct VerifyError(WireText);
