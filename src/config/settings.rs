//! A configuration as the rest of the program reads it: checked, and complete.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::file;
use crate::model::{
    Auth, Cache, CacheName, Credential, Expectation, Exposure, Password, Resolver, Rules, Secret, SystemFiles,
    Thresholds, Timeouts, Tls, vocabulary,
};

/// A checked configuration. Two equal values need no reload.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// How the daemon serves HTTP.
    pub server: Server,
    /// How probes are scheduled.
    pub probe: Probe,
    /// What a cache gets that says nothing of its own.
    pub defaults: Defaults,
    /// How the program logs.
    pub log: Log,
    /// What is kept of the past.
    pub journal: JournalSettings,
    /// Where the machine's resolver finds its own configuration.
    pub system: SystemFiles,
    /// The caches, in the order of declaration; bare hosts follow. Their names differ.
    pub caches: Vec<Arc<Cache>>,
    /// Every configuration file and every `conf.d` directory that was looked into, existing or not, for a watcher.
    pub files: Vec<PathBuf>,
    /// What was accepted and is not acted on, or is likely to be a mistake; one sentence each.
    pub notices: Vec<String>,
}

impl Config {
    /// Which passwords' files this process cannot read now, and why. That is no mistake of the configuration: a file may come
    /// later, or be there for another user alone.
    #[must_use]
    pub fn unreadable_passwords(&self) -> Vec<String> {
        let file = |cache: &Cache| match &cache.auth {
            Auth::AccessKey { password: Password::File(path), .. } => Some(path.clone()),
            _ => None,
        };
        let with_file = self.caches.iter().filter_map(|cache| Some((cache, file(cache)?)));
        with_file
            .filter_map(|(cache, path)| {
                let error = match file::read(&path).map(|bytes| Secret::of_file(&bytes)) {
                    Ok(Ok(secret)) if secret.has_blank_ends() => {
                        return Some(format!(
                            "cache {}: the password in {} begins or ends with a space, which is sent as part of it; \
                             Azure keys have no spaces",
                            cache.name,
                            path.display()
                        ));
                    }
                    Ok(Ok(_)) => return None,
                    Ok(Err(why)) => why.to_string(),
                    Err(error) => error.to_string(),
                };
                let cure = match Credential::of(&path) {
                    Some(Credential { unit, name }) => format!(
                        "systemd creates this file for {unit} only, while it runs; if the service itself reports this, \
                         add LoadCredential={name}:FILE under [Service] in `sudo systemctl edit {unit}`, \
                         then `sudo systemctl daemon-reload` and `sudo systemctl restart {unit}`"
                    ),
                    None => {
                        "it must exist, contain the key, and be readable by the user that runs cachewatch".to_owned()
                    }
                };
                Some(format!("cache {}: the password file {}: {error}; {cure}", cache.name, path.display()))
            })
            .collect()
    }
}

/// How the daemon serves HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where it listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// How long requests and probes may take to end after SIGTERM.
    pub shutdown_grace: Duration,
    /// The most connections at once; at least 1.
    pub max_connections: usize,
    /// The certificate to show; `None` where HTTP is spoken in the clear, or where `web_config_file` decides.
    pub tls: Option<ServerTls>,
    /// Users and their passwords' bcrypt hashes, as `htpasswd -B` writes them.
    pub basic_auth_file: Option<PathBuf>,
    /// A file in the format that Prometheus' exporters share; it excludes the two above.
    pub web_config_file: Option<PathBuf>,
    /// The token that what changes state wants, where nothing else is shown.
    pub admin_token_file: Option<PathBuf>,
    /// By which names the daemon may be asked for, beside its own, where it listens on loopback and asks for no credentials.
    pub allowed_hosts: Vec<String>,
}

/// The certificate the daemon shows, and whose certificates it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// The chain, PEM, the server's own certificate first.
    pub cert_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
    /// Who must have issued the certificate of every client; `None` where none is asked for.
    pub client_ca_file: Option<PathBuf>,
}

/// How probes are scheduled.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// The most probes under way at once; at least 1.
    pub max_in_flight: usize,
    /// The share of the interval, 0 to 0.5, by which a start may move.
    pub jitter: f64,
}

/// What a cache gets that says nothing of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Defaults {
    /// From the start of one probe to the start of the next.
    pub interval: Duration,
    /// Whether its name is looked up again between two probes, when an answer runs out.
    pub follow_ttl: bool,
    /// The shortest time between two such lookups.
    pub lookup_floor: Duration,
    /// How long the parts of a probe may take; no part is longer than the whole.
    pub timeouts: Timeouts,
    /// When a finding opens and clears.
    pub rules: Rules,
    /// A place that answers TCP whenever the network of this machine is up.
    pub control: Option<SocketAddr>,
    /// Where advice becomes a finding.
    pub thresholds: Thresholds,
}

