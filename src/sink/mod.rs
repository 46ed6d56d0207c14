//! Where results go: metrics, the board that HTTP shows, the log.
//!
//! A sink neither waits nor fails: each takes a [`Round`](crate::model::Round), returns nothing, does no IO of its own
//! and holds a lock only while it copies numbers. So one sink cannot silence another, nor hold up the next probe.

mod board;
#[cfg(test)]
pub(crate) mod fixture;
mod ledger;
mod log;
mod metrics;
mod pulse;

pub use board::{Board, Configuration, Snapshot, Watched};
pub use log::{log_event, log_round};
pub use metrics::Metrics;
pub use pulse::Pulse;
