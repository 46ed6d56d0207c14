//! The fixtures of the system tests that a container needs around it: a network, a certificate authority, a real redis-server.

#![expect(dead_code, reason = "fixtures for all tests, of which these need a part")]

#[path = "../system/support/background.rs"]
pub(crate) mod background;
#[path = "../system/support/dns.rs"]
pub(crate) mod dns;
#[path = "../system/support/http.rs"]
pub(crate) mod http;
#[path = "../system/support/net.rs"]
pub(crate) mod net;
#[path = "../system/support/patience.rs"]
mod patience;
#[path = "../system/support/peer.rs"]
pub(crate) mod peer;
#[path = "../system/support/pki.rs"]
pub(crate) mod pki;
#[path = "../system/support/process.rs"]
pub(crate) mod process;
#[path = "../system/support/redis.rs"]
pub(crate) mod redis;
#[path = "../system/support/resp.rs"]
pub(crate) mod resp;

pub(crate) use patience::PATIENCE;
