//! Where results go: metrics, the board that HTTP shows, the log, the journal.
//!
//! A sink neither waits nor fails: each takes a [`Round`](crate::model::Round), returns nothing, does no IO on the caller's
//! thread and holds a lock only while it copies numbers. So one sink cannot silence another, nor hold up the next probe.

mod board;
mod chronicle;
#[cfg(test)]
pub(crate) mod fixture;
pub mod journal;
mod log;
mod metrics;
mod name;
mod pulse;

pub use board::{Board, CacheState, Configuration, Sample, Snapshot};
pub use chronicle::Chronicle;
pub use journal::Journal;
pub use log::Output as LogOutput;
pub use metrics::Metrics;
pub use name::SinkName;
pub use pulse::{Loop, Pulse};
