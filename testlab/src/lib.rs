//! What the tests stand on: everything a cache can look like from this machine, made on the spot and gone with its value.
//!
//! - [`pki`]: certificates · [`redis`]: real servers · [`dns`]: a scripted name server · [`name_server`]: real ones
//! - [`peer`]: everything hostile
//! - [`net`]: a network of one's own, where addresses are at hand and packets can be dropped
//! - [`cache`]: the probe under test, called as a library
//! - [`fleet`]: caches to watch, on loopback · [`crowd`]: very many of them
//! - [`program`]: the program under test · [`http`] and [`scrape`]: what it says
//! - [`browser`]: Chromium, which shows its page
//! - [`prometheus`] and [`alertmanager`]: what reads its metrics · [`promql`]: what an expression speaks of
//! - [`starvation`]: what a busy machine adds to the times of it all
//! - [`resp`], [`process`] and [`background`]: how fixtures run, and how they end
//!
//! Invariant: a fixture binds its sockets and starts its processes in the constructor, on the calling thread, so inside
//! [`net::Namespace::run`] it belongs to that network, and elsewhere to the host's loopback.
//! Invariant: nothing waits for a fixed time. Waits end with what they wait for, or fail at [`PATIENCE`].

pub mod alertmanager;
pub mod background;
pub mod browser;
pub mod cache;
pub mod crowd;
pub mod dns;
pub mod fleet;
pub mod http;
pub mod name_server;
pub mod net;
pub mod peer;
pub mod pki;
pub mod process;
pub mod program;
pub mod prometheus;
pub mod promql;
pub mod redis;
pub mod resp;
pub mod scrape;
pub mod starvation;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// How long anything that should happen soon may take on a busy machine, before it counts as never.
///
/// It is far longer than a busy machine needs, for it is waited out only by a test that fails.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The folder of the repository, where `deploy/`, `docs/` and `tests/` are.
///
/// # Panics
///
/// Never: this package is in a folder of it.
pub fn repository() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("the workspace is around this package").to_path_buf()
}
