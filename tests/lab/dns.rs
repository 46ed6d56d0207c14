//! Real name servers: nsd holds the zones, unbound asks for them.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, UdpSocket},
    path::{Path, PathBuf},
    process::{self, Command},
    sync::OnceLock,
    thread,
    time::Duration,
};

use cachewatch::clock::Stopwatch;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    scenario::{Resolver, Zone},
    support::{
        PATIENCE,
        process::{Process, Unsaid},
    },
};

/// Where the public tree is kept, from the root down: one of Azure DNS's own addresses.
pub(crate) const PUBLIC: Ipv4Addr = Ipv4Addr::new(40, 90, 4, 1);
/// Where the private zones are kept. Azure shows no such address; its resolver knows the zones by itself.
pub(crate) const PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 255, 255, 53);

/// A name server in processes of its own. Dropping it ends them, and waits until their sockets are free.
#[derive(Debug)]
pub(crate) struct NameServer {
    process: Process,
    directory: TempDir,
    /// How often its zones were written; their serial number tells the versions apart.
    version: u32,
}

impl NameServer {
    /// The first process of the process namespace it stands in, if it stands in one.
    fn inside(&self) -> Vec<Pid> {
        let pid = self.process.pid();
        let inside = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        inside.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
    }

    /// Serves other records of the same zones from now on, without a moment of silence.
    pub(crate) fn rewrite(&mut self, address: Ipv4Addr, zones: &BTreeMap<String, Zone>) {
        self.version += 1;
        for (name, records) in zones {
            write_zone(&self.directory, self.version, name, &records_of(records));
        }
        for first in self.inside() {
            kill_process(first, Signal::HUP).expect("it runs");
        }
        for zone in zones.keys() {
            let watch = Stopwatch::start();
            while !serves(address, zone, self.version) {
                assert!(watch.elapsed() < PATIENCE, "nsd never serves {zone} anew: {:?}", self.process.transcript());
                thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// Resolves as this other description says from now on, and has forgotten what it knew.
    pub(crate) fn reconfigure(&mut self, spec: &Resolver) {
        write(&self.directory, "unbound.conf", &resolver_configuration(&self.directory, spec));
        let mark = self.process.transcript().mark();
        self.process.signal(Signal::HUP);
        let again = |line: &str| line.contains("start of service").then_some(());
        if let Err(unsaid) = self.process.transcript().wait_from(mark, PATIENCE, again) {
            panic!("unbound does not take its new configuration: {unsaid:?}");
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        // Where it stands in a process namespace, `unshare` ends when the first process inside has ended, which outlives
        // all others there. Killing `unshare` itself would leave them to die unwatched, with their sockets open.
        let inside = self.inside();
        for first in &inside {
            // It has not been waited for, so the number is still its own.
            let _ = kill_process(*first, Signal::KILL);
        }
        if !inside.is_empty() {
            let _ = self.process.wait(PATIENCE);
        }
    }
}

/// Serves these zones from one address, and no others. `with_root` adds a root that delegates them.
#[track_caller]
pub(crate) fn authority(address: Ipv4Addr, zones: &BTreeMap<String, Zone>, with_root: bool) -> NameServer {
    let directory = TempDir::new().expect("a temporary directory");
    let home = directory.path().display();
    let mut configuration = format!(
        "server:\n ip-address: {address}\n server-count: 1\n username: \"\"\n zonesdir: \"{home}\"\n database: \"\"\n \
         zonelistfile: \"{home}/zones\"\n xfrdfile: \"{home}/transfers\"\n xfrdir: \"{home}\"\n pidfile: \"\"\n\
         remote-control:\n control-enable: no\n"
    );
    let mut add = |name: &str, records: &str| {
        let file = write_zone(&directory, 0, name, records);
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
    let file = write(&directory, "nsd.conf", &configuration);
    // nsd is several processes; in a process namespace of their own they end together.
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "nsd", "-d", "-c"]).arg(&file);
    started(command, "nsd", "nsd started", directory)
}

/// Starts a resolver as it is described.
#[track_caller]
pub(crate) fn resolver(spec: &Resolver) -> NameServer {
    let directory = TempDir::new().expect("a temporary directory");
    write(&directory, "root", &format!(". 3600 NS ns.lab.\nns.lab. 3600 A {PUBLIC}\n"));
    let file = write(&directory, "unbound.conf", &resolver_configuration(&directory, spec));
    let mut command = Command::new(unbound());
    command.args(["-d", "-c"]).arg(file);
    started(command, "unbound", "start of service", directory)
}

fn resolver_configuration(directory: &TempDir, spec: &Resolver) -> String {
    let home = directory.path().display();
    let address = spec.address;
    // An upstream that does not answer is given up soon, so that there is a SERVFAIL to see before a probe's deadline.
    let mut configuration = format!(
        "server:\n username: \"\"\n chroot: \"\"\n directory: \"{home}\"\n pidfile: \"\"\n use-syslog: no\n verbosity: 1\n \
         module-config: \"iterator\"\n num-threads: 1\n do-ip6: no\n interface: {address}\n root-hints: \"root\"\n \
         unknown-server-time-limit: 200\n infra-cache-max-rtt: 400\n outbound-msg-retry: 2\n"
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
fn write_zone(directory: &TempDir, version: u32, name: &str, records: &str) -> String {
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

fn write(directory: &TempDir, name: &str, text: &str) -> PathBuf {
    let file = directory.path().join(name);
    fs::write(&file, text).expect("a temporary directory can be written to");
    file
}

/// Debian confines /usr/sbin/unbound to its own configuration, by its path; a copy is free to read ours.
fn unbound() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut places = env::split_paths(&path).chain(["/usr/sbin".into()]).map(|folder| folder.join("unbound"));
        let installed = places.find(|file| file.is_file());
        let installed = installed.unwrap_or_else(|| panic!("no unbound; run: apt-get install -y unbound"));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (draft, copy) = (folder.join(format!("unbound-{}", process::id())), folder.join("unbound"));
        fs::copy(installed, &draft).expect("a program can be copied");
        fs::rename(draft, &copy).expect("both are in one folder");
        copy
    })
}

/// Waits until the server serves.
#[track_caller]
fn started(mut command: Command, package: &str, words: &str, directory: TempDir) -> NameServer {
    let process = Process::spawn(&mut command, package);
    match process.transcript().wait_for(PATIENCE, |line| line.contains(words).then_some(())) {
        Ok(()) => NameServer { process, directory, version: 0 },
        Err(Unsaid::Ended(output) | Unsaid::Overdue(output)) => panic!("{package} does not serve:\n{output}"),
    }
}
