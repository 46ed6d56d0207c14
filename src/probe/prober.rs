//! Who walks: what a probe needs that is kept from one to the next, and the secrets it sends.

use std::sync::{Arc, Mutex, PoisonError};

use super::dns::System;
use super::redis::{Sent, Withheld};
use crate::clock;
use crate::file::FileCache;
use crate::model::{Auth, Cache, Fault, FaultKind, NoSecret, Password, Secret, Stage, SystemFiles};
use crate::net::trust::Trust;

/// Walks paths. It keeps what need not be done again for every probe: trusted roots, resolv.conf, the hosts file and
/// passwords are read again only when their files change. One serves all caches.
#[derive(Debug)]
pub struct Prober {
    pub(super) system: System,
    pub(super) trust: Trust,
    passwords: FileCache<Result<Secret, NoSecret>>,
    /// What was read to be sent.
    sent: Mutex<Sent>,
}

impl Prober {
    /// A prober for this machine.
    #[must_use]
    pub fn new(files: &SystemFiles) -> Self {
        Self {
            system: System::new(files),
            trust: Trust::new(),
            passwords: FileCache::new(Secret::of_file),
            sent: Mutex::default(),
        }
    }

    /// The credential for the server, as it is kept now; `None` where nothing is sent.
    pub(super) fn secret(&self, cache: &Cache) -> Option<Result<Secret, Fault>> {
        match &cache.auth {
            Auth::AccessKey { password, .. } => Some(self.password(password)),
            Auth::None | Auth::Withheld => None,
        }
    }

    /// What must not be shown of a peer's words, whichever cache it stands for.
    pub(super) fn withheld(&self, secret: Option<&Result<Secret, Fault>>) -> Arc<Withheld> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        match secret {
            Some(Ok(secret)) => sent.and(secret),
            _ => sent.withheld(),
        }
    }

    /// The password, as its file or variable holds it now.
    fn password(&self, password: &Password) -> Result<Secret, Fault> {
        let unreadable = |words: String| Fault::new(Stage::Auth, FaultKind::CredentialUnreadable, words);
        match password {
            Password::File(path) => {
                let secret = self.passwords.read(path, clock::instant());
                let secret = secret.map_err(|error| unreadable(format!("{}: {error}", path.display())))?;
                secret.as_ref().clone().map_err(|why| unreadable(format!("{}: {why}", path.display())))
            }
            Password::Environment(name) => match std::env::var(name) {
                Ok(text) => Secret::of_file(text.as_bytes())
                    .map_err(|why| unreadable(format!("the environment variable {name}: {why}"))),
                Err(_) => Err(unreadable(format!("the environment variable {name} is not set, or not text"))),
            },
        }
    }
}
