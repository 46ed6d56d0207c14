//! A world made real, and changed while it stands.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{ErrorKind, Read as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    thread,
    time::Duration,
};

use cachewatch::clock::Stopwatch;
use tempfile::TempDir;
use testlab::{
    PATIENCE,
    net::Namespace,
    peer::{OpensslServer, Peer, Replies, Step as PeerStep},
    pki::{Authority, Leaf},
    redis::RedisServer,
    resp::bulk,
};
use toml::{Table, Value};

use crate::{
    dns::{self, NameServer, Zones},
    scenario::{Certificate, Connections, Issuer, Redis, Server, Step, Validity, World},
};

const DAY: Duration = Duration::from_hours(24);

/// What is described, in a network of its own. Dropping it ends everything in it.
#[derive(Debug)]
pub(crate) struct Real {
    pub(crate) network: Namespace,
    world: World,
    addresses: BTreeSet<IpAddr>,
    authorities: BTreeMap<Ipv4Addr, Zones>,
    resolvers: BTreeMap<String, NameServer>,
    servers: BTreeMap<String, Running>,
    connections: Vec<TcpStream>,
    trusted: Authority,
    foreign: Authority,
    files: TempDir,
}

/// A server that runs, with what must live as long.
#[derive(Debug)]
struct Running {
    redis: Option<RedisServer>,
    peers: Vec<Peer>,
    openssl: Option<OpensslServer>,
    clients: Vec<UnixStream>,
    leaf: Option<Leaf>,
}

impl Real {
    /// Builds the world from nothing.
    pub(crate) fn new(world: &World) -> Self {
        let mut real = Self {
            network: Namespace::new(),
            world: world.clone(),
            addresses: BTreeSet::new(),
            authorities: BTreeMap::new(),
            resolvers: BTreeMap::new(),
            servers: BTreeMap::new(),
            connections: Vec::new(),
            trusted: Authority::new(),
            foreign: Authority::new(),
            files: TempDir::new().expect("a temporary directory"),
        };
        real.settle(None);
        real
    }

    /// Makes another world of it. What is the same in both goes on undisturbed.
    pub(crate) fn change(&mut self, world: &World) {
        let before = std::mem::replace(&mut self.world, world.clone());
        self.settle(Some(&before));
    }

