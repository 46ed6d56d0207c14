//! The journal: what happened, kept over restarts and `kill -9`, in a SQLite file that every tool can open.
//!
//! One thread owns the file (`writer.rs`); what is to be kept or asked is sent to it (`handle.rs`) as a message (`messages.rs`).
//!
//! Invariants: keeping an event neither waits nor fails. An event is acknowledged (shown with an id, sent to streams) after
//! its transaction is on disk, and not before. Events and the state that follows from them share a transaction, so that a
//! daemon which was cut off never opens a finding twice. An id is never used for two events.

mod schema;

mod query;
mod reference;
mod state;
mod store;

mod reader;

mod backlog;
mod handover;
mod messages;
mod phase;
mod writer;

mod handle;

pub use handle::{Journal, Settings, Unanswered};
pub use messages::{Limits, Page};
pub use query::{Recorded, Rows};
pub use reader::{ReadError, Reader};
pub use schema::JOURNAL_VERSION;
pub use state::{Late, Recovered, Run, Settled, State};

#[cfg(test)]
mod tests;
