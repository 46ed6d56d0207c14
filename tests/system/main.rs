//! The whole program from outside: the built binary against real Redis servers, scripted name servers, hostile peers
//! and filtered networks. `support` holds the fixtures; every other module is tests.

#![expect(
    clippy::unwrap_used,
    reason = "a fixture that is not as it was made is a failure of the test, and says where"
)]
#![expect(clippy::float_cmp, reason = "counters and gauges of whole numbers are exact")]
#![expect(clippy::too_many_lines, reason = "a story is told from its beginning to its end")]

mod support;

mod check;
mod connect;
mod daemon;
mod hostile;
mod redis;
mod resolve;
mod tls;
