//! From the merged values to a configuration, held to each other: what no line of a file can show alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::caches;
use super::checker::{Checker, Setting};
use super::key::{Document, Key};
use super::keys;
use super::parse;
use super::problem::Diagnostic;
use super::rules;
use super::settings::{Config, Defaults, JournalSettings, Log, Probe, Server, ServerTls};
use super::target::{self, Target};
use crate::model::{Rules, SystemFiles, Thresholds, Timeouts};

pub(super) fn config(mut checker: Checker<'_>, files: Vec<PathBuf>, targets: &[Target]) -> Config {
    let server = server(&mut checker);
    let probe =
        Probe { max_in_flight: checker.get(keys::PROBE_MAX_IN_FLIGHT), jitter: checker.get(keys::PROBE_JITTER) };
    let log = Log { level: checker.get(keys::LOG_LEVEL), format: checker.get(keys::LOG_FORMAT) };
    let system = SystemFiles {
        resolv_conf: checker.get(keys::PROBE_RESOLV_CONF),
        hosts: checker.get(keys::PROBE_HOSTS_FILE),
        ..SystemFiles::default()
    };
    let journal = JournalSettings {
        path: checker.get(keys::JOURNAL_PATH),
        retention: checker.get(keys::JOURNAL_RETENTION),
        max_size: checker.get(keys::JOURNAL_MAX_SIZE),
    };
    let defaults = defaults(&mut checker);
    let mut caches = caches::declared(&mut checker, &defaults);
    target::append(&mut checker, targets, &defaults, &mut caches);
    let caches = caches.into_iter().map(Arc::new).collect();
    Config { server, probe, defaults, log, journal, system, caches, files, notices: checker.notices }
}

fn server(checker: &mut Checker<'_>) -> Server {
    let server = Server {
        listen: checker.get(keys::SERVER_LISTEN),
        shutdown_grace: checker.get(keys::SERVER_SHUTDOWN_GRACE),
        max_connections: checker.get(keys::SERVER_MAX_CONNECTIONS),
        tls: server_tls(checker),
        basic_auth_file: checker.get(keys::SERVER_BASIC_AUTH_FILE),
        web_config_file: checker.get(keys::SERVER_WEB_CONFIG_FILE),
        admin_token_file: checker.get(keys::SERVER_ADMIN_TOKEN_FILE),
        allowed_hosts: checker.get(keys::SERVER_ALLOWED_HOSTS),
    };
    exclude_web_config(checker, keys::SERVER_TLS_CERT_FILE);
    exclude_web_config(checker, keys::SERVER_BASIC_AUTH_FILE);
    server
}

/// A certificate needs its key, and asking for client certificates needs a certificate of the server.
fn server_tls(checker: &mut Checker<'_>) -> Option<ServerTls> {
    let cert_file = checker.setting(keys::SERVER_TLS_CERT_FILE);
    let key_file = checker.setting(keys::SERVER_TLS_KEY_FILE);
    let client_ca_file = checker.setting(keys::SERVER_TLS_CLIENT_CA_FILE);
    let (given, missing) = match (cert_file.parsed, key_file.parsed, client_ca_file.parsed) {
        (Some(cert_file), Some(key_file), client_ca_file) => {
            return Some(ServerTls { cert_file, key_file, client_ca_file });
        }
        (Some(_), None, _) => (cert_file.value, keys::SERVER_TLS_KEY_FILE),
        (None, Some(_), _) => (key_file.value, keys::SERVER_TLS_CERT_FILE),
        (None, None, Some(_)) => (client_ca_file.value, keys::SERVER_TLS_CERT_FILE),
        (None, None, None) => return None,
    };
    checker.report_if_explicit(given, |_| {
        Diagnostic::new(format!("{} is not set", missing.row.path)).hint("a certificate and its key go together")
    });
    None
}

/// The web configuration says all of TLS and users, or nothing of it.
fn exclude_web_config(checker: &mut Checker<'_>, key: Key<Document, Option<PathBuf>>) {
    if let Some(web_config) = checker.setting(keys::SERVER_WEB_CONFIG_FILE).given() {
        let given = checker.setting(key).given();
        checker.report_if_explicit(given, |_| {
            Diagnostic::new(format!("server.web_config_file is set as well, in {}", web_config.location.origin))
                .hint("configure access in one place: remove one of the two")
        });
    }
}

