//! A name server that says exactly what it is told to, right or wrong.
//!
//! It is written on hickory's messages rather than on hickory's server, because the replies that matter most here are
//! ones a server does not give: garbage, another query's id, half an alias chain.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hickory_resolver::proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, AAAA, CNAME, SOA},
    },
};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use super::background::Background;

/// What a name answers with. Built from the queried name onwards: each alias moves on to its target.
///
/// An answer without anything is NODATA.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    links: Vec<Link>,
    code: Option<ResponseCode>,
    class: Option<DNSClass>,
    manner: Manner,
    delay: Duration,
    deaf_to: Option<RecordType>,
    lost: usize,
    failing: usize,
    last: bool,
}

#[derive(Debug, Clone)]
enum Link {
    Alias { target: String, ttl: u32 },
    Address { address: IpAddr, ttl: u32 },
}

#[derive(Debug, Clone, Default)]
enum Manner {
    #[default]
    Plain,
    /// Over UDP only the header, with tc set; everything over TCP.
    Truncated,
    Silent,
    WrongId,
    /// The right id, and noise behind it.
    Mangled,
    /// Every owner in upper case, as the question's owner may come back from some servers.
    Shouting,
    Raw(Vec<u8>),
}

impl Answer {
    /// NOERROR without a record.
    pub fn new() -> Self {
        Self::default()
    }

    /// The name is an alias of `target`, which what follows belongs to. With nothing after it, the chain is cut here.
    pub fn alias(mut self, target: &str, ttl: u32) -> Self {
        self.links.push(Link::Alias { target: target.to_owned(), ttl });
        self
    }

    /// An A or AAAA record, given only to who asks for that type.
    pub fn address(mut self, address: impl Into<IpAddr>, ttl: u32) -> Self {
        self.links.push(Link::Address { address: address.into(), ttl });
        self
    }

    /// The name, or the last alias's target, does not exist.
    pub fn nxdomain(self) -> Self {
        self.code(ResponseCode::NXDomain)
    }

    /// Answers with SERVFAIL.
    pub fn servfail(self) -> Self {
        self.code(ResponseCode::ServFail)
    }

    /// Answers with REFUSED.
    pub fn refused(self) -> Self {
        self.code(ResponseCode::Refused)
    }

    /// Too long for UDP, so it must be asked again over TCP.
    pub fn truncated(self) -> Self {
        self.in_manner(Manner::Truncated)
    }

    /// No reply at all.
    pub fn silent(self) -> Self {
        self.in_manner(Manner::Silent)
    }

    /// The reply to some other query.
    pub fn with_wrong_id(self) -> Self {
        self.in_manner(Manner::WrongId)
    }

    /// A reply by its id that nobody can read.
    pub fn mangled(self) -> Self {
        self.in_manner(Manner::Mangled)
    }

    /// The reply with the owner of every record in upper case: names compare without regard to case (RFC 4343).
    pub fn shouting(self) -> Self {
        self.in_manner(Manner::Shouting)
    }

    /// These bytes instead of a reply.
    pub fn raw(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.in_manner(Manner::Raw(bytes.into()))
    }

    /// No reply to queries of this type, as from a middlebox that drops what it does not know.
    pub fn deaf_to(mut self, record_type: RecordType) -> Self {
        self.deaf_to = Some(record_type);
        self
    }

    /// The same behind an alias: what a server that recurses says of the name.
    pub fn behind(mut self, target: &str, ttl: u32) -> Self {
        self.links.insert(0, Link::Alias { target: target.to_owned(), ttl });
        self
    }

    /// The first so many queries of each type are answered with SERVFAIL.
    pub fn failing(mut self, queries: usize) -> Self {
        self.failing = queries;
        self
    }

    /// The first so many queries of each type are lost on the way.
    pub fn lost(mut self, queries: usize) -> Self {
        self.lost = queries;
        self
    }

    /// Over a connection, nothing more comes after this reply: the server hangs up.
    pub fn last(mut self) -> Self {
        self.last = true;
        self
    }

    /// Answers so much later.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Every record is of this class, and not of that of the question.
    pub fn in_class(mut self, class: DNSClass) -> Self {
        self.class = Some(class);
        self
    }

    /// Answers with this code.
    pub fn code(mut self, code: ResponseCode) -> Self {
        self.code = Some(code);
        self
    }

    fn in_manner(mut self, manner: Manner) -> Self {
        self.manner = manner;
        self
    }

