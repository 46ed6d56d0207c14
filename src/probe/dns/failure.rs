//! Why a question got no answer.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;

use crate::model::Outcome;
use crate::net::deadline::DeadlinePassed;
use crate::probe::classify;

/// Why there is no answer.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) outcome: Outcome,
    pub(super) words: Cow<'static, str>,
}

impl Failure {
    pub(super) fn new(outcome: Outcome, words: impl Into<Cow<'static, str>>) -> Self {
        Self { outcome, words: words.into() }
    }

    /// The socket failed.
    pub(super) fn of_socket(server: SocketAddr, error: &io::Error) -> Self {
        Self::new(classify::dns_socket(error), format!("{server}: {error}"))
    }

    /// The connection broke.
    pub(super) fn of_stream(server: SocketAddr, error: &io::Error) -> Self {
        match classify::dns_stream(error) {
            // A library has many words for a peer that hung up.
            Outcome::Closed if error.kind() != io::ErrorKind::ConnectionReset => {
                Self::closed(server, "without an answer")
            }
            Outcome::TooLarge => Self::new(Outcome::TooLarge, format!("{server} sent 1 MiB and no answer")),
            outcome => Self::new(outcome, format!("{server}: {error}")),
        }
    }

    /// The server hung up.
    pub(super) fn closed(server: SocketAddr, when: &str) -> Self {
        Self::new(Outcome::Closed, format!("{server} closed the connection {when}"))
    }

    /// The time was up; nothing more is known.
    pub(super) fn late(_: DeadlinePassed) -> Self {
        Self::new(Outcome::Timeout, "")
    }
}
