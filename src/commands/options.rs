//! Options that several commands share, and what they lead to: configuration files, bare hosts, a running daemon.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::terminal::complain;
use crate::client::{self, Client};
use crate::config::{self, Config, Inputs, Server, Target};
use crate::file;
use crate::http::Guard;
use crate::model::{CacheName, Password, Resolver, Secret};

/// The environment variable that says where a running daemon is.
pub(crate) const SERVER: &str = "CACHEWATCH_SERVER";

/// The environment variable that holds the password for a running daemon.
const SERVER_PASSWORD: &str = "CACHEWATCH_SERVER_PASSWORD";

/// The environment variable that holds the password for bare hosts.
const PASSWORD: &str = "CACHEWATCH_PASSWORD";

/// The configuration of an installed package, which is read where no other is named.
pub(crate) const INSTALLED: &str = "/etc/cachewatch/cachewatch.toml";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Files {
    /// Configuration file; repeatable, later files win; conf.d/*.toml beside it is read as well; default:
    /// /etc/cachewatch/cachewatch.toml if it exists
    #[arg(long = "config", value_name = "FILE", env = "CACHEWATCH_CONFIG", value_delimiter = ',')]
    pub(crate) config: Vec<PathBuf>,
}

/// Options for bare hosts. Each has a twin in the environment; the password itself is never an option.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options for bare hosts, applied to every HOST")]
pub(crate) struct TargetOptions {
    /// File with the password or access key; or set the variable `CACHEWATCH_PASSWORD`
    #[arg(long, value_name = "FILE", env = "CACHEWATCH_PASSWORD_FILE")]
    password_file: Option<PathBuf>,
    /// ACL user; without it, only the password is sent
    #[arg(long, value_name = "NAME", env = "CACHEWATCH_USERNAME")]
    username: Option<String>,
    /// File with trusted root certificates (PEM); default: the platform's
    #[arg(long, value_name = "FILE", env = "CACHEWATCH_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// Name for SNI and for certificate verification; default: the host
    #[arg(long, value_name = "NAME", env = "CACHEWATCH_SERVER_NAME")]
    server_name: Option<String>,
    /// Connect without TLS: all traffic, the password included, is unencrypted
    #[arg(long, env = "CACHEWATCH_NO_TLS", value_parser = clap::builder::BoolishValueParser::new())]
    no_tls: bool,
    /// Expected address: private, public, a CIDR or an IP; repeatable
    #[arg(long, value_name = "private|public|CIDR|IP", env = "CACHEWATCH_EXPECT", value_delimiter = ',')]
    expect: Vec<String>,
    /// Resolver to ask instead of the system; repeatable, the connection uses the addresses of the first
    #[arg(
        long,
        value_name = "ADDR",
        env = "CACHEWATCH_RESOLVER",
        value_delimiter = ',',
        value_parser = config::resolver,
        help = "Resolver to ask: IP[:PORT], tcp://IP, tls://IP#NAME, https://IP/PATH#NAME, system, or system-1 to \
                system-3 for one name server of resolv.conf; repeatable, the connection uses the addresses of the first"
    )]
    resolver: Vec<Resolver>,
    /// Tier of the cache, such as P1 or B10: gives the client limit if the server does not
    #[arg(long, value_name = "TIER", env = "CACHEWATCH_TIER")]
    tier: Option<String>,
    /// Deadline for all stages together, such as 10s
    #[arg(long, value_name = "DURATION", env = "CACHEWATCH_TIMEOUT", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// Dial another address instead of a resolved one, for tests; shown in every result
    #[arg(long, value_name = "ADDRESS[:PORT]=ADDRESS:PORT")]
    connect_to: Vec<String>,
}

/// How a running daemon is reached. The password itself is never an option.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection to the running daemon")]
pub(crate) struct DaemonOptions {
    /// URL of the daemon; default: server.listen of the configuration, on this machine
    #[arg(long, value_name = "URL", env = SERVER)]
    pub(crate) server: Option<String>,
    /// User name, if the daemon requires one
    #[arg(long, value_name = "NAME", env = "CACHEWATCH_SERVER_USER")]
    pub(crate) user: Option<String>,
    /// File with the user's password; or set the variable `CACHEWATCH_SERVER_PASSWORD`
    #[arg(long, value_name = "FILE", env = "CACHEWATCH_SERVER_PASSWORD_FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// File with trusted root certificates (PEM); default: the platform's
    #[arg(long, value_name = "FILE", env = "CACHEWATCH_SERVER_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Client certificate (PEM), if the daemon requires one
    #[arg(long, value_name = "FILE", env = "CACHEWATCH_SERVER_CLIENT_CERT", requires = "client_key")]
    pub(crate) client_cert: Option<PathBuf>,
    /// Private key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", env = "CACHEWATCH_SERVER_CLIENT_KEY", requires = "client_cert")]
    pub(crate) client_key: Option<PathBuf>,
}

