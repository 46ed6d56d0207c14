//! Who may ask: certificate, users, and the files that hold them.
//!
//! Invariants: what guards the daemon is read before it listens, and a file that has become bad changes nothing; a change
//! of the files replaces what guards and never takes it away (that needs a restart, so that a file cut short opens no
//! door); no message holds a hash or a password.

mod error;
mod hosts;
mod rate;
mod read;
mod tls;
mod token;
mod turns;
mod users;
mod web_config;
mod yaml;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use axum::http::{HeaderName, HeaderValue};
use rustls::ServerConfig;

use self::error::FileFault;
pub use self::error::GuardError;
use self::hosts::AllowedHosts;
use self::rate::{Bucket, Rate};
use self::tls::TlsSettings;
use self::token::Token;
pub(super) use self::turns::Crowded;
use self::turns::Turns;
pub(super) use self::users::Credentials;
use self::users::Users;
use self::web_config::WebConfig;
use crate::clock;
use crate::config::Server;
use crate::file::{self, FileWatch};
use crate::http::peer::Peer;

/// What guards the daemon, as its files say now.
#[derive(Debug)]
pub struct Guard {
    server: Server,
    current: RwLock<Arc<Protection>>,
    files: Mutex<FileWatch>,
    bucket: Mutex<Bucket>,
    /// Not replaced with the users, so that a change of the file makes no second queue.
    turns: Arc<Turns>,
    hosts: AllowedHosts,
}

/// What is asked of a client, and what is told to every one.
#[derive(Debug, Default)]
pub(super) struct Protection {
    /// The certificate to show; `None` where HTTP is spoken in the clear.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Whether every client must show a certificate.
    pub(super) wants_certificate: bool,
    /// Who may ask; `None` where no request is asked for a user.
    pub(super) users: Option<Arc<Users>>,
    /// What a request that changes state shows, where it shows nothing else.
    pub(super) token: Option<Token>,
    /// Headers that the operator adds to every answer.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    rate: Option<Rate>,
    /// The files it was read from.
    files: Vec<PathBuf>,
}

/// What a look at the files gave.
#[derive(Debug)]
pub(super) enum Look {
    /// Nothing has changed, or not come to rest yet.
    Same,
    /// What has changed is in use.
    Taken,
    /// What has changed is wrong, and what was in use stays.
    Refused(GuardError),
}

impl Guard {
    /// Reads everything that the configuration names.
    ///
    /// # Errors
    /// Where a file cannot be read or does not hold what it should, with every problem of it.
    pub fn load(server: &Server) -> Result<Self, GuardError> {
        let protection = Protection::read(server)?;
        let read = file::versions(protection.files.clone());
        Ok(Self {
            server: server.clone(),
            current: RwLock::new(Arc::new(protection)),
            files: Mutex::new(FileWatch::new(read)),
            bucket: Mutex::default(),
            turns: Arc::default(),
            hosts: AllowedHosts::new(server),
        })
    }

    /// Whether the daemon speaks TLS with this configuration. Certificates, keys and users are not read: a client need
    /// not be able to.
    ///
    /// # Errors
    /// Where the web configuration that decides it cannot be read.
    pub fn speaks_tls(server: &Server) -> Result<bool, GuardError> {
        match &server.web_config_file {
            Some(file) => Ok(WebConfig::read(file)?.tls.is_some()),
            None => Ok(server.tls.is_some()),
        }
    }

    /// What an operator should know of a daemon that listens there; one sentence each.
    #[must_use]
    pub fn notices(&self, listen: SocketAddr) -> Vec<String> {
        let now = self.now();
        if listen.ip().to_canonical().is_loopback() {
            return Vec::new();
        }
        let mut notices = Vec::new();
        if !now.asks_for_credentials() {
            let changes = if now.token.is_some() {
                "a change requires the token of server.admin_token_file"
            } else {
                "changes from other machines are refused"
            };
            notices.push(format!(
                "server.listen, {listen}, can be reached from other machines and has no authentication: anyone who can \
                 reach it can read the metrics and the page; {changes}; set server.basic_auth_file or server.tls.client_ca_file"
            ));
        }
        if now.tls.is_none() && (now.users.is_some() || now.token.is_some()) {
            let what = if now.users.is_some() { "passwords" } else { "the token" };
            notices.push(format!(
                "server.listen, {listen}, can be reached from other machines and receives {what} unencrypted; set \
                 server.tls.cert_file and key_file, or put a proxy with TLS in front of it"
            ));
        }
        notices
    }

