//! How many bytes of answers may wait for their readers, over all connections.
//!
//! An answer is made in a moment and may be read for a minute: without a bound, clients that ask and do not read fill the
//! memory of the daemon.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// With so many bytes waiting, no further answer is given. One answer may be larger than that.
const MOST: usize = 32 << 20;

/// The bytes that wait, over all connections.
#[derive(Debug, Default)]
pub(super) struct Undelivered(AtomicUsize);

/// Those of one connection; they wait no longer once it has ended.
#[derive(Debug, Default)]
pub(super) struct Held {
    all: Arc<Undelivered>,
    own: AtomicUsize,
}

impl Held {
    /// Nothing yet.
    pub(super) fn of(all: &Arc<Undelivered>) -> Self {
        Self { all: Arc::clone(all), own: AtomicUsize::new(0) }
    }

    /// Takes so many bytes more; false where too many wait already.
    pub(super) fn take(&self, bytes: usize) -> bool {
        if self.all.0.load(Ordering::Relaxed) >= MOST {
            return false;
        }
        self.all.0.fetch_add(bytes, Ordering::Relaxed);
        self.own.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    /// All of them are handed over.
    pub(super) fn handed_over(&self) {
        self.all.0.fetch_sub(self.own.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.handed_over();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_over_all_and_is_given_back() {
        let all = Arc::default();
        let (one, other) = (Held::of(&all), Held::of(&all));
        assert!(one.take(MOST - 1) && other.take(7), "there was room for a byte");
        assert!(!one.take(0) && !other.take(0));
        other.handed_over();
        assert!(other.take(1));
        assert!(!other.take(1));
        drop(one);
        assert!(other.take(2 * MOST), "one answer may be larger");
        assert_eq!(all.0.load(Ordering::Relaxed), 2 * MOST + 1);
        drop(other);
        assert_eq!(all.0.load(Ordering::Relaxed), 0);
    }
}