    /// The bytes to send, if any.
    fn reply_to(&self, query: &Message, over: Transport) -> Option<Vec<u8>> {
        match &self.manner {
            Manner::Silent => return None,
            Manner::Raw(bytes) => return Some(bytes.clone()),
            Manner::Mangled => return Some([&query.metadata.id.to_be_bytes()[..], b"noise"].concat()),
            Manner::Plain | Manner::Truncated | Manner::WrongId | Manner::Shouting => {}
        }
        let question = query.queries.first()?;
        let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
        reply.metadata.recursion_desired = query.metadata.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.metadata.response_code = self.code.unwrap_or(ResponseCode::NoError);
        reply.add_query(question.clone());
        match self.manner {
            Manner::WrongId => reply.metadata.id = !query.metadata.id,
            Manner::Truncated if over == Transport::Udp => {
                reply.metadata.truncation = true;
                return Some(encode(&reply));
            }
            _ => {}
        }
        let mut owner = question.name().clone();
        for link in &self.links {
            let (data, ttl, next) = match link {
                Link::Alias { target, ttl } => (RData::CNAME(CNAME(name(target))), *ttl, Some(name(target))),
                Link::Address { address: IpAddr::V4(address), ttl } => (RData::A(A(*address)), *ttl, None),
                Link::Address { address: IpAddr::V6(address), ttl } => (RData::AAAA(AAAA(*address)), *ttl, None),
            };
            if data.record_type() == RecordType::CNAME || data.record_type() == question.query_type() {
                let shown = if matches!(self.manner, Manner::Shouting) { shout(&owner) } else { owner.clone() };
                reply.add_answer(Record::from_rdata(shown, ttl, data));
            }
            owner = next.unwrap_or(owner);
        }
        // A chain that was scripted without its end is cut short, which is not the same as an end without this type.
        let is_cut = self.links.last().is_some_and(|link| matches!(link, Link::Alias { .. }));
        let is_answered = reply.answers.iter().any(|record| record.record_type() == question.query_type());
        let nothing_of_this_type = !is_cut && !is_answered && self.code.is_none();
        if nothing_of_this_type || self.code == Some(ResponseCode::NXDomain) {
            let soa = SOA::new(name("ns.test"), name("hostmaster.test"), 1, 3600, 600, 86400, 60);
            reply.add_authority(Record::from_rdata(owner, 60, RData::SOA(soa)));
        }
        for record in reply.answers.iter_mut().chain(&mut reply.authorities) {
            record.dns_class = self.class.unwrap_or(record.dns_class);
        }
        Some(encode(&reply))
    }
}

/// How a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One datagram each way.
    Udp,
    /// A connection without TLS.
    Tcp,
    /// A connection with TLS.
    Tls,
}

/// A query as it arrived; names in lower case, without the last dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The name asked for, without a trailing dot.
    pub name: String,
    /// The type asked for.
    pub record_type: RecordType,
    /// How the question came.
    pub over: Transport,
}

/// A running name server. A name it was told nothing about does not exist (NXDOMAIN).
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    script: Arc<Script>,
    _service: Background,
}

#[derive(Debug, Default)]
struct Script {
    answers: Mutex<HashMap<String, Answer>>,
    asked: Mutex<Vec<Asked>>,
    connections: AtomicUsize,
}

impl DnsServer {
    /// On a free port of 127.0.0.1, UDP and TCP.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0))
    }

    /// At this address, UDP and TCP; port 0 is a free one.
    #[track_caller]
    pub fn start_at(address: impl Into<SocketAddr>) -> Self {
        let (udp, tcp) = bind_both(address.into());
        Self::serve(udp, Some(tcp))
    }

    /// DNS over TLS on a free port of 127.0.0.1, and nothing else.
    #[track_caller]
    pub fn start_tls(server: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let script = Arc::<Script>::default();
        let shared = Arc::clone(&script);
        let service = Background::run("dns", async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("inside a runtime");
            let acceptor = TlsAcceptor::from(server);
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, script) = (acceptor.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve_stream(stream, Transport::Tls, &script).await;
                    }
                });
            }
        });
        Self { address, script, _service: service }
    }

    /// Over UDP only: a TCP connection is refused.
    #[track_caller]
    pub fn start_without_tcp() -> Self {
        let (udp, _) = bind_both((Ipv4Addr::LOCALHOST, 0).into());
        Self::serve(udp, None)
    }

    /// Where it listens, over UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces what a name answers, from the next query on.
    pub fn set(&self, name: &str, answer: Answer) {
        lock(&self.script.answers).insert(canonical(name), answer);
    }

    /// Every query so far, in the order of arrival.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.script.asked).clone()
    }

    /// How many queries asked for this name and type, over this transport.
    pub fn count(&self, name: &str, record_type: RecordType, over: Transport) -> usize {
        let wanted = Asked { name: canonical(name), record_type, over };
        lock(&self.script.asked).iter().filter(|asked| **asked == wanted).count()
    }

    /// How many connections were served so far, TLS or not.
    pub fn connections(&self) -> usize {
        self.script.connections.load(Ordering::SeqCst)
    }

    fn serve(udp: UdpSocket, tcp: Option<TcpListener>) -> Self {
        let address = udp.local_addr().expect("a bound socket has an address");
        udp.set_nonblocking(true).expect("a socket can be made non-blocking");
        let script = Arc::<Script>::default();
        let shared = Arc::clone(&script);
        let service = Background::run("dns", async move {
            if let Some(tcp) = tcp {
                tcp.set_nonblocking(true).expect("a socket can be made non-blocking");
                let tcp = tokio::net::TcpListener::from_std(tcp).expect("inside a runtime");
                tokio::spawn(serve_tcp(tcp, Arc::clone(&shared)));
            }
            serve_udp(tokio::net::UdpSocket::from_std(udp).expect("inside a runtime"), shared).await;
        });
        Self { address, script, _service: service }
    }
}

