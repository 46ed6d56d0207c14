//! A configuration as TOML, to read it or to load it again.

use std::fmt::{Display, Write};
use std::path::Path;
use std::time::Duration;

use super::key::Key;
use super::keys;
use super::parse::{duration_text, size_text};
use super::schema;
use super::settings::{AuthMethod, Config};
use crate::model::{Auth, Cache, Password, Resolver};

/// The example that explains every key, as it stands in the repository.
#[must_use]
pub fn example() -> &'static str {
    include_str!("../../config.example.toml")
}

/// The effective configuration as TOML that loads to the same caches and settings.
///
/// A secret cannot appear: a configuration holds only the path of its file or the name of its variable.
#[must_use]
pub fn show(config: &Config) -> String {
    let mut writer = TomlWriter::default();
    writer.text(keys::SERVER_LISTEN, config.server.listen);
    writer.duration(keys::SERVER_SHUTDOWN_GRACE, config.server.shutdown_grace);
    writer.bare(keys::SERVER_MAX_CONNECTIONS, config.server.max_connections);
    writer.path(keys::SERVER_BASIC_AUTH_FILE, config.server.basic_auth_file.as_deref());
    writer.path(keys::SERVER_WEB_CONFIG_FILE, config.server.web_config_file.as_deref());
    writer.path(keys::SERVER_ADMIN_TOKEN_FILE, config.server.admin_token_file.as_deref());
    writer.list(keys::SERVER_ALLOWED_HOSTS, &config.server.allowed_hosts);
    let tls = config.server.tls.as_ref();
    writer.path(keys::SERVER_TLS_CERT_FILE, tls.map(|tls| &*tls.cert_file));
    writer.path(keys::SERVER_TLS_KEY_FILE, tls.map(|tls| &*tls.key_file));
    writer.path(keys::SERVER_TLS_CLIENT_CA_FILE, tls.and_then(|tls| tls.client_ca_file.as_deref()));

    let defaults = &config.defaults;
    writer.duration(keys::PROBE_INTERVAL, defaults.interval);
    writer.duration(keys::PROBE_TIMEOUT, defaults.timeouts.total);
    writer.duration(keys::PROBE_RESOLVE_TIMEOUT, defaults.timeouts.resolve);
    writer.duration(keys::PROBE_CONNECT_TIMEOUT, defaults.timeouts.connect);
    writer.duration(keys::PROBE_TLS_TIMEOUT, defaults.timeouts.tls);
    writer.duration(keys::PROBE_COMMAND_TIMEOUT, defaults.timeouts.command);
    writer.bare(keys::PROBE_OPEN_AFTER, defaults.rules.open_after);
    writer.bare(keys::PROBE_CLEAR_AFTER, defaults.rules.clear_after);
    writer.bare(keys::PROBE_FOLLOW_TTL, defaults.follow_ttl);
    writer.duration(keys::PROBE_LOOKUP_FLOOR, defaults.lookup_floor);
    writer.bare(keys::PROBE_MAX_IN_FLIGHT, config.probe.max_in_flight);
    writer.number(keys::PROBE_JITTER, config.probe.jitter);
    writer.text(keys::PROBE_RESOLV_CONF, config.system.resolv_conf.display());
    writer.text(keys::PROBE_HOSTS_FILE, config.system.hosts.display());
    writer.text(keys::PROBE_CONTROL, defaults.control.map_or_else(String::new, |address| address.to_string()));

    writer.text(keys::JOURNAL_PATH, config.journal.path.as_deref().unwrap_or("".as_ref()).display());
    writer.duration(keys::JOURNAL_RETENTION, config.journal.retention);
    writer.text(keys::JOURNAL_MAX_SIZE, size_text(config.journal.max_size));

    writer.text(keys::LOG_LEVEL, &config.log.level);
    writer.text(keys::LOG_FORMAT, config.log.format);

    writer.number(keys::THRESHOLDS_HEADROOM_WARNING, defaults.thresholds.headroom_warning);
    writer.number(keys::THRESHOLDS_HEADROOM_CRITICAL, defaults.thresholds.headroom_critical);
    writer.duration(keys::THRESHOLDS_CERTIFICATE_WARNING, defaults.thresholds.certificate_warning);
    writer.duration(keys::THRESHOLDS_CERTIFICATE_CRITICAL, defaults.thresholds.certificate_critical);
    writer.duration(keys::THRESHOLDS_SLOW_PING, defaults.thresholds.slow_ping);
    writer.duration(keys::THRESHOLDS_SLOW_LOOKUP, defaults.thresholds.slow_lookup);
    writer.duration(keys::THRESHOLDS_TTL_LONG, defaults.thresholds.ttl_long);
    writer.duration(keys::THRESHOLDS_RETIREMENT, defaults.thresholds.retirement);

    for resolver in servers(config) {
        if let Resolver::Server { name, address, protocol, tls, path } = resolver {
            writer.item();
            writer.text(keys::RESOLVER_NAME, name);
            writer.text(keys::RESOLVER_ADDRESS, address);
            writer.text(keys::RESOLVER_PROTOCOL, protocol);
            if protocol.row().tls.is_some() {
                writer.text(keys::RESOLVER_SERVER_NAME, tls.server_name.as_deref().unwrap_or_default());
                writer.text(keys::RESOLVER_CA_FILE, tls.ca_file.as_deref().unwrap_or("".as_ref()).display());
            }
            if protocol.row().http {
                writer.text(keys::RESOLVER_PATH, path);
            }
        }
    }
    for cache in &config.caches {
        show_cache(&mut writer, cache);
    }
    writer.text
}

