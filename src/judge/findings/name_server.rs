//! What to ask of the name server behind an answer, and how.

use std::net::SocketAddr;

use super::case::Case;
use super::commands::shell;
use crate::model::{FaultKind, Protocol, Resolution, Resolver, Source, Tls};

impl Case<'_> {
    /// The resolver of the configuration that a resolution came from.
    fn resolver_of(&self, resolution: &Resolution) -> Option<&Resolver> {
        self.cache.resolvers.iter().find(|resolver| resolver.name() == resolution.resolver)
    }

    /// Whether a resolution came from one server of resolv.conf.
    pub(super) fn is_listed(&self, resolution: &Resolution) -> bool {
        matches!(self.resolver_of(resolution), Some(Resolver::Listed(_)))
    }

    /// The server that a resolution came from.
    pub(super) fn server_of(&self, resolution: &Resolution) -> Option<SocketAddr> {
        match self.resolver_of(resolution) {
            Some(Resolver::Server { address, .. }) => Some(*address),
            _ => resolution.queries.last().map(|query| query.server),
        }
    }

    /// Asks by hand what a resolution asked, of the same server. What `nslookup` does not speak, this program does.
    pub(super) fn ask(&self, resolution: &Resolution) -> String {
        if resolution.source == Source::HostsFile {
            return format!("getent hosts {}", self.cache.host);
        }
        let Some(server) = self.server_of(resolution) else { return self.commands.nslookup(None) };
        match self.resolver_of(resolution) {
            Some(Resolver::Server { protocol, tls, path, .. })
                if protocol.row().tls.is_some() || (!protocol.row().datagrams && server.port() != 53) =>
            {
                self.check_by(*protocol, server, tls, path)
            }
            _ if server.port() != 53 => {
                format!("nslookup -port={} {} {}", server.port(), self.cache.host, server.ip())
            }
            _ => self.commands.nslookup(Some(&server.ip().to_string())),
        }
    }

    /// Checks the cache by one name server. The command line cannot name a name server's own roots, so one that
    /// has such is asked as the configuration says.
    fn check_by(&self, protocol: Protocol, server: SocketAddr, tls: &Tls, path: &str) -> String {
        let cache = self.cache;
        if tls.ca_file.is_some() {
            return format!("cachewatch check {}", shell(cache.name.as_str()));
        }
        let target = if cache.port == self.endpoint.product.tls_port() { cache.host.clone() } else { cache.endpoint() };
        let path = if protocol.row().http { path } else { "" };
        let name = tls.server_name.as_ref().map_or_else(String::new, |name| format!("#{name}"));
        format!("cachewatch check {target} --resolver {}", shell(&format!("{protocol}://{server}{path}{name}")))
    }

    /// What the way to a name server needs to be open.
    pub(super) fn is_port_open(&self, resolution: &Resolution) -> String {
        let port = self.server_of(resolution).map_or(53, |server| server.port());
        let over = match self.resolver_of(resolution) {
            Some(Resolver::Server { protocol, .. }) if !protocol.row().datagrams => "TCP",
            _ => "UDP and TCP",
        };
        let azure = if port == 53 { "; 168.63.129.16 answers inside Azure only" } else { "" };
        format!("is port {port} open from here to that name server, over {over}?{azure}")
    }

    /// What lets a name server be trusted, where its certificate is not.
    pub(super) fn trust(&self, resolution: &Resolution) -> Option<String> {
        let is_untrusted = resolution.fault.as_ref().is_some_and(|fault| fault.kind == FaultKind::ResolverUntrusted);
        let server = self.server_of(resolution).filter(|_| is_untrusted)?;
        Some(format!(
            "the certificate of name server {server} is not trusted: set ca_file of resolver {} where an authority of \
             your own signed it, and server_name to the name that it covers",
            resolution.resolver
        ))
    }
}
