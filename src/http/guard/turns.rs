//! Whose password is verified next. Verifying is dear on purpose, so it is done one at a time, and few may wait for it.
//!
//! Invariant: the next turn goes to the waiting peer that was served least recently, so that no number of guesses from one
//! client keeps another waiting for more than the verification under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::http::peer::Peer;

/// How many verifications may wait, and how many of one peer.
const MOST: usize = 16;
const MOST_OF_PEER: usize = 2;

/// Of how many peers it is remembered when they were served.
const MOST_REMEMBERED: usize = 1024;

/// The queue of verifications.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<TurnQueue>);

#[derive(Debug, Default)]
struct TurnQueue {
    is_running: bool,
    /// In the order in which they came.
    waiting: Vec<Waiting>,
    /// When each peer was served last, as a number that grows with each turn.
    served: HashMap<Peer, u64>,
    last: u64,
}

#[derive(Debug)]
struct Waiting {
    peer: Peer,
    turn: oneshot::Sender<Turn>,
}

/// The right to verify, which passes on when the value goes.
#[derive(Debug)]
pub(super) struct Turn(Arc<Turns>);

/// Too many wait already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Crowded;

impl Turns {
    /// Waits for this peer's turn.
    ///
    /// # Errors
    /// Where too many wait, of this peer or in all. Where all places are taken, one that waits as the second of its peer
    /// gives way to a peer of which none waits.
    pub(super) async fn take(self: &Arc<Self>, peer: Peer) -> Result<Turn, Crowded> {
        let turn = {
            let mut queue = self.queue();
            if !queue.is_running {
                queue.is_running = true;
                queue.serve(peer);
                return Ok(Turn(Arc::clone(self)));
            }
            queue.waiting.retain(|waiting| !waiting.turn.is_closed());
            let own = queue.count(peer);
            if own >= MOST_OF_PEER {
                return Err(Crowded);
            }
            if queue.waiting.len() >= MOST {
                let second = queue.waiting.iter().rposition(|waiting| queue.count(waiting.peer) > 1);
                let Some(second) = second.filter(|_| own == 0) else { return Err(Crowded) };
                queue.waiting.remove(second);
            }
            let (turn, awaited) = oneshot::channel();
            queue.waiting.push(Waiting { peer, turn });
            awaited
        };
        turn.await.map_err(|_| Crowded)
    }

    fn queue(&self) -> MutexGuard<'_, TurnQueue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TurnQueue {
    fn count(&self, peer: Peer) -> usize {
        self.waiting.iter().filter(|waiting| waiting.peer == peer).count()
    }

    fn serve(&mut self, peer: Peer) {
        if self.served.len() >= MOST_REMEMBERED {
            let half = self.last.saturating_sub(MOST_REMEMBERED as u64 / 2);
            self.served.retain(|_, at| *at > half);
        }
        self.last += 1;
        self.served.insert(peer, self.last);
    }

    /// Takes out the next one.
    fn next(&mut self) -> Option<Waiting> {
        let at = |waiting: &Waiting| self.served.get(&waiting.peer).copied().unwrap_or(0);
        let next = (0..self.waiting.len()).min_by_key(|place| (at(&self.waiting[*place]), *place))?;
        Some(self.waiting.remove(next))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        loop {
            let next = {
                let mut queue = self.0.queue();
                match queue.next() {
                    None => {
                        queue.is_running = false;
                        return;
                    }
                    Some(next) if next.turn.is_closed() => continue,
                    Some(next) => {
                        queue.serve(next.peer);
                        next
                    }
                }
            };
            // A request that stopped waiting in this very moment gives the turn back, and passes it on by that.
            drop(next.turn.send(Self(Arc::clone(&self.0))));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn peer(number: u8) -> Peer {
        Peer::of([10, 0, 0, number].into())
    }

    type Awaited = std::pin::Pin<Box<dyn Future<Output = Result<Turn, Crowded>>>>;

    /// Asks for a turn of that peer; what has come of it so far, and what may still come.
    fn ask(turns: &Arc<Turns>, number: u8) -> (Awaited, Option<Result<Turn, Crowded>>) {
        let turns = Arc::clone(turns);
        let mut asked: Awaited = Box::pin(async move { turns.take(peer(number)).await });
        let come = asked.as_mut().now_or_never();
        (asked, come)
    }

    #[tokio::test]
    async fn turns_go_round_by_peer() {
        let turns = Arc::new(Turns::default());
        let mut under_way = Some(turns.take(peer(1)).await.unwrap());
        let mut waiting = Vec::new();
        for number in [1, 1, 2, 2, 3] {
            let (asked, come) = ask(&turns, number);
            assert!(come.is_none());
            waiting.push((number, asked));
        }
        for number in [1, 2] {
            assert!(matches!(ask(&turns, number).1, Some(Err(Crowded))), "a third of {number}");
        }
        let mut order = Vec::new();
        while let Some(turn) = under_way.take() {
            drop(turn);
            for (number, asked) in &mut waiting {
                if let Some(Ok(turn)) = asked.as_mut().now_or_never() {
                    order.push(*number);
                    under_way = Some(turn);
                    *asked = Box::pin(std::future::pending());
                }
            }
        }
        assert_eq!(order, [2, 3, 1, 2, 1]);
        assert!(ask(&turns, 1).1.is_some(), "nothing is under way");
    }

    #[tokio::test]
    async fn a_newcomer_takes_the_place_of_a_second_of_another() {
        let turns = Arc::new(Turns::default());
        let under_way = turns.take(peer(0)).await.unwrap();
        let mut waiting: Vec<_> =
            (1..=8).flat_map(|number| [number, number]).map(|number| ask(&turns, number).0).collect();
        assert!(matches!(ask(&turns, 1).1, Some(Err(Crowded))));
        let (mut ninth, come) = ask(&turns, 9);
        assert!(come.is_none());
        assert!(matches!(waiting[15].as_mut().now_or_never(), Some(Err(Crowded))));
        // A request that stops waiting stands in the way of none.
        waiting.clear();
        drop(under_way);
        assert!(matches!(ninth.as_mut().now_or_never(), Some(Ok(_))));
        assert!(turns.queue().waiting.is_empty());
    }
}
