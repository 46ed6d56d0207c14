//! The commands that look closer or put right, with this cache's own names filled in.
//!
//! What only a person knows is left in angle brackets. Commands of the Azure CLI are given for hosts of Azure alone.

use std::path::Path;

use super::Case;
use crate::azure::Product;
use crate::model::{Auth, Resolution, Resolver, Source};

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

    /// Asks by hand whom a resolution asked.
    pub(super) fn ask(&self, resolution: &Resolution) -> String {
        let configured = self.cache.resolvers.iter().find_map(|resolver| match resolver {
            Resolver::Server { name, address, .. } if *name == resolution.resolver => Some(*address),
            _ => None,
        });
        let server = configured.or_else(|| resolution.queries.last().map(|query| query.server));
        match (resolution.source, server) {
            (Source::HostsFile, _) => format!("getent hosts {}", self.cache.host),
            (_, Some(server)) if server.port() != 53 => {
                format!("nslookup -port={} {} {}", server.port(), self.cache.host, server.ip())
            }
            (_, server) => self.nslookup(server.map(|server| server.ip().to_string()).as_deref()),
        }
    }

    /// Declares what the resolvers say now to be right.
    pub(super) fn accept(&self) -> String {
        format!("cachewatch baseline accept {}", shell(self.cache.name.as_str()))
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
