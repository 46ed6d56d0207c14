//! cachewatch walks the path from this machine to a Redis cache, stage by stage, as an application would;
//! judges what it saw against what was expected; and tells the result in the same words everywhere.
//!
//! The rooms, from the ground up (`ARCHITECTURE.md` draws them; `tests/house.rs` holds the floors):
//!
//! - floor 0: [`model`] the vocabulary, [`azure`] what is known of Azure, [`clock`] the only place time enters
//! - floor 1: [`config`], [`probe`], [`judge`], [`sink`], which do not know each other
//! - floor 2: [`http`], which reads what the sinks hold
//! - floor 3: [`daemon`] the long run, [`check`] one round
//! - floor 4: [`cli`]

pub mod model;

pub mod azure;
pub mod clock;

pub mod config;
