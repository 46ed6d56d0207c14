//! The machine's own way to an address: what an application's `getaddrinfo` does with its files and its name servers.
//!
//! What the C library would make of them is said by its model (`crate::libc`); here its questions are asked, and what came
//! is written down with the whole way.

use std::env;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::rr::Name;

use super::chain::CnameChain;
use super::cname::{Follower, addresses};
use super::exchange::{AskedQuestion, Patience, fetch};
use super::message::shown;
use crate::clock;
use crate::file::CachedFile;
use crate::libc::glibc::{self, GlibcConf};
use crate::libc::{GaiError, Lookup, NameFiles, Returned};
use crate::model::{
    Answer, ApplicationLookup, ApplicationWait, Fault, FaultKind, Libc, Outcome, Protocol, Query, RecordType,
    Resolution, Source, Stage, SystemFiles, WireText,
};
use crate::net::deadline::Deadline;

/// The host name of this machine, as the kernel has it.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// The most waits of a lookup that are told.
const MOST_WAITS: usize = 16;

/// The network interfaces, each a folder with its index.
const INTERFACES: &str = "/sys/class/net";

/// The resolver of this machine.
#[derive(Debug)]
pub(in crate::probe) struct System {
    resolv_conf: CachedFile<Vec<u8>>,
    hosts: CachedFile<Vec<u8>>,
    nsswitch: CachedFile<Vec<u8>>,
    host_conf: CachedFile<Vec<u8>>,
    host_name: String,
    res_options: Option<String>,
    local_domain: Option<String>,
}

impl System {
    pub(in crate::probe) fn new(files: &SystemFiles) -> Self {
        let whole = |path| CachedFile::new(path, <[u8]>::to_vec);
        Self {
            resolv_conf: whole(&files.resolv_conf),
            hosts: whole(&files.hosts),
            nsswitch: whole(&files.nsswitch),
            host_conf: whole(&files.host_conf),
            host_name: fs::read_to_string(HOST_NAME).unwrap_or_default().trim_end().to_owned(),
            res_options: env::var("RES_OPTIONS").ok(),
            local_domain: env::var("LOCALDOMAIN").ok(),
        }
    }

    /// Asks as an application would, and writes what came into `resolution`.
    pub(super) async fn resolve(&self, host: &str, deadline: Deadline, resolution: &mut Resolution) {
        self.ask(&self.files(), host, deadline, resolution).await;
    }

    /// Asks the name servers of resolv.conf, past the hosts file.
    pub(super) async fn ask_servers(&self, host: &str, deadline: Deadline, resolution: &mut Resolution) {
        let files = NameFiles { hosts: None, nsswitch: Some(b"hosts: dns\n".to_vec()), ..self.files() };
        self.ask(&files, host, deadline, resolution).await;
    }

    async fn ask(&self, files: &NameFiles, host: &str, deadline: Deadline, resolution: &mut Resolution) {
        let patience = patience(&GlibcConf::read(files), deadline);
        let (lookup, exchanges) = fetch(|replies| glibc::lookup(files, host, replies), patience).await;
        resolution.queries.extend(exchanges.iter().map(query));
        resolution.application = Some(application(&lookup));
        match &lookup.returned {
            Returned::Found { addresses, .. } => found(host, addresses, &exchanges, resolution),
            Returned::Failed(error) => {
                lost(host, Some(*error), &exchanges, resolution);
                self.blame_file(files, resolution);
            }
            Returned::Hangs => lost(host, None, &exchanges, resolution),
        }
    }

