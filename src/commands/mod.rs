//! What is done on the command line, a file a command: its arguments, its work, its words.
//!
//! `options` is what several commands share, `terminal` how they speak and end. `cli` lists them.

pub(crate) mod baseline;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod health;
pub(crate) mod run;

mod options;
mod terminal;

pub use self::terminal::Exit;
pub(crate) use self::terminal::complain;