    /// What guards the daemon now.
    pub(super) fn now(&self) -> Arc<Protection> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks whether a file has changed, and takes into use what it says once the change has come to rest. Reads files,
    /// so it belongs on a thread that may block.
    pub(super) fn look(&self) -> Look {
        let watch = &mut *self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.now();
        let seen = file::versions(before.files.clone());
        if !watch.has_changed(seen.clone()) {
            return Look::Same;
        }
        *watch = FileWatch::new(seen);
        let new = Protection::read(&self.server).and_then(|new| {
            let lost = before.lost_in(&new);
            if lost.is_empty() { Ok(new) } else { Err(self.opened(&lost)) }
        });
        match new {
            Ok(new) => {
                if new.files != before.files {
                    *watch = FileWatch::new(file::versions(new.files.clone()));
                }
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                Look::Taken
            }
            Err(error) => Look::Refused(error),
        }
    }

    /// Takes one request out of the rate that is allowed; false where there is none left.
    pub(super) fn admits_another(&self) -> bool {
        let Some(rate) = self.now().rate else { return true };
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(rate, clock::instant())
    }

    /// Whether these users let that client in.
    ///
    /// # Errors
    /// Where too many passwords wait to be verified, of that client or in all.
    pub(super) async fn verify(
        &self,
        users: &Users,
        credentials: &Credentials,
        client: IpAddr,
    ) -> Result<bool, Crowded> {
        users.admits(credentials, &self.turns, Peer::of(client)).await
    }

    /// Whether a request for these hosts, where no credentials are asked for, can be one of a page in a browser on this
    /// machine, whose author controls a name that leads here.
    pub(super) fn is_rebound<'a>(&self, hosts: impl IntoIterator<Item = &'a [u8]>) -> bool {
        hosts.into_iter().any(|host| !self.hosts.admit(host))
    }

    fn opened(&self, lost: &[&str]) -> GuardError {
        let file = self.server.web_config_file.as_deref().or(self.server.basic_auth_file.as_deref());
        let words = format!(
            "removes {}; this is refused while the daemon runs: restart the daemon if it is intended",
            lost.join(" and ")
        );
        GuardError(vec![FileFault::new(file.unwrap_or(Path::new("server")), None, words)])
    }
}

impl Protection {
    /// Whether a request is authenticated.
    pub(super) fn asks_for_credentials(&self) -> bool {
        self.wants_certificate || self.users.is_some()
    }

    fn read(server: &Server) -> Result<Self, GuardError> {
        let mut faults = Vec::new();
        let mut new = match &server.web_config_file {
            Some(file) => Self::of_web_config(file, &mut faults),
            None => Self::default(),
        };
        if let Some(file) = &server.admin_token_file {
            new.files.push(file.clone());
            match Token::read(file) {
                Ok(token) => new.token = Some(token),
                Err(GuardError(more)) => faults.extend(more),
            }
        }
        if let Some(tls) = &server.tls {
            let settings = TlsSettings {
                client_ca_file: tls.client_ca_file.clone(),
                ..TlsSettings::new(tls.cert_file.clone(), tls.key_file.clone())
            };
            new.speak_tls(&settings, &mut faults);
        }
        if let Some(file) = &server.basic_auth_file {
            new.files.push(file.clone());
            match read::text(file).and_then(|text| users::htpasswd(file, &text)) {
                Ok(users) => new.users = Some(Arc::new(users)),
                Err(GuardError(more)) => faults.extend(more),
            }
        }
        if faults.is_empty() { Ok(new) } else { Err(GuardError(faults)) }
    }

    fn of_web_config(file: &Path, faults: &mut Vec<FileFault>) -> Self {
        let WebConfig { tls, users, headers, rate } = match WebConfig::read(file) {
            Ok(read) => read,
            Err(GuardError(more)) => {
                faults.extend(more);
                return Self::default();
            }
        };
        let mut new = Self { headers, rate, files: vec![file.to_owned()], ..Self::default() };
        if let Some(settings) = &tls {
            new.speak_tls(settings, faults);
        }
        new.users = users.map(Arc::new);
        new
    }

    fn speak_tls(&mut self, settings: &TlsSettings, faults: &mut Vec<FileFault>) {
        self.wants_certificate = settings.client_ca_file.is_some();
        self.files.extend(settings.files().map(Path::to_owned));
        match settings.server_config() {
            Ok(config) => self.tls = Some(Arc::new(config)),
            Err(fault) => faults.push(fault),
        }
    }

    /// What guards now and would not with `new`.
    fn lost_in(&self, new: &Self) -> Vec<&'static str> {
        let guards =
            |protection: &Self| [protection.tls.is_some(), protection.wants_certificate, protection.users.is_some()];
        // A token is never lost: a file without one is refused.
        let named = ["TLS", "clients' certificates", "users"].into_iter();
        let lost = guards(self).into_iter().zip(guards(new)).map(|(before, after)| before && !after);
        named.zip(lost).filter_map(|(name, lost)| lost.then_some(name)).collect()
    }
}
