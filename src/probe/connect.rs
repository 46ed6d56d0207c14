//! Stage two: an address accepts a TCP connection.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use super::classify;
use crate::model::{Fault, FaultKind, Stage};
use crate::net::deadline::{Deadline, DeadlinePassed, span};

/// Dials one address. The name plays no part any more.
pub(super) async fn connect(to: SocketAddr, limit: Duration, deadline: Deadline) -> Result<TcpStream, Fault> {
    let (deadline, allowed) = deadline.stage(limit);
    if allowed.is_zero() {
        // Only so many addresses are dialled at once; of one whose turn never came, nothing was learned.
        let words = format!("{to} was not dialled: the time for the whole probe was up");
        return Err(Fault::new(Stage::Connect, FaultKind::Timeout, words));
    }
    match deadline.run(TcpStream::connect(to)).await {
        Ok(Ok(stream)) => {
            // A probe writes one small request at a time: delaying them would be measured as the server's slowness.
            // Failing to set it makes a measurement worse, and nothing wrong.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => Err(classify::connect(to, &error)),
        Err(DeadlinePassed) => {
            let words = format!("no answer to SYN from {to} within {}", span(allowed));
            Err(Fault::new(Stage::Connect, FaultKind::Filtered, words))
        }
    }
}
