//! Opens a session with a cache at one address: TCP, TLS and AUTH, each timed. What is said over it is its owner's affair.

use std::sync::Arc;

use super::prober::Prober;
use super::redis::{Session, Withheld};
use super::{connect, tls};
use crate::clock::Stopwatch;
use crate::model::{Auth, Cache, Fault, Leg, Secret, Stage};
use crate::net::ByteStream;
use crate::net::deadline::Deadline;

/// A session with a cache, over TLS or in plain text.
pub(super) type CacheSession = Session<Box<dyn ByteStream>>;

impl Prober {
    /// Opens a session where `leg` leads, and authenticates. The leg has the time of each stage that was reached, and what
    /// TLS showed, whether or not a session comes of it. Who takes the session closes it.
    pub(super) async fn open(
        &self,
        cache: &Cache,
        leg: &mut Leg,
        (secret, withheld): (Option<Result<Secret, Fault>>, &Arc<Withheld>),
        deadline: Deadline,
    ) -> Result<CacheSession, Fault> {
        let stream = self.connect(cache, leg, deadline).await?;
        let mut session = Session::new(stream, Arc::clone(withheld), cache.timeouts.command, deadline);
        match authenticate(cache, leg, secret, &mut session).await {
            Ok(()) => Ok(session),
            Err(fault) => {
                session.close().await;
                Err(fault)
            }
        }
    }

    /// A connection to the cache; over TLS, where it is spoken, one whose peer has proved to be the cache.
    async fn connect(&self, cache: &Cache, leg: &mut Leg, deadline: Deadline) -> Result<Box<dyn ByteStream>, Fault> {
        let watch = Stopwatch::start();
        let connected = connect::connect(leg.dialled, cache.timeouts.connect, deadline).await;
        leg.timings.set(Stage::Connect, watch.elapsed());
        let stream = connected?;
        let Some(settings) = &cache.tls else { return Ok(Box::new(stream)) };
        let roots = self.trust.roots(settings.ca_file.as_deref())?;
        let watch = Stopwatch::start();
        let name = cache.server_name();
        let handshake = tls::handshake(stream, leg.dialled, name, roots, cache.timeouts.tls, deadline).await;
        leg.timings.set(Stage::Tls, watch.elapsed());
        leg.tls = handshake.session;
        Ok(Box::new(handshake.outcome?))
    }
}

/// Authenticates, where the configuration has credentials.
async fn authenticate(
    cache: &Cache,
    leg: &mut Leg,
    secret: Option<Result<Secret, Fault>>,
    session: &mut CacheSession,
) -> Result<(), Fault> {
    let (Auth::AccessKey { username, .. }, Some(secret)) = (&cache.auth, secret) else { return Ok(()) };
    let secret = secret?;
    let watch = Stopwatch::start();
    let result = session.auth(username.as_deref(), &secret).await;
    leg.timings.set(Stage::Auth, watch.elapsed());
    result
}
