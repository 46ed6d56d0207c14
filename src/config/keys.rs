//! Every key there is. The only list of keys and of defaults: files, environment and `config.example.toml` are held to it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::key::{CacheTable, Document, Key, ResolverTable, Row};
use super::kind::{Kind, Type, duration, flag, integer, list, number, optional_text, secret, size, text, word};
use super::parse::{self, NameServer};
use super::settings::{AuthMethod, LogFormat};
use crate::azure::Tier;
use crate::model::{DialOverride, Isolation, Protocol};

/// Declares the keys, in the order in which they are explained. Each is a constant, through which alone its value is read,
/// and a row of the table that every source is held to.
macro_rules! keys {
    ($( $tables:ident {
        $( $name:ident: $type:ty = $path:literal, $kind:expr $(, $default:literal)?; )*
    } )*) => {
        $( $( pub(super) const $name: Key<$tables, $type> = keys!(@key $path, $kind $(, $default)?); )* )*

        /// Every key.
        pub(super) static ROWS: &[Row] = &[$( $( $name.row, )* )*];

        /// Of every key: its tables, its name, and a reading of a value.
        #[cfg(test)]
        const TESTED: &[(&str, &str, fn(&super::value::Value))] = &[$( $(
            (stringify!($tables), stringify!($name), |value| { let _ = $name.read(Some(value)); }),
        )* )*];
    };
    (@key $path:literal, $kind:expr) => {
        Key::open($path, &$kind, |value| value.map(|value| ($kind.read)(value).expect(ADMITTED)))
    };
    (@key $path:literal, $kind:expr, $default:literal) => {
        Key::with_default($path, &$kind, $default, |value| ($kind.read)(value.expect(DEFAULTED)).expect(ADMITTED))
    };
}

const ADMITTED: &str = "a value is merged only where its kind admits it";
const DEFAULTED: &str = "a default is merged into every table";

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const DECADE: Duration = Duration::from_hours(24 * 3_660);

/// From the start of one probe to the next. Below 100 ms the monitor is a load test; beyond a day it is not a monitor.
const INTERVAL: Type<Duration> = duration(Duration::from_millis(100), DAY);
const FLOOR: Type<Duration> = duration(Duration::from_millis(100), HOUR);
const TIMEOUT: Type<Duration> = duration(Duration::from_millis(1), HOUR);
const VALIDITY: Type<Duration> = duration(HOUR, Duration::from_hours(24 * 366));
const ROUNDS: Type<u32> = integer(1, 1_000, "a number of rounds");
const SHARE: Type<f64> = number(0.0, 1.0);

