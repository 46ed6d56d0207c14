//! A connection that waits for its client only so long.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::undelivered::Held;
use crate::clock;

/// From its first byte, or from the start of the connection, until a request line with its headers must be there.
pub(super) const HEAD: Duration = Duration::from_secs(10);

/// How long a client may take to read what it was sent.
pub(super) const DELIVERY: Duration = Duration::from_mins(1);

/// What a connection does now: whether it waits for its client.
#[derive(Debug)]
pub(super) struct Pace(Mutex<Doing>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// It waits for a request's head, or for a TLS handshake, since then.
    Waiting(Instant),
    /// It waits for a request's body, since then. Its handler has its own limits, and reading has none.
    Receiving(Instant),
    /// A request is being answered: the same holds of reading.
    Answering,
    /// The answer is found, and not all of it is handed over.
    Delivering,
}

/// Nothing has come yet.
impl Default for Pace {
    fn default() -> Self {
        Self(Mutex::new(Doing::Waiting(clock::instant())))
    }
}

impl Pace {
    /// A request is being answered as long as the value lives; the answer is handed over once all of it is flushed after
    /// that.
    pub(super) fn answer(self: &Arc<Self>) -> Answering {
        self.set(Doing::Answering);
        Answering(Arc::clone(self))
    }

    /// A body of a request is awaited as long as the value lives.
    pub(super) fn receive(self: &Arc<Self>) -> Receiving {
        self.set(Doing::Receiving(clock::instant()));
        Receiving(Arc::clone(self))
    }

    /// All that was written is handed over.
    pub(super) fn handed_over(&self) {
        let mut doing = self.doing();
        if *doing == Doing::Delivering {
            *doing = Doing::Waiting(clock::instant());
        }
    }

    /// Since when it waits for its client to send something; `None` where the client waits for it, or takes what it is
    /// given.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        match *self.doing() {
            Doing::Waiting(since) | Doing::Receiving(since) => Some(since),
            Doing::Answering | Doing::Delivering => None,
        }
    }

    fn awaits_a_head(&self) -> bool {
        matches!(*self.doing(), Doing::Waiting(_))
    }

    fn set(&self, doing: Doing) {
        *self.doing() = doing;
    }

    fn doing(&self) -> MutexGuard<'_, Doing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Pace::answer`].
#[derive(Debug)]
pub(super) struct Answering(Arc<Pace>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.set(Doing::Delivering);
    }
}

/// See [`Pace::receive`].
#[derive(Debug)]
pub(super) struct Receiving(Arc<Pace>);

impl Drop for Receiving {
    fn drop(&mut self) {
        self.0.set(Doing::Answering);
    }
}

/// The body of an answer, which is being answered until all of it is taken.
#[derive(Debug)]
pub(super) struct Answered {
    body: axum::body::Body,
    _answering: Answering,
}

impl Answered {
    pub(super) fn new(body: axum::body::Body, answering: Answering) -> Self {
        Self { body, _answering: answering }
    }
}

impl Body for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that fails where its client sends a head, or takes an answer, too slowly. Between requests it waits for
/// ever: that is its user's to limit.
#[derive(Debug)]
pub(super) struct Paced<S> {
    stream: S,
    pace: Arc<Pace>,
    held: Arc<Held>,
    head: Option<Pin<Box<Sleep>>>,
    delivery: Option<Pin<Box<Sleep>>>,
}

impl<S> Paced<S> {
    /// The first head is awaited from now on.
    pub(super) fn new(stream: S, pace: Arc<Pace>, held: Arc<Held>) -> Self {
        Self { stream, pace, held, head: Some(Box::pin(sleep(HEAD))), delivery: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let awaits_a_head = this.pace.awaits_a_head();
        if !awaits_a_head {
            this.head = None;
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Ready(outcome) => {
                if awaits_a_head && this.head.is_none() && buffer.filled().len() > before {
                    this.head = Some(Box::pin(sleep(HEAD)));
                }
                Poll::Ready(outcome)
            }
            Poll::Pending => match &mut this.head {
                Some(head) => {
                    ready!(head.as_mut().poll(cx));
                    Poll::Ready(Err(late("the request did not arrive in time")))
                }
                None => Poll::Pending,
            },
        }
    }
}

impl<S: Unpin> Paced<S> {
    /// Starts the time of a delivery with the first thing that has to wait.
    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let delivery = self.delivery.get_or_insert_with(|| Box::pin(sleep(DELIVERY)));
        ready!(delivery.as_mut().poll(cx));
        Poll::Ready(Err(late("the client did not read the answer in time")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_write(cx, bytes) {
            Poll::Pending => this.wait(cx),
            ready @ Poll::Ready(_) => ready,
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_write_vectored(cx, parts) {
            Poll::Pending => this.wait(cx),
            ready @ Poll::Ready(_) => ready,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_flush(cx) {
            Poll::Pending => this.wait(cx),
            ready @ Poll::Ready(_) => {
                // All that was to be said is said; the next answer has its own time.
                this.delivery = None;
                this.pace.handed_over();
                this.held.handed_over();
                ready
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_shutdown(cx) {
            Poll::Pending => this.wait(cx),
            ready @ Poll::Ready(_) => ready,
        }
    }
}

fn late(words: &'static str) -> io::Error {
    io::Error::new(ErrorKind::TimedOut, words)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::clock::Stopwatch;

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_and_silence_between_requests_has_not() {
        let (mut client, server) = duplex(64);
        let pace = Arc::new(Pace::default());
        let mut server = Paced::new(server, Arc::clone(&pace), Arc::default());
        let mut byte = [0];

        let watch = Stopwatch::start();
        assert_eq!(server.read(&mut byte).await.unwrap_err().kind(), ErrorKind::TimedOut, "nothing ever came");
        assert_eq!(watch.elapsed().as_secs(), HEAD.as_secs());

        let answering = pace.answer();
        let long = HEAD * 3;
        assert!(tokio::time::timeout(long, server.read(&mut byte)).await.is_err(), "a body has its own limit");
        drop(answering);
        assert_eq!(pace.waits_since(), None, "not all is handed over");
        server.flush().await.unwrap();
        assert_eq!(pace.waits_since(), Some(clock::instant()));
        assert!(tokio::time::timeout(long, server.read(&mut byte)).await.is_err(), "between requests nothing is late");

        let watch = Stopwatch::start();
        let dripping = tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let end = loop {
            match server.read(&mut byte).await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!((end.kind(), watch.elapsed().as_secs()), (ErrorKind::TimedOut, HEAD.as_secs()));
        drop(server);
        dripping.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_must_be_taken_in_time() {
        let (mut client, server) = duplex(64);
        let mut server = Paced::new(server, Arc::default(), Arc::default());
        let watch = Stopwatch::start();
        let sipping = tokio::spawn(async move {
            let mut byte = [0];
            while client.read_exact(&mut byte).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        });
        let error = server.write_all(&[0; 4096]).await.unwrap_err();
        assert_eq!((error.kind(), watch.elapsed().as_secs()), (ErrorKind::TimedOut, DELIVERY.as_secs()));
        drop(server);
        sipping.await.unwrap();
    }
}
