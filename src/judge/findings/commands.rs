//! The commands that look closer or put right, with the names of one cache filled in.
//!
//! What only a person knows is left in angle brackets. Commands of the Azure CLI are given for hosts of Azure alone.

use std::net::IpAddr;
use std::path::Path;

use crate::azure::{self, Endpoint, Product};
use crate::model::{Cache, CacheName, Step};

/// The resolver of Azure's networks, which answers inside them only.
pub(super) const AZURE_DNS: &str = "168.63.129.16";

/// The names that stand in commands.
#[derive(Debug, Clone)]
pub struct Commands {
    product: Product,
    zone: &'static str,
    /// The name of the resource in Azure.
    resource: String,
    cache: CacheName,
    host: String,
    port: String,
    /// The name that is sent in a TLS handshake.
    server_name: String,
    is_sample: bool,
}

impl Commands {
    /// The names of the catalogue, which stand for those of the cache at hand: `NAME`, `HOST`, `PORT`, `GROUP`.
    #[must_use]
    pub fn sample() -> Self {
        Self {
            product: Product::CacheForRedis,
            zone: "privatelink.redis.cache.windows.net",
            resource: "NAME".to_owned(),
            cache: CacheName::new("NAME"),
            host: "HOST".to_owned(),
            port: "PORT".to_owned(),
            server_name: "HOST".to_owned(),
            is_sample: true,
        }
    }

    /// The names that a host tells; without a port, it is the product's.
    #[must_use]
    pub fn of_host(host: &str, port: Option<u16>) -> Self {
        let endpoint = azure::identify(host);
        let port = port.unwrap_or_else(|| endpoint.product.tls_port());
        Self::new(endpoint, CacheName::new(host), host, port, host)
    }

    /// The names of a cache.
    pub(super) fn of(cache: &Cache, endpoint: Endpoint) -> Self {
        Self::new(endpoint, cache.name.clone(), &cache.host, cache.port, cache.server_name())
    }

    fn new(endpoint: Endpoint, cache: CacheName, host: &str, port: u16, server_name: &str) -> Self {
        Self {
            product: endpoint.product,
            zone: endpoint.zone.unwrap_or("<the privatelink zone>"),
            resource: endpoint.resource,
            cache,
            host: host.to_owned(),
            port: port.to_string(),
            server_name: server_name.to_owned(),
            is_sample: false,
        }
    }

    /// Whether the names are those of the catalogue.
    pub(super) fn is_sample(&self) -> bool {
        self.is_sample
    }

