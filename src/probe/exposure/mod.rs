//! What should be closed and may be open, tested beside the path of an application.
//!
//! Three openings: the public address of a cache that should be private, the port without TLS beside the one with it, and
//! TLS 1.0 and 1.1. Each test has a connection of its own, so the walk does not notice.
//!
//! Invariant: a password is sent only over a session that verified, at a public address, and only where the operator asks
//! for it. All else that is said is a TLS greeting or PING.

mod client_hello;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};

use self::client_hello::ServerResponse;
use super::prober::Prober;
use super::redis::{Session, Withheld};
use super::{classify, connect, tls};
use crate::azure;
use crate::clock::Stopwatch;
use crate::model::{
    AddressClass, Auth, Cache, ExposureReport, Fault, FaultKind, LegacyVersion, Opening, Passage, Resolution, Secret,
    Stage, Timeouts, Tls, TlsSession, Trial, WireText,
};
use crate::net::deadline::{Deadline, DeadlinePassed, span};

/// How many tests of one cache are under way at once.
const TRIALS_AT_ONCE: usize = 8;

/// The longest beginning of a reply to PING that is looked at.
const LONGEST_REPLY: usize = 64;

/// What is tested, before it is.
struct PlannedTest {
    opening: Opening,
    version: Option<LegacyVersion>,
    address: IpAddr,
    dialled: SocketAddr,
}

/// What came of a test.
struct TestResult {
    passage: Passage,
    stage: Stage,
    detail: String,
    tls: Option<TlsSession>,
}

impl TestResult {
    fn new(passage: Passage, stage: Stage, detail: impl Into<String>) -> Self {
        Self { passage, stage, detail: detail.into(), tls: None }
    }
}

impl Prober {
    /// Runs every test the cache is to have. `used` tells the addresses an application here dials; of the public ones,
    /// those are left to the walk.
    pub(super) async fn test_exposure(
        &self,
        cache: &Cache,
        used: oneshot::Receiver<Vec<IpAddr>>,
        deadline: Deadline,
    ) -> ExposureReport {
        let watch = Stopwatch::start();
        let public = async {
            match &cache.exposure.public_resolver {
                // A silent resolver leaves time for the tests that need none.
                Some(resolver) => Some(self.resolve(cache, resolver, deadline.or_within(limits(cache).resolve)).await),
                None => None,
            }
        };
        let (resolution, used) = future::join(public, used).await;
        let used = used.unwrap_or_default();
        let places = Semaphore::new(TRIALS_AT_ONCE);
        let trials = future::join_all(tests(cache, &used, resolution.as_ref()).into_iter().map(async |test| {
            // It is never closed, so there is no error.
            let _place = places.acquire().await;
            self.try_one(cache, test, deadline).await
        }));
        let trials = trials.await.into_iter().flatten().collect();
        ExposureReport { resolution, trials, took: watch.elapsed() }
    }

    /// One test; `None` where this machine has no address of the family, so that no application here would dial it.
    async fn try_one(&self, cache: &Cache, test: PlannedTest, deadline: Deadline) -> Option<Trial> {
        let watch = Stopwatch::start();
        let limits = limits(cache);
        let secret = self.secret(cache);
        let withheld = self.withheld(secret.as_ref());
        let mut result = match connect::connect(test.dialled, limits.connect, deadline).await {
            Err(fault) if fault.kind == FaultKind::FamilyUnavailable => return None,
            Err(fault) => unconnected(&fault, deadline),
            Ok(stream) => match test.version {
                Some(version) => greet(stream, version, cache.server_name(), limits.tls, deadline).await,
                None => match &cache.tls {
                    Some(settings) if test.opening == Opening::PublicPath => {
                        self.enter(cache, settings, (secret, &withheld), stream, test.dialled, deadline).await
                    }
                    _ => ping(stream, limits.command, deadline).await,
                },
            },
        };
        if let Some(session) = &mut result.tls {
            withheld.session(session);
        }
        Some(Trial {
            opening: test.opening,
            version: test.version,
            address: test.address,
            class: AddressClass::of(test.address),
            dialled: test.dialled,
            passage: result.passage,
            stage: result.stage,
            detail: WireText::new(&withheld.words(&result.detail)),
            tls: result.tls,
            took: watch.elapsed(),
        })
    }

    /// The way of an application over TLS, as far as it goes.
    async fn enter(
        &self,
        cache: &Cache,
        settings: &Tls,
        (secret, withheld): (Option<Result<Secret, Fault>>, &Arc<Withheld>),
        stream: TcpStream,
        dialled: SocketAddr,
        deadline: Deadline,
    ) -> TestResult {
        let limits = limits(cache);
        let roots = match self.trust.roots(settings.ca_file.as_deref()) {
            Ok(roots) => roots,
            Err(fault) => return TestResult::new(Passage::Unclear, Stage::Tls, fault.detail.as_str()),
        };
        let handshake = tls::handshake(stream, dialled, cache.server_name(), roots, limits.tls, deadline).await;
        let outcome = match handshake.outcome {
            Err(fault) => unproven(&fault, handshake.session.is_some(), deadline),
            Ok(stream) => {
                let mut session = Session::new(stream, Arc::clone(withheld), limits.command, deadline);
                let outcome = self.speak(cache, secret, &mut session).await;
                session.close().await;
                outcome
            }
        };
        TestResult { tls: handshake.session, ..outcome }
    }