keys! {
    Document {
        SERVER_LISTEN: SocketAddr = "server.listen", text!(parse::listen), "\"127.0.0.1:9847\"";
        SERVER_MAX_CONNECTIONS: usize = "server.max_connections", integer(1, 100_000, "a number of connections"), "256";
        SERVER_BASIC_AUTH_FILE: Option<PathBuf> = "server.basic_auth_file", optional_text!(parse::path), "\"\"";
        SERVER_WEB_CONFIG_FILE: Option<PathBuf> = "server.web_config_file", optional_text!(parse::path), "\"\"";
        SERVER_ADMIN_TOKEN_FILE: Option<PathBuf> = "server.admin_token_file", optional_text!(parse::path), "\"\"";
        SERVER_ALLOWED_HOSTS: Vec<String> = "server.allowed_hosts", list!(parse::host), "[]";
        SERVER_TLS_CERT_FILE: Option<PathBuf> = "server.tls.cert_file", optional_text!(parse::path), "\"\"";
        SERVER_TLS_KEY_FILE: Option<PathBuf> = "server.tls.key_file", optional_text!(parse::path), "\"\"";
        SERVER_TLS_CLIENT_CA_FILE: Option<PathBuf> = "server.tls.client_ca_file", optional_text!(parse::path), "\"\"";
        SERVER_SHUTDOWN_GRACE: Duration = "server.shutdown_grace", duration(Duration::from_millis(1), HOUR), "\"10s\"";
        PROBE_INTERVAL: Duration = "probe.interval", INTERVAL, "\"30s\"";
        PROBE_TIMEOUT: Duration = "probe.timeout", TIMEOUT, "\"10s\"";
        PROBE_RESOLVE_TIMEOUT: Duration = "probe.resolve_timeout", TIMEOUT, "\"5s\"";
        PROBE_CONNECT_TIMEOUT: Duration = "probe.connect_timeout", TIMEOUT, "\"5s\"";
        PROBE_TLS_TIMEOUT: Duration = "probe.tls_timeout", TIMEOUT, "\"5s\"";
        PROBE_COMMAND_TIMEOUT: Duration = "probe.command_timeout", TIMEOUT, "\"3s\"";
        PROBE_OPEN_AFTER: u32 = "probe.open_after", ROUNDS, "2";
        PROBE_CLEAR_AFTER: u32 = "probe.clear_after", ROUNDS, "2";
        PROBE_FOLLOW_TTL: bool = "probe.follow_ttl", flag(), "true";
        PROBE_LOOKUP_FLOOR: Duration = "probe.lookup_floor", FLOOR, "\"5s\"";
        PROBE_MAX_IN_FLIGHT: usize = "probe.max_in_flight", integer(1, 10_000, "a number of probes"), "64";
        PROBE_JITTER: f64 = "probe.jitter", number(0.0, 0.5), "0.1";
        PROBE_RESOLV_CONF: PathBuf = "probe.resolv_conf", text!(parse::path), "\"/etc/resolv.conf\"";
        PROBE_HOSTS_FILE: PathBuf = "probe.hosts_file", text!(parse::path), "\"/etc/hosts\"";
        PROBE_CONTROL: Option<SocketAddr> = "probe.control", optional_text!(parse::control), "\"\"";
        JOURNAL_PATH: Option<PathBuf> = "journal.path", optional_text!(parse::path), "\"\"";
        JOURNAL_RETENTION: Duration = "journal.retention", duration(HOUR, DECADE), "\"90d\"";
        JOURNAL_MAX_SIZE: u64 = "journal.max_size", size(1 << 20), "\"256MiB\"";
        LOG_LEVEL: String = "log.level", text!(parse::log_filter), "\"info\"";
        LOG_FORMAT: LogFormat = "log.format", word!(LogFormat), "\"text\"";
        THRESHOLDS_HEADROOM_WARNING: f64 = "thresholds.headroom_warning", SHARE, "0.75";
        THRESHOLDS_HEADROOM_CRITICAL: f64 = "thresholds.headroom_critical", SHARE, "0.90";
        THRESHOLDS_CERTIFICATE_WARNING: Duration = "thresholds.certificate_warning", VALIDITY, "\"30d\"";
        THRESHOLDS_CERTIFICATE_CRITICAL: Duration = "thresholds.certificate_critical", VALIDITY, "\"7d\"";
        THRESHOLDS_SLOW_PING: Duration = "thresholds.slow_ping", TIMEOUT, "\"100ms\"";
        THRESHOLDS_SLOW_LOOKUP: Duration = "thresholds.slow_lookup", TIMEOUT, "\"1s\"";
        THRESHOLDS_TTL_LONG: Duration = "thresholds.ttl_long", duration(SECOND, Duration::from_hours(24 * 7)), "\"1h\"";
        THRESHOLDS_RETIREMENT: Duration = "thresholds.retirement", duration(DAY, DECADE), "\"548d\"";
    }
    ResolverTable {
        RESOLVER_NAME: Option<String> = "resolvers[].name", text!(parse::name);
        RESOLVER_ADDRESS: Option<NameServer> = "resolvers[].address", text!(parse::name_server);
        RESOLVER_PROTOCOL: Protocol = "resolvers[].protocol", word!(Protocol), "\"udp\"";
        RESOLVER_SERVER_NAME: Option<String> = "resolvers[].server_name", optional_text!(parse::host), "\"\"";
        RESOLVER_CA_FILE: Option<PathBuf> = "resolvers[].ca_file", optional_text!(parse::path), "\"\"";
        RESOLVER_PATH: String = "resolvers[].path", text!(parse::http_path), "\"/dns-query\"";
    }
    CacheTable {
        CACHE_NAME: Option<String> = "caches[].name", text!(parse::name);
        CACHE_HOST: Option<String> = "caches[].host", text!(parse::host);
        CACHE_PORT: Option<u16> = "caches[].port", integer(1, 65_535, "a port");
        CACHE_INTERVAL: Option<Duration> = "caches[].interval", INTERVAL;
        CACHE_TIMEOUT: Option<Duration> = "caches[].timeout", TIMEOUT;
        CACHE_ISOLATION: Option<Isolation> = "caches[].isolation", word!(Isolation);
        CACHE_EXPECTED_ADDRESSES: Vec<IpNet> = "caches[].expected_addresses", list!(parse::network), "[]";
        CACHE_RESOLVERS: Vec<String> = "caches[].resolvers", list!(parse::name), "[\"system\"]";
        CACHE_TIER: Option<Tier> = "caches[].tier", text!(parse::tier);
        CACHE_MAX_CLIENTS: Option<u64> = "caches[].max_clients", integer(1, i64::MAX, "a number of clients");
        CACHE_CONNECT_TO: Vec<DialOverride> = "caches[].connect_to", list!(parse::dial_override), "[]";
        CACHE_AUTH_METHOD: Option<AuthMethod> =
            "caches[].auth.method", word!(AuthMethod, later: ["entra_managed_identity", "entra_workload_identity"]);
        CACHE_AUTH_USERNAME: Option<String> = "caches[].auth.username", optional_text!(parse::text), "\"\"";
        CACHE_AUTH_PASSWORD_FILE: Option<PathBuf> = "caches[].auth.password_file", text!(parse::path);
        CACHE_AUTH_PASSWORD_ENV: Option<String> = "caches[].auth.password_env", text!(parse::variable);
        CACHE_AUTH_PASSWORD: Option<Infallible> = "caches[].auth.password", secret();
        CACHE_TLS_ENABLED: bool = "caches[].tls.enabled", flag(), "true";
        CACHE_TLS_CA_FILE: Option<PathBuf> = "caches[].tls.ca_file", optional_text!(parse::path), "\"\"";
        CACHE_TLS_SERVER_NAME: Option<String> = "caches[].tls.server_name", optional_text!(parse::host), "\"\"";
        CACHE_EXPOSURE_PUBLIC_RESOLVER: Option<String> =
            "caches[].exposure.public_resolver", optional_text!(parse::name), "\"\"";
        CACHE_EXPOSURE_SEND_CREDENTIALS: bool = "caches[].exposure.send_credentials", flag(), "false";
        CACHE_EXPOSURE_PLAIN_PORT: bool = "caches[].exposure.plain_port", flag(), "false";
        CACHE_EXPOSURE_LEGACY_TLS: bool = "caches[].exposure.legacy_tls", flag(), "false";
        CACHE_EXPOSURE_INTERVAL: Duration =
            "caches[].exposure.interval", duration(Duration::from_secs(10), DAY), "\"15m\"";
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::{Literal, Value};
    use super::*;

    #[test]
    fn a_key_has_the_name_of_its_path_and_the_tables_it_stands_in() {
        for (row, (tables, name, _)) in ROWS.iter().zip(TESTED) {
            let expected = row.path.replace("caches[]", "cache").replace("resolvers[]", "resolver").replace('.', "_");
            assert_eq!(name.to_ascii_lowercase(), expected);
            let prefix = match *tables {
                "CacheTable" => "caches[].",
                "ResolverTable" => "resolvers[].",
                _ => "",
            };
            assert!(row.path.starts_with(prefix), "{}", row.path);
            assert_eq!(row.path.contains("[]"), !prefix.is_empty(), "{}", row.path);
        }
    }

    #[test]
    fn what_a_kind_admits_has_a_place_in_the_type_of_its_key() {
        let text = |text: &str| Literal::Text(text.to_owned());
        for (row, (_, name, read)) in ROWS.iter().zip(TESTED) {
            let admitted = match row.kind {
                Kind::Flag => vec![Literal::Flag(true), Literal::Flag(false)],
                Kind::Integer { min, max, .. } => vec![Literal::Integer(min), Literal::Integer(max)],
                Kind::Number { min, max } => vec![Literal::Number(min), Literal::Number(max), Literal::Integer(0)],
                Kind::Duration { min, max } => [min, max].map(|bound| text(&parse::duration_text(bound))).into(),
                Kind::Size { min } => vec![text(&parse::size_text(min))],
                Kind::Word { known, .. } => known().into_iter().map(text).collect(),
                Kind::OptionalText(_) => vec![text("")],
                Kind::List(_) => vec![Literal::List(Vec::new())],
                Kind::Text(_) | Kind::Secret => Vec::new(),
            };
            for literal in admitted {
                assert_eq!(row.kind.check(&literal), Ok(()), "{name}: {literal}");
                read(&Value::nowhere(literal));
            }
        }
    }
}