    /// The configuration file of the world's caches.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.file("cachewatch.toml")
    }

    /// The processes of its resolvers and servers.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let servers = self.servers.values().filter_map(|running| running.redis.as_ref()).map(RedisServer::pid);
        self.resolvers.values().map(NameServer::pid).chain(servers).collect()
    }

    fn settle(&mut self, before: Option<&World>) {
        let world = self.world.clone();
        self.add_addresses(&world);
        for (key, value) in &world.sysctl {
            let file = format!("/proc/sys/{}", key.replace('.', "/"));
            self.network.run(|| fs::write(&file, value).unwrap_or_else(|error| panic!("{file}: {error}")));
        }
        self.write_files(&world);
        self.settle_names(before, &world);
        let same = |name: &String| before.is_some_and(|before| before.servers.get(name) == world.servers.get(name));
        self.servers.retain(|name, _| same(name));
        for (name, server) in &world.servers {
            if !self.servers.contains_key(name) {
                let running = self.network.run(|| self.serve(server));
                self.servers.insert(name.clone(), running);
            }
        }
        self.connections.clear();
        for connections in &world.connections {
            let streams = self.network.run(|| connect(connections));
            self.connections.extend(streams);
        }
        if before.map_or("", |before| &before.filter) != world.filter {
            self.network.filter(&world.filter);
        }
    }

    /// The zones first, and then who asks for them. What stands already is changed where it stands: nobody who asks
    /// meanwhile is met by silence.
    fn settle_names(&mut self, before: Option<&World>, world: &World) {
        let zones = |world: &World| [(dns::PUBLIC, world.public.clone()), (dns::PRIVATE, world.private.clone())];
        let mut is_changed = false;
        let Self { network, authorities, resolvers, .. } = self;
        for (place, (address, now)) in zones(world).into_iter().enumerate() {
            let then = before.map(|before| zones(before)[place].1.clone()).unwrap_or_default();
            if now == then {
                continue;
            }
            is_changed = true;
            match authorities.get_mut(&address) {
                Some(server) if now.keys().eq(then.keys()) => network.run(|| server.rewrite(&now)),
                _ => {
                    authorities.remove(&address);
                    let server = network.run(|| dns::authority(address, &now, address == dns::PUBLIC));
                    authorities.insert(address, server);
                }
            }
        }
        resolvers.retain(|name, _| world.resolvers.contains_key(name));
        for (name, spec) in &world.resolvers {
            let then = before.and_then(|before| before.resolvers.get(name));
            match resolvers.get(name) {
                Some(server) if then.is_some_and(|then| then.address == spec.address) => {
                    // What it remembers would be of the old world.
                    if is_changed || then != Some(spec) {
                        network.run(|| dns::reconfigure(server, spec));
                    }
                }
                _ => {
                    resolvers.remove(name);
                    let server = network.run(|| dns::resolver(spec));
                    resolvers.insert(name.clone(), server);
                }
            }
        }
    }

    fn add_addresses(&mut self, world: &World) {
        let mut wanted: BTreeSet<IpAddr> = world.addresses.iter().copied().collect();
        wanted.extend([dns::PUBLIC, dns::PRIVATE].map(IpAddr::from));
        wanted.extend(world.resolvers.values().map(|resolver| resolver.address));
        for server in world.servers.values() {
            match server {
                Server::Redis(Redis { at, .. }) | Server::Scripted { at, .. } => {
                    wanted.extend(at.iter().map(SocketAddr::ip));
                }
                Server::Openssl { at, .. } => wanted.extend([at.ip()]),
            }
        }
        for address in wanted {
            if self.addresses.insert(address) {
                self.network.add_address(address);
            }
        }
    }

    fn write_files(&self, world: &World) {
        let write = |name: &str, text: &str| {
            fs::write(self.file(name), text).expect("a temporary directory can be written to");
        };
        fs::copy(self.trusted.ca_file(), self.file("ca.pem")).expect("a file can be copied");
        write("resolv.conf", &world.resolv_conf);
        write("hosts", &world.hosts);
        for (name, text) in &world.files {
            write(name, text);
        }
        let caches = world.caches.iter().map(|(name, cache)| {
            let mut cache = cache.clone();
            cache.insert("name".to_owned(), name.clone().into());
            Value::Table(cache)
        });
        let mut configuration = world.settings.clone();
        configuration.insert("caches".to_owned(), Value::Array(caches.collect()));
        let files = self.files.path().to_string_lossy();
        write("cachewatch.toml", &toml_text(&configuration).replace("{files}", &files));
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn serve(&self, server: &Server) -> Running {
        let mut running = Running { redis: None, peers: vec![], openssl: None, clients: vec![], leaf: None };
        match server {
            Server::Redis(spec) => {
                running.leaf = spec.certificate.as_ref().map(|certificate| self.leaf(certificate));
                let (redis, clients) = redis(spec, running.leaf.as_ref());
                (running.redis, running.clients) = (Some(redis), clients);
            }
            Server::Openssl { at, certificate, arguments } => {
                let leaf = self.leaf(certificate);
                let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
                running.openssl = Some(OpensslServer::start_at(*at, &leaf, &arguments));
                running.leaf = Some(leaf);
            }
            Server::Scripted { at, certificate, steps } => {
                running.leaf = certificate.as_ref().map(|certificate| self.leaf(certificate));
                let steps: Vec<_> = steps.iter().map(step).collect();
                let start = |address| Peer::start_at(address, running.leaf.as_ref().map(Leaf::server), steps.clone());
                running.peers = at.iter().copied().map(start).collect();
            }
        }
        running
    }

    fn leaf(&self, spec: &Certificate) -> Leaf {
        let names: Vec<_> = spec.names.iter().map(String::as_str).collect();
        let authority = match spec.issuer {
            Issuer::Trusted => &self.trusted,
            Issuer::Foreign => &self.foreign,
            Issuer::Nobody => return Leaf::self_signed(&names),
        };
        match spec.validity {
            Validity::Year => authority.leaf(&names),
            Validity::Expired => authority.expired(&names),
            Validity::NotYet => authority.not_yet_valid(&names),
            // And half a day, so that the number holds for as long as the scenario runs.
            Validity::DaysLeft(days) => authority.valid_for(&names, DAY * u32::try_from(days).unwrap() + DAY / 2),
        }
    }
}

