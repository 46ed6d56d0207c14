//! A host name tells the product, the cloud, the private DNS zone and the port.

use crate::model::vocabulary;

vocabulary! {
    /// A Redis service of Azure.
    pub enum Product {
        /// Azure Cache for Redis: Basic, Standard, Premium.
        CacheForRedis = "azure_cache_for_redis",
        /// Azure Cache for Redis Enterprise and Enterprise Flash.
        Enterprise = "azure_cache_for_redis_enterprise",
        /// Azure Managed Redis.
        ManagedRedis = "azure_managed_redis",
        /// A host that is none of these.
        Other = "other",
    }
}

impl Product {
    /// The name Azure uses.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::CacheForRedis => "Azure Cache for Redis",
            Self::Enterprise => "Azure Cache for Redis Enterprise",
            Self::ManagedRedis => "Azure Managed Redis",
            Self::Other => "a Redis server outside Azure's domains",
        }
    }

    /// The TLS port an application dials.
    ///
    /// Source: Microsoft Learn, "Configure TLS" of Azure Cache for Redis (6380) and of Azure Managed Redis (10000). A host
    /// that is none of these gets 6380 as well, the port this tool is mostly asked about.
    #[must_use]
    pub const fn tls_port(self) -> u16 {
        match self {
            Self::CacheForRedis | Self::Other => 6380,
            Self::Enterprise | Self::ManagedRedis => 10000,
        }
    }

    /// The port without TLS: Azure Cache for Redis has one beside the other (off by default); the others use one port
    /// in one of two modes. Source as above.
    #[must_use]
    pub const fn plain_port(self) -> u16 {
        match self {
            Self::CacheForRedis | Self::Other => 6379,
            Self::Enterprise | Self::ManagedRedis => 10000,
        }
    }

    /// The port without TLS that may be open beside the one with TLS, for the products that have two. Source as above.
    #[must_use]
    pub const fn side_port(self) -> Option<u16> {
        match self {
            Self::CacheForRedis | Self::Other => Some(6379),
            Self::Enterprise | Self::ManagedRedis => None,
        }
    }

    /// The command group of the Azure CLI that manages it.
    #[must_use]
    pub const fn cli(self) -> &'static str {
        match self {
            Self::CacheForRedis | Self::Other => "az redis",
            Self::Enterprise | Self::ManagedRedis => "az redisenterprise",
        }
    }
}

vocabulary! {
    /// A cloud of Azure.
    pub enum Cloud {
        /// The public cloud.
        Public = "public",
        /// Azure Government.
        UsGovernment = "us_government",
        /// Azure operated by 21Vianet.
        China = "china",
        /// A sovereign cloud in Europe or Singapore.
        Sovereign = "sovereign",
        /// Not in Azure's domains.
        None = "none",
    }
}

/// What a host name of Azure says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Which service.
    pub product: Product,
    /// Which cloud.
    pub cloud: Cloud,
    /// The name of the resource, in lower case.
    pub resource: String,
    /// The private DNS zone of its private endpoints, where a first-party source names it.
    pub zone: Option<&'static str>,
    /// Whether the host is the `privatelink` name itself, which no certificate covers.
    pub is_privatelink: bool,
}

impl Endpoint {
    /// What `identify` gives where it finds nothing.
    #[must_use]
    fn other(host: &str) -> Self {
        Self {
            product: Product::Other,
            cloud: Cloud::None,
            resource: host.split('.').next().unwrap_or(host).to_ascii_lowercase(),
            zone: None,
            is_privatelink: host.split('.').any(|label| label.eq_ignore_ascii_case("privatelink")),
        }
    }
}

/// One suffix of a product in a cloud.
struct Suffix {
    domain: &'static str,
    product: Product,
    cloud: Cloud,
    zone: Option<&'static str>,
}

const fn row(domain: &'static str, product: Product, cloud: Cloud, zone: Option<&'static str>) -> Suffix {
    Suffix { domain, product, cloud, zone }
}

