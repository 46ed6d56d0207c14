//! Every key there is. The only list of keys and of defaults: files, environment and `config.example.toml` are held to it.

use std::time::Duration;

use super::kind::Kind;
use super::parse;

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    /// Its path; `[]` follows the name of an array of tables.
    pub(super) path: &'static str,
    /// What its value must be.
    pub(super) kind: Kind,
    /// Its default as TOML; `None` where the default follows from other keys, or where there is none.
    pub(super) default: Option<&'static str>,
}

impl Key {
    /// Whether an operator may have put a secret here by mistake, so that what stands here is not shown.
    pub(super) fn is_near_a_secret(&self) -> bool {
        self.path.contains("password") || self.path.contains("token")
    }
}

const fn key(path: &'static str, kind: Kind, default: &'static str) -> Key {
    Key { path, kind, default: Some(default) }
}

const fn open(path: &'static str, kind: Kind) -> Key {
    Key { path, kind, default: None }
}

/// A kind of text, of which a parser decides.
macro_rules! parsed {
    ($kind:ident, $parser:path) => {
        Kind::$kind(|text| $parser(text).map(drop))
    };
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// From the start of one probe to the next. Below 100 ms the monitor is a load test; beyond a day it is not a monitor.
const INTERVAL: Kind = Kind::Duration { min: Duration::from_millis(100), max: DAY };
const FLOOR: Kind = Kind::Duration { min: Duration::from_millis(100), max: HOUR };
const TIMEOUT: Kind = Kind::Duration { min: Duration::from_millis(1), max: HOUR };
const VALIDITY: Kind = Kind::Duration { min: HOUR, max: Duration::from_hours(24 * 366) };
const ROUNDS: Kind = Kind::Integer { min: 1, max: 1_000, noun: "a number of rounds" };
const SHARE: Kind = Kind::Number { min: 0.0, max: 1.0 };

/// Every key, in the order in which they are explained.
pub(super) static KEYS: &[Key] = &[
    key("server.listen", parsed!(Text, parse::listen), "\"127.0.0.1:9847\""),
    key("server.max_connections", Kind::Integer { min: 1, max: 100_000, noun: "a number of connections" }, "256"),
    key("server.basic_auth_file", parsed!(OptionalText, parse::text), "\"\""),
    key("server.web_config_file", parsed!(OptionalText, parse::text), "\"\""),
    key("server.admin_token_file", parsed!(OptionalText, parse::text), "\"\""),
    key("server.allowed_hosts", parsed!(List, parse::host), "[]"),
    key("server.tls.cert_file", parsed!(OptionalText, parse::text), "\"\""),
    key("server.tls.key_file", parsed!(OptionalText, parse::text), "\"\""),
    key("server.tls.client_ca_file", parsed!(OptionalText, parse::text), "\"\""),
    key("server.shutdown_grace", Kind::Duration { min: Duration::from_millis(1), max: HOUR }, "\"10s\""),
    key("probe.interval", INTERVAL, "\"30s\""),
    key("probe.timeout", TIMEOUT, "\"10s\""),
    key("probe.resolve_timeout", TIMEOUT, "\"5s\""),
    key("probe.connect_timeout", TIMEOUT, "\"5s\""),
    key("probe.tls_timeout", TIMEOUT, "\"5s\""),
    key("probe.command_timeout", TIMEOUT, "\"3s\""),
    key("probe.open_after", ROUNDS, "2"),
    key("probe.clear_after", ROUNDS, "2"),
    key("probe.follow_ttl", Kind::Flag, "true"),
    key("probe.lookup_floor", FLOOR, "\"5s\""),
    key("probe.max_in_flight", Kind::Integer { min: 1, max: 10_000, noun: "a number of probes" }, "64"),
    key("probe.jitter", Kind::Number { min: 0.0, max: 0.5 }, "0.1"),
    key("probe.resolv_conf", parsed!(Text, parse::text), "\"/etc/resolv.conf\""),
    key("probe.hosts_file", parsed!(Text, parse::text), "\"/etc/hosts\""),
    key("probe.control", parsed!(OptionalText, parse::control), "\"\""),
    key("journal.path", parsed!(OptionalText, parse::text), "\"\""),
    key("journal.retention", Kind::Duration { min: HOUR, max: Duration::from_hours(24 * 3_660) }, "\"90d\""),
    key("journal.max_size", Kind::Size { min: 1 << 20 }, "\"256MiB\""),
    key("log.level", parsed!(Text, parse::log_filter), "\"info\""),
    key("log.format", Kind::Word { known: &["text", "json"], later: &[] }, "\"text\""),
    key("thresholds.headroom_warning", SHARE, "0.75"),
    key("thresholds.headroom_critical", SHARE, "0.90"),
    key("thresholds.certificate_warning", VALIDITY, "\"30d\""),
    key("thresholds.certificate_critical", VALIDITY, "\"7d\""),
    key("thresholds.slow_ping", TIMEOUT, "\"100ms\""),
    key("thresholds.ttl_long", Kind::Duration { min: SECOND, max: Duration::from_hours(24 * 7) }, "\"1h\""),
    key("thresholds.retirement", Kind::Duration { min: DAY, max: Duration::from_hours(24 * 3_660) }, "\"548d\""),
    open("resolvers[].name", parsed!(Text, parse::name)),
    open("resolvers[].address", parsed!(Text, parse::any_name_server)),
    key("resolvers[].protocol", Kind::Word { known: &["udp", "tcp", "tls", "https"], later: &[] }, "\"udp\""),
    key("resolvers[].server_name", parsed!(OptionalText, parse::host), "\"\""),
    key("resolvers[].ca_file", parsed!(OptionalText, parse::text), "\"\""),
    key("resolvers[].path", parsed!(Text, parse::http_path), "\"/dns-query\""),
    open("caches[].name", parsed!(Text, parse::name)),
    open("caches[].host", parsed!(Text, parse::host)),
    open("caches[].port", Kind::Integer { min: 1, max: 65_535, noun: "a port" }),
    open("caches[].interval", INTERVAL),
    open("caches[].timeout", TIMEOUT),
    open("caches[].isolation", Kind::Word { known: &["private_endpoint", "vnet_injected", "public"], later: &[] }),
    key("caches[].expected_addresses", parsed!(List, parse::network), "[]"),
    key("caches[].resolvers", parsed!(List, parse::name), "[\"system\"]"),
    open("caches[].tier", parsed!(Text, parse::tier)),
    open("caches[].max_clients", Kind::Integer { min: 1, max: i64::MAX, noun: "a number of clients" }),
    key("caches[].connect_to", parsed!(List, parse::dial_override), "[]"),
    open(
        "caches[].auth.method",
        Kind::Word { known: &["access_key", "none"], later: &["entra_managed_identity", "entra_workload_identity"] },
    ),
    key("caches[].auth.username", parsed!(OptionalText, parse::text), "\"\""),
    open("caches[].auth.password_file", parsed!(Text, parse::text)),
    open("caches[].auth.password_env", parsed!(Text, parse::variable)),
    open("caches[].auth.password", Kind::Secret),
    key("caches[].tls.enabled", Kind::Flag, "true"),
    key("caches[].tls.ca_file", parsed!(OptionalText, parse::text), "\"\""),
    key("caches[].tls.server_name", parsed!(OptionalText, parse::host), "\"\""),
    key("caches[].exposure.public_resolver", parsed!(OptionalText, parse::name), "\"\""),
    key("caches[].exposure.send_credentials", Kind::Flag, "false"),
    key("caches[].exposure.plain_port", Kind::Flag, "false"),
    key("caches[].exposure.legacy_tls", Kind::Flag, "false"),
    key("caches[].exposure.interval", Kind::Duration { min: Duration::from_secs(10), max: DAY }, "\"15m\""),
];

/// What stands at a path.
#[derive(Debug, Clone, Copy)]
pub(super) enum Node {
    /// A value.
    Leaf(&'static Key),
    /// A table.
    Section,
    /// An array of tables.
    Items,
}

/// What stands under a name in the table of that pattern, if anything does.
pub(super) fn child(table: &str, name: &str) -> Option<Node> {
    // A quoted name may hold what means a path here, and is none.
    if name.is_empty() || name.contains(['.', '[', ']']) { None } else { node(&join(table, name)) }
}

/// What stands at the path of that pattern, if anything does.
pub(super) fn node(pattern: &str) -> Option<Node> {
    KEYS.iter().find_map(|key| {
        let rest = key.path.strip_prefix(pattern)?;
        match rest {
            "" => Some(Node::Leaf(key)),
            _ if rest.starts_with("[].") => Some(Node::Items),
            _ if rest.starts_with('.') => Some(Node::Section),
            _ => None,
        }
    })
}

/// The key at a pattern, where a value and not a table stands there.
pub(super) fn leaf(pattern: &str) -> Option<&'static Key> {
    match node(pattern) {
        Some(Node::Leaf(key)) => Some(key),
        _ => None,
    }
}

/// The names that may stand in the table of that pattern; the empty pattern is the whole document.
pub(super) fn names(pattern: &str) -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for key in KEYS {
        let rest = if pattern.is_empty() {
            Some(key.path)
        } else {
            key.path.strip_prefix(pattern).and_then(|rest| rest.strip_prefix('.'))
        };
        let name = rest.and_then(|rest| rest.split(['.', '[']).next());
        names.extend(name.filter(|name| !names.contains(name)));
    }
    names
}

