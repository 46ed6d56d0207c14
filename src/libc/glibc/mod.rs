//! glibc as a pure model: what `getaddrinfo` of version 2.36 returns, as Debian ships it (with the fixes of the branch
//! `release/2.36/master`), in a process that looks a name up for the first time.
//!
//! - `nsswitch`: which services are asked · `hosts`: what is pinned · `resolv_conf`: how name servers are asked
//! - `search`: the names that are tried · `exchange`: one name and the servers, over `sockets` · `answer`: what
//!   is taken out of the replies
//!
//! Not known to the model: nscd, `HOSTALIASES`, and what an earlier lookup of the same process has taught it (the pace of
//! a server that bears one question at a time). An address that is looked up has no name server.

mod answer;
mod c_text;
mod exchange;
mod hosts;
mod nsswitch;
mod resolv_conf;
mod search;
mod sockets;
mod status;

use std::net::IpAddr;

use self::answer::take;
use self::c_text::{inet_aton, scope_id, scoped};
use self::exchange::{GlibcExchange, Halt, SystemError};
use self::nsswitch::{NssAction, host_services};
use self::search::search;
use self::status::{HostError, NssStatus};
use super::files::NameFiles;
use super::outcome::{GaiError, Lookup, Returned};
use super::packet::WireName;
use super::wire::{Unasked, Wire};
use crate::model::RecordType;

#[cfg(test)]
mod tests;

pub use self::resolv_conf::{GlibcConf, GlibcOption, IgnoredLine};

/// The room for a result at first. It is doubled until the result fits, and each time all is asked again.
const ROOM: usize = 1024;

/// What `getaddrinfo` returns for this host.
///
/// # Errors
///
/// The questions whose replies `wire` does not know: ask them, and run the model again.
pub fn lookup(files: &NameFiles, host: &str, wire: &impl Wire) -> Result<Lookup, Unasked> {
    lookup_from(files, host, wire, 0)
}

/// How many lookups there are that differ by chance: with the option `rotate` each begins with another server.
#[must_use]
pub fn starts(files: &NameFiles) -> usize {
    let conf = GlibcConf::read(files);
    if conf.has(GlibcOption::Rotate) { conf.servers.len() } else { 1 }
}

/// The same as [`lookup`], where `rotate` happens to begin with that server, the first at 0.
///
/// # Errors
///
/// The questions whose replies `wire` does not know: ask them, and run the model again.
pub fn lookup_from(files: &NameFiles, host: &str, wire: &impl Wire, start: usize) -> Result<Lookup, Unasked> {
    // Text ends at a zero byte.
    let host = host.split('\0').next().unwrap_or_default();
    let conf = GlibcConf::read(files);
    let exchange = GlibcExchange::new(&conf, wire, start);
    let (error, said) = (HostError::Nothing, HostError::Nothing);
    let mut run = GlibcRun { files, conf: &conf, host, exchange, room: ROOM, error, said, unmodelled: vec![] };
    let returned = match run.returned() {
        Ok(returned) => returned,
        Err(Halt::Hangs) => Returned::Hangs,
        Err(Halt::Unasked(questions)) => return Err(Unasked(questions)),
    };
    let GlibcRun { exchange, mut unmodelled, .. } = run;
    if exchange.is_guessed {
        unmodelled.push("memory behind a reply that is cut".to_owned());
    }
    Ok(Lookup { returned, took: exchange.now, waits: exchange.waits, unmodelled })
}

/// One call of `getaddrinfo` (glibc 2.36, `sysdeps/posix/getaddrinfo.c`).
struct GlibcRun<'a> {
    files: &'a NameFiles,
    conf: &'a GlibcConf,
    host: &'a str,
    exchange: GlibcExchange<'a>,
    room: usize,
    /// The last word of a service (`h_errno`).
    error: HostError,
    /// The same, of the last service that was asked.
    said: HostError,
    unmodelled: Vec<String>,
}

/// Addresses and the name they were found at.
type Addresses = (Vec<IpAddr>, Option<String>);

