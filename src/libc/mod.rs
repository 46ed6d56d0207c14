//! What the C libraries make of a machine's files and of the answers of its name servers: what `getaddrinfo` returns, and
//! after how long. Pure models: they read no file and ask no server.
//!
//! - `files`: what a library reads · `wire`: what it asks, and what comes back · `outcome`: what the application gets
//! - [`glibc`] and [`musl`]: the models
//!
//! A model is run with a [`Wire`] that knows the replies. Where a reply is not known yet, the run ends with the questions
//! whose replies are missing; ask them, and run it again.

mod files;
pub mod glibc;
pub mod musl;
mod outcome;
mod packet;
mod wire;

pub use files::NameFiles;
pub use outcome::{GaiError, Lookup, Returned, Wait};
pub use wire::{Question, Unasked, Wire, WireReply};
