//! Tasks with names, whose end is told.

use std::collections::HashMap;
use std::future::pending;

use tokio::task::{Id, JoinError, JoinSet};

/// Tasks that run until the daemon stops, each with its name.
#[derive(Default)]
pub(super) struct Tasks {
    running: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    pub(super) fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.running.spawn(task).id();
        self.names.insert(id, name);
    }

    /// Waits for the first one that ends, and says which and why. Safe to drop and to call again.
    pub(super) async fn ended(&mut self) -> String {
        let (id, reason) = match self.running.join_next_with_id().await {
            None => return pending().await,
            Some(Ok((id, ()))) => (id, "has ended".to_owned()),
            Some(Err(error)) => (error.id(), format!("broke: {}", words_of(error))),
        };
        format!("the {} loop {reason}", self.names.get(&id).unwrap_or(&"unnamed"))
    }

    /// Waits until all have ended, and says so where one breaks.
    pub(super) async fn drained(&mut self) {
        while let Some(ended) = self.running.join_next_with_id().await {
            if let Err(error) = ended {
                let name = self.names.get(&error.id()).copied().unwrap_or("unnamed");
                tracing::error!(target: "cachewatch::daemon", "the {name} loop broke: {}", words_of(error));
            }
        }
    }

    /// Cuts all of them off, and waits until they are gone.
    pub(super) async fn abort(&mut self) {
        self.running.shutdown().await;
    }
}

/// What a task said that broke.
fn words_of(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => {
            let text =
                panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            text.unwrap_or("it panicked without a message").to_owned()
        }
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_loop_that_ends_is_told_with_its_reason() {
        let mut tasks = Tasks::default();
        let asked = tokio::time::timeout(Duration::from_millis(1), tasks.ended());
        assert!(asked.await.is_err(), "nothing runs, so nothing ends");
        tasks.spawn("endless", pending());
        tasks.spawn("quiet", async {});
        assert_eq!(tasks.ended().await, "the quiet loop has ended");
        let count = 7;
        tasks.spawn("loud", async move { panic!("no room for {count}") });
        assert_eq!(tasks.ended().await, "the loud loop broke: no room for 7");
        tasks.spawn("brief", async { panic!("no words") });
        assert_eq!(tasks.ended().await, "the brief loop broke: no words");
        tasks.abort().await;
        assert!(tasks.running.is_empty());
    }
}
