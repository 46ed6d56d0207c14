//! Peers that are not what a client hopes for: each connection walks through the same few steps.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    PATIENCE,
    background::Background,
    pki::Leaf,
    process::{Process, Unsaid},
    resp::{bulk, read_command},
};

/// No connection outlives this, and no more than this many are open at once: a fixture must not eat the machine.
const LONGEST: Duration = Duration::from_mins(2);
const MOST: usize = 256;

/// One step of a conversation. After the last, the connection is closed in order.
#[derive(Debug, Clone)]
pub enum Step {
    /// Waits until the client has said something, and takes all that has come by then.
    Hear,
    /// Waits for one command, and leaves what came behind it to the next step.
    Command,
    /// Sends these bytes.
    Say(Vec<u8>),
    /// One byte at a time.
    Drip {
        /// What is sent, a byte at a time.
        bytes: Vec<u8>,
        /// The time from one byte to the next.
        every: Duration,
    },
    /// The same bytes again and again, this many times or until the client hangs up.
    Repeat {
        /// What is sent each time.
        bytes: Vec<u8>,
        /// How many times.
        times: usize,
    },
    /// Reads and never answers, until the client hangs up.
    Hold,
    /// Answers each command, until the client hangs up.
    Serve(Replies),
    /// Breaks the connection with RST.
    Reset,
}

impl Step {
    /// Sends these bytes or this text.
    pub fn say(bytes: impl AsRef<[u8]>) -> Self {
        Self::Say(bytes.as_ref().to_vec())
    }
}

/// What each command is answered with, as raw bytes.
#[derive(Debug, Clone)]
pub struct Replies {
    by_command: HashMap<String, Vec<u8>>,
    otherwise: Vec<u8>,
}

impl Replies {
    /// A small, healthy Redis: it greets, answers PING and INFO, and takes any password.
    pub fn redis() -> Self {
        let info = "# Server\r\nredis_version:7.4.0\r\nredis_mode:standalone\r\n# Clients\r\nconnected_clients:3\r\n\
                    maxclients:1000\r\n# Stats\r\nrejected_connections:0\r\n# Replication\r\nrole:master\r\n";
        Self::always("-ERR unknown command\r\n")
            .on("PING", "+PONG\r\n")
            .on("AUTH", "+OK\r\n")
            .on("CLIENT", "+OK\r\n")
            .on("INFO", bulk(info))
    }

    /// The same to everything, as a server does that is loading, busy, or wants a password first.
    pub fn always(reply: impl AsRef<[u8]>) -> Self {
        Self { by_command: HashMap::new(), otherwise: reply.as_ref().to_vec() }
    }

    /// To one command, named by its first word or its first two: `INFO`, `CONFIG GET`.
    pub fn on(mut self, command: &str, reply: impl AsRef<[u8]>) -> Self {
        self.by_command.insert(command.to_ascii_uppercase(), reply.as_ref().to_vec());
        self
    }

    fn to(&self, words: &[String]) -> &[u8] {
        let name = |count: usize| words.iter().take(count).map(|word| word.to_ascii_uppercase()).collect::<Vec<_>>();
        let reply = [2, 1].into_iter().find_map(|count| self.by_command.get(&name(count).join(" ")));
        reply.unwrap_or(&self.otherwise)
    }
}

/// Error replies as Redis words them.
pub mod reply {
    /// A script runs for too long.
    pub const BUSY: &str =
        "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n";
    /// The server reads its file.
    pub const LOADING: &str = "-LOADING Redis is loading the dataset in memory\r\n";
    /// A replica without its primary.
    pub const MASTERDOWN: &str =
        "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n";
    /// Redis counts as many clients as it may have.
    pub const MAX_CLIENTS: &str = "-ERR max number of clients reached\r\n";
    /// A command came before AUTH.
    pub const NOAUTH: &str = "-NOAUTH Authentication required.\r\n";
    /// The user may not do this.
    pub const NOPERM: &str = "-NOPERM this user has no permissions to run the 'info' command\r\n";
    /// A wrong password, or a user that is off.
    pub const WRONGPASS: &str = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
}

/// TLS alerts as bare records, from a peer that never gets as far as a certificate.
pub mod alert {
    /// Alert 40: there is no cipher in common, say.
    pub const HANDSHAKE_FAILURE: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 40];
    /// Alert 70: there is no version in common.
    pub const PROTOCOL_VERSION: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 70];
}

