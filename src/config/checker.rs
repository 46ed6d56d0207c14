//! The merged values, held to each other: what no line of a file can show alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::caches;
use super::layers::{Effective, Found};
use super::parse;
use super::problem::Diagnostic;
use super::settings::{Config, Defaults, Journal, Log, LogFormat, Probe, Server, ServerTls};
use super::sources::ParsedSources;
use super::target::{self, Target};
use crate::model::{Rules, SystemFiles, Thresholds, Timeouts};

/// Checks the merged values and builds the configuration from them.
///
/// Every value has passed its kind, and every value that did not is replaced by its default, so that building never
/// stops; whether the result may be used is told by the problems.
pub(super) struct Checker<'a> {
    pub(super) effective: &'a Effective,
    pub(super) sources: &'a mut ParsedSources,
    pub(super) notices: Vec<String>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(effective: &'a Effective, sources: &'a mut ParsedSources) -> Self {
        Self { effective, sources, notices: Vec::new() }
    }

    pub(super) fn config(mut self, files: Vec<PathBuf>, targets: &[Target]) -> Config {
        let server = self.server();
        let probe =
            Probe { max_in_flight: self.count(&["probe", "max_in_flight"]), jitter: self.number(&["probe", "jitter"]) };
        let log = Log {
            level: self.text(&["log", "level"]).to_owned(),
            format: LogFormat::parse(self.text(&["log", "format"])).unwrap_or(LogFormat::Text),
        };
        let system = SystemFiles {
            resolv_conf: self.text(&["probe", "resolv_conf"]).into(),
            hosts: self.text(&["probe", "hosts_file"]).into(),
        };
        let journal = self.journal();
        let defaults = self.defaults();
        let mut caches = caches::build(&mut self, &defaults);
        target::append(&mut self, targets, &defaults, &mut caches);
        let caches = caches.into_iter().map(Arc::new).collect();
        Config { server, probe, defaults, log, journal, system, caches, files, notices: self.notices }
    }

    fn server(&mut self) -> Server {
        let server = Server {
            listen: parse::listen(self.text(&["server", "listen"])).unwrap_or_else(|_| ([127, 0, 0, 1], 9847).into()),
            shutdown_grace: self.duration(&["server", "shutdown_grace"]),
            max_connections: self.count(&["server", "max_connections"]),
            tls: self.server_tls(),
            basic_auth_file: self.path(&["server", "basic_auth_file"]),
            web_config_file: self.path(&["server", "web_config_file"]),
            admin_token_file: self.path(&["server", "admin_token_file"]),
            allowed_hosts: self.hosts(&["server", "allowed_hosts"]),
        };
        if server.web_config_file.is_some() {
            for path in [&["server", "tls", "cert_file"][..], &["server", "basic_auth_file"]] {
                self.exclude_web_config(path);
            }
        }
        server
    }

    /// A certificate needs its key, and who asks for clients' certificates must show one.
    fn server_tls(&mut self) -> Option<ServerTls> {
        let paths = ["cert_file", "key_file", "client_ca_file"].map(|key| self.path(&["server", "tls", key]));
        let needs = |checker: &mut Self, key: &str, missing: &str| {
            checker.report_if_explicit(&["server", "tls", key], |_| {
                Diagnostic::new(format!("server.tls.{missing} is not set"))
                    .hint("a certificate and its key go together")
            });
            None
        };
        match paths {
            [Some(cert_file), Some(key_file), client_ca_file] => {
                Some(ServerTls { cert_file, key_file, client_ca_file })
            }
            [Some(_), None, _] => needs(self, "cert_file", "key_file"),
            [None, Some(_), _] => needs(self, "key_file", "cert_file"),
            [None, None, Some(_)] => needs(self, "client_ca_file", "cert_file"),
            [None, None, None] => None,
        }
    }

    /// The web configuration says all of TLS and users, or nothing of it.
    fn exclude_web_config(&mut self, path: &[&str]) {
        let Some(other) = self.effective.find(&["server", "web_config_file"]) else { return };
        if self.path(path).is_some() {
            let other = other.location.origin.to_string();
            self.report_if_explicit(path, |_| {
                Diagnostic::new(format!("server.web_config_file is set as well, in {other}"))
                    .hint("say in one place who may ask: leave out one of the two")
            });
        }
    }

    /// The path at a key; `None` where it is empty.
    fn path(&self, path: &[&str]) -> Option<PathBuf> {
        Some(self.text(path)).filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    /// The hosts of a list; one that is none has been told already.
    fn hosts(&self, path: &[&str]) -> Vec<String> {
        let parts = self.effective.find(path).map_or_else(Vec::new, Found::parts);
        parts.into_iter().filter_map(|part| parse::host(part.text()).ok()).collect()
    }

    fn journal(&self) -> Journal {
        let path = self.path(&["journal", "path"]);
        let max_size = parse::size(self.text(&["journal", "max_size"])).unwrap_or_default();
        Journal { path, retention: self.duration(&["journal", "retention"]), max_size }
    }

    fn defaults(&mut self) -> Defaults {
        self.check_deadline(&["probe", "timeout"], &["probe", "interval"]);
        let total = self.duration(&["probe", "timeout"]);
        let timeouts = Timeouts {
            total,
            resolve: self.stage_timeout("resolve_timeout", total),
            connect: self.stage_timeout("connect_timeout", total),
            tls: self.stage_timeout("tls_timeout", total),
            command: self.stage_timeout("command_timeout", total),
        };
        let rules = Rules {
            open_after: self.count(&["probe", "open_after"]),
            clear_after: self.count(&["probe", "clear_after"]),
        };
        let control = parse::control(self.text(&["probe", "control"])).ok();
        let thresholds = self.thresholds();
        Defaults {
            interval: self.duration(&["probe", "interval"]),
            follow_ttl: self.flag(&["probe", "follow_ttl"]),
            lookup_floor: self.duration(&["probe", "lookup_floor"]),
            timeouts,
            rules,
            control,
            thresholds,
        }
    }

    /// A stage never has longer than the whole; only an operator who says otherwise is contradicted.
    fn stage_timeout(&mut self, key: &str, total: Duration) -> Duration {
        let path = ["probe", key];
        let own = self.duration(&path);
        if own > total && !self.sources.is_invalid(&["probe", "timeout"]) {
            self.report_if_explicit(&path, |text| {
                let total = parse::duration_text(total);
                Diagnostic::new(format!("{text} is longer than probe.timeout, {total}, the deadline over all stages"))
            });
        }
        own.min(total)
    }

    fn thresholds(&mut self) -> Thresholds {
        let thresholds = Thresholds {
            headroom_warning: self.number(&["thresholds", "headroom_warning"]),
            headroom_critical: self.number(&["thresholds", "headroom_critical"]),
            certificate_warning: self.duration(&["thresholds", "certificate_warning"]),
            certificate_critical: self.duration(&["thresholds", "certificate_critical"]),
            slow_ping: self.duration(&["thresholds", "slow_ping"]),
            ttl_long: self.duration(&["thresholds", "ttl_long"]),
            retirement: self.duration(&["thresholds", "retirement"]),
        };
        if thresholds.headroom_warning >= thresholds.headroom_critical {
            self.check_order(
                "headroom",
                &format!("below headroom_critical, {}", thresholds.headroom_critical),
                &format!("above headroom_warning, {}", thresholds.headroom_warning),
            );
        }
        if thresholds.certificate_warning <= thresholds.certificate_critical {
            let text = parse::duration_text;
            self.check_order(
                "certificate",
                &format!("longer than certificate_critical, {}", text(thresholds.certificate_critical)),
                &format!("shorter than certificate_warning, {}", text(thresholds.certificate_warning)),
            );
        }
        thresholds
    }

    /// Tells that a warning and a critical threshold are the wrong way round, at the one an operator gave.
    fn check_order(&mut self, subject: &str, warning_should_be: &str, critical_should_be: &str) {
        let (warning, critical) = (format!("{subject}_warning"), format!("{subject}_critical"));
        let (warning, critical) = (["thresholds", warning.as_str()], ["thresholds", critical.as_str()]);
        if self.sources.is_invalid(&warning) || self.sources.is_invalid(&critical) {
            return;
        }
        let (path, should_be) = match self.effective.find(&warning) {
            Some(found) if found.location.is_explicit() => (warning, warning_should_be),
            _ => (critical, critical_should_be),
        };
        self.report_if_explicit(&path, |text| Diagnostic::new(format!("{text} is not {should_be}")));
    }

    /// One probe must end before the next begins. Tells it at the value an operator gave, the timeout before the interval.
    pub(super) fn check_deadline(&mut self, timeout: &[&str], interval: &[&str]) {
        let (limit, pace) = (self.duration(timeout), self.duration(interval));
        if limit < pace || self.sources.is_invalid(timeout) || self.sources.is_invalid(interval) {
            return;
        }
        let strongest = [timeout, interval]
            .into_iter()
            .filter_map(|path| Some((self.effective.find(path)?.location.layer, path)))
            .rev()
            .max_by_key(|(layer, _)| *layer)
            .map_or(timeout, |(_, path)| path);
        let (limit, pace) = (parse::duration_text(limit), parse::duration_text(pace));
        self.report_if_explicit(strongest, |text| {
            let diagnostic = if strongest == timeout {
                Diagnostic::new(format!("{text} is not shorter than the interval, {pace}"))
            } else {
                Diagnostic::new(format!("{text} is not longer than the timeout, {limit}"))
            };
            diagnostic.hint("one probe must end before the next begins: raise the interval or lower the timeout")
        });
    }

    fn report_if_explicit(&mut self, path: &[&str], diagnostic: impl FnOnce(&str) -> Diagnostic) {
        let Some(found) = self.effective.find(path).filter(|found| found.location.is_explicit()) else { return };
        let diagnostic = diagnostic(&found.shown());
        self.report(found, diagnostic);
    }

    pub(super) fn report(&mut self, found: Found<'_>, diagnostic: Diagnostic) {
        self.sources.report(&found.location.origin, &found.location.key, diagnostic);
    }

    pub(super) fn duration(&self, path: &[&str]) -> Duration {
        parse::duration(self.text(path)).unwrap_or_default()
    }

    pub(super) fn text(&self, path: &[&str]) -> &'a str {
        self.effective.find(path).map_or("", Found::text)
    }

    fn flag(&self, path: &[&str]) -> bool {
        self.effective.find(path).is_none_or(Found::flag)
    }

    fn number(&self, path: &[&str]) -> f64 {
        self.effective.find(path).map_or(0.0, Found::number)
    }

    fn count<T: TryFrom<i64> + Default>(&self, path: &[&str]) -> T {
        self.effective.find(path).and_then(|found| T::try_from(found.integer()).ok()).unwrap_or_default()
    }
}
