//! The machine's own way to an address: what an application's `getaddrinfo` would do.
//!
//! The hosts file first, then the name servers of resolv.conf in their order, with the search list and `ndots`. This is
//! the C library's order for `hosts: files dns`, the usual line of nsswitch.conf.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf::parse_resolv_conf;

use super::cname::follow_cnames;
use super::upstream::{NameServers, Transport};
use crate::clock;
use crate::file::CachedFile;
use crate::model::{Answer, Fault, FaultKind, Outcome, Resolution, Resolver, Source, Stage};
use crate::net::deadline::Deadline;

/// The resolver of this machine.
#[derive(Debug)]
pub(in crate::probe) struct System {
    resolv_conf: CachedFile<Result<Arc<ResolvConf>, String>>,
    hosts: CachedFile<Hosts>,
}

impl System {
    pub(in crate::probe) fn new(resolv_conf: &Path, hosts: &Path) -> Self {
        Self {
            resolv_conf: CachedFile::new(resolv_conf, |bytes| ResolvConf::parse(bytes).map(Arc::new)),
            hosts: CachedFile::new(hosts, Hosts::parse),
        }
    }

    /// Asks as an application would, and writes what came into `resolution`.
    pub(super) async fn resolve(&self, host: &str, name: &Name, deadline: Deadline, resolution: &mut Resolution) {
        // A hosts file that is missing or unreadable pins nothing; the C library goes on without it as well.
        if let Some(pinned) = self.hosts.read(clock::instant()).ok().and_then(|hosts| hosts.addresses(host)) {
            resolution.source = Source::HostsFile;
            resolution.addresses = pinned;
            return;
        }
        self.ask_servers(name, deadline, resolution).await;
    }

    /// Asks the name servers of resolv.conf, past the hosts file.
    pub(super) async fn ask_servers(&self, name: &Name, deadline: Deadline, resolution: &mut Resolution) {
        let conf = match self.conf() {
            Ok(conf) => conf,
            Err(fault) => {
                resolution.fault = Some(fault);
                return;
            }
        };
        let mut as_it_stands = None;
        let mut queries = Vec::new();
        for (candidate, searched) in conf.candidates(name) {
            let mut found = follow_cnames(&candidate, &conf.servers, deadline).await;
            queries.append(&mut found.queries);
            let goes_on = matches!(found.outcome, Outcome::NxDomain | Outcome::NoData | Outcome::ServFail)
                && found.addresses.is_empty();
            if !goes_on {
                resolution.searched = searched;
                resolution.queries = queries;
                found.write(resolution);
                return;
            }
            // Of all names that were tried in vain, the one the operator wrote is the one to speak of.
            if !searched {
                as_it_stands = Some(found);
            }
        }
        resolution.queries = queries;
        if let Some(found) = as_it_stands {
            found.write(resolution);
        }
    }

    /// The name server at that position of resolv.conf, the first at 1.
    pub(super) fn listed(&self, position: usize) -> Result<SocketAddr, Fault> {
        let conf = self.conf()?;
        let listed = &conf.servers.addresses;
        position.checked_sub(1).and_then(|place| listed.get(place).copied()).ok_or_else(|| {
            let servers = if listed.len() == 1 { "server" } else { "servers" };
            let ordinal = ["first", "second", "third"].get(position.wrapping_sub(1)).unwrap_or(&"other");
            let path = self.resolv_conf.path().display();
            let words = format!("{path} names {} name {servers}, and there is no {ordinal}", listed.len());
            Fault::new(Stage::Resolve, FaultKind::NoResolver, words)
        })
    }

    /// What resolv.conf says now.
    fn conf(&self) -> Result<Arc<ResolvConf>, Fault> {
        let words = match self.resolv_conf.read(clock::instant()).as_deref() {
            Ok(Ok(conf)) => return Ok(Arc::clone(conf)),
            Ok(Err(words)) => words.clone(),
            Err(error) => error.to_string(),
        };
        let words = format!("{}: {words}", self.resolv_conf.path().display());
        Err(Fault::new(Stage::Resolve, FaultKind::NoResolver, words))
    }
}

/// What resolv.conf says.
#[derive(Debug, Clone)]
struct ResolvConf {
    servers: NameServers,
    search: Vec<Name>,
    ndots: usize,
}