/// The name servers that caches ask, each once, in the order in which they are first asked.
fn servers(config: &Config) -> Vec<&Resolver> {
    let mut servers: Vec<&Resolver> = Vec::new();
    let asked = config.caches.iter().flat_map(|cache| cache.resolvers.iter().chain(&cache.exposure.public_resolver));
    for resolver in asked {
        if !servers.contains(&resolver) {
            servers.push(resolver);
        }
    }
    servers
}

fn show_cache(writer: &mut TomlWriter, cache: &Cache) {
    writer.item();
    writer.text(keys::CACHE_NAME, &cache.name);
    writer.text(keys::CACHE_HOST, &cache.host);
    writer.bare(keys::CACHE_PORT, cache.port);
    writer.duration(keys::CACHE_INTERVAL, cache.interval);
    writer.duration(keys::CACHE_TIMEOUT, cache.timeouts.total);
    if let Some(isolation) = cache.expectation.isolation {
        writer.text(keys::CACHE_ISOLATION, isolation);
    }
    writer.list(keys::CACHE_EXPECTED_ADDRESSES, &cache.expectation.addresses);
    writer.list(keys::CACHE_RESOLVERS, &cache.resolvers.iter().map(Resolver::name).collect::<Vec<_>>());
    if let Some((tier, _)) = &cache.tier {
        writer.text(keys::CACHE_TIER, tier);
    }
    if let Some(limit) = cache.max_clients {
        writer.bare(keys::CACHE_MAX_CLIENTS, limit);
    }
    writer.list(keys::CACHE_CONNECT_TO, &cache.connect_to);

    // What is not said is not shown: `none`, written down, means that no key is given on purpose.
    match &cache.auth {
        Auth::None => {}
        Auth::Withheld => writer.text(keys::CACHE_AUTH_METHOD, AuthMethod::None),
        Auth::AccessKey { username, password } => {
            writer.text(keys::CACHE_AUTH_METHOD, AuthMethod::AccessKey);
            if let Some(username) = username {
                writer.text(keys::CACHE_AUTH_USERNAME, username);
            }
            match password {
                Password::File(path) => writer.text(keys::CACHE_AUTH_PASSWORD_FILE, path.display()),
                Password::Environment(name) => writer.text(keys::CACHE_AUTH_PASSWORD_ENV, name),
            }
        }
    }

    writer.bare(keys::CACHE_TLS_ENABLED, cache.tls.is_some());
    if let Some(tls) = &cache.tls {
        writer.text(keys::CACHE_TLS_CA_FILE, tls.ca_file.as_deref().unwrap_or("".as_ref()).display());
        writer.text(keys::CACHE_TLS_SERVER_NAME, tls.server_name.as_deref().unwrap_or_default());
    }

    let exposure = &cache.exposure;
    if exposure.is_on() {
        writer.text(
            keys::CACHE_EXPOSURE_PUBLIC_RESOLVER,
            exposure.public_resolver.as_ref().map_or(String::new(), |own| own.name().to_string()),
        );
        writer.bare(keys::CACHE_EXPOSURE_SEND_CREDENTIALS, exposure.send_credentials);
        writer.bare(keys::CACHE_EXPOSURE_PLAIN_PORT, exposure.plain_port);
        writer.bare(keys::CACHE_EXPOSURE_LEGACY_TLS, exposure.legacy_tls);
        writer.duration(keys::CACHE_EXPOSURE_INTERVAL, exposure.interval);
    }
}

/// TOML in the making.
#[derive(Default)]
struct TomlWriter {
    text: String,
    /// The table that the last key stands in, as a pattern.
    table: &'static str,
}

impl TomlWriter {
    /// What follows is of another table of its array.
    fn item(&mut self) {
        self.table = "";
    }

    fn text<S, T>(&mut self, key: Key<S, T>, value: impl Display) {
        self.bare(key, quoted(value));
    }

    fn path<S, T>(&mut self, key: Key<S, T>, value: Option<&Path>) {
        self.text(key, value.unwrap_or("".as_ref()).display());
    }

    fn duration<S, T>(&mut self, key: Key<S, T>, value: Duration) {
        self.text(key, duration_text(value));
    }

    fn number<S, T>(&mut self, key: Key<S, T>, value: f64) {
        self.bare(key, toml::Value::Float(value));
    }

    fn list<S, T>(&mut self, key: Key<S, T>, values: &[impl Display]) {
        let values: Vec<_> = values.iter().map(quoted).collect();
        self.bare(key, format_args!("[{}]", values.join(", ")));
    }

    fn bare<S, T>(&mut self, key: Key<S, T>, value: impl Display) {
        let (table, name) = key.row.split();
        if table != self.table {
            let gap = if self.text.is_empty() { "" } else { "\n" };
            self.line(format_args!("{gap}{}", schema::header(table)));
            self.table = table;
        }
        self.line(format_args!("{name} = {value}"));
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.text, "{line}").expect("a String takes all that is written to it");
    }
}

fn quoted(value: impl Display) -> String {
    toml::Value::String(value.to_string()).to_string()
}