fn defaults(checker: &mut Checker<'_>) -> Defaults {
    let (total, interval) = (checker.setting(keys::PROBE_TIMEOUT), checker.setting(keys::PROBE_INTERVAL));
    rules::check_deadline(checker, total, interval);
    let timeouts = Timeouts {
        total: total.parsed,
        resolve: stage_timeout(checker, keys::PROBE_RESOLVE_TIMEOUT, total),
        connect: stage_timeout(checker, keys::PROBE_CONNECT_TIMEOUT, total),
        tls: stage_timeout(checker, keys::PROBE_TLS_TIMEOUT, total),
        command: stage_timeout(checker, keys::PROBE_COMMAND_TIMEOUT, total),
    };
    let rules =
        Rules { open_after: checker.get(keys::PROBE_OPEN_AFTER), clear_after: checker.get(keys::PROBE_CLEAR_AFTER) };
    Defaults {
        interval: interval.parsed,
        follow_ttl: checker.get(keys::PROBE_FOLLOW_TTL),
        lookup_floor: checker.get(keys::PROBE_LOOKUP_FLOOR),
        timeouts,
        rules,
        control: checker.get(keys::PROBE_CONTROL),
        thresholds: thresholds(checker),
    }
}

/// A stage never has longer than the whole; only an explicit value above it is an error.
fn stage_timeout(checker: &mut Checker<'_>, key: Key<Document, Duration>, total: Setting<'_, Duration>) -> Duration {
    let own = checker.setting(key);
    if own.parsed > total.parsed && !total.is_invalid {
        checker.report_if_explicit(own.value, |shown| {
            let total = parse::duration_text(total.parsed);
            Diagnostic::new(format!("{shown} is longer than probe.timeout, {total}, the deadline over all stages"))
        });
    }
    own.parsed.min(total.parsed)
}

fn thresholds(checker: &mut Checker<'_>) -> Thresholds {
    let headroom =
        [keys::THRESHOLDS_HEADROOM_WARNING, keys::THRESHOLDS_HEADROOM_CRITICAL].map(|key| checker.setting(key));
    let certificate =
        [keys::THRESHOLDS_CERTIFICATE_WARNING, keys::THRESHOLDS_CERTIFICATE_CRITICAL].map(|key| checker.setting(key));
    let thresholds = Thresholds {
        headroom_warning: headroom[0].parsed,
        headroom_critical: headroom[1].parsed,
        certificate_warning: certificate[0].parsed,
        certificate_critical: certificate[1].parsed,
        slow_ping: checker.get(keys::THRESHOLDS_SLOW_PING),
        slow_lookup: checker.get(keys::THRESHOLDS_SLOW_LOOKUP),
        ttl_long: checker.get(keys::THRESHOLDS_TTL_LONG),
        retirement: checker.get(keys::THRESHOLDS_RETIREMENT),
    };
    if thresholds.headroom_warning >= thresholds.headroom_critical {
        let should_be = [
            format!("below headroom_critical, {}", thresholds.headroom_critical),
            format!("above headroom_warning, {}", thresholds.headroom_warning),
        ];
        report_order(checker, headroom, &should_be);
    }
    if thresholds.certificate_warning <= thresholds.certificate_critical {
        let text = parse::duration_text;
        let should_be = [
            format!("longer than certificate_critical, {}", text(thresholds.certificate_critical)),
            format!("shorter than certificate_warning, {}", text(thresholds.certificate_warning)),
        ];
        report_order(checker, certificate, &should_be);
    }
    thresholds
}

/// Tells that a warning and a critical threshold are the wrong way round, at the one an operator gave.
fn report_order<T>(checker: &mut Checker<'_>, pair: [Setting<'_, T>; 2], should_be: &[String; 2]) {
    let [warning, critical] = pair;
    if warning.is_invalid || critical.is_invalid {
        return;
    }
    let is_warning_explicit = warning.value.is_some_and(|value| value.location.is_explicit());
    let [warning_should_be, critical_should_be] = should_be;
    let (value, should_be) =
        if is_warning_explicit { (warning.value, warning_should_be) } else { (critical.value, critical_should_be) };
    checker.report_if_explicit(value, |shown| Diagnostic::new(format!("{shown} is not {should_be}")));
}