/// The path of a name within a table.
pub(super) fn join(table: &str, name: &str) -> String {
    if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// The example with its commented-out configuration switched on.
    fn whole_example() -> String {
        let switch_on = |line: &'static str| match line.strip_prefix('#') {
            Some(inner) if !inner.is_empty() && !inner.starts_with(' ') => inner,
            _ => line,
        };
        crate::config::example().lines().map(switch_on).collect::<Vec<_>>().join("\n")
    }

    /// Every value of a document under its path in the schema.
    fn flatten(pattern: &str, value: &toml::Value, into: &mut BTreeMap<String, Vec<toml::Value>>) {
        match value {
            toml::Value::Table(table) => {
                for (name, value) in table {
                    flatten(&join(pattern, name), value, into);
                }
            }
            toml::Value::Array(items) if matches!(node(pattern), Some(Node::Items)) => {
                for item in items {
                    flatten(&format!("{pattern}[]"), item, into);
                }
            }
            value => into.entry(pattern.to_owned()).or_default().push(value.clone()),
        }
    }

    fn parse(text: &str) -> toml::Value {
        toml::Value::Table(text.parse().unwrap())
    }

    #[test]
    fn the_example_shows_every_key_and_its_default() {
        let mut shown = BTreeMap::new();
        flatten("", &parse(&whole_example()), &mut shown);
        let known: BTreeSet<_> =
            KEYS.iter().filter(|key| !matches!(key.kind, Kind::Secret)).map(|key| key.path.to_owned()).collect();
        assert_eq!(shown.keys().cloned().collect::<BTreeSet<_>>(), known);

        for key in KEYS {
            let Some(default) = key.default else { continue };
            let default = parse(&format!("value = {default}"))["value"].clone();
            // Where a key is shown twice, the second shows another value than the default.
            assert_eq!(shown[key.path][0], default, "{}", key.path);
        }
    }

    #[test]
    fn the_example_as_it_stands_sets_every_key_of_every_section_and_no_cache() {
        let mut shown = BTreeMap::new();
        flatten("", &parse(crate::config::example()), &mut shown);
        let sections: BTreeSet<_> =
            KEYS.iter().map(|key| key.path.to_owned()).filter(|path| !path.contains("[]")).collect();
        assert_eq!(shown.into_keys().collect::<BTreeSet<_>>(), sections);
    }

    #[test]
    fn a_path_is_a_value_a_table_or_an_array_of_tables() {
        assert!(matches!(node("probe.interval"), Some(Node::Leaf(_))));
        assert!(matches!(node("probe"), Some(Node::Section)));
        assert!(matches!(node("caches"), Some(Node::Items)));
        assert!(matches!(node("caches[].auth"), Some(Node::Section)));
        assert!(node("pro").is_none() && node("caches[].auth.user").is_none());
        assert!(child("", "probe").is_some() && child("probe", "interval").is_some());
        for odd in ["", "probe.interval", "caches[]", "caches[].auth", "caches["] {
            assert!(child("", odd).is_none(), "{odd}");
        }
        assert_eq!(names(""), ["server", "probe", "journal", "log", "thresholds", "resolvers", "caches"]);
        assert_eq!(names("caches[].tls"), ["enabled", "ca_file", "server_name"]);
    }
}
