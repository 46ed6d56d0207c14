//! Users and their passwords, of which only bcrypt hashes are known.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bcrypt::HashParts;
use ring::hmac;
use ring::rand::SystemRandom;

use super::error::{FileFault, GuardError};
use super::turns::{Crowded, Turns};
use crate::http::peer::Peer;

/// The dearest hash that is taken: 2^17 rounds take seconds, and each one more doubles them.
const DEAREST: u32 = 17;

/// How many right answers are remembered. One user has one password, so that this is never reached by honest ones.
const MOST_REMEMBERED: usize = 1024;

/// What to do about a line that is none.
const MAKE_ONE: &str = "make one with `htpasswd -nB NAME`";

/// Who may ask.
pub(crate) struct Users {
    hashes: BTreeMap<String, String>,
    /// A hash that no password fits, as dear as the dearest: asking for a user that is not known takes as long.
    decoy: String,
    /// A key of this very set of users, so that a dump of our memory does not show what is remembered.
    key: hmac::Key,
    remembered: Mutex<HashSet<[u8; 32]>>,
}

/// The user and password of a request.
#[derive(Clone)]
pub(crate) struct Credentials {
    user: String,
    password: Vec<u8>,
}

/// How many there are, and no more.
impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({})", self.hashes.len())
    }
}

impl Users {
    /// These users. `None` where the system gives no random bytes.
    fn new(hashes: BTreeMap<String, String>) -> Option<Self> {
        let dearest =
            hashes.values().filter_map(|hash| HashParts::from_str(hash).ok()).map(|hash| hash.get_cost()).max();
        // 16 bytes of salt and 23 of nothing, in bcrypt's own base64.
        let decoy = format!("$2b${:02}${}", dearest.unwrap_or(10), ".".repeat(53));
        Some(Self {
            hashes,
            decoy,
            key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok()?,
            remembered: Mutex::default(),
        })
    }

    /// Whether that user has that password. A right answer is remembered until the users are read again; for all else the
    /// peer waits for its turn.
    ///
    /// # Errors
    /// Where too many wait already; then nothing was verified.
    pub(super) async fn admits(
        &self,
        credentials: &Credentials,
        turns: &Arc<Turns>,
        peer: Peer,
    ) -> Result<bool, Crowded> {
        let known = self.hashes.get(&credentials.user);
        let mark = self.mark(credentials);
        if known.is_some() && self.remembered().contains(&mark) {
            return Ok(true);
        }
        let hash = known.unwrap_or(&self.decoy).clone();
        let password = credentials.password.clone();
        let turn = turns.take(peer).await?;
        // Another request may have waited for the same answer.
        if known.is_some() && self.remembered().contains(&mark) {
            return Ok(true);
        }
        let verified = tokio::task::spawn_blocking(move || {
            // Held until the work is done, and not until its client stops waiting for it.
            let _turn = turn;
            bcrypt::verify(password, &hash).unwrap_or(false)
        });
        // Awaited whoever asks: an answer that comes early tells that the user is not known.
        let is_right = verified.await.unwrap_or(false);
        let admits = known.is_some() && is_right;
        if admits {
            let mut remembered = self.remembered();
            if remembered.len() >= MOST_REMEMBERED {
                remembered.clear();
            }
            remembered.insert(mark);
        }
        Ok(admits)
    }

    /// A keyed hash of user and password.
    fn mark(&self, Credentials { user, password }: &Credentials) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&user.len().to_le_bytes());
        context.update(user.as_bytes());
        context.update(password);
        let mut mark = [0; 32];
        mark.copy_from_slice(context.sign().as_ref());
        mark
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 32]>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Credentials {
    /// What `Authorization: Basic` says; `None` where a request says nothing of the kind.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let (scheme, encoded) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        let user = String::from_utf8(decoded[..colon].to_vec()).ok()?;
        Some(Self { user, password: decoded[colon + 1..].to_vec() })
    }
}

/// The users of a file that `htpasswd -B` wrote.
pub(super) fn htpasswd(path: &Path, text: &str) -> Result<Users, GuardError> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let mut faults = Vec::new();
    let mut users = Vec::new();
    for (line, text) in lines.filter(|(_, text)| !text.is_empty() && !text.starts_with('#')) {
        match text.split_once(':') {
            Some((user, hash)) => users.push((line, user, hash)),
            None => faults.push(FileFault::new(path, Some(line), format!("is not `user:hash`; {MAKE_ONE}"))),
        }
    }
    collect(path, users, faults)
}

/// These users, each with the line it stands on.
pub(super) fn collect<'a>(
    path: &Path,
    users: impl IntoIterator<Item = (usize, &'a str, &'a str)>,
    mut faults: Vec<FileFault>,
) -> Result<Users, GuardError> {
    let mut hashes = BTreeMap::new();
    for (line, user, hash) in users {
        if user.is_empty() {
            faults.push(FileFault::new(path, Some(line), "the user has no name"));
        }
        if let Err(words) = check(hash) {
            faults.push(FileFault::new(path, Some(line), words));
        }
        if hashes.insert(user.to_owned(), hash.to_owned()).is_some() {
            faults.push(FileFault::new(
                path,
                Some(line),
                "this user is on an earlier line as well; remove one of the two",
            ));
        }
    }
    if hashes.is_empty() && faults.is_empty() {
        faults.push(FileFault::new(path, None, format!("contains no user; {MAKE_ONE}, or do not set the file")));
    }
    if !faults.is_empty() {
        return Err(faults.into());
    }
    Users::new(hashes).ok_or_else(|| vec![FileFault::new(path, None, "this machine gives no random bytes")].into())
}

/// Whether that is a bcrypt hash. The hash is never repeated.
fn check(hash: &str) -> Result<(), String> {
    let other = |kind: &str| Err(format!("the password is stored as {kind}, and only bcrypt is supported; {MAKE_ONE}"));
    if hash.starts_with("$apr1$") || hash.starts_with("$1$") {
        return other("an MD5 hash");
    }
    if hash.starts_with("{SHA}") || hash.starts_with("{SSHA}") {
        return other("a SHA-1 hash");
    }
    if hash.starts_with("$5$") || hash.starts_with("$6$") {
        return other("a crypt(3) SHA-2 hash");
    }
    if !hash.starts_with("$2") {
        return Err(format!(
            "the text after the user is not a bcrypt hash (not shown: it may be a password); {MAKE_ONE}"
        ));
    }
    match HashParts::from_str(hash) {
        Ok(hash) if (4..=DEAREST).contains(&hash.get_cost()) => Ok(()),
        Ok(hash) => {
            let cost = hash.get_cost();
            Err(format!("the bcrypt hash has the cost {cost}; allowed are 4 to {DEAREST}; `htpasswd -nBC 10 NAME`"))
        }
        Err(_) => Err(format!("the bcrypt hash is cut short or damaged (not shown); {MAKE_ONE}")),
    }
}
