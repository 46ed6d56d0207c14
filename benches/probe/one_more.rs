//! What one more cache costs beside memory and processor time: at the cache, on the wire, in the journal and the log.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use cachewatch::model::{Cache, SystemFiles};
use cachewatch::probe::Prober;
use rusqlite::{Connection, OpenFlags};
use rustix::process::Signal;
use tempfile::TempDir;
use testlab::PATIENCE;
use testlab::background::Background;
use testlab::program::Daemon;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime;

use super::cores::Cores;
use super::cost;
use super::footprint::{self, Watched};
use super::site::{self, Site};

/// How many probes are counted.
const COUNTED: u32 = 50;

/// What one probe is to the cache, as a relay before it and the server itself count it.
pub(crate) struct Wire {
    pub(crate) connections: f64,
    pub(crate) commands: f64,
    /// Bytes that TCP carries, TLS included, its own headers not.
    pub(crate) to_cache: f64,
    pub(crate) from_cache: f64,
    /// Of these, what the server answers to INFO.
    pub(crate) info: usize,
}

/// Counts what so many probes send and get.
pub(crate) fn wire(site: &Site, cores: &Cores) -> Wire {
    let relay = cores.start_servers(|| Relay::start(site.redis.address()));
    let prober = Prober::new(&SystemFiles::default());
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime needs few descriptors");
    let cache = Cache { port: relay.address.port(), ..cost::cache(site, &site.host(0), 1) };

    // To ask is a few commands as well.
    let asking = {
        let before = commands(site);
        commands(site) - before
    };
    let (commands_before, before) = (commands(site), site.count());
    let (mut to_cache, mut from_cache) = (0, 0);
    for _ in 0..COUNTED {
        runtime.block_on(cost::walk(&prober, &cache));
        let (to, from) = relay.ended.recv_timeout(PATIENCE).expect("a probe ends its connection");
        to_cache += to;
        from_cache += from;
    }
    let after = site.count();
    let commands = commands(site) - commands_before - 3 * asking;
    let connections = u64::try_from(after.redis_connections - before.redis_connections).expect("few connections");
    let each = |all: u64| f64::from(u32::try_from(all).expect("few bytes")) / f64::from(COUNTED);
    Wire {
        connections: each(connections),
        commands: each(commands),
        to_cache: each(to_cache),
        from_cache: each(from_cache),
        info: site.redis.command(&["INFO"]).len(),
    }
}

/// Commands the server has processed so far.
fn commands(site: &Site) -> u64 {
    let stats = site.redis.command(&["INFO", "stats"]);
    let count = stats.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
    count.and_then(|count| count.trim().parse().ok()).expect("Redis counts commands")
}

/// Passes bytes on, both ways, and counts them.
struct Relay {
    address: SocketAddr,
    /// Bytes to the server and from it, of each connection that has ended.
    ended: Receiver<(u64, u64)>,
    _service: Background,
}

impl Relay {
    fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let (sender, ended) = mpsc::channel();
        let service = Background::run("relay", async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("inside a runtime");
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, server, sender.clone()));
            }
        });
        Self { address, ended, _service: service }
    }
}

async fn relay(client: TcpStream, server: SocketAddr, ended: Sender<(u64, u64)>) {
    let server = TcpStream::connect(server).await.expect("the server runs");
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a connection can be made prompt");
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let counted = tokio::join!(pass(from_client, to_server), pass(from_server, to_client));
    // Who measured may be done.
    let _ = ended.send(counted);
}

/// Passes on until one side ends, and says how much it was.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> u64 {
    let (mut buffer, mut passed) = (vec![0; 1 << 14], 0);
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        passed += u64::try_from(length).expect("a buffer is small");
        if to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
    passed
}

/// What is written of what happens.
pub(crate) struct Written {
    pub(crate) events: u32,
    /// Bytes of the journal's table and its indexes, and of the log's lines as JSON, for each event.
    pub(crate) journal: f64,
    pub(crate) log: f64,
}

/// Caches whose names lead astray and back, so often: an address that changes, findings that open and clear.
const ASTRAY: usize = 50;
const TURNS: usize = 8;

/// Lets a daemon with a journal in a file see that, and reads afterwards what it has written.
pub(crate) fn written(site: &Site, cores: &Cores) -> Written {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("journal.db");
    let watched = Watched { caches: ASTRAY, resolvers: 1, interval: Duration::from_millis(500) };
    let configuration = format!(
        "{}[journal]\npath = \"{}\"\n",
        footprint::configuration(site, watched, "open_after = 1\nclear_after = 1\n"),
        path.display()
    );
    let mut daemon = cores.start_unpinned(|| Daemon::start(&configuration));
    let wait_for = |daemon: &Daemon, success: f64| {
        daemon.wait_until("a round of every cache", |daemon| {
            let scrape = daemon.scrape();
            let samples = scrape.all("cachewatch_probe_success", &[]);
            let all = samples.len() == ASTRAY && samples.iter().all(|sample| (sample.value - success).abs() < 0.5);
            all.then_some(())
        });
    };
    wait_for(&daemon, 1.0);
    for turn in 0..TURNS {
        let (address, success) =
            if turn.is_multiple_of(2) { (Ipv4Addr::new(127, 0, 0, 2), 0.0) } else { (Ipv4Addr::LOCALHOST, 1.0) };
        for number in 0..ASTRAY {
            site.dns.set(&site.host(number), site::answer(number, address));
        }
        wait_for(&daemon, success);
    }
    daemon.signal(Signal::TERM);
    daemon.wait();

    let journal =
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the daemon left a journal");
    let number = |query: &str| journal.query_row(query, [], |row| row.get(0)).expect("SQLite counts");
    let events: u32 = number("SELECT count(*) FROM events");
    let bytes: u32 = number(
        "SELECT sum(pgsize) FROM dbstat WHERE name IN (SELECT name FROM sqlite_schema WHERE tbl_name = 'events')",
    );
    let log = daemon.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("\"event\":")).collect();
    assert!(lines.len() >= usize::try_from(events).expect("few events"), "an event without a line: {log}");
    let logged: usize = lines.iter().map(|line| line.len() + 1).sum();
    let file = fs::metadata(&path).expect("the journal is a file").len();
    assert!(u64::from(bytes) < file, "{bytes} of {file}");
    Written {
        events,
        journal: f64::from(bytes) / f64::from(events),
        log: f64::from(u32::try_from(logged).expect("a short log")) / f64::from(events),
    }
}