impl Script {
    /// Notes the query and returns what to send after which delay, and whether it is the last of its connection.
    fn hear(&self, packet: &[u8], over: Transport) -> Option<(Duration, Vec<u8>, bool)> {
        let query = Message::from_vec(packet).ok()?;
        let question = query.queries.first()?;
        let name = canonical(&question.name().to_ascii());
        let answer = lock(&self.answers).get(&name).cloned().unwrap_or_else(|| Answer::new().nxdomain());
        let heard = Asked { name, record_type: question.query_type(), over };
        let before = {
            let mut asked = lock(&self.asked);
            // Looking back is for what loses something: after thousands of queries it would slow every reply.
            let is_counted = answer.lost.max(answer.failing) > 0;
            let before = if is_counted { asked.iter().filter(|asked| **asked == heard).count() } else { 0 };
            asked.push(heard.clone());
            before
        };
        if answer.deaf_to == Some(heard.record_type) || before < answer.lost {
            return None;
        }
        if before < answer.failing {
            return Some((answer.delay, Answer::new().servfail().reply_to(&query, over)?, answer.last));
        }
        Some((answer.delay, answer.reply_to(&query, over)?, answer.last))
    }
}

async fn serve_udp(socket: tokio::net::UdpSocket, script: Arc<Script>) {
    let socket = Arc::new(socket);
    let mut packet = [0; 4096];
    loop {
        // An error here is an ICMP message about an earlier reply, and none of the server's business.
        let Ok((length, from)) = socket.recv_from(&mut packet).await else { continue };
        let Some((delay, reply, _)) = script.hear(&packet[..length], Transport::Udp) else { continue };
        let socket = Arc::clone(&socket);
        tokio::spawn(async move {
            pause(delay).await;
            let _ = socket.send_to(&reply, from).await;
        });
    }
}

async fn serve_tcp(listener: tokio::net::TcpListener, script: Arc<Script>) {
    while let Ok((stream, _)) = listener.accept().await {
        let script = Arc::clone(&script);
        tokio::spawn(async move { serve_stream(stream, Transport::Tcp, &script).await });
    }
}

/// Query after query, each behind its length, until the client hangs up.
async fn serve_stream(mut stream: impl AsyncRead + AsyncWrite + Unpin, over: Transport, script: &Script) {
    script.connections.fetch_add(1, Ordering::SeqCst);
    while let Ok(length) = stream.read_u16().await {
        let mut packet = vec![0; usize::from(length)];
        if stream.read_exact(&mut packet).await.is_err() {
            return;
        }
        let Some((delay, reply, is_last)) = script.hear(&packet, over) else { continue };
        pause(delay).await;
        let length = u16::try_from(reply.len()).expect("scripted replies are short");
        let framed = [&length.to_be_bytes()[..], &reply].concat();
        if stream.write_all(&framed).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        if is_last {
            // What the client still says must be read: closing on unread bytes would overtake the reply.
            let _ = stream.shutdown().await;
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            return;
        }
    }
}

/// A timer has the grain of a millisecond, also for none at all.
async fn pause(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

/// One port on both transports. A free UDP port may be taken over TCP, so a free one is looked for a few times.
#[track_caller]
fn bind_both(address: SocketAddr) -> (UdpSocket, TcpListener) {
    const ATTEMPTS: usize = 16;
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let bound = UdpSocket::bind(address).and_then(|udp| Ok((TcpListener::bind(udp.local_addr()?)?, udp)));
        match bound {
            Ok((tcp, udp)) => return (udp, tcp),
            Err(error) => last = Some(error),
        }
    }
    panic!("cannot bind a name server to {address}: {last:?}");
}

fn encode(message: &Message) -> Vec<u8> {
    message.to_vec().expect("scripted messages are well formed")
}