/// Peers no client should hang on, grow on or fall over, each with a name for the test's message. Meant for a plain
/// port and, after a handshake, for a TLS port alike.
pub fn hostile() -> Vec<(&'static str, Vec<Step>)> {
    const MIB: usize = 1 << 20;
    let answer = |bytes: Vec<u8>| vec![Step::Hear, Step::Say(bytes), Step::Hold];
    vec![
        ("closes at once", vec![]),
        ("closes when spoken to", vec![Step::Hear]),
        ("resets at once", vec![Step::Reset]),
        ("resets when spoken to", vec![Step::Hear, Step::Reset]),
        ("never answers", vec![Step::Hold]),
        ("one byte a second", vec![Step::Hear, Step::Drip { bytes: vec![b'+'; 100], every: Duration::from_secs(1) }]),
        (
            "endless bulk string",
            vec![
                Step::Hear,
                Step::say("$9223372036854775807\r\n"),
                Step::Repeat { bytes: vec![b'x'; MIB], times: 256 },
            ],
        ),
        ("endless line", vec![Step::Hear, Step::say("+"), Step::Repeat { bytes: vec![b'x'; MIB], times: 256 }]),
        ("a promise of a huge bulk string", answer(b"$9223372036854775807\r\n".to_vec())),
        ("a promise of a huge array", answer(b"*2147483647\r\n".to_vec())),
        ("deep nesting", answer(b"*1\r\n".repeat(100_000))),
        ("half a reply, then the end", vec![Step::Hear, Step::say("$4\r\nPO")]),
        ("half a reply, then nothing", answer(b"$4\r\nPO".to_vec())),
        ("a million values in one", answer(million_values())),
        ("a million values in INFO", vec![Step::Serve(Replies::redis().on("INFO", million_values()))]),
        (
            "a promise of a large INFO",
            vec![Step::Serve(Replies::redis().on("INFO", ["$131072\r\n", &"x".repeat(131_000)].concat()))],
        ),
        ("INFO that is no text", vec![Step::Serve(Replies::redis().on("INFO", no_text()))]),
        (
            "a reply before it is asked",
            vec![Step::say("+OK\r\n"), Step::Hear, Step::say("+PONG\r\n"), Step::Hear, Step::Hold],
        ),
        ("two replies to one command", answer(b"+PONG\r\n+PONG\r\n".to_vec())),
        ("two errors to one command", answer(b"-NOPERM no\r\n-NOPERM no\r\n".to_vec())),
        ("a push", vec![Step::say(">2\r\n+message\r\n+x\r\n"), Step::Hear, Step::say("+PONG\r\n"), Step::Hold]),
        ("an error first", vec![Step::say(reply::MAX_CLIENTS), Step::Hear]),
        ("garbage", answer((0..=255).collect())),
        ("an HTTP server", vec![Step::Hear, Step::say("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")]),
        ("2 MiB of INFO", vec![Step::Serve(Replies::redis().on("INFO", bulk(&"x:1\r\n".repeat(2 * MIB / 5))))]),
    ]
}

/// What made a parser of values grow most for its bytes: a count that is never met, and maps in maps that hold nothing.
fn million_values() -> Vec<u8> {
    let one = ["%1\r\n".repeat(96), "_\r\n".repeat(97)].concat();
    ["*1000000000\r\n", &one.repeat((1 << 20) / one.len())].concat().into_bytes()
}

/// A string of bytes that are no text, each of which grows when it is made one.
fn no_text() -> Vec<u8> {
    [b"$131072\r\n".to_vec(), vec![0xff; 131_072], b"\r\n".to_vec()].concat()
}

/// A listening peer. Dropping it closes every connection.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    record: Arc<Record>,
    _service: Background,
}

#[derive(Debug, Default)]
struct Record {
    connections: AtomicUsize,
    commands: Mutex<Vec<Vec<String>>>,
    heard: Mutex<Vec<u8>>,
}