impl ResolvConf {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (config, options) = parse_resolv_conf(bytes).map_err(|error| error.to_string())?;
        let listed = config.name_servers().iter().take(Resolver::MOST_LISTED);
        let addresses = listed.map(|server| SocketAddr::new(server.ip, 53)).collect();
        let servers = NameServers {
            addresses,
            transport: Transport::Udp,
            patience: options.timeout.max(Duration::from_secs(1)),
            rounds: options.attempts.clamp(1, 5),
        };
        Ok(Self { servers, search: config.search().to_vec(), ndots: options.ndots })
    }

    /// The names to try for `name`, in order, each with whether the search list made it.
    fn candidates(&self, name: &Name) -> Vec<(Name, bool)> {
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let mut names: Vec<_> = self
            .search
            .iter()
            .filter_map(|domain| name.clone().append_domain(domain).ok())
            .map(|mut name| {
                name.set_fqdn(true);
                (name, true)
            })
            .collect();
        let position = if dots >= self.ndots { 0 } else { names.len() };
        names.insert(position, (name.clone(), false));
        names
    }
}

/// What the hosts file pins.
#[derive(Debug, Default)]
struct Hosts(HashMap<String, Vec<IpAddr>>);

impl Hosts {
    fn parse(bytes: &[u8]) -> Self {
        let mut hosts = Self::default();
        for line in String::from_utf8_lossy(bytes).lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
            for name in words {
                hosts.0.entry(name.trim_end_matches('.').to_ascii_lowercase()).or_default().push(address);
            }
        }
        hosts
    }

    /// The addresses pinned for `host`, IPv4 first, each once.
    fn addresses(&self, host: &str) -> Option<Vec<Answer>> {
        let mut pinned = self.0.get(&host.to_ascii_lowercase())?.clone();
        pinned.sort_by_key(IpAddr::is_ipv6);
        let mut answers: Vec<Answer> = Vec::new();
        for address in pinned {
            let answer = Answer::new(address, None);
            if !answers.contains(&answer) && answers.len() < Resolution::MOST_ADDRESSES {
                answers.push(answer);
            }
        }
        Some(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(conf: &str, name: &str) -> Vec<String> {
        let mut name = Name::from_ascii(name).unwrap();
        name.set_fqdn(true);
        let conf = ResolvConf::parse(conf.as_bytes()).unwrap();
        conf.candidates(&name)
            .iter()
            .map(|(name, searched)| format!("{name}{}", if *searched { " s" } else { "" }))
            .collect()
    }

    #[test]
    fn ndots_decides_whether_the_search_list_comes_first() {
        let conf = "nameserver 10.0.0.4\nsearch prod.svc.cluster.local cluster.local\noptions ndots:5\n";
        assert_eq!(
            candidates(conf, "orders.redis.azure.net"),
            [
                "orders.redis.azure.net.prod.svc.cluster.local. s",
                "orders.redis.azure.net.cluster.local. s",
                "orders.redis.azure.net."
            ]
        );
        assert_eq!(
            candidates("nameserver 10.0.0.4\nsearch corp.example\n", "orders.redis.azure.net"),
            ["orders.redis.azure.net.", "orders.redis.azure.net.corp.example. s"]
        );
    }

    #[test]
    fn three_servers_are_asked_as_the_c_library_would() {
        let conf = ResolvConf::parse(
            b"nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\noptions timeout:2 attempts:3\n",
        )
        .unwrap();
        assert_eq!(conf.servers.addresses.len(), 3);
        assert_eq!((conf.servers.patience, conf.servers.rounds), (Duration::from_secs(2), 3));
        assert!(ResolvConf::parse(b"# nothing here\n").is_err());
    }

    #[test]
    fn the_hosts_file_is_read_as_the_c_library_would() {
        let hosts = Hosts::parse(
            b"# pins\n10.0.0.9  Orders.Test orders # note\nfd00::9 orders.test\n10.0.0.9 orders.test\nnonsense x\n",
        );
        let addresses: Vec<_> =
            hosts.addresses("orders.TEST").unwrap().iter().map(|answer| answer.address.to_string()).collect();
        assert_eq!(addresses, ["10.0.0.9", "fd00::9"]);
        assert_eq!(hosts.addresses("x"), None);
    }
}
