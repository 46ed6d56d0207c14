//! Causes in the configuration: the name and the port, and a product that comes to its end.

use std::net::IpAddr;
use std::time::Duration;

use super::case::{Case, Diagnosis};
use super::coverage::Coverage;
use super::rule::{Rule, azure, note, run};
use crate::azure::{self, Product};
use crate::model::{FindingId, Severity, Stage};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: FindingId::ConfigPrivatelinkName,
        stage: Stage::Resolve,
        denied_by: Coverage::Lookup,
        severity: "3; 1 where TLS fails on it",
        title: "the configured host is the privatelink name",
        means: "The name in the privatelink zone is an alias for DNS to use, not for an application to dial: the server's \
                certificate does not cover it, so TLS fails or has been weakened to make it work.",
        told_apart: "The host in the configuration has a label `privatelink`; this needs no network access.",
        on_the_wire: "Nothing: it is seen before the first packet. TLS then fails on the certificate's names, which is \
                      shown as evidence.",
        steps: |c| vec![note(format!("dial {}; DNS leads it to the private endpoint by itself", c.public_host()))],
    },
    Rule {
        id: FindingId::ConfigIpAddress,
        stage: Stage::Resolve,
        denied_by: Coverage::Lookup,
        severity: "3; 1 where TLS fails on it",
        title: "the configured host is an address",
        means: "No certificate of Azure covers an address, and the address can change when the cache is scaled, \
                patched or its private endpoint is recreated. DNS, which would follow such a move, is not asked.",
        told_apart: "The host in the configuration parses as an IPv4 or IPv6 address.",
        on_the_wire: "No DNS query at all. TLS then fails on the certificate's names, unless a server name is configured.",
        steps: |c| {
            vec![note(
                c.show("hostName")
                    .map_or("dial the host name".to_owned(), |show| format!("dial the host name: {show}")),
            )]
        },
    },
    Rule {
        id: FindingId::ConfigPortProduct,
        stage: Stage::Resolve,
        denied_by: Coverage::Lookup,
        severity: "3; 1 where nothing answers there",
        title: "the configured port is another product's",
        means: "Azure Cache for Redis listens on 6380 (6379 without TLS), Azure Managed Redis and Enterprise on 10000. An \
                application with the same setting cannot connect.",
        told_apart: "The suffix of the host tells the product, the product its port; this needs no network access.",
        on_the_wire: "Nothing yet. The connection is then refused or filtered.",
        steps: |c| vec![note("configure the product's port, here and in the application"), run(c.dial(c.host()))],
    },
    Rule {
        id: FindingId::RetirementNear,
        stage: Stage::Resolve,
        denied_by: Coverage::Lookup,
        severity: "4 within eighteen months (configurable), 3 within a year, 2 within 90 days",
        title: "the product is being retired",
        means: "Microsoft has announced the day from which caches of this product are disabled: Enterprise and Enterprise Flash \
                from 2027-04-01, Basic, Standard and Premium from 2028-10-01.",
        told_apart: "The suffix of the host tells the product. After a migration the old name may lead to another product.",
        on_the_wire: "Nothing.",
        steps: |c| vec![azure(c.tiers())],
    },
];

/// The name itself, before anyone is asked.
pub(super) fn diagnose(case: &Case<'_>, diagnosis: &mut Diagnosis) {
    let host = &case.cache.host;
    if host.parse::<IpAddr>().is_ok() {
        let summary = format!(
            "the configured host {host} is an address: certificates of Azure cover names only, and it can move"
        );
        let expectation = &case.cache.expectation;
        let expected = case
            .lookup
            .followed()
            .is_none_or(|resolution| resolution.addresses.iter().all(|answer| expectation.admits(answer.address)));
        let severity = if expected { Severity::Risk } else { Severity::Degraded };
        let finding = case.finding(FindingId::ConfigIpAddress, severity, Stage::Resolve, summary);
        let unexpected = (!expected).then(|| "it is not an address that is expected either".to_owned());
        diagnosis.findings.push(
            finding
                .evidences(unexpected)
                .evidence(format!("host = \"{host}\" in the configuration of cache {}", case.cache.name))
                .note("configure the host name that the application uses, such as NAME.redis.cache.windows.net")
                .done(),
        );
    }
    port(case, diagnosis);
    retirement(case, diagnosis);
    if case.endpoint.is_privatelink {
        let summary = format!(
            "the configured host {host} is the privatelink name: no certificate covers it, and applications must not dial it"
        );
        let public = case.commands.public_host();
        let finding = case.finding(FindingId::ConfigPrivatelinkName, Severity::Risk, Stage::Resolve, summary);
        diagnosis.findings.push(
            finding
                .evidence(format!("host = \"{host}\" in the configuration of cache {}", case.cache.name))
                .note(format!("use {public}: DNS leads it to the private endpoint by itself"))
                .done(),
        );
    }
}

/// A port that belongs to another product.
fn port(case: &Case<'_>, diagnosis: &mut Diagnosis) {
    let (port, product) = (case.cache.port, case.endpoint.product);
    let is_anothers = match product {
        Product::CacheForRedis => port == Product::ManagedRedis.tls_port(),
        Product::ManagedRedis | Product::Enterprise => {
            port == Product::CacheForRedis.tls_port() || port == Product::CacheForRedis.plain_port()
        }
        Product::Other => false,
    };
    if !is_anothers {
        return;
    }
    let right = product.tls_port();
    let summary =
        format!("{} is {}, which listens on {right}, and port {port} is configured", case.cache.host, product.title());
    let finding = case.finding(FindingId::ConfigPortProduct, Severity::Risk, Stage::Resolve, summary);
    diagnosis.findings.push(
        finding
            .evidence(format!("port = {port} in the configuration of cache {}", case.cache.name))
            .note(format!("configure port {right}, here and in the application"))
            .run(case.commands.dial(&case.cache.host))
            .done(),
    );
}