impl TargetOptions {
    /// Says that the options change nothing, where any was given and there is no bare host to apply them to.
    pub(crate) fn complain_if_idle(&self, bare_hosts: usize) {
        let given = [
            self.password_file.is_some(),
            self.username.is_some(),
            self.ca_file.is_some(),
            self.server_name.is_some(),
            self.no_tls,
            !self.expect.is_empty(),
            !self.resolver.is_empty(),
            self.tier.is_some(),
            self.timeout.is_some(),
            !self.connect_to.is_empty(),
        ];
        if bare_hosts == 0 && given.contains(&true) {
            complain(
                "note: options such as --expect and --password-file apply to a bare HOST[:PORT] only, and none was \
                 given; the configuration has the options of configured caches",
            );
        }
    }

    /// A bare host with these options.
    pub(crate) fn target(&self, text: &str) -> Result<Target, String> {
        let target = Target::parse(text).map_err(|problem| problem.to_string())?;
        let password = match &self.password_file {
            Some(file) => Some(Password::File(file.clone())),
            None => std::env::var_os(PASSWORD).map(|_| Password::Environment(PASSWORD.to_owned())),
        };
        Ok(Target {
            username: self.username.clone(),
            password,
            ca_file: self.ca_file.clone(),
            server_name: self.server_name.clone(),
            tls: !self.no_tls,
            expect: self.expect.clone(),
            resolvers: self.resolver.clone(),
            tier: self.tier.clone(),
            timeout: self.timeout,
            connect_to: self.connect_to.clone(),
            ..target
        })
    }
}

impl Files {
    /// The files that are named; where none is, the installed one, if it is there.
    pub(crate) fn or(self, installed: &Path) -> Vec<PathBuf> {
        let is_absent = || fs::metadata(installed).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if self.config.is_empty() && !is_absent() { vec![installed.to_owned()] } else { self.config }
    }
}

impl DaemonOptions {
    /// A client of the daemon, which is where the configuration says unless an option says otherwise.
    pub(crate) fn client(&self, files: Files) -> Result<Client, String> {
        self.client_at(self.address(files)?, None)
    }

    /// Where the daemon is.
    pub(crate) fn address(&self, files: Files) -> Result<String, String> {
        match &self.server {
            Some(server) => Ok(server.clone()),
            None => address_of(&load_files(files)?.server),
        }
    }

    /// A client of the daemon there, which shows this token where it changes something.
    pub(crate) fn client_at(&self, server: String, token: Option<Secret>) -> Result<Client, String> {
        let login = match (&self.user, self.password()?) {
            (Some(user), Some(password)) => Some((user.clone(), password)),
            (Some(_), None) => {
                return Err(format!("--user needs a password: --password-file FILE, or {SERVER_PASSWORD}"));
            }
            (None, Some(_)) if self.password_file.is_some() => return Err("--password-file needs --user".to_owned()),
            (None, _) => None,
        };
        let secret = match (&login, &token) {
            (Some(_), _) => Some("password"),
            (None, Some(_)) => Some("token"),
            (None, None) => None,
        };
        let identity = self.client_cert.clone().zip(self.client_key.clone());
        let settings = client::ClientSettings { server, login, token, ca_file: self.ca_file.clone(), identity };
        let client = Client::new(&settings).map_err(|error| error.to_string())?;
        if let Some(secret) = secret.filter(|_| client.is_in_the_clear()) {
            complain(&format!("note: the {secret} is sent unencrypted; write https:// if the daemon uses TLS"));
        }
        Ok(client)
    }

    fn password(&self) -> Result<Option<Secret>, String> {
        let Some(path) = &self.password_file else {
            return Ok(std::env::var(SERVER_PASSWORD).ok().filter(|password| !password.is_empty()).map(Secret::new));
        };
        secret_of(path).map(Some)
    }
}