fn name(text: &str) -> Name {
    // Label by label, since a name may hold any byte, and hostile ones do.
    let mut name = Name::from_labels(canonical(text).split('.').map(str::as_bytes)).expect("labels are short");
    name.set_fqdn(true);
    name
}

fn shout(name: &Name) -> Name {
    Name::from_ascii(name.to_ascii().to_ascii_uppercase()).expect("a name stays one in upper case")
}

fn canonical(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };

    use hickory_resolver::proto::op::Query;

    use super::*;
    use crate::{PATIENCE, pki::Authority};

    fn query(name_text: &str, record_type: RecordType) -> Vec<u8> {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(name(name_text), record_type));
        encode(&message)
    }

    fn ask(server: &DnsServer, name: &str, record_type: RecordType) -> Vec<u8> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send_to(&query(name, record_type), server.address()).unwrap();
        let mut packet = [0; 4096];
        let length = socket.recv(&mut packet).unwrap();
        packet[..length].to_vec()
    }

    fn ask_stream(mut stream: impl Read + Write, name: &str, record_type: RecordType) -> Vec<u8> {
        let packet = query(name, record_type);
        stream.write_all(&u16::try_from(packet.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(&packet).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut reply).unwrap();
        reply
    }

    /// Response code, whether truncated, and the answers as `owner ttl data`.
    fn shape(reply: &[u8]) -> (ResponseCode, bool, Vec<String>) {
        let reply = Message::from_vec(reply).unwrap();
        let answers = reply.answers.iter().map(|record| format!("{} {} {}", record.name, record.ttl, record.data));
        (reply.metadata.response_code, reply.metadata.truncation, answers.collect())
    }

    #[test]
    fn the_server_says_what_it_was_told() {
        use RecordType::{A, AAAA};
        use ResponseCode::{NXDomain, NoError, Refused, ServFail};

        let server = DnsServer::start();
        let chain = || Answer::new().alias("orders.privatelink.test", 300);
        server.set("orders.test", chain().address([10, 20, 1, 4], 10));
        server.set("dangling.test", chain().nxdomain());
        server.set("cut.test", chain());
        server.set("sick.test", Answer::new().servfail());
        server.set("closed.test", Answer::new().refused());
        server.set("empty.test", Answer::new());
        server.set("long.test", Answer::new().address([10, 0, 0, 1], 5).truncated());
        server.set("noise.test", Answer::new().raw(*b"noise"));
        server.set("stray.test", Answer::new().with_wrong_id().after(Duration::from_millis(1)));

        let alias = |owner: &str| format!("{owner}. 300 orders.privatelink.test.");
        let chain = vec![alias("orders.test"), "orders.privatelink.test. 10 10.20.1.4".to_owned()];
        for (name, record_type, expected) in [
            ("Orders.Test.", A, (NoError, false, chain)),
            ("orders.test", AAAA, (NoError, false, vec![alias("orders.test")])),
            ("dangling.test", A, (NXDomain, false, vec![alias("dangling.test")])),
            ("cut.test", A, (NoError, false, vec![alias("cut.test")])),
            ("sick.test", A, (ServFail, false, vec![])),
            ("closed.test", A, (Refused, false, vec![])),
            ("empty.test", A, (NoError, false, vec![])),
            ("never-heard-of.test", A, (NXDomain, false, vec![])),
            ("long.test", A, (NoError, true, vec![])),
        ] {
            assert_eq!(shape(&ask(&server, name, record_type)), expected, "{name}");
        }
        let whole = shape(&ask_stream(TcpStream::connect(server.address()).unwrap(), "long.test", A));
        assert_eq!(whole, (NoError, false, vec!["long.test. 5 10.0.0.1".to_owned()]));
        assert_eq!(server.count("long.test", A, Transport::Tcp), 1);
        assert_eq!(server.asked()[1], Asked { name: "orders.test".into(), record_type: AAAA, over: Transport::Udp });
        assert_eq!(ask(&server, "noise.test", A), b"noise");
        assert_eq!(Message::from_vec(&ask(&server, "stray.test", A)).unwrap().metadata.id, !7);

        let authority = Authority::new();
        let private = DnsServer::start_tls(authority.leaf(&["dns.test"]).server());
        private.set("orders.test", Answer::new().nxdomain());
        let stream = authority.connect(private.address(), "dns.test").unwrap();
        assert_eq!(shape(&ask_stream(stream, "orders.test", A)), (NXDomain, false, vec![]));
        assert_eq!(private.count("orders.test", A, Transport::Tls), 1);
        assert!(TcpStream::connect(DnsServer::start_without_tcp().address()).is_err());
    }
}
