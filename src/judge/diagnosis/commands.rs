//! The commands that look closer or put right, with this cache's own names filled in.
//!
//! What only a person knows is left in angle brackets. Commands of the Azure CLI are given for hosts of Azure alone.

use std::net::SocketAddr;
use std::path::Path;

use super::Case;
use crate::azure::Product;
use crate::model::{Auth, CacheName, FaultKind, Protocol, Resolution, Resolver, Source, Step, Tls};

impl Case<'_> {
    fn azure(&self, command: impl FnOnce(&str, &str) -> String) -> Option<String> {
        let product = self.endpoint.product;
        (product != Product::Other).then(|| command(product.cli(), &self.endpoint.resource))
    }

    /// One part of what Azure knows of the cache.
    pub(super) fn show(&self, query: &str) -> Option<String> {
        self.azure(|cli, resource| format!("{cli} show -n {resource} -g <resource-group> --query {query}"))
    }

    /// One part of what Azure knows of the database, which is a resource of its own under Azure Managed Redis and Enterprise.
    fn show_database(&self, classic: &str, managed: &str) -> Option<String> {
        if self.endpoint.product == Product::CacheForRedis {
            return self.show(classic);
        }
        self.azure(|cli, resource| {
            format!("{cli} database show --cluster-name {resource} -g <resource-group> --query {managed}")
        })
    }

    /// Whether it is up, and on which port.
    pub(super) fn state_and_port(&self) -> Option<String> {
        self.show_database(
            "\"{state:provisioningState, port:sslPort, plainPort:enableNonSslPort}\"",
            "\"{state:resourceState, port:port, protocol:clientProtocol}\"",
        )
    }

    /// Whether access keys are accepted at all.
    pub(super) fn accepts_keys(&self) -> Option<String> {
        self.show_database("disableAccessKeyAuthentication", "accessKeysAuthentication")
    }

    /// Where the cache is, if it is.
    pub(super) fn list(&self) -> Option<String> {
        self.azure(|cli, resource| {
            format!("{cli} list --query \"[?name=='{resource}'].{{name:name, host:hostName, group:resourceGroup}}\" -o table")
        })
    }

    /// The access keys.
    pub(super) fn keys(&self) -> Option<String> {
        let group = if self.endpoint.product == Product::CacheForRedis { "" } else { " database" };
        let name = if self.endpoint.product == Product::CacheForRedis { "-n" } else { "--cluster-name" };
        self.azure(|cli, resource| format!("{cli}{group} list-keys {name} {resource} -g <resource-group>"))
    }

    /// A metric of the last hour, by the minute.
    pub(super) fn metric(&self, metric: &str) -> Option<String> {
        self.azure(|cli, resource| {
            format!(
                "az monitor metrics list --resource $({cli} show -n {resource} -g <resource-group> --query id -o tsv) \
                 --metric {metric} --interval PT1M --aggregation Maximum -o table"
            )
        })
    }

    /// What was done to the cache lately.
    pub(super) fn activity(&self) -> Option<String> {
        self.azure(|_, resource| {
            format!(
                "az monitor activity-log list -g <resource-group> --offset 1h \
                 --query \"[?contains(resourceId, '{resource}')].{{at:eventTimestamp, what:operationName.localizedValue, status:status.value}}\" -o table"
            )
        })
    }

    /// Who may connect from outside; Azure Managed Redis and Enterprise have no such rules.
    pub(super) fn firewall_rules(&self) -> Option<String> {
        let has_rules = self.endpoint.product == Product::CacheForRedis;
        let list =
            self.azure(|cli, resource| format!("{cli} firewall-rules list -n {resource} -g <resource-group> -o table"));
        list.filter(|_| has_rules)
    }

    /// Leaves private endpoints as the only way in.
    pub(super) fn disable_public_access(&self) -> Option<String> {
        self.update("--set publicNetworkAccess=Disabled", "--public-network-access Disabled")
    }

    /// Closes the port without TLS; Azure Managed Redis and Enterprise have none beside the other.
    pub(super) fn close_plain_port(&self) -> Option<String> {
        let has_two = self.endpoint.product.side_port().is_some();
        self.update("--set enableNonSslPort=false", "").filter(|_| has_two)
    }

    /// Refuses TLS 1.0 and 1.1.
    pub(super) fn raise_tls_version(&self) -> Option<String> {
        self.update("--set minimumTlsVersion=1.2", "--minimum-tls-version 1.2")
    }

    /// A change of the resource, in the words of either command group.
    fn update(&self, classic: &str, managed: &str) -> Option<String> {
        let change = if self.endpoint.product == Product::CacheForRedis { classic } else { managed };
        self.azure(|cli, resource| format!("{cli} update -n {resource} -g <resource-group> {change}"))
    }

    /// Its private endpoints, and whether they are approved.
    pub(super) fn private_endpoints(&self) -> Option<String> {
        self.azure(|_, resource| {
            format!(
                "az network private-endpoint list --query \"[?contains(to_string(privateLinkServiceConnections), '{resource}')].\
                 {{name:name, group:resourceGroup, status:privateLinkServiceConnections[0].privateLinkServiceConnectionState.status, \
                 addresses:customDnsConfigs[].ipAddresses[]}}\" -o jsonc"
            )
        })
    }

    /// The networks that the private zone is linked to.
    pub(super) fn zone_links(&self) -> Option<String> {
        self.azure(|_, _| {
            format!("az network private-dns link vnet list -g <resource-group> -z {} -o table", self.zone())
        })
    }

    /// The addresses in the private zone.
    pub(super) fn zone_records(&self) -> Option<String> {
        self.azure(|_, _| {
            format!("az network private-dns record-set a list -g <resource-group> -z {} -o table", self.zone())
        })
    }

    fn zone(&self) -> &'static str {
        self.endpoint.zone.unwrap_or("<the privatelink zone>")
    }

    /// Asks a name server by hand; without one, whoever this machine asks.
    pub(super) fn nslookup(&self, server: Option<&str>) -> String {
        let server = server.map_or_else(String::new, |server| format!(" {server}"));
        format!("nslookup {}{server}", self.cache.host)
    }

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

    /// Asks by hand whom a resolution asked. What `nslookup` does not speak, this program does.
    pub(super) fn ask(&self, resolution: &Resolution) -> String {
        if resolution.source == Source::HostsFile {
            return format!("getent hosts {}", self.cache.host);
        }
        let Some(server) = self.server_of(resolution) else { return self.nslookup(None) };
        match self.resolver_of(resolution) {
            Some(Resolver::Server { protocol, tls, path, .. })
                if *protocol != Protocol::Udp && (*protocol != Protocol::Tcp || server.port() != 53) =>
            {
                self.check_by(*protocol, server, tls, path)
            }
            _ if server.port() != 53 => {
                format!("nslookup -port={} {} {}", server.port(), self.cache.host, server.ip())
            }
            _ => self.nslookup(Some(&server.ip().to_string())),
        }
    }

    /// Checks the cache by one name server. The command line cannot say whom a name server's own roots are, so one that
    /// has such is asked as the configuration says.
    fn check_by(&self, protocol: Protocol, server: SocketAddr, tls: &Tls, path: &str) -> String {
        let cache = self.cache;
        if tls.ca_file.is_some() {
            return format!("cachewatch check {}", shell(cache.name.as_str()));
        }
        let target = if cache.port == self.endpoint.product.tls_port() { cache.host.clone() } else { cache.endpoint() };
        let path = if protocol == Protocol::Https { path } else { "" };
        let name = tls.server_name.as_ref().map_or_else(String::new, |name| format!("#{name}"));
        format!("cachewatch check {target} --resolver {}", shell(&format!("{protocol}://{server}{path}{name}")))
    }

    /// What the way to a name server needs to be open.
    pub(super) fn is_port_open(&self, resolution: &Resolution) -> String {
        let port = self.server_of(resolution).map_or(53, |server| server.port());
        let over = match self.resolver_of(resolution) {
            Some(Resolver::Server { protocol, .. }) if *protocol != Protocol::Udp => "TCP",
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

    /// Asks the resolver of Azure's networks, which answers inside them only.
    pub(super) fn nslookup_inside_azure(&self) -> Option<String> {
        self.azure(|_, _| self.nslookup(Some("168.63.129.16")))
    }

    /// Opens a connection by hand.
    pub(super) fn dial(&self, place: &str) -> String {
        format!("nc -vz -w 5 {place} {}", self.cache.port)
    }

    /// A command to the server itself.
    pub(super) fn redis_cli(&self, command: &str) -> String {
        let cache = self.cache;
        let mut parts = vec![format!("redis-cli -h {} -p {}", cache.host, cache.port)];
        if let Some(tls) = &cache.tls {
            parts.push(format!("--tls --sni {}", cache.server_name()));
            parts.extend(tls.ca_file.as_ref().map(|file| format!("--cacert {}", quoted(file))));
        }
        if let Auth::AccessKey { username, .. } = &cache.auth {
            parts.extend(username.as_ref().map(|user| format!("--user {}", shell(user))));
            parts.push("--askpass".to_owned());
        }
        parts.push(command.to_owned());
        parts.join(" ")
    }

    /// Who is connected, the busiest address first.
    pub(super) fn clients_by_address(&self) -> String {
        self.redis_cli("CLIENT LIST | grep -o ' addr=[^:]*' | sort | uniq -c | sort -rn | head")
    }

    /// Shows the certificate.
    pub(super) fn certificate(&self) -> String {
        format!(
            "{} -showcerts </dev/null | openssl x509 -noout -subject -issuer -dates -ext subjectAltName",
            self.openssl()
        )
    }

    /// A TLS handshake by hand.
    pub(super) fn openssl(&self) -> String {
        format!("openssl s_client -connect {} -servername {}", self.cache.endpoint(), self.cache.server_name())
    }
}

/// Declares what the resolvers of a cache say now to be right.
#[must_use]
pub fn accept_baseline(cache: &CacheName) -> Step {
    Step::Run(format!("cachewatch baseline accept {}", shell(cache.as_str())))
}

/// A path as one word of a shell command.
pub(super) fn quoted(path: &Path) -> String {
    shell(&path.to_string_lossy())
}

/// A text as one word of a shell command: as it is where the shell has no opinion of it, else between quotes.
fn shell(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_./:@%+=,-".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_shell_would_run_is_quoted() {
        assert_eq!(shell("/run/secrets/orders-1"), "/run/secrets/orders-1");
        assert_eq!(shell("/run/k$(id) x;.txt"), "'/run/k$(id) x;.txt'");
        assert_eq!(shell("it's"), r"'it'\''s'");
        assert_eq!(shell(""), "''");
    }
}
