//! What a daemon watches: a name server and a Redis with TLS on loopback, and configurations that lead to them.

use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr},
};

use tempfile::TempDir;

use super::{
    dns::{Answer, DnsServer},
    pki::{Authority, Leaf},
    redis::{Builder, RedisServer},
};

/// Where a healthy cache's name leads, and where it leads without its private zone. Both are dialled on loopback.
pub const PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 20, 1, 4);
/// See [`PRIVATE`].
pub const PUBLIC: Ipv4Addr = Ipv4Addr::new(20, 50, 1, 10);
/// The access key of the one Redis.
pub const PASSWORD: &str = "correct-horse-battery-staple";
/// The name of the fleet's name server, in its configuration.
pub const RESOLVER: &str = "lab";

/// One Redis behind any number of names, with TLS on one port and without on another.
#[derive(Debug)]
pub struct Fleet {
    /// The name server that every name is asked at.
    pub names: DnsServer,
    /// The Redis behind every name.
    pub server: RedisServer,
    /// What signed the certificate of that Redis.
    pub authority: Authority,
    /// The server reads its files again when it restarts.
    _leaf: Leaf,
    files: TempDir,
}

impl Fleet {
    /// One that serves, with a password.
    pub fn new() -> Self {
        Self::with(|builder| builder)
    }

    /// The same with another Redis behind it.
    pub fn with(build: impl FnOnce(Builder<'_>) -> Builder<'_>) -> Self {
        let authority = Authority::new();
        let leaf = authority.leaf(&["*.redis.cache.windows.net"]);
        let server = build(RedisServer::builder().tls(&leaf).plain().password(PASSWORD)).start();
        let files = TempDir::new().expect("a temporary directory");
        fs::write(files.path().join("password"), PASSWORD).expect("a temporary directory can be written to");
        Self { names: DnsServer::start(), server, authority, _leaf: leaf, files }
    }

    /// The path of a file that holds [`PASSWORD`].
    pub fn password_file(&self) -> String {
        self.files.path().join("password").to_string_lossy().into_owned()
    }

    /// The path of the authority's certificate.
    pub fn ca_file(&self) -> String {
        self.authority.ca_file().to_string_lossy().into_owned()
    }

    /// Leads a cache's name through its privatelink alias to this address.
    pub fn lead(&self, name: &str, address: impl Into<IpAddr>) {
        self.names.set(&host(name), Answer::new().alias(&alias(name), 300).address(address, 10));
    }

    /// A whole configuration of these caches, with a second from probe to probe. Names not led yet lead to
    /// [`PRIVATE`].
    pub fn configuration(&self, names: &[&str]) -> String {
        // On a busy machine any PING may be slow; what is no answer in time is told as that.
        let mut text = self
            .settings("interval = \"1s\"\ntimeout = \"950ms\"\njitter = 0.0\n[thresholds]\nslow_ping = \"950ms\"\n");
        for name in names {
            self.lead(name, PRIVATE);
            text += &self.cache(name, "isolation = \"private_endpoint\"");
        }
        text
    }

    /// Everything of a configuration but its caches; `probe` is the body of `[probe]`.
    pub fn settings(&self, probe: &str) -> String {
        let address = self.names.address();
        format!("[probe]\n{probe}\n[[resolvers]]\nname = \"{RESOLVER}\"\naddress = \"{address}\"\n")
    }

    /// The table of one cache, with these lines more.
    pub fn cache(&self, name: &str, more: &str) -> String {
        self.cache_asking(&[RESOLVER.to_owned()], name, more)
    }

    /// The same through other resolvers.
    pub fn cache_asking(&self, resolvers: &[String], name: &str, more: &str) -> String {
        let (host, dialled) = (host(name), self.server.address());
        let mut text = format!("[[caches]]\nname = \"{name}\"\nhost = \"{host}\"\nresolvers = {resolvers:?}\n");
        let _ = writeln!(text, "connect_to = [\"{PRIVATE}={dialled}\", \"{PUBLIC}={dialled}\"]\n{more}");
        let _ =
            writeln!(text, "auth.password_file = \"{}\"\ntls.ca_file = \"{}\"", self.password_file(), self.ca_file());
        text
    }
}

/// The name an application dials for the cache of this name.
pub fn host(name: &str) -> String {
    format!("{name}.redis.cache.windows.net")
}

/// The name that a cache's public name is an alias of, where it has a private endpoint.
pub fn alias(name: &str) -> String {
    format!("{name}.privatelink.redis.cache.windows.net")
}
