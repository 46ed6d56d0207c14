//! What is said to a server of Redis, and what is taken for its answer: AUTH, PING and INFO over one stream.

mod info;
mod reply;
mod session;
mod withheld;

pub(super) use session::Session;
pub(super) use withheld::{Sent, Withheld};
