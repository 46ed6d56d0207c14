//! The name servers of one world, on one thread: every reply leaves at its time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cachewatch::clock::Stopwatch;
use cachewatch::libc::{Question, WireReply};
use cachewatch::model::RecordType;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use testlab::PATIENCE;

use crate::reply;
use crate::world::{Tcp, World};

const DNS: u16 = 53;

/// Held while a process is started, and while sockets are closed: a child that has not started its program yet has copies of
/// every socket, and an address would stay in use.
pub(crate) static FORKING: Mutex<()> = Mutex::new(());

/// Servers that run until this is stopped.
pub(crate) struct Servers {
    stop: UnixStream,
    thread: JoinHandle<Service>,
}

/// What the servers heard, and how late they were.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Every question, with when it came.
    pub(crate) questions: Vec<(Duration, Question)>,
    /// The most by which a reply left too late: the machine was busy.
    pub(crate) late: Duration,
}

impl Servers {
    /// Starts the servers of this world in the network of the thread that calls.
    pub(crate) fn start(world: &World) -> Self {
        let (stop, stopped) = UnixStream::pair().expect("a pair of sockets");
        let mut service = Service::new(world, stopped);
        let thread = thread::Builder::new().name("name servers".to_owned()).spawn(move || {
            service.run();
            service
        });
        Self { stop, thread: thread.expect("a thread") }
    }

    /// Ends them.
    pub(crate) fn stop(self) -> Heard {
        drop(self.stop);
        let mut service = self.thread.join().expect("servers do not panic");
        let heard = std::mem::take(&mut service.heard);
        let _alone = FORKING.lock().unwrap_or_else(PoisonError::into_inner);
        drop(service);
        heard
    }
}

struct Service {
    world: World,
    stopped: UnixStream,
    sockets: Vec<UdpSocket>,
    listeners: Vec<TcpListener>,
    connections: Vec<Connection>,
    /// What is to be done when, the next first.
    due: BinaryHeap<Reverse<(Duration, usize)>>,
    deeds: Vec<Deed>,
    asked: HashMap<Question, u32>,
    watch: Stopwatch,
    heard: Heard,
}

struct Connection {
    stream: TcpStream,
    server: SocketAddr,
    received: Vec<u8>,
    is_open: bool,
}

enum Deed {
    Datagram { socket: usize, to: SocketAddr, bytes: Vec<u8> },
    Stream { connection: usize, bytes: Vec<u8> },
    HangUp { connection: usize },
}

impl Service {
    fn new(world: &World, stopped: UnixStream) -> Self {
        let (mut sockets, mut listeners) = (Vec::new(), Vec::new());
        for server in &world.servers {
            let at = SocketAddr::new(server.at, DNS);
            let socket = once_free(|| UdpSocket::bind(at));
            socket.set_nonblocking(true).expect("a socket can be made non-blocking");
            sockets.push(socket);
            if server.tcp != Tcp::Closed {
                let listener = once_free(|| TcpListener::bind(at));
                listener.set_nonblocking(true).expect("a socket can be made non-blocking");
                listeners.push(listener);
            }
        }
        Self {
            world: world.clone(),
            stopped,
            sockets,
            listeners,
            connections: Vec::new(),
            due: BinaryHeap::new(),
            deeds: Vec::new(),
            asked: HashMap::new(),
            watch: Stopwatch::start(),
            heard: Heard::default(),
        }
    }

