//! A network of the test's own: any address is this machine's, and any packet can be dropped or refused.

use std::{
    fs::{self, File},
    io::Write as _,
    net::IpAddr,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    process::Command,
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{
    PATIENCE,
    process::{Process, Unsaid, must},
};

/// A network namespace with nothing in it but loopback. It has no name and leaves no trace: it is gone when this value,
/// and every socket and process made inside, are gone.
#[derive(Debug)]
pub struct Namespace {
    handle: File,
}

impl Namespace {
    /// A new network. Works as root, and as anybody under `unshare --map-root-user`.
    ///
    /// # Panics
    ///
    /// Without the right to make one, naming the command that gives it.
    #[track_caller]
    pub fn new() -> Self {
        // The holder says where it is and then waits for its input to end, which it does when this function returns.
        let script = "ip link set lo up && echo up && read -r _";
        let mut unshare = Command::new("unshare");
        let holder = Process::spawn(unshare.args(["--net", "sh", "-c", script]), "util-linux iproute2");
        match holder.transcript().wait_for(PATIENCE, |line| (line == "up").then_some(())) {
            Ok(()) => {}
            Err(Unsaid::Ended(output) | Unsaid::Overdue(output)) => panic!(
                "cannot make a network namespace: {output}; run the tests as root, or so:\n    \
                 unshare --map-root-user cargo test --test system"
            ),
        }
        let handle = File::open(format!("/proc/{}/ns/net", holder.pid())).expect("the holder is alive");
        Self { handle }
    }

    /// Runs `work` on a thread inside. Threads and processes it starts and sockets it opens belong inside for good, so
    /// a fixture made in here can be brought out and used.
    #[track_caller]
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            move_into_link_name_space(self.handle.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("whoever made a namespace may enter it");
            self.assert_inside();
            work()
        };
        let outcome = thread::scope(|scope| scope.spawn(inside).join());
        // A failed assertion inside fails the test outside, with its own message.
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Invariant: nothing runs before this has passed. Work meant for in here flushes the packet filter, and must never
    /// reach the host's, not even while somebody breaks this file to see a test fail.
    fn assert_inside(&self) {
        let here = fs::metadata("/proc/thread-self/ns/net").expect("a thread has a network").ino();
        let host = fs::metadata("/proc/self/ns/net").expect("a process has a network").ino();
        let own = self.handle.metadata().expect("the handle is open").ino();
        assert!(here == own && here != host, "not inside the namespace: here {here}, namespace {own}, host {host}");
    }

    /// Makes this address the machine's own, inside.
    #[track_caller]
    pub fn add_address(&self, address: impl Into<IpAddr>) {
        let address = address.into();
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        let mut ip = Command::new("ip");
        // Without nodad an IPv6 address is unusable until duplicates have been looked for.
        ip.args(["address", "add", &format!("{address}/{prefix}"), "dev", "lo"]);
        if address.is_ipv6() {
            ip.arg("nodad");
        }
        self.run(|| must(&mut ip, "iproute2"));
    }

    /// Replaces the filter for every packet that arrives inside, in nftables' words:
    /// `ip daddr 10.20.1.4 tcp dport 6380 drop`. An empty text lets everything pass.
    #[track_caller]
    pub fn filter(&self, rules: &str) {
        // On arrival, as on a far network: a packet dropped on its way out would fail the sender's own call.
        let chain = format!("chain arriving {{\ntype filter hook input priority 0\n{rules}\n}}");
        let ruleset = format!("flush ruleset\ntable inet laboratory {{\n{chain}\n}}\n");
        self.run(|| {
            let mut nft = Command::new("nft");
            let mut nft = Process::spawn(nft.args(["-f", "-"]), "nftables");
            let _ = nft.stdin().write_all(ruleset.as_bytes());
            let status = nft.wait(PATIENCE).expect("nft ends at the end of its input");
            assert!(status.success(), "{ruleset}\n{}", nft.transcript().lines().join("\n"));
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::ErrorKind,
        net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
        time::Duration,
    };

    use super::*;
    use crate::{
        dns::{Answer, DnsServer},
        redis::RedisServer,
    };

    #[test]
    fn a_namespace_holds_its_addresses_and_filters_its_packets() {
        const CACHE: Ipv4Addr = Ipv4Addr::new(10, 20, 1, 4);
        let network = Namespace::new();
        network.add_address(CACHE);
        network.add_address([0xfd00, 0, 0, 0, 0, 0, 0, 4]);
        let server = network.run(|| RedisServer::builder().bind(CACHE).port(6380).start());
        let names = network.run(|| DnsServer::start_at((CACHE, 53)));
        names.set("orders.test", Answer::new().servfail());

        let connect = |limit| {
            let address = SocketAddr::from((CACHE, server.port()));
            network.run(move || TcpStream::connect_timeout(&address, limit)).map_err(|error| error.kind())
        };
        assert!(connect(PATIENCE).is_ok());
        assert!(TcpListener::bind((CACHE, 0)).is_err(), "the address is the namespace's, not the host's");
        assert!(network.run(|| TcpStream::connect(names.address())).is_ok());
        network.filter("ip daddr 10.20.1.4 tcp dport 6380 reject with tcp reset");
        assert_eq!(connect(PATIENCE).err(), Some(ErrorKind::ConnectionRefused));
        network.filter("ip daddr 10.20.1.4 tcp dport 6380 drop");
        assert_eq!(connect(Duration::from_millis(50)).err(), Some(ErrorKind::TimedOut));
        network.filter("");
        assert!(connect(PATIENCE).is_ok());
    }
}
