//! What the system tests stand on, the demo stands on too: the same name server, certificates and HTTP client.

#![expect(dead_code, reason = "the tests need more of these than the demo")]

use std::time::Duration;

#[path = "../../tests/system/support/background.rs"]
pub(crate) mod background;
#[path = "../../tests/system/support/dns.rs"]
pub(crate) mod dns;
#[path = "../../tests/system/support/http.rs"]
pub(crate) mod http;
#[path = "../../tests/system/support/pki.rs"]
pub(crate) mod pki;
#[path = "../../tests/system/support/resp.rs"]
pub(crate) mod resp;

/// How long the daemon may take to answer a request, or to say what a step waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