/// The product comes to its end.
fn retirement(case: &Case<'_>, diagnosis: &mut Diagnosis) {
    const YEAR: Duration = Duration::from_hours(24 * 365);
    const QUARTER: Duration = Duration::from_hours(24 * 90);
    let Some(end) = azure::retirement(case.endpoint.product) else { return };
    let left = end.since(case.lookup.at);
    if left > case.cache.thresholds.retirement {
        return;
    }
    let severity = match left {
        left if left <= QUARTER => Severity::Degraded,
        left if left <= YEAR => Severity::Risk,
        _ => Severity::Advice,
    };
    let title = case.endpoint.product.title();
    let days = left.as_secs() / 86_400;
    let summary = format!(
        "{title} is retired, and disabled from {}: in {days} days {} will be gone",
        end.date(),
        case.cache.host
    );
    let finding = case.finding(FindingId::RetirementNear, severity, Stage::Resolve, summary);
    diagnosis.findings.push(
        finding
            .evidence(format!(
                "{} is a name of {title}; after a migration it may lead to another product",
                case.cache.host
            ))
            .note("plan the migration to Azure Managed Redis: other port (10000), other private zone, other tiers")
            .azure(case.commands.list())
            .done(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::tests::{DAY, HOST, PRIVATELINK, cache, failed, healthy, leg, report, resolution, verdict};
    use crate::model::{Cache, FaultKind, Resolution, Source, Timestamp, Tls};

    #[test]
    fn the_configured_name_itself_can_be_wrong() {
        let address = Cache { host: "10.20.1.4".into(), ..cache() };
        let literal = Resolution { source: Source::Literal, ..resolution(&[], &["10.20.1.4"]) };
        assert_eq!(verdict(&address, &report(literal, vec![leg("10.20.1.4")])), ["config-ip-address 3"]);
        let privatelink = Cache { host: PRIVATELINK.into(), ..cache() };
        assert_eq!(
            verdict(&privatelink, &report(resolution(&[], &["10.20.1.4"]), vec![leg("10.20.1.4")])),
            ["config-privatelink-name 3"]
        );
        // That no certificate covers it follows, and makes it an outage.
        let mismatch = vec![failed("10.20.1.4", Stage::Tls, FaultKind::NameMismatch)];
        assert_eq!(
            verdict(&privatelink, &report(resolution(&[], &["10.20.1.4"]), mismatch.clone())),
            ["config-privatelink-name 1"]
        );
        let other = Tls { server_name: Some("other.test".into()), ..Tls::default() };
        let other = Cache { tls: Some(other), ..privatelink };
        assert_eq!(
            verdict(&other, &report(resolution(&[], &["10.20.1.4"]), mismatch)),
            ["tls-name-mismatch 1", "config-privatelink-name 3"]
        );
    }

    #[test]
    fn a_port_of_another_product_is_seen_before_the_first_packet() {
        let at = |host: &str, port| {
            let cache = Cache { host: host.into(), port, ..cache() };
            verdict(&cache, &healthy())
        };
        assert_eq!(at("orders.westeurope.redis.azure.net", 6380), ["config-port-product 3"]);
        assert_eq!(at("orders.westeurope.redis.azure.net", 10000), [""; 0]);
        assert_eq!(at(HOST, 10000), ["config-port-product 3"]);
        assert_eq!(at(HOST, 6379), [""; 0]);
        assert_eq!(at("cache.example.com", 10000), [""; 0]);
        // That nothing listens there follows, and makes it an outage.
        let closed =
            report(resolution(&[], &["10.20.1.4"]), vec![failed("10.20.1.4", Stage::Connect, FaultKind::Refused)]);
        assert_eq!(verdict(&Cache { port: 10000, ..cache() }, &closed), ["config-port-product 1"]);
    }

    #[test]
    fn a_retirement_is_near_in_its_last_months() {
        const ENTERPRISE: &str = "orders.eastus.redisenterprise.cache.azure.net";
        let at = |host: &str, date: i64| {
            let cache = Cache { host: host.into(), port: 10000, ..cache() };
            let mut seen = healthy();
            seen.lookup.at = Timestamp::from_unix_seconds(date);
            seen.legs[0].tls.as_mut().unwrap().chain[0].not_after = seen.lookup.at.plus(DAY * 200);
            verdict(&cache, &seen)
        };
        let end = 1_806_537_600;
        let day = 86_400;
        assert_eq!(at(ENTERPRISE, end - 600 * day), [""; 0]);
        assert_eq!(at(ENTERPRISE, end - 500 * day), ["retirement-near 4"]);
        assert_eq!(at(ENTERPRISE, end - 300 * day), ["retirement-near 3"]);
        assert_eq!(at(ENTERPRISE, end - 10 * day), ["retirement-near 2"]);
        assert_eq!(at(ENTERPRISE, end + 10 * day), ["retirement-near 2"]);
        assert_eq!(at("orders.westeurope.redis.azure.net", end), [""; 0]);
    }
}