    /// Talks to a peer that has proved to be the cache.
    async fn speak<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        cache: &Cache,
        secret: Option<Result<Secret, Fault>>,
        session: &mut Session<S>,
    ) -> TestResult {
        let mut said = String::new();
        if let (Auth::AccessKey { username, .. }, Some(secret), true) =
            (&cache.auth, secret, cache.exposure.send_credentials)
        {
            let answer = match secret {
                Ok(secret) => session.auth(username.as_deref(), &secret).await,
                // PING needs no password to be answered.
                Err(fault) => {
                    said = format!("no AUTH was sent ({}); ", fault.detail);
                    Ok(())
                }
            };
            match answer {
                Err(fault) => return spoken(&said, &fault),
                Ok(()) if said.is_empty() => "accepted the password; ".clone_into(&mut said),
                Ok(()) => {}
            }
        }
        match session.ping().await {
            Ok(()) => TestResult::new(Passage::Open, Stage::Ping, format!("{said}answered PING with PONG")),
            Err(fault) => spoken(&said, &fault),
        }
    }
}

/// Every test the cache is to have, in the order of the openings and of the addresses.
fn tests(cache: &Cache, used: &[IpAddr], public: Option<&Resolution>) -> Vec<PlannedTest> {
    let mut tests = Vec::new();
    let mut add = |opening, version, address, port| {
        let dialled = cache.dial_at(address, port);
        tests.push(PlannedTest { opening, version, address, dialled });
    };
    let answers = public.into_iter().flat_map(|resolution| &resolution.addresses);
    let public = answers.filter(|answer| answer.class == AddressClass::Public).map(|answer| answer.address);
    let public: Vec<_> = public.filter(|address| !used.contains(address)).take(ExposureReport::MOST_PUBLIC).collect();
    for address in &public {
        add(Opening::PublicPath, None, *address, cache.port);
    }
    let side_port = azure::identify(&cache.host).product.side_port();
    if let Some(port) = side_port.filter(|_| cache.exposure.plain_port) {
        for address in used.iter().chain(&public) {
            add(Opening::PlainPort, None, *address, port);
        }
    }
    if cache.exposure.legacy_tls && cache.tls.is_some() {
        for address in used {
            for version in LegacyVersion::ALL {
                add(Opening::LegacyTls, Some(*version), *address, cache.port);
            }
        }
    }
    tests
}

/// The limits of a test. None is longer than its share of the whole, so that a silent door is known to be silent before the
/// deadline cuts every test short.
fn limits(cache: &Cache) -> Timeouts {
    let Timeouts { total, resolve, connect, tls, command } = cache.timeouts;
    Timeouts {
        total,
        resolve: resolve.min(total * 2 / 5),
        connect: connect.min(total * 2 / 5),
        tls: tls.min(total * 2 / 5),
        command: command.min(total / 5),
    }
}

/// What silence comes to: nothing, unless the deadline of the whole probe cut it short.
fn silence(deadline: Deadline) -> Passage {
    if deadline.remaining().is_zero() { Passage::Unclear } else { Passage::Closed }
}

/// No connection.
fn unconnected(fault: &Fault, deadline: Deadline) -> TestResult {
    let passage = match fault.kind {
        FaultKind::Refused | FaultKind::Unreachable => Passage::Closed,
        FaultKind::Filtered => silence(deadline),
        _ => Passage::Unclear,
    };
    TestResult::new(passage, Stage::Connect, fault.detail.as_str())
}

/// A connection, and no session that verified.
///
/// How a cache looks whose public access is disabled is documented nowhere for every product, and a front door that accepts
/// TCP for many may well close it again for one: an accepted connection proves nothing.
fn unproven(fault: &Fault, shows_certificate: bool, deadline: Deadline) -> TestResult {
    let (passage, words) = match fault.kind {
        _ if shows_certificate => (Passage::Unclear, "accepted TCP; the peer is not proven to be the cache"),
        FaultKind::Timeout => (silence(deadline), "accepted TCP; no TLS handshake"),
        FaultKind::Closed | FaultKind::TlsVersion | FaultKind::NoCommonCipher => {
            (Passage::Closed, "accepted TCP; no TLS handshake")
        }
        _ => (Passage::Unclear, "accepted TCP; no TLS session"),
    };
    TestResult::new(passage, Stage::Tls, format!("{words}: {}", fault.detail))
}

