//! How the daemon is told to stop, and tells its loops.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// What says that the daemon should stop; every loop looks at a copy.
pub(super) type Stop = watch::Receiver<bool>;

/// Completes when the daemon should stop.
pub(super) async fn until(mut stop: Stop) {
    // An error means that the sender is gone, which is a stop as well.
    let _ = stop.wait_for(|stopped| *stopped).await;
}

/// Completes at SIGTERM or SIGINT.
pub(super) struct Terminate {
    terminate: Signal,
    interrupt: Signal,
}

impl Terminate {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(super) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
