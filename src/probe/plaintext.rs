//! What a peer that is silent towards TLS says to plain text.
//!
//! Redis takes a TLS greeting on its plain port for the beginning of a command and waits for the rest, for ever. The
//! `ClientHello` makes that connection useless for plain text, so plain text is tried on one of its own.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::net::deadline::Deadline;

/// How long an answer may take; a server that is there says it at once.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// The beginning of what `to` answers to PING, if it answers as Redis does. Nothing secret is said.
pub(super) async fn answer(to: SocketAddr, deadline: Deadline) -> Option<Vec<u8>> {
    let mut answer = vec![0; 64];
    let exchange = async {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(b"PING\r\n").await?;
        stream.read(&mut answer).await
    };
    let length = deadline.or_within(PATIENCE).run(exchange).await.ok()?.ok()?;
    answer.truncate(length);
    matches!(answer.first(), Some(b'+' | b'-')).then_some(answer)
}
