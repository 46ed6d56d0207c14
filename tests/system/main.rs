//! The whole program from outside: the built binary against real Redis servers, scripted name servers, hostile peers
//! and filtered networks. The fixtures are `testlab/`.

// A whole document is compared with one `json!`, which is a call of itself for every few words.
#![recursion_limit = "256"]

mod alerts;
mod capacity;
mod check;
mod connect;
mod daemon;
mod dashboards;
mod echo;
mod exposure;
mod guard;
mod health;
mod hostile;
mod journal;
mod log;
mod lookups;
mod names;
mod page;
mod places;
mod redis;
mod resolve;
mod resolvers;
mod scale;
mod tls;