/// A session that verified, and a command that did not end well. An error of Redis is an answer like any other.
fn spoken(said: &str, fault: &Fault) -> TestResult {
    let is_reply = matches!(
        fault.kind,
        FaultKind::AuthRequired
            | FaultKind::AuthRejected
            | FaultKind::AuthNotConfigured
            | FaultKind::NotPermitted
            | FaultKind::ClientLimit
            | FaultKind::Loading
            | FaultKind::Busy
            | FaultKind::MasterDown
            | FaultKind::ClusterDown
            | FaultKind::ReadOnly
            | FaultKind::ServerError
    );
    let passage = if is_reply { Passage::Open } else { Passage::HalfOpen };
    TestResult::new(passage, fault.stage, format!("{said}{}", fault.detail))
}

/// Says PING in plain text. What answers as Redis does, be it with an error, is open.
async fn ping(mut stream: TcpStream, limit: Duration, deadline: Deadline) -> TestResult {
    let mut reply = Vec::with_capacity(LONGEST_REPLY);
    let (limited, allowed) = deadline.stage(limit);
    let exchange = limited.run(async {
        // A peer that hangs up may have said why before.
        let written = stream.write_all(b"PING\r\n").await;
        while reply.len() < LONGEST_REPLY && !reply.contains(&b'\n') {
            let mut part = [0; LONGEST_REPLY];
            match stream.read(&mut part[..LONGEST_REPLY - reply.len()]).await {
                Ok(0) => break,
                Ok(length) => reply.extend_from_slice(&part[..length]),
                Err(error) if reply.is_empty() => return written.and(Err(error)),
                Err(_) => break,
            }
        }
        Ok(())
    });
    let ended = exchange.await;
    if reply.starts_with(b"+PONG") || reply.starts_with(b"-") {
        return TestResult::new(Passage::Open, Stage::Ping, format!("answered PING with {}", classify::quoted(&reply)));
    }
    let (passage, words) = match ended {
        _ if !reply.is_empty() => (Passage::Closed, format!("PING was answered with {}", classify::quoted(&reply))),
        Err(DeadlinePassed) => (silence(deadline), format!("no answer to PING within {}", span(allowed))),
        Ok(Err(error)) => (Passage::Closed, error.to_string()),
        Ok(Ok(())) => (Passage::Closed, "closed without an answer to PING".to_owned()),
    };
    TestResult::new(passage, Stage::Ping, format!("accepted TCP, does not speak Redis: {words}"))
}

/// Begins a handshake of an old version and looks at the first answer.
async fn greet(
    mut stream: TcpStream,
    version: LegacyVersion,
    server_name: &str,
    limit: Duration,
    deadline: Deadline,
) -> TestResult {
    // The name of the server is a name: an address is not sent (RFC 6066, 3).
    let name = Some(server_name).filter(|name| name.parse::<IpAddr>().is_err());
    let mut heard = Vec::new();
    let (limited, allowed) = deadline.stage(limit);
    let exchange = limited.run(async {
        let written = stream.write_all(&client_hello::encode(version, name)).await;
        while heard.len() < client_hello::LONGEST_RESPONSE {
            let mut part = [0; 256];
            match stream.read(&mut part).await {
                Ok(0) => break,
                Ok(length) => heard.extend_from_slice(&part[..length]),
                Err(error) => return written.and(Err(error)),
            }
            if let Some(response) = client_hello::response(&heard) {
                return Ok(Some(response));
            }
        }
        Ok(None)
    });
    let refused = |words: String| TestResult::new(Passage::Closed, Stage::Tls, words);
    let unclear = |words: String| TestResult::new(Passage::Unclear, Stage::Tls, words);
    match exchange.await {
        Ok(Ok(Some(ServerResponse::Chosen(major, minor)))) if (major, minor) == client_hello::on_the_wire(version) => {
            TestResult::new(Passage::Open, Stage::Tls, "accepted with a ServerHello")
        }
        // TLS 1.0 where 1.1 was offered: it is asked for by itself.
        Ok(Ok(Some(ServerResponse::Chosen(3, 1)))) => {
            refused("not accepted: the server chose TLS 1.0 instead".to_owned())
        }
        Ok(Ok(Some(ServerResponse::Chosen(major, minor)))) => {
            unclear(format!("the server chose version {major}.{minor}"))
        }
        Ok(Ok(Some(ServerResponse::Alert(number)))) => {
            refused(format!("refused with the alert {}", client_hello::alert_name(number)))
        }
        Ok(Ok(Some(ServerResponse::Foreign))) => {
            unclear(format!("the peer answered {}, which is not TLS", classify::quoted(&heard)))
        }
        Ok(Ok(None)) if heard.len() < client_hello::LONGEST_RESPONSE => {
            refused("refused: closed by the peer".to_owned())
        }
        Ok(Ok(None)) => unclear("the peer sends warnings and never answers".to_owned()),
        Ok(Err(error)) => refused(format!("refused: {error}")),
        Err(DeadlinePassed) => unclear(format!("no answer within {}", span(allowed))),
    }
}
