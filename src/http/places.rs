//! How many connections there may be, and which of them goes where there is no room for another.
//!
//! Invariant: a newcomer always gets a place. Where each place is busy it is a reserved one, in which the open paths are
//! answered and nothing else, so that no client keeps a kubelet out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::paced::Pace;
use super::peer::Peer;

/// Places on top of all others.
const RESERVED: usize = 8;

/// Who holds which place.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    holders: Mutex<Holders>,
}

#[derive(Debug, Default)]
struct Holders {
    last: u64,
    held: HashMap<u64, Holder>,
    /// How many places each peer holds, reserved ones left out; a peer that holds none is not here.
    of_peer: HashMap<Peer, usize>,
    /// How many reserved places are held.
    reserved: usize,
}

#[derive(Debug)]
struct Holder {
    peer: Peer,
    pace: Arc<Pace>,
    leave: Arc<Notify>,
    is_reserved: bool,
}

/// The place of one connection, which is free again when the value goes.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    id: u64,
    pace: Arc<Pace>,
    leave: Arc<Notify>,
    is_reserved: bool,
}

impl Places {
    /// At most so many connections, and a few more for the open paths.
    pub(super) fn new(most: usize) -> Self {
        Self { most, holders: Mutex::default() }
    }

    /// How many places one peer may hold.
    fn share(&self) -> usize {
        self.most.div_ceil(2)
    }

    /// A place for a connection from there. Where all are taken, another connection that waits for its client loses its
    /// own: of the peer with the most connections, the one that has waited for longest. A peer that has its share takes
    /// from itself.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Place {
        let pace = Arc::new(Pace::default());
        let peer = Peer::of(address);
        let mut holders = self.holders();
        let own = holders.of_peer.get(&peer).copied().unwrap_or(0);
        let is_reserved = if own >= self.share() {
            !holders.evict(|holder| holder.peer == peer)
        } else if holders.held.len() - holders.reserved >= self.most {
            !holders.evict(|_| true)
        } else {
            false
        };
        if is_reserved && holders.reserved >= RESERVED {
            holders.evict_reserved();
        }
        let leave = Arc::new(Notify::new());
        let id = holders.add(Holder { peer, pace: Arc::clone(&pace), leave: Arc::clone(&leave), is_reserved });
        drop(holders);
        Place { places: Arc::clone(self), id, pace, leave, is_reserved }
    }

    fn holders(&self) -> MutexGuard<'_, Holders> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holders {
    fn add(&mut self, holder: Holder) -> u64 {
        if holder.is_reserved {
            self.reserved += 1;
        } else {
            *self.of_peer.entry(holder.peer).or_default() += 1;
        }
        self.last += 1;
        self.held.insert(self.last, holder);
        self.last
    }

    fn remove(&mut self, id: u64) -> Option<Holder> {
        let holder = self.held.remove(&id)?;
        if holder.is_reserved {
            self.reserved -= 1;
        } else if let Some(count) = self.of_peer.get_mut(&holder.peer) {
            *count -= 1;
            if *count == 0 {
                self.of_peer.remove(&holder.peer);
            }
        }
        Some(holder)
    }

    /// Ends the connection of a holder.
    fn end(&mut self, id: u64) {
        if let Some(holder) = self.remove(id) {
            holder.leave.notify_one();
        }
    }

    /// Ends one connection that waits for its client, among those for which `may` holds; false where there is none.
    fn evict(&mut self, may: impl Fn(&Holder) -> bool) -> bool {
        let mut first: Option<(usize, Instant, u64)> = None;
        for (id, holder) in self.held.iter().filter(|(_, holder)| !holder.is_reserved && may(holder)) {
            let Some(since) = holder.pace.waits_since() else { continue };
            let count = self.of_peer.get(&holder.peer).copied().unwrap_or(0);
            let comes_before = first.is_none_or(|(most, oldest, earliest)| {
                count > most || (count == most && (since, *id) < (oldest, earliest))
            });
            if comes_before {
                first = Some((count, since, *id));
            }
        }
        if let Some((_, _, id)) = first {
            self.end(id);
        }
        first.is_some()
    }

    /// Ends one connection in a reserved place: the oldest that waits for its client, else the oldest of all.
    fn evict_reserved(&mut self) {
        let reserved = self.held.iter().filter(|(_, holder)| holder.is_reserved);
        if let Some(id) =
            reserved.map(|(id, holder)| (holder.pace.waits_since().is_none(), *id)).min().map(|(_, id)| id)
        {
            self.end(id);
        }
    }
}