    /// Where no name server is named, the library asks this machine itself; where nothing answers there, the file is the cause.
    fn blame_file(&self, files: &NameFiles, resolution: &mut Resolution) {
        let names_one = |text: &Vec<u8>| text.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"nameserver"));
        let Some(fault) = &mut resolution.fault else { return };
        if fault.kind != FaultKind::ResolverUnreachable || files.resolv_conf.as_ref().is_some_and(names_one) {
            return;
        }
        let state = match self.resolv_conf.read(clock::instant()) {
            Ok(_) => "it names no name server".to_owned(),
            Err(error) => error.to_string(),
        };
        let path = self.resolv_conf.path().display();
        let words = format!("{path}: {state}; the C library then asks 127.0.0.1, where no name server answers");
        *fault = Fault::new(Stage::Resolve, FaultKind::NoResolver, words);
    }

    /// The name server at that position of resolv.conf, the first at 1.
    pub(super) fn listed(&self, position: usize) -> Result<SocketAddr, Fault> {
        let no_resolver = |words: String| Fault::new(Stage::Resolve, FaultKind::NoResolver, words);
        let path = self.resolv_conf.path().display();
        self.resolv_conf.read(clock::instant()).map_err(|error| no_resolver(format!("{path}: {error}")))?;
        let listed = GlibcConf::read(&self.files()).servers;
        position.checked_sub(1).and_then(|place| listed.get(place).copied()).ok_or_else(|| {
            let servers = if listed.len() == 1 { "server" } else { "servers" };
            let ordinal = ["first", "second", "third"].get(position.wrapping_sub(1)).unwrap_or(&"other");
            no_resolver(format!("{path} names {} name {servers}, and there is no {ordinal}", listed.len()))
        })
    }

    /// What an application would read now.
    fn files(&self) -> NameFiles {
        let now = clock::instant();
        // A file that cannot be read is as if it were not there; the C library goes on without it as well.
        let read = |file: &CachedFile<Vec<u8>>| file.read(now).ok().map(|bytes| bytes.as_ref().clone());
        let resolv_conf = read(&self.resolv_conf);
        let has_scope = resolv_conf.as_ref().is_some_and(|text| text.contains(&b'%'));
        NameFiles {
            resolv_conf,
            hosts: read(&self.hosts),
            nsswitch: read(&self.nsswitch),
            host_conf: read(&self.host_conf),
            interfaces: if has_scope { interfaces() } else { Vec::new() },
            host_name: self.host_name.clone(),
            res_options: self.res_options.clone(),
            local_domain: self.local_domain.clone(),
        }
    }
}

/// The network interfaces of this machine, each with its index.
fn interfaces() -> Vec<(String, u32)> {
    let Ok(entries) = fs::read_dir(INTERFACES) else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let index = fs::read_to_string(entry.path().join("ifindex")).ok()?.trim().parse().ok()?;
            Some((entry.file_name().to_str()?.to_owned(), index))
        })
        .collect()
}

/// How long is waited, so that every server has its turns before the deadline.
fn patience(conf: &GlibcConf, deadline: Deadline) -> Patience {
    let rounds = u32::try_from(conf.attempts).unwrap_or_default().clamp(1, 5);
    let servers = u32::try_from(conf.servers.len()).unwrap_or_default().max(1);
    let timeout = Duration::from_secs(u64::try_from(conf.timeout).unwrap_or_default().max(1));
    let remaining = deadline.remaining();
    Patience { turn: timeout.min(remaining / (servers * rounds)), grace: remaining / 2, deadline }
}

/// What an application gets, with the waits that it would notice.
fn application(lookup: &Lookup) -> ApplicationLookup {
    /// What is shorter is no wait to speak of.
    const NOTICED: Duration = Duration::from_millis(100);
    let long = lookup.waits.iter().filter(|wait| wait.waited >= NOTICED);
    let waits = long.map(|wait| ApplicationWait {
        server: wait.server,
        name: WireText::new(&wait.name),
        record_type: wait.record_type,
        waited: wait.waited,
        ended: WireText::new(&wait.ended),
    });
    ApplicationLookup {
        libc: Libc::Glibc,
        success: matches!(lookup.returned, Returned::Found { .. }),
        took: lookup.took,
        waits: waits.take(MOST_WAITS).collect(),
    }
}

/// One exchange as it is told.
fn query(exchange: &AskedQuestion) -> Query {
    let question = &exchange.question;
    Query {
        server: question.server,
        transport: if question.over_tcp { Protocol::Tcp } else { Protocol::Udp },
        name: WireText::new(&question.name),
        record_type: question.record_type,
        outcome: exchange.response.outcome,
        detail: exchange.response.detail.clone(),
        took: exchange.took,
    }
}

