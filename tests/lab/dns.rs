//! Real name servers: nsd holds the zones, unbound asks for them.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, UdpSocket},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use cachewatch::clock::Stopwatch;
use tempfile::TempDir;
use testlab::PATIENCE;

pub(crate) use testlab::name_server::NameServer;

use crate::scenario::{Resolver, Zone};

/// Where the public tree is kept, from the root down: one of Azure DNS's own addresses.
pub(crate) const PUBLIC: Ipv4Addr = Ipv4Addr::new(40, 90, 4, 1);
/// Where the private zones are kept. Azure shows no such address; its resolver knows the zones by itself.
pub(crate) const PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 255, 255, 53);

/// A server of zones.
#[derive(Debug)]
pub(crate) struct Zones {
    server: NameServer,
    address: Ipv4Addr,
    /// How often its zones were written; their serial number tells the versions apart.
    version: u32,
}

impl Zones {
    /// Serves other records of the same zones from now on, without a moment of silence.
    pub(crate) fn rewrite(&mut self, zones: &BTreeMap<String, Zone>) {
        self.version += 1;
        for (name, records) in zones {
            write_zone(self.server.directory(), self.version, name, &records_of(records));
        }
        self.server.reload_zones();
        for zone in zones.keys() {
            let watch = Stopwatch::start();
            while !serves(self.address, zone, self.version) {
                assert!(watch.elapsed() < PATIENCE, "nsd never serves {zone} anew");
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// Serves these zones from one address, and no others. `with_root` adds a root that delegates them.
#[track_caller]
pub(crate) fn authority(address: Ipv4Addr, zones: &BTreeMap<String, Zone>, with_root: bool) -> Zones {
    let directory = TempDir::new().expect("a temporary directory");
    let home = directory.path().display();
    let mut configuration = format!(
        "server:\n ip-address: {address}\n server-count: 1\n username: \"\"\n zonesdir: \"{home}\"\n database: \"\"\n \
         zonelistfile: \"{home}/zones\"\n xfrdfile: \"{home}/transfers\"\n xfrdir: \"{home}\"\n pidfile: \"\"\n\
         remote-control:\n control-enable: no\n"
    );
    let mut add = |name: &str, records: &str| {
        let file = write_zone(directory.path(), 0, name, records);
        let _ = writeln!(configuration, "zone:\n name: \"{name}\"\n zonefile: \"{file}\"");
    };
    for (name, records) in zones {
        add(name, &records_of(records));
    }
    if with_root {
        let mut text = format!("ns.lab. A {address}\n");
        for zone in zones.keys() {
            let _ = writeln!(text, "{zone}. NS ns.lab.");
        }
        add(".", &text);
    }
    let file = write(directory.path(), "nsd.conf", &configuration);
    Zones { server: NameServer::nsd(&file, directory), address, version: 0 }
}

/// Starts a resolver as it is described.
#[track_caller]
pub(crate) fn resolver(spec: &Resolver) -> NameServer {
    let directory = TempDir::new().expect("a temporary directory");
    write(directory.path(), "root", &format!(". 3600 NS ns.lab.\nns.lab. 3600 A {PUBLIC}\n"));
    let file = write(directory.path(), "unbound.conf", &resolver_configuration(directory.path(), spec));
    NameServer::unbound(&file, directory)
}

/// Lets a resolver go on as this other description says; it has forgotten what it knew.
pub(crate) fn reconfigure(server: &NameServer, spec: &Resolver) {
    write(server.directory(), "unbound.conf", &resolver_configuration(server.directory(), spec));
    server.reconfigure();
}

fn resolver_configuration(directory: &Path, spec: &Resolver) -> String {
    let home = directory.display();
    let address = spec.address;
    // An upstream that does not answer is given up soon, so that there is a SERVFAIL to see before a probe's deadline.
    let mut configuration = format!(
        "server:\n username: \"\"\n chroot: \"\"\n directory: \"{home}\"\n pidfile: \"\"\n use-syslog: no\n verbosity: 1\n \
         module-config: \"iterator\"\n num-threads: 1\n do-ip6: no\n interface: {address}\n root-hints: \"root\"\n \
         unknown-server-time-limit: 400\n infra-cache-max-rtt: 800\n outbound-msg-retry: 2\n"
    );
    if !spec.options.iter().any(|option| option.starts_with("access-control:")) {
        configuration += " access-control: 0.0.0.0/0 allow\n";
    }
    for option in &spec.options {
        let _ = writeln!(configuration, " {option}");
    }
    configuration += "remote-control:\n control-enable: no\n";
    for zone in &spec.links {
        let _ = writeln!(configuration, "stub-zone:\n name: \"{zone}\"\n stub-addr: {PRIVATE}");
    }
    for (zone, servers) in &spec.forwards {
        let _ = writeln!(configuration, "forward-zone:\n name: \"{zone}\"");
        for server in servers {
            let _ = writeln!(configuration, " forward-addr: {server}");
        }
    }
    configuration
}

/// The records of a zone, a line each.
fn records_of(zone: &Zone) -> String {
    let mut text = String::new();
    for (owner, data) in zone.iter().flat_map(|(owner, data)| data.iter().map(move |data| (owner, data))) {
        let _ = writeln!(text, "{owner} {data}");
    }
    text
}

/// Writes one version of a zone; the name of its file.
fn write_zone(directory: &Path, version: u32, name: &str, records: &str) -> String {
    let file = format!("{}zone", name.trim_end_matches('.'));
    let serial = serial(version);
    let text = format!("$TTL 60\n@ SOA ns.lab. hostmaster.lab. {serial} 3600 600 86400 10\n@ NS ns.lab.\n{records}");
    write(directory, &file, &text);
    file
}

/// The serial number of a version: four bytes that stand nowhere else in an answer.
fn serial(version: u32) -> u32 {
    0x7e57_0000 + version
}

/// Whether the server at `address` gives this version of the zone.
fn serves(address: Ipv4Addr, zone: &str, version: u32) -> bool {
    let mut question = vec![0x7e, 0x57, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in zone.split('.').filter(|label| !label.is_empty()) {
        question.push(u8::try_from(label.len()).expect("a label has at most 63 letters"));
        question.extend(label.bytes());
    }
    // The root; type SOA, class IN.
    question.extend([0, 0, 6, 0, 1]);
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("the limit is not zero");
    socket.send_to(&question, (address, 53)).expect("a datagram can be sent");
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).unwrap_or(0);
    answer[..length].windows(4).any(|four| four == serial(version).to_be_bytes())
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let file = directory.join(name);
    fs::write(&file, text).expect("a temporary directory can be written to");
    file
}