/// The secret that a file holds.
pub(crate) fn secret_of(path: &Path) -> Result<Secret, String> {
    let bytes = file::read(path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
    Secret::of_file(&bytes).map_err(|why| format!("{}: {why}", path.display()))
}

/// The configuration that names are looked up in, and its files. A broken one that no option names does not keep a host
/// from being checked: where it cannot be used, the host is checked without, and the second part says why.
pub(crate) fn known_to(names: &[String], files: Files, installed: &Path) -> Result<(Config, Option<String>), String> {
    let is_asked_for = !files.config.is_empty();
    let load = |files| config::load(&Inputs::new(files, Vec::new()));
    match load(files.or(installed)) {
        Ok(config) => Ok((config, None)),
        Err(problems) if !is_asked_for && !names.is_empty() && names.iter().all(|name| is_host(name)) => {
            let config = load(Vec::new()).map_err(|problems| problems.to_string())?;
            let note = problems
                .iter()
                .next()
                .map(|problem| format!("note: {} cannot be used and is ignored: {problem}", installed.display()));
            Ok((config, note))
        }
        Err(problems) => Err(problems.to_string()),
    }
}

/// Whether a target can only be a host, or a name that looks like one.
pub(crate) fn is_host(target: &str) -> bool {
    target.contains(['.', ':']) || target.eq_ignore_ascii_case("localhost")
}

/// The configuration files that were read, such as `a.toml and b.toml`.
pub(crate) fn files_of(config: &Config) -> Option<String> {
    let files = config.files.iter().filter(|path| !path.ends_with("conf.d")).map(|path| path.display().to_string());
    Some(files.collect::<Vec<_>>().join(" and ")).filter(|files| !files.is_empty())
}

/// Such as `configured: orders, carts; did you mean orders?`.
pub(crate) fn there_are(names: &[&str], wanted: &str) -> String {
    let distance = |name: &&&str| strsim::damerau_levenshtein(name, wanted);
    let nearest = names.iter().min_by_key(distance).filter(|name| distance(name) <= 2);
    let meant = nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    match names {
        [] => "none is configured".to_owned(),
        names => format!("configured: {}{meant}", names.join(", ")),
    }
}

/// Where a daemon with this configuration is reached from this machine.
pub(crate) fn address_of(server: &Server) -> Result<String, String> {
    let mut listen = server.listen;
    if listen.port() == 0 {
        return Err("server.listen has port 0, which is any free port; give the address of the daemon: --server \
             http://127.0.0.1:PORT"
            .to_owned());
    }
    if listen.ip().is_unspecified() {
        listen.set_ip(if listen.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    let scheme = if Guard::speaks_tls(server).map_err(|error| error.to_string())? { "https" } else { "http" };
    Ok(format!("{scheme}://{listen}"))
}

/// A name becomes part of the address that is asked for.
pub(crate) fn refuse_what_is_no_name(name: &str) -> Result<(), String> {
    if name.is_empty() || !name.chars().all(CacheName::admits) {
        return Err(format!("{name:?} is not the name of a cache: letters, digits, `.`, `_` and `-`"));
    }
    Ok(())
}

pub(crate) fn load_files(files: Files) -> Result<Config, String> {
    config::load(&Inputs::new(files.or(Path::new(INSTALLED)), Vec::new())).map_err(|problems| problems.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(named: &[&str]) -> Files {
        Files { config: named.iter().map(PathBuf::from).collect() }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_installed_file_is_read_where_none_is_named_and_it_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let installed = directory.path().join("cachewatch.toml");
        assert_eq!(files(&[]).or(&installed), [""; 0].map(PathBuf::from));
        fs::write(&installed, "").unwrap();
        assert_eq!(files(&[]).or(&installed), std::slice::from_ref(&installed));
        assert_eq!(files(&["own.toml"]).or(&installed), [PathBuf::from("own.toml")]);
        // What is there and cannot be looked at is not passed over.
        fs::remove_file(&installed).unwrap();
        std::os::unix::fs::symlink(&installed, &installed).unwrap();
        assert_eq!(files(&[]).or(&installed), [installed]);
    }

    #[test]
    fn an_installed_file_that_is_wrong_keeps_no_host_from_being_checked() {
        let directory = tempfile::tempdir().unwrap();
        let installed = directory.path().join("cachewatch.toml");
        fs::write(&installed, "[caches").unwrap();
        for hosts in [&["orders.test"][..], &["orders:6380", "localhost"], &["::1"]] {
            let (config, note) = known_to(&names(hosts), files(&[]), &installed).unwrap();
            assert_eq!((config.caches.len(), config.files.len()), (0, 0), "{hosts:?}");
            let note = note.unwrap();
            assert!(note.contains("is ignored") && note.contains("cachewatch.toml:1"), "{note}");
        }
        // A name is in no other place, and a file that was asked for is needed.
        let named = files(&[&installed.to_string_lossy()]);
        for (targets, files) in [(&["orders"][..], files(&[])), (&[], files(&[])), (&["orders.test"], named)] {
            let words = known_to(&names(targets), files, &installed).unwrap_err();
            assert!(words.contains("cachewatch.toml:1"), "{targets:?}: {words}");
        }
        fs::write(&installed, "[[caches]]\nname = \"orders\"\nhost = \"orders.test\"\n").unwrap();
        let (config, note) = known_to(&names(&["orders"]), files(&[]), &installed).unwrap();
        assert_eq!((config.caches.len(), note), (1, None));
    }
}
