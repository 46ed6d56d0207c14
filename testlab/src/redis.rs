//! Real Redis servers, one process each.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Command,
};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{
    PATIENCE,
    pki::Leaf,
    process::{Process, Unsaid},
    resp::{exchange, request},
};

/// How often a free port may be taken by somebody else between finding and using it.
const PORT_ATTEMPTS: usize = 8;

/// What a server is to be like. Without a leaf it has only a plain port.
#[derive(Debug, Default)]
pub struct Builder<'a> {
    leaf: Option<&'a Leaf>,
    plain: bool,
    addresses: Vec<IpAddr>,
    port: Option<u16>,
    directives: String,
}

impl<'a> Builder<'a> {
    /// Serve TLS with this leaf, without asking for client certificates.
    pub fn tls(mut self, leaf: &'a Leaf) -> Self {
        self.leaf = Some(leaf);
        self
    }

    /// Serve a plain port beside TLS: [`RedisServer::plain_address`].
    pub fn plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// Listen here; may be said several times. Without it, 127.0.0.1.
    pub fn bind(mut self, address: impl Into<IpAddr>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// Listen on this port, in a network of one's own; without it, on a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Wants this password of the default user.
    pub fn password(self, password: &str) -> Self {
        self.directive(&format!("requirepass {password}"))
    }

    /// An ACL user, in Redis's own words: `.user("probe", "on >secret ~* +ping +info")`.
    pub fn user(self, name: &str, rules: &str) -> Self {
        self.directive(&format!("user {name} {rules}"))
    }

    /// Sets `maxclients`.
    pub fn max_clients(self, limit: u32) -> Self {
        self.directive(&format!("maxclients {limit}"))
    }

    /// Makes a command unknown, as Azure does with `CONFIG`. Without `CONFIG`, [`RedisServer::show`] fails.
    pub fn without_command(self, name: &str) -> Self {
        self.directive(&format!("rename-command {name} \"\""))
    }

    /// Any other line of redis.conf.
    pub fn directive(mut self, line: &str) -> Self {
        let _ = writeln!(self.directives, "{line}");
        self
    }

    /// Starts the server and returns when it accepts connections.
    ///
    /// # Panics
    ///
    /// If redis-server is missing, or refuses its configuration.
    #[track_caller]
    pub fn start(mut self) -> RedisServer {
        if self.addresses.is_empty() {
            self.addresses.push(Ipv4Addr::LOCALHOST.into());
        }
        let directory = TempDir::new().expect("a temporary directory");
        let mut attempts = if self.port.is_some() { 1 } else { PORT_ATTEMPTS };
        loop {
            attempts -= 1;
            let port = self.port.unwrap_or_else(|| free_port(self.addresses[0]));
            let plain_port = match (self.leaf, self.plain) {
                (None, _) => Some(port),
                (Some(_), true) => Some(free_port(self.addresses[0])),
                (Some(_), false) => None,
            };
            let configuration = self.configuration(port, plain_port, &directory);
            match launch(&configuration) {
                Ok(process) => {
                    let address = SocketAddr::new(self.addresses[0], port);
                    return RedisServer { process: Some(process), configuration, address, plain_port, directory };
                }
                Err(output) => {
                    let worth_another = attempts > 0 && output.contains("Address already in use");
                    assert!(worth_another, "redis-server does not start:\n{output}\nwith:\n{configuration}");
                }
            }
        }
    }

    fn configuration(&self, port: u16, plain_port: Option<u16>, directory: &TempDir) -> String {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        let socket = directory.path().join(SOCKET);
        let mut text = format!(
            "bind {}\nport {}\ndir {}\nunixsocket {}\nsave \"\"\nprotected-mode no\nuser {ADMIN} on nopass ~* &* +@all\n",
            addresses.join(" "),
            plain_port.unwrap_or(0),
            directory.path().display(),
            socket.display(),
        );
        if let Some(leaf) = self.leaf {
            let (cert, key) = (leaf.cert_file(), leaf.key_file());
            let _ = writeln!(text, "tls-port {port}\ntls-auth-clients no");
            let _ = writeln!(text, "tls-cert-file {}\ntls-key-file {}", cert.display(), key.display());
            // Redis wants some authority even where it asks no client for a certificate.
            let _ = writeln!(text, "tls-ca-cert-file {}", cert.display());
        }
        // Last, so that a test's own lines win.
        text.push_str(&self.directives);
        text
    }
}

const SOCKET: &str = "admin.sock";
/// The fixture's own door, used over the unix socket: tests may close every other one.
const ADMIN: &str = "fixture-admin";

/// A running `redis-server`. Dropping it kills the process.
#[derive(Debug)]
pub struct RedisServer {
    process: Option<Process>,
    configuration: String,
    address: SocketAddr,
    plain_port: Option<u16>,
    directory: TempDir,
}

impl RedisServer {
    /// A server to be described.
    pub fn builder<'a>() -> Builder<'a> {
        Builder::default()
    }

    /// The process that runs now.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the server runs").pid()
    }

    /// The first address it listens on, with the TLS port if it has one.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port that is spoken to: the one with TLS, where there is one.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The same with the plain port.
    #[track_caller]
    pub fn plain_address(&self) -> SocketAddr {
        SocketAddr::new(self.address.ip(), self.plain_port.expect("the server was built with a plain port"))
    }

