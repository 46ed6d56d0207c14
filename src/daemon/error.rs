//! Why the daemon ends.

use std::net::SocketAddr;

use thiserror::Error;

use crate::http::GuardError;

/// Why the daemon could not start, or could not go on.
#[derive(Debug, Error)]
pub enum RunError {
    /// The address to listen on cannot be had.
    #[error(
        "cannot listen on {address}: {source}; another process may hold the port: `ss -ltnp`, or set server.listen"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A file that guards the HTTP server cannot be used.
    #[error("{0}")]
    Guard(#[from] GuardError),
    /// The operating system refused something a daemon needs.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
    /// A loop has ended that runs until the daemon stops. Without it the rest would show what was seen last, as if it were
    /// so now.
    #[error(
        "{reason}; this is a defect of cachewatch, please report it; the daemon stops, so that it can be restarted"
    )]
    Ended {
        /// Which loop, and why.
        reason: String,
    },
}
