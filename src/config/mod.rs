//! The configuration: what an operator may say, and every mistake in it, found in one run and told with its place.
//!
//! Layers, later wins: built-in defaults, each file, the `conf.d/*.toml` beside it, the environment. Reading goes in three
//! steps, and each step reports all it finds before the next one begins:
//!
//! 1. every source is held to the schema alone, while the line of every value is still known;
//! 2. what passed is merged by the `config` crate, and every value keeps the place it came from;
//! 3. the merged values are held to each other, and become [`Config`].
//!
//! Invariant: no secret enters a configuration. A file that holds one is refused without showing it; a password in the
//! environment goes by the name of its variable.

mod load;
mod settings;

mod key;
mod keys;
mod kind;
mod nearest;
mod parse;
mod problem;
mod schema;
mod value;

mod defaults;
mod environment;
mod layers;
mod sources;
mod strict;

mod build;
mod caches;
mod checker;
mod draft;
mod resolvers;
mod rules;
mod target;

mod show;

pub use load::{Inputs, load};
pub use problem::{Origin, Problem, Problems};
pub use settings::{AuthMethod, Config, Defaults, JournalSettings, Log, LogFormat, Probe, Server, ServerTls};
pub use show::{example, show};
pub use target::{Target, resolver};
