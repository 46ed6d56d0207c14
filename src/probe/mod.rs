//! The only room that dials out: it walks the path to a cache, stage by stage, and reports what it saw.
//!
//! Reading order: [`walk`](Prober::walk) is the path; `dns`, `connect`, `tls` and `redis` are its stages, of which `open` goes
//! those to an authenticated session; `exposure` tests what may be open beside it; `classify` is the one place where foreign
//! errors become [`Fault`](crate::model::Fault)s.
//!
//! Invariants:
//! - A probe never returns an error: failure is its subject, and always reaches the report.
//! - It dials the address and verifies the name. A name is resolved once per probe, never again by a connection.
//! - Nothing is sent over a TLS session that did not verify.
//! - A peer costs a bounded amount of memory and time, whatever it sends.

mod classify;
mod connect;
mod dns;
mod exposure;
mod machine;
mod open;
mod plaintext;
mod prober;
mod redis;
mod tls;
mod walk;

pub use machine::tcp_settings;
pub use prober::Prober;
