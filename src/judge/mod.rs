//! Judges what a probe saw: report and expectation in, findings and events out.
//!
//! Pure: no clock, no IO. Time comes on the report, and what must be remembered from one round to the next is in
//! [`Watch`], which belongs to the caller that runs the rounds.

mod describe;
mod findings;
mod forecast;
mod lenient;
mod memory;
mod watch;

#[cfg(test)]
mod tests;

pub use describe::{path, server, who};
pub use findings::{CATALOGUE, Commands, Rule, explain, nearest, probes_skipped, tcp_tuning};
pub use memory::NothingToAccept;
pub use watch::{SavedState, Watch};