/// The table as a file holds it.
fn toml_text(table: &Table) -> String {
    toml::to_string(table).expect("a table that was read can be written")
}

fn redis(spec: &Redis, leaf: Option<&Leaf>) -> (RedisServer, Vec<UnixStream>) {
    let mut builder = RedisServer::builder().port(spec.at[0].port());
    for address in &spec.at {
        assert_eq!(address.port(), spec.at[0].port(), "a redis-server has one port for all addresses");
        builder = builder.bind(address.ip());
    }
    if let Some(leaf) = leaf {
        builder = builder.tls(leaf);
    }
    if let Some(password) = &spec.password {
        builder = builder.password(password);
    }
    let server = spec.directives.iter().fold(builder, |builder, line| builder.directive(line)).start();
    for command in &spec.commands {
        let reply = server.command(&words(command));
        assert!(!reply.starts_with('-'), "{command:?}: {reply}");
    }
    let mut clients: Vec<_> = (0..spec.clients).map(|_| server.client()).collect();
    if let Some(occupied) = &spec.occupied {
        clients.push(server.begin(&words(&occupied.by)));
        let watch = Stopwatch::start();
        // The server does not announce it: it must be asked again.
        while !server.command(&["PING"]).starts_with(&occupied.until_ping_says) {
            assert!(watch.elapsed() < PATIENCE, "PING never says {}", occupied.until_ping_says);
            thread::sleep(Duration::from_millis(20));
        }
    }
    if spec.frozen {
        server.pause();
    }
    (server, clients)
}

/// Connects so many times; those that are only passing are gone, and their places free, when this returns.
fn connect(connections: &Connections) -> Vec<TcpStream> {
    // So long must a server be silent to have room, on a busy machine as well.
    const SILENCE: Duration = Duration::from_secs(1);
    let dial = || TcpStream::connect(connections.to).unwrap_or_else(|error| panic!("{}: {error}", connections.to));
    // A server without room hangs up; one that has room waits for the client to speak.
    let is_turned_away_within = |limit: Duration, mut stream: &TcpStream| {
        stream.set_read_timeout(Some(limit)).expect("the limit is not zero");
        let heard = stream.read(&mut [0; 64]).map_err(|error| error.kind());
        !matches!(heard, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut))
    };
    let streams: Vec<_> = (0..connections.count).map(|_| dial()).collect();
    if !connections.passing {
        return streams;
    }
    assert!(
        streams.last().is_some_and(|last| is_turned_away_within(PATIENCE, last)),
        "{connections:?} are not too many"
    );
    drop(streams);
    let watch = Stopwatch::start();
    while is_turned_away_within(SILENCE, &dial()) {
        assert!(watch.elapsed() < PATIENCE, "{connections:?} are never gone");
    }
    vec![]
}

fn words(command: &[String]) -> Vec<&str> {
    command.iter().map(String::as_str).collect()
}

fn step(step: &Step) -> PeerStep {
    match step {
        Step::Hear => PeerStep::Hear,
        Step::Command => PeerStep::Command,
        Step::Say(text) => PeerStep::say(text),
        Step::Alert(number) => PeerStep::say([0x15, 3, 3, 0, 2, 2, *number]),
        Step::Drip(text, pause) => {
            PeerStep::Drip { bytes: text.clone().into_bytes(), every: Duration::from_millis(*pause) }
        }
        Step::Hold => PeerStep::Hold,
        Step::Reset => PeerStep::Reset,
        Step::Serve(replies) => {
            let reply = |command: &str, text: &str| if command == "INFO" { bulk(text) } else { text.into() };
            let serve = |all: Replies, (command, text): (&String, &String)| all.on(command, reply(command, text));
            PeerStep::Serve(replies.iter().fold(Replies::redis(), serve))
        }
    }
}
