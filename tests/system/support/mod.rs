//! What the tests stand on: everything a cache can look like from this machine, made on the spot and gone with its value.
//!
//! - [`pki`]: certificates · [`redis`]: real servers · [`dns`]: a scripted name server · [`name_server`]: real ones
//! - [`peer`]: everything hostile
//! - [`net`]: a network of one's own, where addresses are at hand and packets can be dropped
//! - [`cache`]: the probe under test, called as a library
//! - [`lab`]: a cache to watch, on loopback · [`crowd`]: very many of them
//! - [`cachewatch`]: the program under test · [`http`] and [`scrape`]: what it says
//! - [`browser`]: who looks at its page
//! - [`starvation`]: what a busy machine adds to the times of it all
//! - [`resp`], [`process`] and [`background`]: how fixtures run, and how they end
//!
//! Invariant: a fixture binds its sockets and starts its processes in the constructor, on the calling thread, so inside
//! [`net::Namespace::run`] it belongs to that network, and elsewhere to the host's loopback.
//! Invariant: nothing waits for a fixed time. Waits end with what they wait for, or fail at [`PATIENCE`].

#![expect(dead_code, reason = "fixtures come before the tests that use them; remove this when it is unfulfilled")]

pub(crate) mod background;
pub(crate) mod browser;
pub(crate) mod cache;
pub(crate) mod cachewatch;
pub(crate) mod crowd;
pub(crate) mod dns;
pub(crate) mod http;
pub(crate) mod lab;
pub(crate) mod name_server;
pub(crate) mod net;
mod patience;
pub(crate) mod peer;
pub(crate) mod pki;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod redis;
pub(crate) mod resp;
pub(crate) mod scrape;
pub(crate) mod starvation;

pub(crate) use patience::PATIENCE;
