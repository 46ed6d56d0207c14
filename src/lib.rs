//! cachewatch walks the path from this machine to a Redis cache, stage by stage, as an application would;
//! judges what it saw against what was expected; and tells the result in the same words everywhere.
//!
//! The rooms, from the ground up (`ARCHITECTURE.md` draws them; `tests/house/` holds the floors):
//!
//! - floor 0: [`model`] the vocabulary, [`azure`] what is known of Azure, [`clock`] the only place time enters,
//!   [`style`] how text for a terminal is dressed, [`mod@file`] small files
//! - floor 1: `net`, what every room needs that speaks over the network; [`api`], the documents of the wire;
//!   [`libc`], what the C libraries make of name servers' answers
//! - floor 2: [`config`], [`probe`], [`judge`], [`sink`], [`client`] (asks a running daemon), which do not know each other
//! - floor 3: [`http`], which reads what the sinks hold
//! - floor 4: [`daemon`] the long run
//! - floor 5: `commands`, what is done on the command line, a file a command
//! - floor 6: [`cli`], which lists them

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit this build was made from, where the builder said so in `CACHEWATCH_REVISION`.
pub const REVISION: &str = match option_env!("CACHEWATCH_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

pub mod model;

pub mod azure;
pub mod clock;
pub mod file;
pub mod style;

pub mod api;
pub mod libc;
mod net;

pub mod client;
pub mod config;
pub mod judge;
pub mod probe;
pub mod sink;

pub mod http;

pub mod daemon;

mod commands;

pub mod cli;
