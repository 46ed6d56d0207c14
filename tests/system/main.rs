//! The whole program from outside: the built binary against real Redis servers, scripted name servers, hostile peers
//! and filtered networks. `support` holds the fixtures; every other module is tests.

mod support;

mod check;
mod connect;
mod daemon;
mod hostile;
mod redis;
mod resolve;
mod scale;
mod tls;
