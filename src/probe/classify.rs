//! The one place where foreign errors become faults.
//!
//! Every error that a library or the kernel can give is either named here or becomes
//! [`FaultKind::Unrecognised`] with its raw words, which a metric counts: never a wrong name.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use redis::{ServerError, Value};
use rustix::io::Errno;
use rustls::{AlertDescription, CertificateError, Error as TlsError, PeerIncompatible};

use crate::model::{Certificate, Fault, FaultKind, Outcome, Stage, WireText};
use crate::net::deadline::span;
use crate::net::limited::{LimitExceeded, StreamEnd};

/// Why a TCP connection did not come about.
pub(super) fn connect(to: SocketAddr, error: &io::Error) -> Fault {
    let kind = match Errno::from_io_error(error) {
        _ if error.kind() == io::ErrorKind::ConnectionRefused => FaultKind::Refused,
        _ if error.kind() == io::ErrorKind::TimedOut => FaultKind::Filtered,
        Some(Errno::NETUNREACH | Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT) if to.is_ipv6() => {
            FaultKind::FamilyUnavailable
        }
        Some(Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::NETDOWN | Errno::HOSTDOWN) => FaultKind::Unreachable,
        Some(errno) if is_local_exhaustion(errno) => FaultKind::LocalExhaustion,
        _ if error.kind() == io::ErrorKind::ConnectionReset => FaultKind::Closed,
        _ => FaultKind::Unrecognised,
    };
    Fault::new(Stage::Connect, kind, format!("{to}: {error}"))
}

/// Whether this machine ran out of descriptors, ports or memory.
fn is_local_exhaustion(errno: Errno) -> bool {
    matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS | Errno::ADDRNOTAVAIL)
}

/// What came of a question where the socket itself failed.
pub(super) fn dns_socket(error: &io::Error) -> Outcome {
    match Errno::from_io_error(error) {
        Some(errno) if is_local_exhaustion(errno) => Outcome::LocalExhaustion,
        _ if error.kind() == io::ErrorKind::TimedOut => Outcome::Timeout,
        // Refused by ICMP or RST, no route, reset: nothing answers there.
        _ => Outcome::Unreachable,
    }
}

/// What came of a question where the connection it was asked over broke.
pub(super) fn dns_stream(error: &io::Error) -> Outcome {
    if tls_error(error).is_some() {
        // Under TLS 1.3 a server that wants a client certificate says so only now.
        return Outcome::HandshakeFailed;
    }
    match error.kind() {
        kind if is_hang_up(kind) => Outcome::Closed,
        // HTTP/2 keeps of an error its words alone.
        _ if error.to_string() == LimitExceeded.to_string() => Outcome::TooLarge,
        _ => dns_socket(error),
    }
}

/// How a TLS handshake broke off, whether with a cache or with a name server.
enum BrokenHandshake<'a> {
    LimitExceeded,
    /// The peer began with these bytes.
    NotTls(&'a [u8]),
    Tls(&'a TlsError),
    Closed,
    Io(&'a io::Error),
}

impl<'a> BrokenHandshake<'a> {
    /// `first` is what the peer sent before it broke off.
    fn of(error: &'a io::Error, end: Option<&'a StreamEnd>, first: &'a [u8]) -> Self {
        match (end, tls_error(error)) {
            (Some(StreamEnd::LimitExceeded), _) => Self::LimitExceeded,
            _ if !first.is_empty() && !looks_like_tls(first) => Self::NotTls(first),
            (_, Some(tls)) => Self::Tls(tls),
            (Some(StreamEnd::Closed), None) => Self::Closed,
            (Some(StreamEnd::Broken(error)), None) => Self::Io(error),
            (None, None) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Closed,
            (None, None) => Self::Io(error),
        }
    }
}

impl fmt::Display for BrokenHandshake<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LimitExceeded => f.write_str("more than 1 MiB inside the handshake"),
            Self::NotTls(first) => write!(f, "the peer answered {}", quoted(first)),
            Self::Tls(error) => error.fmt(f),
            Self::Closed => f.write_str("closed by the peer inside the handshake"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

/// Why a TLS handshake with a cache did not come about. `first` is what the peer sent before it broke off, and `asked`
/// whether it had asked for a client certificate.
pub(super) fn handshake(error: &io::Error, end: Option<&StreamEnd>, first: &[u8], asked: bool) -> Fault {
    let broken = BrokenHandshake::of(error, end, first);
    let kind = match &broken {
        BrokenHandshake::LimitExceeded => FaultKind::ReplyTooLarge,
        BrokenHandshake::NotTls(_) => FaultKind::NotTls,
        // Before TLS 1.3 there is no alert of its own for it; a peer that asks has agreed on a cipher already.
        BrokenHandshake::Tls(TlsError::AlertReceived(AlertDescription::HandshakeFailure)) if asked => {
            FaultKind::ClientCertificateRequired
        }
        BrokenHandshake::Tls(error) => tls_kind(error),
        BrokenHandshake::Closed => FaultKind::Closed,
        BrokenHandshake::Io(error) => stream_kind(error),
    };
    Fault::new(Stage::Tls, kind, broken.to_string())
}

/// What came of a question where TLS with the name server did not come about, and why. `first` is what the server sent
/// before it broke off.
pub(super) fn dns_handshake(error: &io::Error, end: Option<&StreamEnd>, first: &[u8]) -> (Outcome, String) {
    let broken = BrokenHandshake::of(error, end, first);
    let outcome = match &broken {
        BrokenHandshake::LimitExceeded => Outcome::TooLarge,
        BrokenHandshake::NotTls(_) => Outcome::NotTls,
        BrokenHandshake::Tls(TlsError::InvalidCertificate(_) | TlsError::NoCertificatesPresented) => Outcome::Untrusted,
        BrokenHandshake::Tls(TlsError::AlertReceived(
            AlertDescription::CloseNotify | AlertDescription::UserCanceled,
        ))
        | BrokenHandshake::Closed => Outcome::Closed,
        BrokenHandshake::Io(error) if is_hang_up(error.kind()) => Outcome::Closed,
        BrokenHandshake::Io(error) if error.kind() == io::ErrorKind::TimedOut => Outcome::Timeout,
        BrokenHandshake::Tls(_) | BrokenHandshake::Io(_) => Outcome::HandshakeFailed,
    };
    (outcome, broken.to_string())
}

/// What a peer is that is silent towards TLS and speaks Redis in plain text.
pub(super) fn plaintext(allowed: Duration, answer: &[u8]) -> Fault {
    let words = format!(
        "no answer to TLS within {}; to PING in plain text the peer answered {}",
        span(allowed),
        quoted(answer)
    );
    Fault::new(Stage::Tls, FaultKind::NotTls, words)
}

/// Whether bytes begin like a TLS record: one of the four content types, and a version of the 3.x family (RFC 8446, 5.1).
fn looks_like_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [20..=23] | [20..=23, 3, ..])
}

/// The TLS error inside an IO error.
fn tls_error(error: &io::Error) -> Option<&TlsError> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>())
}

