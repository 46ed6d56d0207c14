//! A configuration as TOML, to read it or to load it again.

use std::fmt::{Display, Write};
use std::path::Path;
use std::time::Duration;

use super::parse::{duration_text, size_text};
use super::settings::Config;
use crate::model::{Auth, Cache, Password, Protocol, Resolver};

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
    let mut page = Page(String::new());
    page.table("[server]");
    page.text("listen", config.server.listen);
    page.duration("shutdown_grace", config.server.shutdown_grace);
    page.bare("max_connections", config.server.max_connections);
    page.path("basic_auth_file", config.server.basic_auth_file.as_deref());
    page.path("web_config_file", config.server.web_config_file.as_deref());
    page.path("admin_token_file", config.server.admin_token_file.as_deref());
    page.list("allowed_hosts", &config.server.allowed_hosts);
    page.table("[server.tls]");
    let tls = config.server.tls.as_ref();
    page.path("cert_file", tls.map(|tls| &*tls.cert_file));
    page.path("key_file", tls.map(|tls| &*tls.key_file));
    page.path("client_ca_file", tls.and_then(|tls| tls.client_ca_file.as_deref()));

    let defaults = &config.defaults;
    page.table("[probe]");
    page.duration("interval", defaults.interval);
    page.duration("timeout", defaults.timeouts.total);
    page.duration("resolve_timeout", defaults.timeouts.resolve);
    page.duration("connect_timeout", defaults.timeouts.connect);
    page.duration("tls_timeout", defaults.timeouts.tls);
    page.duration("command_timeout", defaults.timeouts.command);
    page.bare("open_after", defaults.rules.open_after);
    page.bare("clear_after", defaults.rules.clear_after);
    page.bare("follow_ttl", defaults.follow_ttl);
    page.duration("lookup_floor", defaults.lookup_floor);
    page.bare("max_in_flight", config.probe.max_in_flight);
    page.number("jitter", config.probe.jitter);
    page.text("resolv_conf", config.system.resolv_conf.display());
    page.text("hosts_file", config.system.hosts.display());
    page.text("control", defaults.control.map_or_else(String::new, |address| address.to_string()));

    page.table("[journal]");
    page.text("path", config.journal.path.as_deref().unwrap_or("".as_ref()).display());
    page.duration("retention", config.journal.retention);
    page.text("max_size", size_text(config.journal.max_size));

    page.table("[log]");
    page.text("level", &config.log.level);
    page.text("format", config.log.format);

    page.table("[thresholds]");
    page.number("headroom_warning", defaults.thresholds.headroom_warning);
    page.number("headroom_critical", defaults.thresholds.headroom_critical);
    page.duration("certificate_warning", defaults.thresholds.certificate_warning);
    page.duration("certificate_critical", defaults.thresholds.certificate_critical);
    page.duration("slow_ping", defaults.thresholds.slow_ping);
    page.duration("ttl_long", defaults.thresholds.ttl_long);
    page.duration("retirement", defaults.thresholds.retirement);

    for resolver in servers(config) {
        if let Resolver::Server { name, address, protocol, tls, path } = resolver {
            page.table("[[resolvers]]");
            page.text("name", name);
            page.text("address", address);
            page.text("protocol", protocol);
            if matches!(protocol, Protocol::Tls | Protocol::Https) {
                page.text("server_name", tls.server_name.as_deref().unwrap_or_default());
                page.text("ca_file", tls.ca_file.as_deref().unwrap_or("".as_ref()).display());
            }
            if *protocol == Protocol::Https {
                page.text("path", path);
            }
        }
    }
    for cache in &config.caches {
        show_cache(&mut page, cache);
    }
    page.0
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

fn show_cache(page: &mut Page, cache: &Cache) {
    page.table("[[caches]]");
    page.text("name", &cache.name);
    page.text("host", &cache.host);
    page.bare("port", cache.port);
    page.duration("interval", cache.interval);
    page.duration("timeout", cache.timeouts.total);
    if let Some(isolation) = cache.expectation.isolation {
        page.text("isolation", isolation);
    }
    page.list("expected_addresses", &cache.expectation.addresses);
    page.list("resolvers", &cache.resolvers.iter().map(Resolver::name).collect::<Vec<_>>());
    if let Some((tier, _)) = &cache.tier {
        page.text("tier", tier);
    }
    if let Some(limit) = cache.max_clients {
        page.bare("max_clients", limit);
    }
    page.list("connect_to", &cache.connect_to);

    // What is not said is not shown: `none`, written down, means that no key is given on purpose.
    if cache.auth != Auth::None {
        page.table("[caches.auth]");
    }
    match &cache.auth {
        Auth::None => {}
        Auth::Withheld => page.text("method", "none"),
        Auth::AccessKey { username, password } => {
            page.text("method", "access_key");
            if let Some(username) = username {
                page.text("username", username);
            }
            match password {
                Password::File(path) => page.text("password_file", path.display()),
                Password::Environment(name) => page.text("password_env", name),
            }
        }
    }

    page.table("[caches.tls]");
    page.bare("enabled", cache.tls.is_some());
    if let Some(tls) = &cache.tls {
        page.text("ca_file", tls.ca_file.as_deref().unwrap_or("".as_ref()).display());
        page.text("server_name", tls.server_name.as_deref().unwrap_or_default());
    }

    let exposure = &cache.exposure;
    if exposure.is_on() {
        page.table("[caches.exposure]");
        page.text(
            "public_resolver",
            exposure.public_resolver.as_ref().map_or(String::new(), |own| own.name().to_string()),
        );
        page.bare("send_credentials", exposure.send_credentials);
        page.bare("plain_port", exposure.plain_port);
        page.bare("legacy_tls", exposure.legacy_tls);
        page.duration("interval", exposure.interval);
    }
}

/// TOML in the making.
struct Page(String);

impl Page {
    fn table(&mut self, header: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(header);
        self.0.push('\n');
    }

    fn text(&mut self, key: &str, value: impl Display) {
        self.bare(key, quoted(value));
    }

    fn path(&mut self, key: &str, value: Option<&Path>) {
        self.text(key, value.unwrap_or("".as_ref()).display());
    }

    fn duration(&mut self, key: &str, value: Duration) {
        self.text(key, duration_text(value));
    }

    fn number(&mut self, key: &str, value: f64) {
        self.bare(key, toml::Value::Float(value));
    }

    fn list<T: Display>(&mut self, key: &str, values: &[T]) {
        let values: Vec<_> = values.iter().map(quoted).collect();
        self.bare(key, format_args!("[{}]", values.join(", ")));
    }

    fn bare(&mut self, key: &str, value: impl Display) {
        writeln!(self.0, "{key} = {value}").expect("a String takes all that is written to it");
    }
}

fn quoted(value: impl Display) -> String {
    toml::Value::String(value.to_string()).to_string()
}
