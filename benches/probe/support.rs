//! The fixtures of the system tests: a certificate authority, a real redis-server, a name server, the built daemon.

#![expect(dead_code, unused_imports, reason = "fixtures for tests, of which the bench needs a part")]

use std::time::Duration;

#[path = "../../tests/system/support/background.rs"]
pub(crate) mod background;
#[path = "../../tests/system/support/cachewatch.rs"]
pub(crate) mod cachewatch;
#[path = "../../tests/system/support/dns.rs"]
pub(crate) mod dns;
#[path = "../../tests/system/support/http.rs"]
pub(crate) mod http;
#[path = "../../tests/system/support/peer.rs"]
pub(crate) mod peer;
#[path = "../../tests/system/support/pki.rs"]
pub(crate) mod pki;
#[path = "../../tests/system/support/process.rs"]
pub(crate) mod process;
#[path = "../../tests/system/support/redis.rs"]
pub(crate) mod redis;
#[path = "../../tests/system/support/resp.rs"]
pub(crate) mod resp;
#[path = "../../tests/system/support/scrape.rs"]
pub(crate) mod scrape;

/// How long anything that should happen soon may take on a busy machine, before it counts as never.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
