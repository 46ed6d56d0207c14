//! What the daemon answers over HTTP. Everything is read from the sinks; no request starts a probe.
//!
//! Invariants: nothing here waits for a cache; every response forbids foreign content, and all but the page scripts; every
//! JSON document carries `schema_version`; once credentials are set, all but four paths that tell nothing of any cache asks
//! for them.

mod peer;
mod streams;

mod state;

mod guard;
mod handed_on;
mod paced;
mod places;
mod reply;
mod undelivered;

mod admit;

mod admin;
mod caches;
mod events;
mod health;
mod page;

mod router;
mod serve;

pub use self::guard::{Guard, GuardError};
pub use self::serve::serve;
pub use self::state::{Accept, AcceptError, AppState, Reload};
pub use self::streams::Streams;

#[cfg(test)]
mod tests;