impl GlibcRun<'_> {
    fn returned(&mut self) -> Result<Returned, Halt> {
        if let Some(returned) = self.as_address() {
            return Ok(returned);
        }
        let Some(services) = host_services(self.files.nsswitch.as_deref()) else {
            return Ok(Returned::Failed(GaiError::NoName));
        };
        if services.is_empty() {
            return Ok(Returned::Failed(GaiError::System));
        }
        let (mut status, mut found) = (NssStatus::Unavailable, None);
        let mut is_merging = false;
        for service in &services {
            // What was found is thrown away where the search goes on. Hosts know no merging.
            found = None;
            if is_merging {
                self.error = HostError::Internal;
                break;
            }
            (status, found) = self.service(&service.name)?;
            self.said = self.error;
            match service.action(status) {
                NssAction::Return => break,
                NssAction::Merge => is_merging = true,
                NssAction::Continue => {}
            }
        }
        Ok(self.combined(status, found))
    }

    /// What becomes of the last service's word.
    fn combined(&self, status: NssStatus, found: Option<Addresses>) -> Returned {
        if let Some((addresses, canonical)) = found {
            return found_at(self.host, addresses, canonical);
        }
        Returned::Failed(match (status, self.error) {
            (NssStatus::TryAgain | NssStatus::Unavailable, HostError::Internal) => GaiError::System,
            (NssStatus::Success, _) => GaiError::NoName,
            _ => match self.said {
                HostError::TryAgain => GaiError::Again,
                HostError::NoData => GaiError::NoData,
                _ => GaiError::NoName,
            },
        })
    }

    /// A host that is an address already, or nothing that can be looked up.
    fn as_address(&self) -> Option<Returned> {
        let text = self.host.as_bytes();
        if self.host == "*" {
            return Some(Returned::Failed(GaiError::NoName));
        }
        if let Some(address) = inet_aton(text) {
            return Some(Returned::Found { addresses: vec![address.into()], canonical: None });
        }
        let (address, scope) = scoped(text)?;
        if scope.is_some_and(|scope| scope_id(address, scope, &self.files.interfaces).is_none()) {
            return Some(Returned::Failed(GaiError::NoName));
        }
        Some(Returned::Found { addresses: vec![address.into()], canonical: None })
    }

    fn service(&mut self, name: &str) -> Result<(NssStatus, Option<Addresses>), Halt> {
        match name {
            "files" => Ok(self.files()),
            "dns" => self.dns(),
            _ => Ok((self.other(name), None)),
        }
    }

    fn files(&mut self) -> (NssStatus, Option<Addresses>) {
        let Some(hosts) = &self.files.hosts else {
            // As Debian changes it; without that it is said that the name exists (NO_DATA).
            self.error = HostError::HostNotFound;
            return (NssStatus::Unavailable, None);
        };
        let multi = hosts::is_multi(self.files.host_conf.as_deref().unwrap_or_default());
        if let Some(pinned) = hosts::pinned(hosts, self.host.as_bytes(), multi) {
            return (NssStatus::Success, Some((pinned.addresses, Some(pinned.canonical))));
        }
        self.error = HostError::HostNotFound;
        (NssStatus::NotFound, None)
    }

    fn dns(&mut self) -> Result<(NssStatus, Option<Addresses>), Halt> {
        let host = self.host.as_bytes();
        let is_printable = host.iter().all(u8::is_ascii_graphic);
        if !is_printable || !WireName::from_text(host).is_some_and(|name| name.is_host_name()) {
            self.error = HostError::HostNotFound;
            return Ok((NssStatus::NotFound, None));
        }
        let types = if self.conf.has(GlibcOption::NoAaaa) { &[RecordType::A][..] } else { RecordType::ALL };
        loop {
            self.exchange.empty_buffers();
            let lengths = match search(&mut self.exchange, self.conf, host, types)? {
                Ok(lengths) => lengths,
                Err(error) => {
                    self.error = error;
                    let is_unavailable = matches!(self.exchange.error, SystemError::Refused | SystemError::TimedOut);
                    let status = if is_unavailable { NssStatus::Unavailable } else { NssStatus::NotFound };
                    return Ok((status, None));
                }
            };
            let second = if types.len() < 2 { 0 } else { lengths.second };
            // Without a second reply there may be a length all the same, and no room.
            let second = self.exchange.second.get(..second).unwrap_or_default();
            let taken = take(&self.exchange.first[..lengths.first], second, self.room);
            if taken.is_out_of_room {
                self.room *= 2;
                continue;
            }
            self.error = taken.error;
            let found = (taken.status == NssStatus::Success).then_some((taken.addresses, taken.canonical));
            return Ok((taken.status, found));
        }
    }

    /// A service beside `files` and `dns`, by what is certain of it for this name.
    fn other(&mut self, service: &str) -> NssStatus {
        let name = self.host.trim_end_matches('.').to_ascii_lowercase();
        let (status, error, is_certain) = match service {
            // nss-mdns leaves alone what is not below `local` (its `src/nss.c`).
            "mdns" | "mdns4" | "mdns6" | "mdns_minimal" | "mdns4_minimal" | "mdns6_minimal" => {
                (NssStatus::Unavailable, HostError::NoRecovery, name.rsplit('.').next() != Some("local"))
            }
            // nss-myhostname knows this machine's own names (systemd, `src/nss-myhostname/nss-myhostname.c`).
            "myhostname" => {
                let own = self.files.host_name.to_ascii_lowercase();
                let is_own = name == own
                    || name.starts_with('_')
                    || ["localhost", "localhost.localdomain"].contains(&name.as_str())
                    || name.ends_with(".localhost")
                    || name.ends_with(".localhost.localdomain");
                (NssStatus::NotFound, HostError::HostNotFound, !is_own)
            }
            // nss-mymachines knows local containers (systemd, `src/nss-mymachines/nss-mymachines.c`), whose names have no dot.
            "mymachines" => (NssStatus::Unavailable, HostError::NoRecovery, name.contains('.')),
            // What is not installed cannot be loaded.
            _ => (NssStatus::Unavailable, HostError::Internal, false),
        };
        self.error = error;
        if !is_certain {
            self.unmodelled.push(service.to_owned());
        }
        status
    }
}

/// Each address once, and the name they were found at where it is another.
fn found_at(host: &str, addresses: Vec<IpAddr>, canonical: Option<String>) -> Returned {
    let mut each = Vec::new();
    for address in addresses {
        if !each.contains(&address) {
            each.push(address);
        }
    }
    let asked = host.strip_suffix('.').unwrap_or(host);
    Returned::Found { addresses: each, canonical: canonical.filter(|name| !name.eq_ignore_ascii_case(asked)) }
}