/// Writes down where these addresses were found: at the first name whose answers hold one of them, or in the hosts file.
fn found(host: &str, addresses: &[IpAddr], exchanges: &[AskedQuestion], resolution: &mut Resolution) {
    let holder = exchanges.iter().find_map(|exchange| {
        let chain = followed(&exchange.question.name, exchanges);
        chain.addresses.iter().any(|answer| addresses.contains(&answer.address)).then_some(chain)
    });
    let ttl_of = |address: &IpAddr| {
        let answers = holder.iter().flat_map(|chain| &chain.addresses);
        answers.filter(|answer| answer.address == *address).find_map(|answer| answer.ttl)
    };
    let mut taken: Vec<_> = addresses.iter().map(|address| Answer::new(*address, ttl_of(address))).collect();
    taken.sort_by_key(|answer| answer.address.is_ipv6());
    if let Some(chain) = holder {
        resolution.searched = !is_same(&chain.name, host);
        CnameChain { addresses: taken, ..chain }.write(resolution);
    } else {
        resolution.source = Source::HostsFile;
        resolution.addresses_dropped = taken.len().saturating_sub(Resolution::MOST_ADDRESSES);
        taken.truncate(Resolution::MOST_ADDRESSES);
        resolution.addresses = taken;
    }
}

/// Writes down why there is no address: of all names that were tried in vain, the one the operator wrote is the one to
/// speak of.
fn lost(host: &str, error: Option<GaiError>, exchanges: &[AskedQuestion], resolution: &mut Resolution) {
    let mut asked = exchanges.iter().map(|exchange| exchange.question.name.as_str());
    let name = asked.clone().find(|name| name.eq_ignore_ascii_case(host)).or(asked.next_back());
    let Some(name) = name else {
        let words = match error {
            Some(GaiError::NoName | GaiError::NoData) => format!("{host} is in no file, and no name server is asked"),
            _ => format!("the files of this machine let no name server be asked for {host}"),
        };
        resolution.fault = Some(Fault::new(Stage::Resolve, FaultKind::NoResolver, words));
        return;
    };
    let chain = followed(name, exchanges);
    // What stands in a message, and is not taken by the library.
    let refused: Vec<_> = chain.addresses.iter().map(|answer| answer.address.to_string()).collect();
    let outcome = chain.outcome;
    CnameChain { addresses: Vec::new(), ..chain }.write(resolution);
    if !refused.is_empty() {
        let words = format!(
            "an answer ({outcome}) for {name} holds {}, and the C library (glibc) takes no address from it",
            refused.join(", ")
        );
        resolution.fault = Some(Fault::new(Stage::Resolve, FaultKind::MalformedAnswer, words));
    }
}

fn is_same(name: &Name, host: &str) -> bool {
    shown(name).as_str().eq_ignore_ascii_case(host.trim_end_matches('.'))
}

/// What all answers for one name say together.
fn followed(name: &str, exchanges: &[AskedQuestion]) -> CnameChain {
    let of_name = exchanges.iter().filter(|exchange| exchange.question.name == name);
    let [v4, v6] = [RecordType::A, RecordType::Aaaa].map(|record_type| {
        let of_type = of_name.clone().filter(move |exchange| exchange.question.record_type == record_type);
        of_one_type(name, record_type, of_type)
    });
    super::cname::join(v4, v6)
}

/// What the best of the answers to one question says.
fn of_one_type<'a>(
    name: &str,
    record_type: RecordType,
    exchanges: impl Iterator<Item = &'a AskedQuestion>,
) -> CnameChain {
    let mut absolute = Name::from_ascii(name).unwrap_or_default();
    absolute.set_fqdn(true);
    let best = exchanges.max_by_key(|exchange| super::query::finality_of(exchange.response.outcome));
    let mut chain = CnameChain::nothing(absolute.clone());
    if let Some(exchange) = best {
        chain.outcome = exchange.response.outcome;
        chain.detail = exchange.response.detail.clone();
    }
    if let Some(message) = best.and_then(|exchange| exchange.response.message.as_ref()) {
        let mut follower = Follower::new(absolute);
        if let Err(words) = follower.follow(message, &mut chain.chain) {
            chain.outcome = Outcome::Malformed;
            chain.detail = WireText::new(&words);
            chain.looped = true;
        }
        chain.addresses = addresses(message, follower.at(), record_type);
        if chain.addresses.is_empty() && chain.outcome == Outcome::Answered {
            chain.outcome = Outcome::NoData;
        }
    }
    chain
}
