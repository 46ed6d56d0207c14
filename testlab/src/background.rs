//! A service of the test's own, on a thread of its own, that ends with its value.

use std::{future::Future, thread};

use tokio::{runtime, sync::oneshot};

/// A future that runs until this is dropped. Dropping cancels it and everything it spawned, and waits for that.
#[derive(Debug)]
pub struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Background {
    /// Runs `service` on a thread of this name.
    pub fn run(name: &str, service: impl Future<Output = ()> + Send + 'static) -> Self {
        let (stop, stopped) = oneshot::channel();
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a current-thread runtime needs only a few descriptors");
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = service => {}
                        _ = stopped => {}
                    }
                });
            })
            .expect("a thread for a fixture");
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed; panicking again while unwinding would only hide it.
            let _ = thread.join();
        }
    }
}