impl Place {
    /// Whether nothing but the open paths is answered here.
    pub(super) fn is_reserved(&self) -> bool {
        self.is_reserved
    }

    /// What the connection that holds it does now.
    pub(super) fn pace(&self) -> &Arc<Pace> {
        &self.pace
    }

    /// Completes when another connection has this place.
    pub(super) async fn lost(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.holders().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    fn is_lost(place: &Place) -> bool {
        place.lost().now_or_never().is_some()
    }

    /// A connection from there, a second after the one before.
    async fn connect(places: &Arc<Places>, address: &str) -> Place {
        tokio::time::advance(Duration::from_secs(1)).await;
        places.take(address.parse().unwrap())
    }

    /// Which of these have lost their places since the last look.
    fn lost(held: &[Place]) -> Vec<usize> {
        (0..held.len()).filter(|at| is_lost(&held[*at])).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_largest_peer_gives_way_first_and_its_longest_wait() {
        let places = Arc::new(Places::new(6));
        let mut held = Vec::new();
        for address in ["10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.2", "10.0.0.3", "10.0.0.3"] {
            held.push(connect(&places, address).await);
        }
        // The second peer's first connection is busy, and its second one has been for a while.
        let busy = held[1].pace.answer();
        drop(held[2].pace.answer());
        tokio::time::advance(Duration::from_secs(1)).await;
        held[2].pace.handed_over();
        assert!(lost(&held).is_empty());
        held.push(connect(&places, "10.0.0.4").await);
        assert_eq!(lost(&held), [3]);
        // Two peers have two each: the one that has waited for longest.
        held.push(connect(&places, "10.0.0.5").await);
        assert_eq!(lost(&held), [4]);
        assert!(held.iter().all(|place| !place.is_reserved()));
        drop(busy);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_has_its_share_takes_from_itself() {
        let places = Arc::new(Places::new(4));
        let mut held = vec![connect(&places, "10.0.0.1").await];
        held.push(connect(&places, "2001:db8::1").await);
        held.push(connect(&places, "2001:db8::2").await);
        held.push(connect(&places, "2001:db8::3").await);
        assert_eq!(lost(&held), [1], "one place is free, and not for that network");
        let busy: Vec<_> = held.iter().map(|place| place.pace.answer()).collect();
        held.push(connect(&places, "2001:db8::4").await);
        assert!(held[4].is_reserved() && lost(&held).is_empty());
        held.push(connect(&places, "10.0.0.1").await);
        assert!(!held[5].is_reserved(), "there is room for another");
        drop(busy);
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_are_busy_the_reserved_places_go_round() {
        let places = Arc::new(Places::new(1));
        let first = connect(&places, "10.0.0.1").await;
        let busy = first.pace.answer();
        let mut reserved = Vec::new();
        for _ in 0..RESERVED {
            reserved.push(connect(&places, "10.0.0.2").await);
        }
        assert!(reserved.iter().all(Place::is_reserved) && lost(&reserved).is_empty());
        let answering = reserved[0].pace.answer();
        reserved.push(connect(&places, "10.0.0.2").await);
        assert_eq!(lost(&reserved), [1], "the oldest that is not being answered");
        reserved.remove(3);
        reserved.push(connect(&places, "10.0.0.2").await);
        assert!(lost(&reserved).is_empty(), "one had left");
        assert!(!is_lost(&first));
        drop((busy, answering, reserved, first));
        assert!(!connect(&places, "10.0.0.2").await.is_reserved());
        let holders = places.holders();
        assert_eq!((holders.held.len(), holders.of_peer.len(), holders.reserved), (0, 0, 0));
    }
}