impl Defaults {
    /// A cache that says nothing of its own but where it is: asked of the system, over TLS, without a password.
    pub(super) fn cache(&self, name: &str, host: String, port: u16) -> Cache {
        Cache {
            name: CacheName::new(name),
            host,
            port,
            expectation: Expectation::default(),
            resolvers: vec![Resolver::System],
            tls: Some(Tls::default()),
            auth: Auth::None,
            max_clients: None,
            tier: None,
            interval: self.interval,
            follow_ttl: self.follow_ttl.then_some(self.lookup_floor),
            timeouts: self.timeouts,
            rules: self.rules,
            thresholds: self.thresholds,
            control: self.control,
            exposure: Exposure::default(),
            connect_to: Vec::new(),
        }
    }
}

/// How the program logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A level, or directives of `tracing_subscriber::EnvFilter`, which accepts this text.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

vocabulary! {
    /// How a log line looks.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

vocabulary! {
    /// How a cache's configuration says that its password is used, or that none is.
    pub enum AuthMethod {
        /// With an access key, or with a user's password.
        AccessKey = "access_key",
        /// Not at all, on purpose.
        None = "none",
    }
}

/// What is kept of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSettings {
    /// The file; `None` keeps events in memory only.
    pub path: Option<PathBuf>,
    /// How long an event is kept.
    pub retention: Duration,
    /// Bytes beyond which the oldest events give way.
    pub max_size: u64,
}

impl JournalSettings {
    /// Why the file cannot be kept where it is meant to be, as far as looking there tells.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let file = self.path.as_deref()?;
        let shown = file.display();
        if file.is_dir() {
            return Some(format!("journal.path: {shown} is a directory; name a file in it, such as journal.db"));
        }
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty())?;
        match std::fs::metadata(parent) {
            Ok(parent) if parent.is_dir() => None,
            Ok(_) => Some(format!("journal.path: {} is not a directory, so {shown} cannot be there", parent.display())),
            Err(error) => Some(format!(
                "journal.path: {}: {error}; create the directory; until then events are kept in memory",
                parent.display()
            )),
        }
    }

    /// The file that is meant: where none is named, the one in the directory that systemd gives a service for its state.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        self.path.clone().or_else(|| {
            let directories = std::env::var_os("STATE_DIRECTORY")?;
            // systemd separates several with a colon; the first is the service's own.
            let first = std::env::split_paths(&directories).next().filter(|first| !first.as_os_str().is_empty())?;
            Some(first.join("journal.db"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_cannot_be_read_is_told_with_its_cure() {
        let directory = tempfile::TempDir::new().unwrap();
        let at = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
        std::fs::write(at("key"), "hunter2").unwrap();
        std::fs::write(at("empty"), "").unwrap();
        let said = |path: &str| {
            let cache = "[[caches]]\nname = \"orders\"\nhost = \"orders.test\"\n[caches.auth]\n";
            std::fs::write(at("config.toml"), format!("{cache}password_file = {path:?}\n")).unwrap();
            let files = vec![at("config.toml").into()];
            super::super::load(&super::super::Inputs { files, ..Default::default() }).unwrap().unreadable_passwords()
        };
        assert_eq!(said(&at("key")), [""; 0]);
        let here = directory.path().display();
        let plain = "it must exist, contain the key, and be readable by the user that runs cachewatch";
        let gone =
            format!("cache orders: the password file {here}/no: No such file or directory (os error 2); {plain}");
        assert_eq!(said(&at("no")), [gone]);
        assert_eq!(said(&at("empty")), [format!("cache orders: the password file {here}/empty: empty; {plain}")]);
        let [credential] = &said("/run/credentials/none.service/orders")[..] else { panic!("one note") };
        for words in [
            "No such file or directory (os error 2)",
            "for none.service only",
            "LoadCredential=orders:FILE",
            "`sudo systemctl edit none.service`",
            "daemon-reload",
            "`sudo systemctl restart none.service`",
        ] {
            assert!(credential.contains(words), "{words}: {credential}");
        }
    }

    #[test]
    fn a_journal_that_cannot_be_where_it_is_meant_to_be_is_told() {
        let directory = tempfile::TempDir::new().unwrap();
        let at = |path: PathBuf| {
            JournalSettings { path: Some(path), retention: Duration::from_hours(1), max_size: 1 << 20 }.problem()
        };
        assert_eq!(at(directory.path().join("journal.db")), None);
        assert_eq!(at("journal.db".into()), None);
        assert!(at(directory.path().to_owned()).unwrap().contains("is a directory; name a file in it"));
        assert!(at(directory.path().join("none/journal.db")).unwrap().contains("create the directory"));
        std::fs::write(directory.path().join("text"), "").unwrap();
        assert!(at(directory.path().join("text/journal.db")).unwrap().contains("is not a directory"));
    }
}