/// What a TLS error means.
fn tls_kind(error: &TlsError) -> FaultKind {
    match error {
        TlsError::InvalidCertificate(error) => certificate_kind(error),
        TlsError::AlertReceived(alert) => alert_kind(*alert),
        TlsError::PeerIncompatible(reason) => match reason {
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled => FaultKind::TlsVersion,
            PeerIncompatible::NoCipherSuitesInCommon
            | PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NoSignatureSchemesInCommon
            | PeerIncompatible::NoEcPointFormatsInCommon
            | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => FaultKind::NoCommonCipher,
            _ => FaultKind::Unrecognised,
        },
        TlsError::NoCertificatesPresented => FaultKind::CertificateInvalid,
        _ => FaultKind::Unrecognised,
    }
}

fn alert_kind(alert: AlertDescription) -> FaultKind {
    match alert {
        AlertDescription::ProtocolVersion => FaultKind::TlsVersion,
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => FaultKind::NoCommonCipher,
        AlertDescription::CertificateRequired
        | AlertDescription::BadCertificate
        | AlertDescription::NoCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => FaultKind::ClientCertificateRequired,
        AlertDescription::CloseNotify | AlertDescription::UserCanceled => FaultKind::Closed,
        _ => FaultKind::Unrecognised,
    }
}

/// Why a certificate does not verify. `leaf` is the server's own.
pub(super) fn certificate(error: &TlsError, leaf: Option<&Certificate>) -> Fault {
    let kind = match error {
        // The issuer bears a trusted name and has another key, as after an authority was made anew.
        TlsError::InvalidCertificate(CertificateError::BadSignature) => FaultKind::UntrustedIssuer,
        TlsError::InvalidCertificate(error) => certificate_kind(error),
        TlsError::NoCertificatesPresented => FaultKind::CertificateInvalid,
        _ => FaultKind::Unrecognised,
    };
    // The library writes for programmers; what is known here is said for people.
    let covered = leaf.map(|leaf| leaf.names.iter().take(4).map(WireText::as_str).collect::<Vec<_>>().join(", "));
    let covered = covered.filter(|names| !names.is_empty()).unwrap_or_else(|| "no name at all".to_owned());
    let words = match (kind, error) {
        (
            FaultKind::NameMismatch,
            TlsError::InvalidCertificate(CertificateError::NotValidForNameContext { expected, .. }),
        ) => {
            format!("the certificate covers {covered}, and not {}", expected.to_str())
        }
        (FaultKind::NameMismatch, _) => format!("the certificate covers {covered}, and not the name"),
        (FaultKind::CertificateExpired, _) => "the certificate has expired".to_owned(),
        (FaultKind::CertificateNotYetValid, _) => "the certificate is not valid yet".to_owned(),
        (FaultKind::UntrustedIssuer, _) => "no root trusted on this machine issued the certificate".to_owned(),
        _ => error.to_string(),
    };
    Fault::new(Stage::Tls, kind, words)
}

