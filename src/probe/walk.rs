//! The path, from a host name to a server's word, under one deadline.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, oneshot};

use super::connect;
use super::dns::{self, System};
use super::redis::{Sent, Session, Withheld};
use super::tls;
use crate::clock::{self, Stopwatch};
use crate::file::FileCache;
use crate::model::{
    Auth, Cache, Fault, FaultKind, Leg, LookupReport, NoSecret, Password, ProbeReport, Resolution, Resolver, Secret,
    Stage, SystemFiles,
};
use crate::net::deadline::Deadline;
use crate::net::trust::Trust;

/// How many addresses of one cache are dialled at once.
const LEGS_AT_ONCE: usize = 4;

/// Walks paths. It keeps what need not be done again for every probe: trusted roots, resolv.conf, the hosts file and
/// passwords are read again only when their files change. One serves all caches.
#[derive(Debug)]
pub struct Prober {
    system: System,
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
            system: System::new(&files.resolv_conf, &files.hosts),
            trust: Trust::new(),
            passwords: FileCache::new(Secret::of_file),
            sent: Mutex::default(),
        }
    }

    /// Walks the path to `cache` once. It ends by the cache's total timeout, and a failure anywhere is in the report.
    pub async fn walk(&self, cache: &Cache) -> ProbeReport {
        self.path(cache, |_| {}).await
    }

    /// The same, and tests beside it what the cache's exposure names, if anything. The tests share the deadline; the walk
    /// is neither slower for them nor does it fail by them, but its report waits for theirs.
    pub async fn walk_with_exposure(&self, cache: &Cache) -> ProbeReport {
        if !cache.exposure.is_on() {
            return self.walk(cache).await;
        }
        let (tell, told) = oneshot::channel();
        // Whoever would listen is joined to the walk, so there is no error.
        let walked = self.path(cache, |addresses| drop(tell.send(addresses.to_vec())));
        let deadline = Deadline::after(cache.timeouts.total);
        let (report, exposure) = future::join(walked, self.test_exposure(cache, told, deadline)).await;
        ProbeReport { exposure: Some(exposure), ..report }
    }

    /// The walk. `followed_to` is told the addresses as soon as they are known.
    async fn path(&self, cache: &Cache, followed_to: impl FnOnce(&[IpAddr])) -> ProbeReport {
        let watch = Stopwatch::start();
        let deadline = Deadline::after(cache.timeouts.total);
        let dial = async |addresses: Vec<IpAddr>| {
            followed_to(&addresses);
            // Not a `buffered` stream: that one asks to be polled again after every wait, with a turn of the event loop.
            let places = Semaphore::new(LEGS_AT_ONCE);
            future::join_all(addresses.into_iter().map(async |address| {
                // It is never closed, so there is no error.
                let _place = places.acquire().await;
                self.leg(cache, address, deadline).await
            }))
            .await
        };
        let (lookup, legs) = self.names(cache, deadline, dial).await;
        let mut report = ProbeReport::new(lookup, legs);
        // Is it the cache, or this machine? A deadline that has passed leaves no time to ask.
        if let Some(control) = cache.control.filter(|_| !report.reached_anything() && !deadline.remaining().is_zero()) {
            report.control_reached = Some(connect::connect(control, cache.timeouts.connect, deadline).await.is_ok());
        }
        report.took = watch.elapsed();
        report
    }

    /// Asks where the name of `cache` leads and goes no further: no connection is opened. It ends by the cache's timeout for
    /// lookups.
    pub async fn look_up(&self, cache: &Cache) -> LookupReport {
        self.names(cache, Deadline::after(cache.timeouts.resolve), async |_| Vec::new()).await.0
    }

    /// Asks every resolver of the cache at once, and goes where the first one leads as soon as it has answered: a slow
    /// resolver that nobody follows does not hold up the connection.
    async fn names(
        &self,
        cache: &Cache,
        deadline: Deadline,
        dial: impl AsyncFnOnce(Vec<IpAddr>) -> Vec<Leg>,
    ) -> (LookupReport, Vec<Leg>) {
        let mut lookup = LookupReport::new(cache, clock::now());
        let watch = Stopwatch::start();
        let (first, others) = match cache.resolvers.split_first() {
            Some((first, others)) => (first, others),
            None => (&Resolver::System, [].as_slice()),
        };
        let others = async {
            let asked = others.iter().map(|resolver| self.resolve(cache, resolver, deadline));
            (future::join_all(asked).await, watch.elapsed())
        };
        // Polled first, so that its question leaves first.
        let followed = async {
            let mut resolution = self.resolve(cache, first, deadline).await;
            let addresses = resolution.addresses.iter().map(|answer| answer.address).collect();
            let beneath = async {
                let beneath = dns::overridden(&resolution, &self.system, cache.timeouts.resolve, deadline).await;
                (beneath, watch.elapsed())
            };
            let (legs, (beneath, took)) = future::join(dial(addresses), beneath).await;
            resolution.overridden = beneath;
            (resolution, took, legs)
        };
        let ((first, first_took, legs), (resolutions, others_took)) = future::join(followed, others).await;
        lookup.resolutions = resolutions;
        lookup.resolutions.insert(0, first);
        lookup.took = first_took.max(others_took);
        (lookup, legs)
    }

    pub(super) async fn resolve(&self, cache: &Cache, resolver: &Resolver, deadline: Deadline) -> Resolution {
        let of_machine = (&self.system, &self.trust);
        dns::resolve(&cache.host, resolver, of_machine, cache.timeouts.resolve, deadline).await
    }

    /// Walks from one address to the server's word.
    async fn leg(&self, cache: &Cache, address: IpAddr, deadline: Deadline) -> Leg {
        let mut leg = Leg::new(address, cache.dial(address));
        let secret = self.secret(cache);
        let withheld = self.withheld(secret.as_ref());
        leg.fault = self.walk_leg(cache, &mut leg, (secret, &withheld), deadline).await.err();
        // What a peer learned in an earlier session it may say in any place of this one.
        withheld.leg(&mut leg);
        leg
    }

    async fn walk_leg(
        &self,
        cache: &Cache,
        leg: &mut Leg,
        (secret, withheld): (Option<Result<Secret, Fault>>, &Arc<Withheld>),
        deadline: Deadline,
    ) -> Result<(), Fault> {
        let watch = Stopwatch::start();
        let connected = connect::connect(leg.dialled, cache.timeouts.connect, deadline).await;
        leg.timings.set(Stage::Connect, watch.elapsed());
        let stream = connected?;
        let Some(settings) = &cache.tls else {
            return self.converse(cache, leg, (secret, withheld), stream, deadline).await;
        };
        let roots = self.trust.roots(settings.ca_file.as_deref())?;
        let watch = Stopwatch::start();
        let name = cache.server_name();
        let handshake = tls::handshake(stream, leg.dialled, name, roots, cache.timeouts.tls, deadline).await;
        leg.timings.set(Stage::Tls, watch.elapsed());
        leg.tls = handshake.session;
        self.converse(cache, leg, (secret, withheld), handshake.outcome?, deadline).await
    }

    /// Authenticates, asks for a sign of life, and then for what the server says of itself.
    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        cache: &Cache,
        leg: &mut Leg,
        (secret, withheld): (Option<Result<Secret, Fault>>, &Arc<Withheld>),
        stream: S,
        deadline: Deadline,
    ) -> Result<(), Fault> {
        let mut session = Session::new(stream, Arc::clone(withheld), cache.timeouts.command, deadline);
        let result = self.talk(cache, leg, secret, &mut session).await;
        tls::close(session.stream(), deadline).await;
        result
    }

    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        cache: &Cache,
        leg: &mut Leg,
        secret: Option<Result<Secret, Fault>>,
        session: &mut Session<S>,
    ) -> Result<(), Fault> {
        if let (Auth::AccessKey { username, .. }, Some(secret)) = (&cache.auth, secret) {
            let secret = secret?;
            let watch = Stopwatch::start();
            let result = session.auth(username.as_deref(), &secret).await;
            leg.timings.set(Stage::Auth, watch.elapsed());
            result?;
        }

        let watch = Stopwatch::start();
        let result = session.ping().await;
        leg.timings.set(Stage::Ping, watch.elapsed());
        match result {
            Ok(()) => {}
            // A server that denies PING to this user is alive and has let us in.
            Err(fault) if fault.kind == FaultKind::NotPermitted => leg.notes.push(fault),
            // Redis itself has spoken, so the path is open; to whom it lets in no key was given, on purpose.
            Err(fault) if fault.kind == FaultKind::AuthRequired && cache.auth == Auth::Withheld => {
                leg.wants_key = true;
                return Ok(());
            }
            Err(fault) => return Err(fault),
        }

        let watch = Stopwatch::start();
        let result = session.inspect().await;
        leg.timings.set(Stage::Inspect, watch.elapsed());
        match result {
            Ok(facts) => leg.server = Some(facts),
            // What it answered before cannot be believed either.
            Err(fault) if fault.kind == FaultKind::OutOfStep => return Err(fault),
            Err(fault) => leg.notes.push(fault),
        }
        Ok(())
    }

    /// What proves to the server who we are, as it is kept now; `None` where nothing is sent.
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
