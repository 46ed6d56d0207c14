//! The sockets of one lookup, and what arrives at each. A socket stays open while the next server is asked: what comes late
//! is read when its server's turn comes again.

use std::time::Duration;

use crate::model::RecordType;

/// What arrives at a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Arrived {
    /// A datagram, and whose question's ID it has.
    Reply(RecordType, Vec<u8>),
    /// The word of the system that no server is there.
    Error,
}

/// A socket for each server, or none.
#[derive(Debug)]
pub(super) struct Sockets(Vec<Option<Vec<(Duration, Arrived)>>>);

impl Sockets {
    pub(super) fn new(servers: usize) -> Self {
        Self(vec![None; servers])
    }

    /// Opens that socket, where it is not open.
    pub(super) fn open(&mut self, place: usize) {
        self.0[place].get_or_insert_default();
    }

    /// Closes all of them: what is on its way is lost.
    pub(super) fn close_all(&mut self) {
        self.0.fill(None);
    }

    /// Something will arrive at that time.
    pub(super) fn arrive(&mut self, place: usize, at: Duration, arrived: Arrived) {
        if let Some(queue) = &mut self.0[place] {
            queue.push((at, arrived));
            // An error is told before what arrived at the same time; of replies the first sent is the first here.
            queue.sort_by_key(|(at, arrived)| (*at, *arrived != Arrived::Error));
        }
    }

    /// Whether an error has arrived by now.
    pub(super) fn has_error(&self, place: usize, now: Duration) -> bool {
        let queue = self.0[place].iter().flatten();
        queue.take_while(|(at, _)| *at <= now).any(|(_, arrived)| *arrived == Arrived::Error)
    }

    /// The next arrival up to that time.
    pub(super) fn take(&mut self, place: usize, until: Duration) -> Option<(Duration, Arrived)> {
        let queue = self.0[place].as_mut()?;
        let is_here = queue.first().is_some_and(|(at, _)| *at <= until);
        is_here.then(|| queue.remove(0))
    }
}
