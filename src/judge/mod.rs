//! Judges what a probe saw: report and expectation in, findings and events out.
//!
//! Pure: no clock, no IO. Time comes on the report, and what must be remembered from one round to the next is in
//! [`Watch`], which belongs to whoever runs the rounds.

mod catalogue;
mod diagnosis;
mod forecast;
mod machine;
mod memory;
mod narrate;
mod salvage;
mod watch;

#[cfg(test)]
mod tests;

pub use catalogue::{CATALOGUE, Entry, explain, nearest};
pub use diagnosis::commands::accept_baseline;
pub use machine::{probes_skipped, tcp_tuning};
pub use memory::NothingToAccept;
pub use narrate::{path, server, who};
pub use watch::{Memento, Watch};