    /// What only a person knows: the catalogue's word for it, or what it is in angle brackets.
    pub(super) fn blank(&self, sample: &'static str, words: &'static str) -> &'static str {
        if self.is_sample { sample } else { words }
    }

    fn group(&self) -> &'static str {
        self.blank("GROUP", "<resource-group>")
    }

    /// One address of several.
    pub(super) fn address(&self) -> &'static str {
        self.blank("ADDRESS", "<address>")
    }

    /// The name or address that an application dials.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The name for an application to dial where the host is the privatelink name.
    pub(super) fn public_host(&self) -> String {
        if self.is_sample { "NAME.redis.cache.windows.net".to_owned() } else { public_host(&self.host) }
    }

    fn endpoint(&self) -> String {
        match self.host.parse() {
            Ok(IpAddr::V6(address)) => format!("[{address}]:{}", self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }

    fn azure(&self, command: impl FnOnce(&str, &str) -> String) -> Option<String> {
        (self.product != Product::Other).then(|| command(self.product.cli(), &self.resource))
    }

    /// One part of what Azure knows of the cache.
    pub(super) fn show(&self, query: &str) -> Option<String> {
        self.azure(|cli, resource| format!("{cli} show -n {resource} -g {} --query {query}", self.group()))
    }

    /// One part of what Azure knows of the database, which is a resource of its own under Azure Managed Redis and Enterprise.
    fn show_database(&self, classic: &str, managed: &str) -> Option<String> {
        if self.product == Product::CacheForRedis {
            return self.show(classic);
        }
        self.azure(|cli, resource| {
            format!("{cli} database show --cluster-name {resource} -g {} --query {managed}", self.group())
        })
    }

    /// Whether it is up, and on which ports.
    pub(super) fn state_and_ports(&self) -> Option<String> {
        self.show_database("\"{state:provisioningState, port:sslPort, plainPort:enableNonSslPort}\"", DATABASE_STATE)
    }

    /// Whether it is up, and on which port it speaks TLS.
    pub(super) fn state_and_tls_port(&self) -> Option<String> {
        self.show_database("\"{state:provisioningState, port:sslPort}\"", DATABASE_STATE)
    }

    /// Its tier, and the client limit that Azure set.
    pub(super) fn sku_and_limit(&self) -> Option<String> {
        self.show("\"{sku:sku, maxclients:redisConfiguration.maxclients}\"")
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

    /// All caches of the product, with their tiers.
    pub(super) fn tiers(&self) -> Option<String> {
        self.azure(|cli, _| {
            format!("{cli} list --query \"[].{{name:name, sku:sku.name, group:resourceGroup}}\" -o table")
        })
    }

    /// The access keys.
    pub(super) fn keys(&self) -> Option<String> {
        let (part, name) =
            if self.product == Product::CacheForRedis { ("", "-n") } else { (" database", "--cluster-name") };
        self.azure(|cli, resource| format!("{cli}{part} list-keys {name} {resource} -g {}", self.group()))
    }

    /// A metric, as Azure gives it.
    pub(super) fn metric(&self, metric: &str) -> Option<String> {
        let id =
            if self.is_sample { Some("ID".to_owned()) } else { self.show("id -o tsv").map(|id| format!("$({id})")) };
        id.map(|id| format!("az monitor metrics list --resource {id} --metric {metric}"))
    }

    /// A metric of the last hour, by the minute.
    pub(super) fn metric_by_minute(&self, metric: &str) -> Option<String> {
        self.metric(metric).map(|command| format!("{command} --interval PT1M --aggregation Maximum -o table"))
    }

    /// What was done in the cache's group lately.
    pub(super) fn activity_of_group(&self) -> Option<String> {
        self.azure(|_, _| format!("az monitor activity-log list -g {} --offset 1h", self.group()))
    }

    /// What was done to the cache lately.
    pub(super) fn activity(&self) -> Option<String> {
        let all = self.activity_of_group()?;
        Some(format!(
            "{all} --query \"[?contains(resourceId, '{}')].{{at:eventTimestamp, what:operationName.localizedValue, \
             status:status.value}}\" -o table",
            self.resource
        ))
    }

    /// Who may connect from outside; Azure Managed Redis and Enterprise have no such rules.
    pub(super) fn firewall_rules(&self) -> Option<String> {
        let has_rules = self.product == Product::CacheForRedis;
        let list =
            self.azure(|cli, resource| format!("{cli} firewall-rules list -n {resource} -g {} -o table", self.group()));
        list.filter(|_| has_rules)
    }

    /// Leaves private endpoints as the only way in.
    pub(super) fn disable_public_access(&self) -> Option<String> {
        self.update("--set publicNetworkAccess=Disabled", "--public-network-access Disabled")
    }

    /// Whether the port without TLS is open; Azure Managed Redis and Enterprise have none beside the other.
    pub(super) fn plain_port_state(&self) -> Option<String> {
        self.product.side_port().and_then(|_| self.show("enableNonSslPort"))
    }

    /// Closes the port without TLS, where there is one.
    pub(super) fn close_plain_port(&self) -> Option<String> {
        self.product.side_port().and_then(|_| self.update("--set enableNonSslPort=false", ""))
    }

    /// Refuses TLS 1.0 and 1.1.
    pub(super) fn raise_tls_version(&self) -> Option<String> {
        self.update("--set minimumTlsVersion=1.2", "--minimum-tls-version 1.2")
    }

    /// A change of the resource, in the words of either command group.
    fn update(&self, classic: &str, managed: &str) -> Option<String> {
        let change = if self.product == Product::CacheForRedis { classic } else { managed };
        self.azure(|cli, resource| format!("{cli} update -n {resource} -g {} {change}", self.group()))
    }

    /// Its private endpoints, and whether they are approved.
    pub(super) fn private_endpoints(&self) -> Option<String> {
        self.private_endpoints_as(
            ".{name:name, group:resourceGroup, status:privateLinkServiceConnections[0].privateLinkServiceConnectionState.status, \
             addresses:customDnsConfigs[].ipAddresses[]}\" -o jsonc",
        )
    }

    /// Its private endpoints; `rest` is what of them to show, from behind the filter on.
    pub(super) fn private_endpoints_as(&self, rest: &str) -> Option<String> {
        self.azure(|_, resource| {
            format!(
                "az network private-endpoint list --query \"[?contains(to_string(privateLinkServiceConnections), '{resource}')]{rest}"
            )
        })
    }

    /// What writes the record of a private endpoint.
    pub(super) fn zone_groups(&self) -> String {
        let endpoint = self.blank("ENDPOINT", "<endpoint>");
        format!("az network private-endpoint dns-zone-group list -g {} --endpoint-name {endpoint}", self.group())
    }

    /// The networks that the private zone is linked to.
    pub(super) fn zone_links(&self) -> Option<String> {
        self.azure(|_, _| {
            format!("az network private-dns link vnet list -g {} -z {} -o table", self.group(), self.zone)
        })
    }

    /// The addresses in the private zone.
    pub(super) fn zone_records(&self) -> Option<String> {
        self.azure(|_, _| {
            format!("az network private-dns record-set a list -g {} -z {} -o table", self.group(), self.zone)
        })
    }

    /// Lets Azure try the way from this machine to the cache.
    pub(super) fn test_connectivity(&self) -> String {
        format!(
            "az network watcher test-connectivity -g {} --source-resource {} --dest-address {} --dest-port {}",
            self.group(),
            self.blank("VM", "<this-vm>"),
            self.host,
            self.port
        )
    }

    /// The security rules that hold for this machine.
    pub(super) fn effective_rules(&self) -> String {
        format!("az network nic list-effective-nsg -g {} -n {} -o table", self.group(), self.nic())
    }

    /// The routes that hold for this machine.
    pub(super) fn effective_routes(&self) -> String {
        format!("az network nic show-effective-route-table -g {} -n {} -o table", self.group(), self.nic())
    }

    fn nic(&self) -> &'static str {
        self.blank("NIC", "<nic-of-this-vm>")
    }

    /// Asks a name server by hand; without one, the one that this machine asks.
    pub(super) fn nslookup(&self, server: Option<&str>) -> String {
        let server = server.map_or_else(String::new, |server| format!(" {server}"));
        format!("nslookup {}{server}", self.host)
    }

    /// Asks the resolver of Azure's networks.
    pub(super) fn nslookup_inside_azure(&self) -> Option<String> {
        self.azure(|_, _| self.nslookup(Some(AZURE_DNS)))
    }

    /// Opens a connection by hand.
    pub(super) fn dial(&self, place: &str) -> String {
        format!("nc -vz -w 5 {place} {}", self.port)
    }

    /// Speaks Redis without TLS, by hand.
    pub(super) fn plain_ping(&self) -> String {
        plain_ping(&self.host, &self.port)
    }

    /// A command to the server itself, with TLS and a password.
    pub(super) fn redis_cli(&self, command: &str) -> String {
        format!("redis-cli -h {} -p {} --tls --askpass {command}", self.host, self.port)
    }

    /// A TLS handshake by hand; `options` begin with a blank.
    pub(super) fn handshake(&self, options: &str) -> String {
        format!("openssl s_client -connect {} -servername {}{options} </dev/null", self.endpoint(), self.server_name)
    }

    /// A TLS handshake of a version that is given up.
    pub(super) fn legacy_handshake(&self) -> String {
        self.handshake(" -tls1_1 -cipher ALL:@SECLEVEL=0")
    }

    /// Shows the certificate.
    pub(super) fn certificate(&self) -> String {
        format!("{} | openssl x509 -noout -subject -issuer -dates -ext subjectAltName", self.handshake(" -showcerts"))
    }

    /// Accepts the present answers of the resolvers.
    pub(super) fn accept(&self) -> Step {
        Step::accept_baseline(&self.cache)
    }
}

const DATABASE_STATE: &str = "\"{state:resourceState, port:port, protocol:clientProtocol}\"";

/// The name for an application to dial in place of the privatelink name.
fn public_host(host: &str) -> String {
    host.replacen(".privatelink.", ".", 1)
}

/// Speaks Redis without TLS, by hand.
pub(super) fn plain_ping(place: &str, port: &str) -> String {
    format!("printf 'PING\\r\\n' | nc -w 3 {place} {port}")
}

/// A path as one word of a shell command.
pub(super) fn quoted(path: &Path) -> String {
    shell(&path.to_string_lossy())
}

/// A text as one word of a shell command: as it is where the shell has no opinion of it, else between quotes.
pub(super) fn shell(text: &str) -> String {
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
