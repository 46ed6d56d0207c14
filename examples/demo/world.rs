//! The world the story takes place in: two caches of Azure, their names, and the configuration of whoever watches them.
//!
//! The addresses are Azure's kind of address. Only the last yard is not: `connect_to` leads each of them to a server on
//! this machine, and cachewatch says so wherever it shows a result.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rustls::ServerConfig;
use tempfile::TempDir;
use testlab::dns::{Answer, DnsServer};
use testlab::pki::Authority;

use crate::redis::Redis;

const ORDERS: &str = "orders.redis.cache.windows.net";
const ORDERS_PRIVATELINK: &str = "orders.privatelink.redis.cache.windows.net";
const ORDERS_PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 20, 1, 4);
const ORDERS_PUBLIC: Ipv4Addr = Ipv4Addr::new(20, 50, 1, 10);
const CARTS: &str = "carts.westeurope.redis.azure.net";
const CARTS_PRIVATELINK: &str = "carts.westeurope.privatelink.redis.azure.net";
const CARTS_PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 20, 1, 5);
const TTL: u32 = 10;
const PASSWORD: &str = "not-a-secret";
/// Where the daemon listens if nobody else does.
const USUAL_PORT: u16 = 9847;

/// Everything around the daemon. It is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct World {
    dns: DnsServer,
    orders: Redis,
    carts: Redis,
    authority: Authority,
    right_certificate: Arc<ServerConfig>,
    directory: TempDir,
    listen: SocketAddr,
}

impl World {
    /// All is well in it.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let authority = Authority::new();
        let right_certificate = authority.leaf(&["*.redis.cache.windows.net"]).server();
        let carts_certificate = authority.leaf(&["*.westeurope.redis.azure.net"]).server();
        let world = Self {
            dns: DnsServer::start(),
            orders: Redis::start(Arc::clone(&right_certificate), PASSWORD, 1_000)?,
            carts: Redis::start(carts_certificate, PASSWORD, 15_000)?,
            authority,
            right_certificate,
            directory: TempDir::with_prefix("cachewatch-demo-")?,
            listen: free_address()?,
        };
        world.dns.set(CARTS, Answer::new().alias(CARTS_PRIVATELINK, TTL).address(CARTS_PRIVATE, TTL));
        world.carts.set_clients(310);
        world.link_zone();
        world.set_clients(120);
        fs::write(world.password_file(), PASSWORD).context("cannot write the password file")?;
        fs::write(world.config_file(), world.config()).context("cannot write the configuration")?;
        Ok(world)
    }

    /// The private DNS zone answers here: the name leads to the private endpoint.
    pub(crate) fn link_zone(&self) {
        self.lead_orders_to(ORDERS_PRIVATE);
    }

    /// The public zone answers in its place: the alias stays, its target is public. So it is in Azure.
    pub(crate) fn unlink_zone(&self) {
        self.lead_orders_to(ORDERS_PUBLIC);
    }

    /// How many clients `orders` says are connected, of 1000.
    pub(crate) fn set_clients(&self, clients: u32) {
        self.orders.set_clients(clients);
    }

    /// `orders` shows a certificate that does not cover its name.
    pub(crate) fn show_another_certificate(&self) {
        self.orders.show(self.authority.leaf(&["cache.contoso.example"]).server());
    }

    pub(crate) fn show_the_right_certificate(&self) {
        self.orders.show(Arc::clone(&self.right_certificate));
    }

    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.path("cachewatch.toml")
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.path("cachewatch.log")
    }

    fn password_file(&self) -> PathBuf {
        self.path("password")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn lead_orders_to(&self, address: Ipv4Addr) {
        self.dns.set(ORDERS, Answer::new().alias(ORDERS_PRIVATELINK, TTL).address(address, TTL));
    }

    fn config(&self) -> String {
        let (listen, dns) = (self.listen, self.dns.address());
        let (password, ca) = (quoted(&self.password_file()), quoted(&self.authority.ca_file()));
        let (orders, carts) = (self.orders.address(), self.carts.address());
        format!(
            r#"# Written by the demo. In earnest the caches need `name`, `host`, `isolation` and a password, and nothing else.
[server]
listen = "{listen}"
shutdown_grace = "2s"

[thresholds]
retirement = "1d"   # the story is the same on any day

[probe]
interval = "1s"
timeout = "900ms"
jitter = 0.0

[[resolvers]]
name = "demo"
address = "{dns}"

[[caches]]
name = "orders"
host = "{ORDERS}"
isolation = "private_endpoint"
resolvers = ["demo"]
connect_to = ["{ORDERS_PRIVATE}:6380={orders}", "{ORDERS_PUBLIC}:6380={orders}"]
[caches.auth]
password_file = {password}
[caches.tls]
ca_file = {ca}

[[caches]]
name = "carts"
host = "{CARTS}"
isolation = "private_endpoint"
resolvers = ["demo"]
connect_to = ["{CARTS_PRIVATE}:10000={carts}"]
[caches.auth]
password_file = {password}
[caches.tls]
ca_file = {ca}
"#
        )
    }
}

/// The usual address if it is free, else one that is.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, USUAL_PORT))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .context("there is no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?)
}

/// A path as a TOML string.
fn quoted(path: &Path) -> toml::Value {
    toml::Value::from(path.to_string_lossy().into_owned())
}