fn certificate_kind(error: &CertificateError) -> FaultKind {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => FaultKind::CertificateExpired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            FaultKind::CertificateNotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => FaultKind::NameMismatch,
        CertificateError::UnknownIssuer => FaultKind::UntrustedIssuer,
        // The verifier wraps what it cannot name; every such error is about the certificate all the same.
        _ => FaultKind::CertificateInvalid,
    }
}

/// Why a command got no reply. `command` is its name, never its arguments.
pub(super) fn command(stage: Stage, command: &str, end: StreamEnd) -> Fault {
    let (stage, kind, words) = match end {
        StreamEnd::LimitExceeded => return too_large(stage, command),
        // A broken stream is known by its cause; half a reply before it is not what is wrong.
        StreamEnd::Closed => (stage, FaultKind::Closed, format!("closed by the peer before the reply to {command}")),
        StreamEnd::Broken(error) => {
            // Under TLS 1.3 a server that wants a client certificate says so only now.
            if let Some(tls) = tls_error(&error) {
                (Stage::Tls, tls_kind(tls), tls.to_string())
            } else {
                (stage, stream_kind(&error), format!("{error} (waiting for the reply to {command})"))
            }
        }
    };
    Fault::new(stage, kind, words)
}

/// A reply that is longer than this command's may be.
pub(super) fn too_large(stage: Stage, command: &str) -> Fault {
    Fault::new(
        stage,
        FaultKind::ReplyTooLarge,
        format!("the reply to {command} is larger than any that a Redis server sends"),
    )
}

/// Bytes that are no reply to this command.
pub(super) fn foreign(stage: Stage, command: &str, first: &[u8]) -> Fault {
    let words = format!("the answer to {command} is not a reply of Redis to it: it begins with {}", quoted(first));
    Fault::new(stage, FaultKind::NotRedis, words)
}

/// A peer whose answers do not belong to the questions before them.
pub(super) fn out_of_step(stage: Stage, words: String) -> Fault {
    Fault::new(stage, FaultKind::OutOfStep, words)
}

/// Whether an error says that a command is unknown which was not the one that was sent.
pub(super) fn speaks_of_another(command: &str, error: &ServerError) -> bool {
    let details = error.details().unwrap_or_default();
    let named = details.strip_prefix("unknown command").and_then(|rest| {
        let rest = rest.trim_start_matches([' ', '\'', '`', '"']);
        rest.split(['\'', '`', '"', ',', ' ']).next()
    });
    named.is_some_and(|named| !named.is_empty() && !named.eq_ignore_ascii_case(command))
}

/// Why an established connection broke.
fn stream_kind(error: &io::Error) -> FaultKind {
    match error.kind() {
        kind if is_hang_up(kind) => FaultKind::Closed,
        io::ErrorKind::TimedOut => FaultKind::Timeout,
        _ => FaultKind::Unrecognised,
    }
}

/// Whether an error says that the peer is gone.
fn is_hang_up(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::NotConnected
    )
}

/// What the server's own error means. The words are the server's, made safe to show.
pub(super) fn server_error(stage: Stage, command: &str, error: &ServerError) -> Fault {
    let (code, details) = (error.code(), error.details().unwrap_or_default());
    let (stage, kind) = match code {
        "NOAUTH" => (Stage::Auth, FaultKind::AuthRequired),
        "WRONGPASS" => (Stage::Auth, FaultKind::AuthRejected),
        "NOPERM" => (stage, FaultKind::NotPermitted),
        "LOADING" => (stage, FaultKind::Loading),
        "BUSY" => (stage, FaultKind::Busy),
        "MASTERDOWN" => (stage, FaultKind::MasterDown),
        "CLUSTERDOWN" => (stage, FaultKind::ClusterDown),
        "READONLY" => (stage, FaultKind::ReadOnly),
        // Redis 4 and 5 have no codes of their own for these.
        "ERR" if details.starts_with("invalid password") => (Stage::Auth, FaultKind::AuthRejected),
        "ERR" if details.contains("without any password configured") || details.contains("no password is set") => {
            (Stage::Auth, FaultKind::AuthNotConfigured)
        }
        "ERR" if details.starts_with("max number of clients") => (stage, FaultKind::ClientLimit),
        "ERR" if details.starts_with("unknown command") => (stage, FaultKind::NotPermitted),
        _ => (stage, FaultKind::ServerError),
    };
    Fault::new(stage, kind, format!("{command} was answered: {code} {details}"))
}

/// What a reply of the wrong shape means.
pub(super) fn unexpected(stage: Stage, command: &str, value: &Value) -> Fault {
    let shape = match value {
        Value::Nil => "nil".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::BulkString(bytes) => quoted(bytes),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => quoted(text.as_bytes()),
        Value::Okay => "OK".to_owned(),
        Value::Array(items) => format!("an array of {}", items.len()),
        _ => "a reply of another kind".to_owned(),
    };
    Fault::new(stage, FaultKind::NotRedis, format!("{command} was answered with {shape}"))
}

/// The first bytes of a peer, safe to show.
pub(super) fn quoted(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing".to_owned();
    }
    format!("\"{}\"", WireText::from_bytes(&bytes[..bytes.len().min(64)]))
}