    /// Ends the process; the port refuses from here on.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again, empty, on the same addresses and ports.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        let started = launch(&self.configuration);
        self.process = Some(started.unwrap_or_else(|output| panic!("redis-server does not start again:\n{output}")));
    }

    /// Freezes the process: the kernel still accepts connections, nothing is ever answered.
    pub fn pause(&self) {
        self.running().signal(Signal::STOP);
    }

    /// Lets it run again after a pause.
    pub fn resume(&self) {
        self.running().signal(Signal::CONT);
    }

    /// Shows another leaf to every later connection, as a renewal does. The leaf must outlive the server.
    #[track_caller]
    pub fn show(&self, leaf: &Leaf) {
        let reply = self.command(&[
            "CONFIG",
            "SET",
            "tls-cert-file",
            &path(leaf.cert_file()),
            "tls-key-file",
            &path(leaf.key_file()),
            "tls-ca-cert-file",
            &path(leaf.cert_file()),
        ]);
        assert_eq!(reply, "+OK\r\n");
    }

    /// Runs one command past every lock (unix socket, all permissions) and returns the raw reply.
    #[track_caller]
    pub fn command(&self, words: &[&str]) -> String {
        let mut socket = self.door();
        for words in [&["AUTH", ADMIN, "-"][..], words, &["QUIT"]] {
            socket.write_all(&request(words)).expect("a running server reads");
        }
        let mut reply = String::new();
        socket.read_to_string(&mut reply).expect("a running server answers in text and quits");
        let reply = reply.strip_prefix("+OK\r\n").unwrap_or_else(|| panic!("the admin is shut out: {reply}"));
        reply.strip_suffix("+OK\r\n").unwrap_or(reply).to_owned()
    }

    /// A client that has connected and stays until it is dropped.
    #[track_caller]
    pub fn client(&self) -> UnixStream {
        let mut socket = self.door();
        assert_eq!(exchange(&mut socket, &format!("AUTH {ADMIN} -")).ok().as_deref(), Some("+OK"));
        socket
    }

    /// Runs one command that nobody waits for; the server gives it up when the value is dropped, or when it is done.
    #[track_caller]
    pub fn begin(&self, words: &[&str]) -> UnixStream {
        let mut socket = self.client();
        socket.write_all(&request(words)).expect("a running server reads");
        socket
    }

    #[track_caller]
    fn door(&self) -> UnixStream {
        let socket =
            UnixStream::connect(self.directory.path().join(SOCKET)).expect("a running server holds its socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("the limit is not zero");
        socket
    }

    #[track_caller]
    fn running(&self) -> &Process {
        self.process.as_ref().expect("the server was stopped")
    }
}

/// Starts a process and waits until it is ready; what it said if it is not to be.
#[track_caller]
fn launch(configuration: &str) -> Result<Process, String> {
    let mut process = Process::spawn(Command::new("redis-server").arg("-"), "redis-server");
    // A server that rejects an early line may end before it has read the last.
    let _ = process.stdin().write_all(configuration.as_bytes());
    let ready = |line: &str| line.contains("Ready to accept connections").then_some(());
    match process.transcript().wait_for(PATIENCE, ready) {
        Ok(()) => Ok(process),
        Err(Unsaid::Ended(output) | Unsaid::Overdue(output)) => Err(output),
    }
}

/// A port nobody holds now. Somebody may take it before it is used; whoever asks must be ready to ask again.
fn free_port(address: IpAddr) -> u16 {
    let listener = TcpListener::bind((address, 0)).expect("the address is this machine's");
    listener.local_addr().expect("a bound socket has an address").port()
}

fn path(path: PathBuf) -> String {
    path.into_os_string().into_string().expect("temporary directories have plain names")
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;
    use crate::{pki::Authority, resp::exchange};

    #[test]
    fn a_real_server_answers_refuses_freezes_and_renews() {
        let authority = Authority::new();
        let (first, renewed) = (authority.leaf(&["orders.test"]), authority.leaf(&["renewed.test"]));
        let mut server = RedisServer::builder().tls(&first).plain().password("secret").max_clients(5).start();

        let say = |name: &str, command: &str| {
            authority.connect(server.address(), name).and_then(|mut stream| exchange(&mut stream, command))
        };
        assert_eq!(say("orders.test", "PING").unwrap(), "-NOAUTH Authentication required.");
        assert_eq!(say("orders.test", "AUTH secret").unwrap(), "+OK");
        server.show(&renewed);
        assert!(say("orders.test", "PING").is_err());
        assert_eq!(say("renewed.test", "AUTH secret").unwrap(), "+OK");
        assert!(server.command(&["INFO", "clients"]).contains("maxclients:5"));

        let mut plain = TcpStream::connect(server.plain_address()).unwrap();
        plain.set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
        server.pause();
        assert!(exchange(&mut plain, "PING").is_err());
        server.resume();
        plain.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(exchange(&mut plain, "AUTH secret").unwrap(), "-NOAUTH Authentication required.");

        server.stop();
        assert!(TcpStream::connect(server.address()).is_err());
        server.restart();
        assert!(TcpStream::connect(server.address()).is_ok());
    }

    #[test]
    fn users_commands_and_addresses_are_as_built() {
        let second = Ipv4Addr::new(127, 0, 0, 2);
        let builder = RedisServer::builder().bind(Ipv4Addr::LOCALHOST).bind(second);
        let server = builder.user("probe", "on >secret ~* +ping").without_command("CONFIG").start();
        let mut stream = TcpStream::connect((second, server.port())).unwrap();
        let replies = ["AUTH probe secret", "PING", "INFO"].map(|command| exchange(&mut stream, command).unwrap());
        assert_eq!(replies[..2], ["+OK", "+PONG"]);
        assert!(replies[2].starts_with("-NOPERM"), "{replies:?}");
        assert!(server.command(&["CONFIG", "GET", "port"]).starts_with("-ERR unknown command"));
    }
}
