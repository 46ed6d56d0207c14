//! The only room that dials out: it walks the path to a cache, stage by stage, and reports what it saw.
//!
//! Reading order: [`walk`](Prober::walk) is the path; `resolve`, `connect`, `tls` and `session` are its stages;
//! `reply` decides on the bytes what a session takes for a reply, and `withheld` keeps the secret out of all that a peer says;
//! `exposure` tests what may be open beside it, with the greetings of `hello`;
//! `blame` is the one place where foreign errors become [`Fault`](crate::model::Fault)s.
//!
//! Invariants:
//! - A probe never returns an error: failure is its subject, and always reaches the report.
//! - It dials the address and verifies the name. A name is resolved once per probe, never again by a connection.
//! - Nothing is sent over a TLS session that did not verify.
//! - A peer costs a bounded amount of memory and time, whatever it sends.

mod blame;
mod connect;
mod exposure;
mod hello;
mod info;
mod machine;
mod plaintext;
mod reply;
mod resolve;
mod session;
mod tls;
mod walk;
mod withheld;

pub use machine::tcp_settings;
pub use walk::Prober;