    fn run(&mut self) {
        loop {
            let open: Vec<_> = (0..self.connections.len()).filter(|at| self.connections[*at].is_open).collect();
            let mut waiting = vec![PollFd::new(&self.stopped, PollFlags::IN)];
            waiting.extend(self.sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)));
            waiting.extend(self.listeners.iter().map(|listener| PollFd::new(listener, PollFlags::IN)));
            waiting.extend(
                open.iter().map(|at| PollFd::from_borrowed_fd(self.connections[*at].stream.as_fd(), PollFlags::IN)),
            );
            let limit = self.due.peek().map(|Reverse((at, _))| at.saturating_sub(self.watch.elapsed()));
            let limit = limit.map(|left| Timespec::try_from(left).expect("a short time"));
            poll(&mut waiting, limit.as_ref()).expect("poll of open descriptors");
            let ready: Vec<_> = waiting.iter().map(|one| !one.revents().is_empty()).collect();
            if ready[0] {
                return;
            }
            let (sockets, rest) = ready[1..].split_at(self.sockets.len());
            let (listeners, streams) = rest.split_at(self.listeners.len());
            for at in (0..sockets.len()).filter(|at| sockets[*at]) {
                self.datagrams(at);
            }
            for at in (0..listeners.len()).filter(|at| listeners[*at]) {
                self.accept(at);
            }
            for at in open.iter().zip(streams).filter(|(_, ready)| **ready).map(|(at, _)| *at) {
                self.hear(at);
            }
            self.act();
        }
    }

    /// Does what is due.
    fn act(&mut self) {
        while let Some(Reverse((at, deed))) = self.due.peek().copied() {
            let now = self.watch.elapsed();
            if at > now {
                return;
            }
            self.due.pop();
            self.heard.late = self.heard.late.max(now.saturating_sub(at));
            // Where the other side is gone, nothing is missed.
            let _ = match &self.deeds[deed] {
                Deed::Datagram { socket, to, bytes } => self.sockets[*socket].send_to(bytes, to).map(drop),
                Deed::Stream { connection, bytes } => (&self.connections[*connection].stream).write_all(bytes),
                Deed::HangUp { connection } => {
                    let connection = &mut self.connections[*connection];
                    connection.is_open = false;
                    connection.stream.shutdown(std::net::Shutdown::Both)
                }
            };
        }
    }

    fn datagrams(&mut self, socket: usize) {
        let mut packet = [0; 1500];
        while let Ok((length, from)) = self.sockets[socket].recv_from(&mut packet) {
            let server = self.sockets[socket].local_addr().expect("a bound socket has an address");
            let Some((id, question)) = self.question(&packet[..length], server, false) else { continue };
            if let WireReply::Bytes(after, mut bytes) = reply::to(&self.world, &question) {
                put_id(&mut bytes, id);
                self.later(after, Deed::Datagram { socket, to: from, bytes });
            }
        }
    }

    fn accept(&mut self, listener: usize) {
        while let Ok((stream, _)) = self.listeners[listener].accept() {
            stream.set_nonblocking(true).expect("a socket can be made non-blocking");
            let server = self.listeners[listener].local_addr().expect("a bound socket has an address");
            self.connections.push(Connection { stream, server, received: Vec::new(), is_open: true });
        }
    }

    fn hear(&mut self, at: usize) {
        let mut bytes = [0; 1500];
        loop {
            let connection = &mut self.connections[at];
            match connection.stream.read(&mut bytes) {
                Ok(0) => connection.is_open = false,
                Ok(length) => {
                    connection.received.extend(&bytes[..length]);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => connection.is_open = false,
            }
            break;
        }
        while let Some((length, rest)) = self.connections[at].received.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            if rest.len() < length {
                return;
            }
            let packet = rest[..length].to_vec();
            self.connections[at].received.drain(..length + 2);
            let Some((id, question)) = self.question(&packet, self.connections[at].server, true) else { continue };
            match reply::to(&self.world, &question) {
                WireReply::Bytes(after, mut bytes) => {
                    put_id(&mut bytes, id);
                    let length = u16::try_from(bytes.len()).expect("a short message");
                    let bytes = [&length.to_be_bytes(), bytes.as_slice()].concat();
                    self.later(after, Deed::Stream { connection: at, bytes });
                }
                WireReply::Closed(after) => self.later(after, Deed::HangUp { connection: at }),
                WireReply::Silence | WireReply::Unreachable(_) => {}
            }
        }
    }

    fn later(&mut self, after: Duration, deed: Deed) {
        self.due.push(Reverse((self.watch.elapsed() + after, self.deeds.len())));
        self.deeds.push(deed);
    }

    /// What a packet asks, and its ID; `None` where it cannot be read, which is answered by silence.
    fn question(&mut self, packet: &[u8], server: SocketAddr, over_tcp: bool) -> Option<([u8; 2], Question)> {
        let mut question = read_question(packet)?;
        (question.server, question.over_tcp) = (server, over_tcp);
        let earlier = self.asked.entry(question.clone()).or_default();
        question.earlier = *earlier;
        *earlier += 1;
        self.heard.questions.push((self.watch.elapsed(), question.clone()));
        Some(([packet[0], packet[1]], question))
    }
}

/// A socket, as soon as its address is free: a program that was just started closes its copies a moment later.
fn once_free<T>(bind: impl Fn() -> io::Result<T>) -> T {
    let watch = Stopwatch::start();
    loop {
        match bind() {
            Ok(socket) => return socket,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && watch.elapsed() < PATIENCE => thread::yield_now(),
            Err(error) => panic!("a socket of a name server: {error}"),
        }
    }
}

fn put_id(bytes: &mut [u8], id: [u8; 2]) {
    if let Some(place) = bytes.first_chunk_mut() {
        *place = id;
    }
}

fn read_question(packet: &[u8]) -> Option<Question> {
    let (mut labels, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = packet.get(at..at + length).filter(|_| length < 64)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
    let record_type = match packet.get(at..at + 4)? {
        [0, 1, 0, 1] => RecordType::A,
        [0, 28, 0, 1] => RecordType::Aaaa,
        _ => return None,
    };
    Some(Question {
        server: (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        name: labels.join("."),
        record_type,
        over_tcp: false,
        edns: packet.get(10..12)? != [0, 0],
        earlier: 0,
    })
}