/// Host name suffixes, with the private DNS zone where one is documented.
///
/// Sources: Microsoft Learn, "Azure private endpoint private DNS zone values" (zones of Azure Cache for Redis in three
/// clouds and of Enterprise) and "Azure Managed Redis with Azure Private Link"; StackExchange.Redis,
/// `AzureOptionsProvider.cs` and `AzureManagedRedisOptionsProvider.cs` (suffixes of the other clouds). Zones of Azure
/// Managed Redis outside the public cloud, and of the sovereign clouds, have no first-party source and are left out.
static SUFFIXES: &[Suffix] = &[
    row("redis.cache.windows.net", Product::CacheForRedis, Cloud::Public, Some("privatelink.redis.cache.windows.net")),
    row(
        "redis.cache.usgovcloudapi.net",
        Product::CacheForRedis,
        Cloud::UsGovernment,
        Some("privatelink.redis.cache.usgovcloudapi.net"),
    ),
    row(
        "redis.cache.chinacloudapi.cn",
        Product::CacheForRedis,
        Cloud::China,
        Some("privatelink.redis.cache.chinacloudapi.cn"),
    ),
    row("redis.cache.sovcloud-api.de", Product::CacheForRedis, Cloud::Sovereign, None),
    row("redis.cache.sovcloud-api.fr", Product::CacheForRedis, Cloud::Sovereign, None),
    row(
        "redisenterprise.cache.azure.net",
        Product::Enterprise,
        Cloud::Public,
        Some("privatelink.redisenterprise.cache.azure.net"),
    ),
    row("redis.azure.net", Product::ManagedRedis, Cloud::Public, Some("privatelink.redis.azure.net")),
    row("redis.usgovcloudapi.net", Product::ManagedRedis, Cloud::UsGovernment, None),
    row("redis.chinacloudapi.cn", Product::ManagedRedis, Cloud::China, None),
    row("redis.sovcloud-api.de", Product::ManagedRedis, Cloud::Sovereign, None),
    row("redis.sovcloud-api.fr", Product::ManagedRedis, Cloud::Sovereign, None),
    row("redis.sovcloud-api.sg", Product::ManagedRedis, Cloud::Sovereign, None),
];

/// What a host name says: product, cloud, resource and zone. A host outside Azure's domains is [`Product::Other`].
///
/// The suffix is what the name says, not proof of the product behind it: a migration from Azure Cache for Redis to Azure
/// Managed Redis may keep the old name.
#[must_use]
pub fn identify(host: &str) -> Endpoint {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    for row in SUFFIXES {
        let Some(labels) = host.strip_suffix(row.domain).and_then(|rest| rest.strip_suffix('.')) else { continue };
        let is_privatelink = labels.split('.').any(|label| label == "privatelink");
        let resource = labels.split('.').next().unwrap_or(labels).to_owned();
        return Endpoint { product: row.product, cloud: row.cloud, resource, zone: row.zone, is_privatelink };
    }
    Endpoint::other(&host)
}

/// A suffix that is a letter or two away from the end of a host outside Azure's domains, and that end: a slip of the pen.
#[must_use]
pub fn nearest_suffix(host: &str) -> Option<(String, &'static str)> {
    if identify(host).product != Product::Other {
        return None;
    }
    let labels: Vec<_> = host.split('.').collect();
    SUFFIXES.iter().find_map(|row| {
        let start = labels.len().checked_sub(row.domain.split('.').count()).filter(|start| *start > 0)?;
        let end = labels[start..].join(".").to_ascii_lowercase();
        let is_near = (1..=2).contains(&strsim::damerau_levenshtein(&end, row.domain));
        is_near.then_some((end, row.domain))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_product_zone_and_port() {
        let classic = identify("Orders.redis.cache.windows.net.");
        assert_eq!(
            (classic.product, classic.cloud, classic.resource.as_str(), classic.zone, classic.product.tls_port()),
            (Product::CacheForRedis, Cloud::Public, "orders", Some("privatelink.redis.cache.windows.net"), 6380)
        );
        let managed = identify("orders.westeurope.redis.azure.net");
        assert_eq!((managed.product, managed.product.tls_port()), (Product::ManagedRedis, 10000));
        assert_eq!(managed.resource, "orders");
        assert!(identify("orders.privatelink.redis.azure.net").is_privatelink);
        assert_eq!(identify("orders.eastus.redisenterprise.cache.azure.net").product, Product::Enterprise);
    }

    #[test]
    fn a_suffix_matches_whole_labels_only() {
        for host in ["evilredis.azure.net", "redis.azure.net", "redis.azure.net.example.com", "10.0.0.4", ""] {
            assert_eq!(identify(host).product, Product::Other, "{host}");
        }
    }

    #[test]
    fn a_slip_of_the_pen_finds_the_suffix_that_was_meant() {
        for (host, meant) in [
            ("orders.redis.cache.window.net", Some("redis.cache.windows.net")),
            ("orders.redis.cahce.windows.net", Some("redis.cache.windows.net")),
            ("orders.redis.cache.windows.net", None),
            ("redis.azure.net", None),
            ("orders.example.com", None),
            ("10.0.0.4", None),
        ] {
            assert_eq!(nearest_suffix(host).map(|(_, suffix)| suffix), meant, "{host}");
        }
    }
}
