//! A stream that limits what a peer may cost, and remembers how it ended.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes a peer may send before the allowance is renewed: one reply of Redis, or one TLS handshake.
pub(crate) const ALLOWANCE: usize = 1 << 20;

/// How many of the first bytes are kept to show what spoke.
const KEPT: usize = 64;

/// Wraps a stream. It fails once the peer has sent more than [`ALLOWANCE`], keeps the first bytes, and keeps the true
/// cause of its end, which a parser above it may lose.
///
/// A peer that hangs up may have said why before, so writing to it does not fail: what it said is read first, and then
/// the end.
#[derive(Debug)]
pub(crate) struct LimitedStream<S> {
    inner: S,
    allowance: usize,
    first: Vec<u8>,
    /// How writing failed, where the end of reading is yet to come.
    unsent: Option<io::Error>,
    end: Option<StreamEnd>,
}

/// How a stream ended.
#[derive(Debug)]
pub(crate) enum StreamEnd {
    /// The peer closed it.
    Closed,
    /// The peer sent more than it may.
    LimitExceeded,
    /// It broke.
    Broken(io::Error),
}

/// What a limited stream fails with when its peer sent more than it may. A type of its own, so that a limit around a TLS
/// session knows the verdict of the limit below it.
#[derive(Debug, thiserror::Error)]
#[error("the peer sent more bytes than a probe accepts")]
pub(crate) struct LimitExceeded;

impl<S> LimitedStream<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, allowance: ALLOWANCE, first: Vec::new(), unsent: None, end: None }
    }

    /// Lets the peer send a full allowance again, and forgets its first bytes.
    pub(crate) fn renew(&mut self) {
        self.allowance = ALLOWANCE;
        self.first.clear();
    }

    /// The first bytes since the allowance was renewed.
    pub(crate) fn first(&self) -> &[u8] {
        &self.first
    }

    /// How the stream ended, if it did.
    pub(crate) fn take_end(&mut self) -> Option<StreamEnd> {
        self.end.take()
    }

    /// What a write of `offered` bytes comes to, and keeps the cause where it failed.
    fn written(&mut self, outcome: io::Result<usize>, offered: usize) -> io::Result<usize> {
        match outcome {
            Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                self.unsent = Some(error);
                Ok(offered)
            }
            Err(error) => {
                let copy = io::Error::new(error.kind(), error.to_string());
                self.end = Some(StreamEnd::Broken(error));
                Err(copy)
            }
            Ok(written) => Ok(written),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LimitedStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let outcome = ready!(Pin::new(&mut this.inner).poll_read(cx, buf));
        let received = &buf.filled()[before..];
        let failure = match outcome {
            Err(error) => {
                let copy = io::Error::new(error.kind(), error.to_string());
                let is_exceeded = error.get_ref().and_then(|inner| inner.downcast_ref::<LimitExceeded>()).is_some();
                this.end = Some(if is_exceeded { StreamEnd::LimitExceeded } else { StreamEnd::Broken(error) });
                copy
            }
            Ok(()) if received.is_empty() && buf.remaining() > 0 => {
                this.end = Some(this.unsent.take().map_or(StreamEnd::Closed, StreamEnd::Broken));
                return Poll::Ready(Ok(()));
            }
            Ok(()) if received.len() > this.allowance => {
                this.end = Some(StreamEnd::LimitExceeded);
                io::Error::other(LimitExceeded)
            }
            Ok(()) => {
                this.allowance -= received.len();
                let missing = KEPT.saturating_sub(this.first.len()).min(received.len());
                this.first.extend_from_slice(&received[..missing]);
                return Poll::Ready(Ok(()));
            }
        };
        // A reader that fails has delivered nothing.
        buf.set_filled(before);
        Poll::Ready(Err(failure))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LimitedStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = ready!(Pin::new(&mut this.inner).poll_write(cx, buf));
        Poll::Ready(this.written(outcome, buf.len()))
    }

    // A handshake writes several records at once: one by one, each would be a packet of its own.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = ready!(Pin::new(&mut this.inner).poll_write_vectored(cx, bufs));
        Poll::Ready(this.written(outcome, bufs.iter().map(|buf| buf.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_flood_ends_at_the_allowance() {
        let (mut peer, ours) = tokio::io::duplex(1 << 16);
        let flood = tokio::spawn(async move { while peer.write_all(&[b'x'; 4096]).await.is_ok() {} });
        let mut stream = LimitedStream::new(ours);
        let mut sink = Vec::new();
        assert!(stream.read_to_end(&mut sink).await.is_err());
        assert!(sink.len() <= ALLOWANCE);
        assert!(matches!(stream.take_end(), Some(StreamEnd::LimitExceeded)));
        assert_eq!(stream.first(), [b'x'; KEPT]);
        drop(stream);
        flood.await.unwrap();
    }

    #[tokio::test]
    async fn the_last_words_of_a_peer_that_hung_up_are_read() {
        let (mut peer, ours) = tokio::io::duplex(64);
        peer.write_all(b"goodbye").await.unwrap();
        drop(peer);
        let mut stream = LimitedStream::new(ours);
        stream.write_all(b"PING").await.unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "goodbye");
        assert!(
            matches!(stream.take_end(), Some(StreamEnd::Broken(error)) if error.kind() == io::ErrorKind::BrokenPipe)
        );
    }

    #[tokio::test]
    async fn a_close_is_told_from_a_full_buffer() {
        let (mut peer, ours) = tokio::io::duplex(64);
        peer.write_all(b"+PONG\r\n").await.unwrap();
        let mut stream = LimitedStream::new(ours);
        let mut buffer = [0; 7];
        stream.read_exact(&mut buffer).await.unwrap();
        assert!(stream.take_end().is_none());
        drop(peer);
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 0);
        assert!(matches!(stream.take_end(), Some(StreamEnd::Closed)));
    }
}
