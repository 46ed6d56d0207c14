//! The stages of the path, and how each can fail.

use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{WireText, vocabulary};

vocabulary! {
    /// One stage of the path, in the order they are walked.
    pub enum Stage {
        /// The name becomes addresses.
        Resolve = "resolve",
        /// An address accepts a TCP connection.
        Connect = "connect",
        /// The TLS handshake, and the proof of the name.
        Tls = "tls",
        /// AUTH.
        Auth = "auth",
        /// PING.
        Ping = "ping",
        /// INFO: what the server says of itself. Its failure does not make a cache unreachable.
        Inspect = "inspect",
    }
}

vocabulary! {
    /// Why a stage failed. A closed set, so that it may be a metric's label; the words behind it are in
    /// [`Fault::detail`].
    pub enum FaultKind {
        /// NXDOMAIN.
        NameNotFound = "name_not_found",
        /// The name exists and has no address.
        NoAddress = "no_address",
        /// SERVFAIL.
        ServerFailure = "server_failure",
        /// The name server answered REFUSED.
        QueryRefused = "query_refused",
        /// The name server cannot be reached: port closed, no route.
        ResolverUnreachable = "resolver_unreachable",
        /// resolv.conf cannot be read.
        NoResolver = "no_resolver",
        /// The name server did not prove its identity: another name, expired, no trusted issuer.
        ResolverUntrusted = "resolver_untrusted",
        /// TLS could not be agreed on with the name server.
        HandshakeFailed = "handshake_failed",
        /// The name server answered in HTTP, and not with an answer of DNS.
        HttpError = "http_error",
        /// The answer cannot be understood.
        MalformedAnswer = "malformed_answer",
        /// The aliases lead in a circle, or through more than sixteen names.
        AliasLoop = "alias_loop",

        /// The connection was refused (RST).
        Refused = "refused",
        /// No answer to SYN.
        Filtered = "filtered",
        /// No route, or a router said that the host cannot be reached.
        Unreachable = "unreachable",
        /// This machine has no address of that family, so an application would not dial it either.
        FamilyUnavailable = "family_unavailable",
        /// This machine ran out of descriptors, ports or memory.
        LocalExhaustion = "local_exhaustion",

        /// What came back is not TLS.
        NotTls = "not_tls",
        /// No TLS version in common.
        TlsVersion = "tls_version",
        /// No cipher suite in common.
        NoCommonCipher = "no_common_cipher",
        /// The certificate covers other names.
        NameMismatch = "name_mismatch",
        /// The certificate has expired.
        CertificateExpired = "certificate_expired",
        /// The certificate is not valid yet.
        CertificateNotYetValid = "certificate_not_yet_valid",
        /// No trusted root issued the certificate.
        UntrustedIssuer = "untrusted_issuer",
        /// The certificate is unusable for another reason: encoding, signature, purpose, revocation.
        CertificateInvalid = "certificate_invalid",
        /// The server wants a client certificate.
        ClientCertificateRequired = "client_certificate_required",
        /// The roots to trust cannot be read.
        TrustUnreadable = "trust_unreadable",

        /// The password's file or variable cannot be read.
        CredentialUnreadable = "credential_unreadable",
        /// NOAUTH.
        AuthRequired = "auth_required",
        /// WRONGPASS.
        AuthRejected = "auth_rejected",
        /// A password was sent where none is set.
        AuthNotConfigured = "auth_not_configured",
        /// NOPERM, or a command that this service does not offer.
        NotPermitted = "not_permitted",

        /// `max number of clients reached`.
        ClientLimit = "client_limit",
        /// LOADING.
        Loading = "loading",
        /// BUSY.
        Busy = "busy",
        /// MASTERDOWN.
        MasterDown = "master_down",
        /// CLUSTERDOWN.
        ClusterDown = "cluster_down",
        /// READONLY.
        ReadOnly = "read_only",
        /// Another error of the server.
        ServerError = "server_error",
        /// What came back is not a Redis reply.
        NotRedis = "not_redis",
        /// The peer spoke when it was not asked, or answered something else than it was asked.
        OutOfStep = "out_of_step",
        /// The reply is larger than a probe accepts.
        ReplyTooLarge = "reply_too_large",

        /// No answer in time.
        Timeout = "timeout",
        /// The peer closed or reset the connection.
        Closed = "closed",
        /// The probe itself failed; a defect of this program.
        Internal = "internal",
        /// An error that is not known here; its words are in the detail.
        Unrecognised = "unrecognised",
    }
}

/// What went wrong, at which stage, in a closed word and in the peer's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where on the path.
    pub stage: Stage,
    /// Why, as a closed word.
    pub kind: FaultKind,
    /// Why, in words for a person: never a secret, never a label.
    pub detail: WireText,
}

impl Fault {
    /// A fault with its words, made safe to show.
    #[must_use]
    pub fn new(stage: Stage, kind: FaultKind, detail: impl AsRef<str>) -> Self {
        Self { stage, kind, detail: WireText::new(detail.as_ref()) }
    }
}

/// How long each stage took; absent where a stage was not reached. A failed stage has its time too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings([Option<Duration>; Stage::ALL.len()]);

impl Timings {
    /// Notes how long a stage took.
    pub fn set(&mut self, stage: Stage, took: Duration) {
        self.0[stage as usize] = Some(took);
    }

    /// How long a stage took, if it was reached.
    #[must_use]
    pub fn of(&self, stage: Stage) -> Option<Duration> {
        self.0[stage as usize]
    }

    /// The stages that were reached, in order, with their times.
    pub fn iter(&self) -> impl Iterator<Item = (Stage, Duration)> + '_ {
        Stage::ALL.iter().filter_map(|stage| self.of(*stage).map(|took| (*stage, took)))
    }
}

impl Serialize for Timings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (stage, took) in self.iter() {
            map.serialize_entry(stage.as_str(), &took.as_secs_f64())?;
        }
        map.end()
    }
}