impl Peer {
    /// Plain TCP on a free port of 127.0.0.1. A client that begins TLS here meets the steps instead of a handshake.
    pub fn plain(steps: impl Into<Vec<Step>>) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0), None, steps)
    }

    /// TLS on a free port of 127.0.0.1; the steps come after the handshake.
    pub fn tls(server: Arc<ServerConfig>, steps: impl Into<Vec<Step>>) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0), Some(server), steps)
    }

    /// At this very address, with TLS or without.
    #[track_caller]
    pub fn start_at(
        address: impl Into<SocketAddr>,
        tls: Option<Arc<ServerConfig>>,
        steps: impl Into<Vec<Step>>,
    ) -> Self {
        let address = address.into();
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("cannot listen on {address}: {error}"));
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let address = listener.local_addr().expect("a bound socket has an address");
        let record = Arc::<Record>::default();
        let service = accept(listener, tls, steps.into().into(), Arc::clone(&record));
        Self { address, record, _service: Background::run("peer", service) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.record.connections.load(Ordering::SeqCst)
    }

    /// Everything that [`Step::Hear`] and [`Step::Hold`] were told, over all connections.
    pub fn heard(&self) -> Vec<u8> {
        self.record.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every command that [`Step::Serve`] was asked, as words, over all connections.
    pub fn commands(&self) -> Vec<Vec<String>> {
        self.record.commands.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn accept(listener: TcpListener, tls: Option<Arc<ServerConfig>>, steps: Arc<[Step]>, record: Arc<Record>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("inside a runtime");
    let room = Arc::new(Semaphore::new(MOST));
    loop {
        let place = Arc::clone(&room).acquire_owned().await.expect("the semaphore is never closed");
        let Ok((stream, _)) = listener.accept().await else { return };
        record.connections.fetch_add(1, Ordering::SeqCst);
        let (tls, steps, record) = (tls.clone(), Arc::clone(&steps), Arc::clone(&record));
        tokio::spawn(async move {
            // What goes wrong on a connection is the client's story to tell.
            let _ = timeout(LONGEST, async {
                match tls {
                    None => converse(stream, &steps, &record).await,
                    Some(server) => converse(TlsAcceptor::from(server).accept(stream).await?, &steps, &record).await,
                }
            })
            .await;
            drop(place);
        });
    }
}

/// A stream that knows the TCP connection it runs on.
trait Wire: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Wire for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

async fn converse(stream: impl Wire, steps: &[Step], record: &Record) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    for step in steps {
        match step {
            Step::Hear => {
                if hear(&mut stream, record).await? == 0 {
                    return Ok(());
                }
            }
            Step::Command => {
                if read_command(&mut stream).await?.is_none() {
                    return Ok(());
                }
            }
            Step::Say(bytes) => send(&mut stream, bytes).await?,
            Step::Drip { bytes, every } => {
                for byte in bytes {
                    send(&mut stream, &[*byte]).await?;
                    tokio::time::sleep(*every).await;
                }
            }
            Step::Repeat { bytes, times } => {
                for _ in 0..*times {
                    send(&mut stream, bytes).await?;
                }
            }
            Step::Hold => while hear(&mut stream, record).await? > 0 {},
            Step::Serve(replies) => {
                while let Some(words) = read_command(&mut stream).await? {
                    let answer = replies.to(&words).to_vec();
                    record.commands.lock().unwrap_or_else(PoisonError::into_inner).push(words);
                    send(&mut stream, &answer).await?;
                }
            }
            Step::Reset => return stream.get_ref().tcp().set_zero_linger(),
        }
    }
    stream.shutdown().await?;
    // What the client still says must be read: closing on unread bytes is an RST, which would overtake the reply.
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(drop)
}

/// Takes in what the client says next; how much it was.
async fn hear(stream: &mut BufReader<impl Wire>, record: &Record) -> io::Result<usize> {
    let bytes = stream.fill_buf().await?;
    let length = bytes.len();
    record.heard.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    stream.consume(length);
    Ok(length)
}

async fn send(stream: &mut BufReader<impl Wire>, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// A TLS server by OpenSSL, for what rustls will not speak: old versions, CBC suites.
#[derive(Debug)]
pub struct OpensslServer {
    address: SocketAddr,
    _process: Process,
}

/// `openssl s_server` arguments.
pub mod openssl {
    /// Nothing newer than TLS 1.1.
    pub const TLS_1_1: &[&str] = &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
    /// TLS 1.2 with the suites only that rustls leaves out.
    pub const CBC: &[&str] = &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384"];
}

impl OpensslServer {
    /// Starts `openssl s_server` with this leaf and these further arguments on a free port of 127.0.0.1.
    #[track_caller]
    pub fn start(leaf: &Leaf, arguments: &[&str]) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0), leaf, arguments)
    }

    /// The same at this very address.
    #[track_caller]
    pub fn start_at(address: impl Into<SocketAddr>, leaf: &Leaf, arguments: &[&str]) -> Self {
        let asked = address.into();
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", &asked.to_string(), "-cert"]).arg(leaf.cert_file());
        command.arg("-key").arg(leaf.key_file()).args(arguments);
        let process = Process::spawn(&mut command, "openssl");
        // It names the address where it was free to choose the port.
        let accepting = |line: &str| match line.strip_prefix("ACCEPT")?.trim() {
            "" => Some(asked),
            address => address.parse().ok(),
        };
        match process.transcript().wait_for(PATIENCE, accepting) {
            Ok(address) => Self { address, _process: process },
            Err(Unsaid::Ended(output) | Unsaid::Overdue(output)) => panic!("openssl does not serve:\n{output}"),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, io::Write as _};

    use super::*;
    use crate::{pki::Authority, resp::exchange};

    fn connect(peer: &Peer) -> std::net::TcpStream {
        let stream = std::net::TcpStream::connect(peer.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    #[test]
    fn a_scripted_peer_answers_by_command_and_remembers() {
        let replies = Replies::redis().on("CONFIG GET", "*0\r\n").on("info", reply::NOPERM);
        let peer = Peer::plain([Step::Serve(replies)]);
        let mut stream = connect(&peer);
        assert_eq!(exchange(&mut stream, "config get maxclients").unwrap(), "*0");
        assert_eq!(exchange(&mut stream, "*1\r\n$4\r\nINFO").unwrap(), reply::NOPERM.trim_end());
        assert_eq!(exchange(&mut stream, "EVAL").unwrap(), "-ERR unknown command");
        assert_eq!(peer.commands(), [vec!["config", "get", "maxclients"], vec!["INFO"], vec!["EVAL"]]);
        assert_eq!(peer.connections(), 1);
    }

    #[test]
    fn each_ending_is_the_one_asked_for() {
        let end = |steps: Vec<Step>| {
            let mut heard = Vec::new();
            let peer = Peer::plain(steps);
            let mut stream = connect(&peer);
            let _ = stream.write_all(b"PING\r\n");
            let outcome = stream.read_to_end(&mut heard);
            (outcome.map_err(|error| error.kind()).err(), heard.len())
        };
        assert_eq!(end(vec![Step::Hear]), (None, 0));
        assert_eq!(end(vec![Step::Hear, Step::Reset]), (Some(io::ErrorKind::ConnectionReset), 0));
        assert_eq!(end(vec![Step::Hear, Step::Drip { bytes: vec![0; 3], every: Duration::ZERO }]), (None, 3));
        assert_eq!(end(vec![Step::Hear, Step::Repeat { bytes: vec![0; 5], times: 7 }]), (None, 35));
    }

    #[test]
    fn no_peer_outlives_its_value() {
        for (name, steps) in hostile() {
            let peer = Peer::plain(steps);
            let mut stream = connect(&peer);
            let _ = stream.write_all(b"INFO\r\n");
            drop(peer);
            let ended = io::copy(&mut stream, &mut io::sink()).map_err(|error| error.kind());
            assert_ne!(ended, Err(io::ErrorKind::WouldBlock), "{name}: still open when the client lost patience");
        }
    }

    #[test]
    fn tls_fails_where_the_peer_wants_it_to() {
        let authority = Authority::new();
        let leaf = authority.leaf(&["orders.test"]);
        let fault = |address| {
            let mut stream = authority.connect(address, "orders.test").unwrap();
            format!("{:?}", exchange(&mut stream, "PING"))
        };
        let refuse = |alert: [u8; 7]| Peer::plain([Step::Hear, Step::say(alert)]);
        let failing = refuse(alert::HANDSHAKE_FAILURE);
        let versioned = refuse(alert::PROTOCOL_VERSION);
        let old = OpensslServer::start(&leaf, openssl::TLS_1_1);
        let cbc = OpensslServer::start(&leaf, openssl::CBC);
        let mutual = Peer::tls(leaf.server_wanting_client_from(&authority), [Step::Hold]);
        let full = Peer::tls(leaf.server(), [Step::say(reply::MAX_CLIENTS)]);
        for (address, expected) in [
            (failing.address(), "HandshakeFailure"),
            (versioned.address(), "ProtocolVersion"),
            (old.address(), "ProtocolVersion"),
            (cbc.address(), "HandshakeFailure"),
            (mutual.address(), "CertificateRequired"),
            (full.address(), "max number of clients"),
        ] {
            let fault = fault(address);
            assert!(fault.contains(expected), "{fault}");
        }
    }
}
