//! By which names this daemon is asked for.
//!
//! Where it listens on loopback and asks for no credentials, a page in a browser on this machine reaches it too. The
//! browser lets that page read only what is of its own name, so the page's author lets that name lead here (DNS rebinding).
//! A name that the operator knows is none of his.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::config::Server;
use crate::file;

/// Where Linux says how this machine is called.
const OWN_NAME: &str = "/proc/sys/kernel/hostname";

/// The names that are ours.
#[derive(Debug)]
pub(super) struct AllowedHosts {
    /// In lower case; `None` where each name is taken.
    names: Option<BTreeSet<String>>,
}

impl AllowedHosts {
    pub(super) fn new(server: &Server) -> Self {
        if !server.listen.ip().to_canonical().is_loopback() {
            return Self { names: None };
        }
        // Without its name a machine is asked for by address.
        let own = file::read(Path::new(OWN_NAME)).unwrap_or_default();
        let own = String::from_utf8_lossy(&own).trim().to_owned();
        let names = server.allowed_hosts.iter().chain([&own]).map(|name| plain(name)).filter(|name| !name.is_empty());
        Self { names: Some(names.collect()) }
    }

    /// Whether a `Host` names us: an address, `localhost`, a name below it, this machine's or one that the operator allows.
    pub(super) fn admit(&self, host: &[u8]) -> bool {
        let Some(names) = &self.names else { return true };
        let Ok(host) = std::str::from_utf8(host) else { return false };
        if let Some(rest) = host.strip_prefix('[') {
            let is_port = |rest: &str| rest.is_empty() || rest.strip_prefix(':').is_some_and(is_number);
            return rest
                .split_once(']')
                .is_some_and(|(address, rest)| address.parse::<Ipv6Addr>().is_ok() && is_port(rest));
        }
        let host = match host.split_once(':') {
            Some((host, port)) if is_number(port) => host,
            Some(_) => return false,
            None => host,
        };
        let host = plain(host);
        host.parse::<Ipv4Addr>().is_ok() || host == "localhost" || host.ends_with(".localhost") || names.contains(&host)
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A name without the dot of the root, in lower case.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}
