//! The tasks of one lookup, none of which outlives it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::task::JoinSet;

/// Tasks that end with their owner.
#[derive(Default)]
pub(super) struct OwnedTasks(Arc<Mutex<JoinSet<()>>>);

impl OwnedTasks {
    /// Spawns without being one of those that the tasks end with: a task may hold it.
    pub(super) fn spawner(&self) -> Spawner {
        Spawner(Arc::downgrade(&self.0))
    }

    /// Waits until every task has ended by itself.
    pub(super) async fn ended(self) {
        let mut tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }
}

/// Starts tasks for as long as their owner is there.
#[derive(Clone)]
pub(super) struct Spawner(Weak<Mutex<JoinSet<()>>>);

impl Spawner {
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(tasks) = self.0.upgrade() {
            tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
        }
    }
}
