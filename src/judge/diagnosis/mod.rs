//! From what one round saw to the causes behind it.

pub(super) mod commands;
mod connection;
mod exposure;
mod machine;
mod resolution;
mod resolvers;
mod server;
mod tls;

pub(super) use exposure::rules;

use super::memory::{Memory, is_answer};
use super::narrate;
use crate::azure::{self, Endpoint};
use crate::model::{
    Cache, Clients, Fault, FaultKind, Finding, FindingId, Leg, LookupReport, Observation, Opening, ProbeReport,
    ServerFacts, Severity, Stage, Step,
};

/// What one round says.
#[derive(Debug, Default)]
pub(super) struct Diagnosis {
    /// The causes seen in this round.
    pub(super) findings: Vec<Finding>,
    /// Those of them that open at once: traffic that was private and is public now.
    pub(super) urgent: Vec<FindingId>,
    /// How far the round could tell.
    pub(super) learned: Learned,
}

/// What this round saw. Of what it could not see, it says nothing.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Learned([bool; Sight::COUNT]);

/// What must have been seen to know that a condition does not hold.
#[derive(Debug, Clone, Copy)]
enum Sight {
    /// A lookup, whatever came of it.
    Lookup,
    /// A lookup of every resolver, whatever came of them.
    Lookups,
    /// Where the name leads, if only that it leads nowhere: a server that fails has not said that.
    Answer,
    /// What the name servers say beside the hosts file, or that the hosts file says nothing.
    Comparison,
    /// What every resolver says, so that none can say otherwise.
    Agreement,
    /// An attempt to connect.
    Dial,
    /// A connection.
    Connection,
    /// A certificate.
    Certificate,
    /// A path that is open for commands.
    Session,
    /// A server that lets us in.
    Login,
    /// The server's count of its clients.
    Info,
    /// The server's time.
    Time,
    /// Whether the public path is open.
    PublicPath,
    /// Whether the port without TLS is.
    PlainPort,
    /// Whether TLS 1.0 and 1.1 are accepted.
    LegacyTls,
}

impl Sight {
    const COUNT: usize = Self::LegacyTls as usize + 1;
}

impl Learned {
    /// Only a probe can tell: a lookup comes between two rounds, and counts as none.
    fn of(cache: &Cache, report: &ProbeReport) -> Self {
        let passed = |stage| report.used_legs().any(|leg| leg.passed(stage));
        let shown = |leg: &Leg| leg.tls.as_ref().is_some_and(|session| session.leaf().is_some());
        let mut learned = Self::default();
        let mut see = |sight: Sight, seen: bool| learned.0[sight as usize] = seen;
        let lookup = &report.lookup;
        see(Sight::Lookup, lookup.followed().is_some());
        let everyone = lookup.resolutions.len() >= cache.resolvers.len().max(1);
        see(Sight::Lookups, everyone);
        see(Sight::Answer, lookup.followed().is_some_and(is_answer));
        // One alone contradicts nobody, whether it answers or not.
        let is_alone = lookup.resolutions.len() == 1;
        see(Sight::Agreement, everyone && (is_alone || lookup.resolutions.iter().all(is_answer)));
        see(Sight::Dial, report.used_legs().next().is_some());
        see(Sight::Connection, passed(Stage::Connect));
        // Where none is asked for, none can be wrong.
        see(Sight::Certificate, cache.tls.is_none() || report.used_legs().any(shown));
        see(Sight::Session, passed(Stage::Tls));
        see(Sight::Login, passed(Stage::Auth));
        see(Sight::Info, cache.busiest(report).is_some());
        see(Sight::Comparison, lookup.followed().is_some_and(resolution::is_compared));
        see(
            Sight::Time,
            report.used_legs().filter_map(|leg| leg.server.as_ref()).any(|server| server.clock_skew_seconds.is_some()),
        );
        see(Sight::PublicPath, exposure::is_seen(cache, report, Opening::PublicPath));
        see(Sight::PlainPort, exposure::is_seen(cache, report, Opening::PlainPort));
        see(Sight::LegacyTls, exposure::is_seen(cache, report, Opening::LegacyTls));
        learned
    }

    /// Whether this round could tell that a condition does not hold.
    pub(super) fn tells(self, id: FindingId) -> bool {
        self.0[needed(id) as usize]
    }
}

/// What must have been seen to know that this condition does not hold.
fn needed(id: FindingId) -> Sight {
    use FindingId as Id;
    match id {
        Id::DnsTimeout | Id::DnsServerFailure | Id::DnsRefused | Id::DnsUnreachable | Id::DnsFailed => Sight::Lookups,
        Id::ConfigPrivatelinkName
        | Id::ConfigIpAddress
        | Id::ConfigPortProduct
        | Id::RetirementNear
        | Id::MonitorOffline
        | Id::HostTcpTuning
        | Id::ProbesSkipped
        | Id::ProbeFailed => Sight::Lookup,
        Id::DnsNameNotFound
        | Id::DnsRecordMissing
        | Id::DnsZoneNotLinked
        | Id::DnsNoPrivateEndpoint
        | Id::DnsMixedAnswer
        | Id::DnsUnexpectedPrivate
        | Id::DnsUnexpectedPublic
        | Id::DnsPrivateWhenPublicExpected
        | Id::DnsDrift
        | Id::DnsSearchSuffixAnswer
        | Id::DnsIpv6Only
        | Id::DnsTtlLong => Sight::Answer,
        Id::DnsHostsOverride => Sight::Comparison,
        Id::DnsResolversDisagree => Sight::Agreement,
        Id::TcpRefused
        | Id::TcpFiltered
        | Id::TcpUnreachable
        | Id::TcpFailed
        | Id::TcpPartial
        | Id::LocalExhaustion => Sight::Dial,
        Id::TlsNotSpoken | Id::TlsVersion | Id::TlsNoCommonCipher | Id::TlsClosed | Id::TlsTimeout | Id::TlsFailed => {
            Sight::Connection
        }
        Id::TlsNameMismatch
        | Id::TlsExpired
        | Id::TlsNotYetValid
        | Id::TlsExpiresSoon
        | Id::TlsUntrusted
        | Id::TlsIntercepted => Sight::Certificate,
        Id::AuthRequired | Id::AuthRejected | Id::AuthNotConfigured | Id::CredentialUnreadable => Sight::Session,
        Id::RedisClientLimitReached
        | Id::RedisLoading
        | Id::RedisBusy
        | Id::RedisMasterDown
        | Id::RedisClusterDown
        | Id::RedisReadOnly
        | Id::RedisTimeout
        | Id::RedisSlow
        | Id::RedisOutOfStep
        | Id::RedisProtocol
        | Id::RedisFailed
        | Id::AuthNotPermitted => Sight::Login,
        Id::ClientsHeadroomLow | Id::ClientsLimitMismatch | Id::ConnectionsRejected => Sight::Info,
        Id::ClockSkew => Sight::Time,
        Id::PublicPathOpen => Sight::PublicPath,
        Id::PlainPortOpen => Sight::PlainPort,
        Id::TlsLegacyAccepted => Sight::LegacyTls,
    }
}

/// The causes that one observation shows, as far as it goes.
pub(super) fn diagnose(cache: &Cache, seen: &Observation, memory: &Memory, others_reach: bool) -> Diagnosis {
    let mut diagnosis = Diagnosis::default();
    let Some(lookup) = seen.lookup() else { return diagnosis };
    let case = Case { cache, lookup, probe: seen.probe().map(AsRef::as_ref), endpoint: azure::identify(&cache.host) };
    if let Some(report) = case.probe {
        if let Some(offline) = machine::offline(&case, report, others_reach) {
            // Whatever else failed follows from this, and says nothing about the cache.
            return Diagnosis { findings: vec![offline], ..diagnosis };
        }
        diagnosis.learned = Learned::of(cache, report);
    }
    if let Some(fault) = &lookup.fault {
        let summary = "the probe itself failed, so nothing is known about this cache".to_owned();
        let finding = case.finding(FindingId::ProbeFailed, Severity::Degraded, Stage::Resolve, summary);
        diagnosis.findings.push(finding.evidence(fault.detail.to_string()).done());
        return diagnosis;
    }
    resolution::diagnose(&case, memory, &mut diagnosis);
    connection::diagnose(&case, &mut diagnosis);
    tls::diagnose(&case, memory, &mut diagnosis);
    server::diagnose(&case, memory, &mut diagnosis);
    exposure::diagnose(&case, &mut diagnosis);
    diagnosis.merge();
    diagnosis
}

impl Diagnosis {
    /// Says that something follows from one of these causes, if one was told: the cause is as bad as what follows from
    /// it, which becomes its evidence and is not told beside it.
    fn follows_from(&mut self, causes: &[FindingId], severity: Severity, evidence: Vec<String>) -> bool {
        let Some(cause) = self.findings.iter_mut().find(|finding| causes.contains(&finding.id)) else { return false };
        cause.severity = cause.severity.min(severity);
        cause.evidence.extend(evidence);
        true
    }

    /// Makes one finding of those with one id, such as a socket that was lacking for a lookup and for a connection: one
    /// cause counts once in a round.
    fn merge(&mut self) {
        let mut merged: Vec<Finding> = Vec::with_capacity(self.findings.len());
        for mut finding in std::mem::take(&mut self.findings) {
            let Some(known) = merged.iter_mut().find(|known| known.id == finding.id) else {
                merged.push(finding);
                continue;
            };
            if finding.severity < known.severity {
                std::mem::swap(known, &mut finding);
            }
            known.evidence.append(&mut finding.evidence);
        }
        self.findings = merged;
    }
}

/// What a diagnosis rests on.
struct Case<'round> {
    cache: &'round Cache,
    lookup: &'round LookupReport,
    /// What was seen beyond the lookup, where the path was walked.
    probe: Option<&'round ProbeReport>,
    endpoint: Endpoint,
}

impl<'round> Case<'round> {
    /// A finding about this cache, to be completed.
    fn finding(&self, id: FindingId, severity: Severity, stage: Stage, summary: String) -> Draft {
        Draft(Finding {
            id,
            severity,
            cache: self.cache.name.clone(),
            stage,
            summary,
            evidence: Vec::new(),
            remedy: Vec::new(),
            since: self.lookup.at,
        })
    }

    /// The legs an application would use.
    fn used_legs(&self) -> impl Iterator<Item = &'round Leg> + use<'round> {
        self.probe.into_iter().flat_map(ProbeReport::used_legs)
    }

    /// See [`Cache::busiest`].
    fn busiest(&self) -> Option<(&'round Leg, &'round ServerFacts, Option<Clients>)> {
        self.cache.busiest(self.probe?)
    }

    /// The legs that failed at `stage`, with their faults.
    fn failed_at(&self, stage: Stage) -> Vec<(&'round Leg, &'round Fault)> {
        let failed = self.used_legs().filter_map(|leg| leg.fault.as_ref().map(|fault| (leg, fault)));
        failed.filter(|(_, fault)| fault.stage == stage).collect()
    }

    /// The severity of something that breaks a leg: unavailable where it breaks them all, else degraded.
    fn severity_of(&self, broken: usize) -> Severity {
        if broken == self.used_legs().count() { Severity::Unavailable } else { Severity::Degraded }
    }

    /// Groups failed legs by what is wrong with them, in order of their first appearance.
    fn by_kind(failed: Vec<(&'round Leg, &'round Fault)>) -> Vec<(FaultKind, Vec<(&'round Leg, &'round Fault)>)> {
        let mut groups: Vec<(FaultKind, Vec<_>)> = Vec::new();
        for (leg, fault) in failed {
            match groups.iter_mut().find(|(kind, _)| *kind == fault.kind) {
                Some((_, group)) => group.push((leg, fault)),
                None => groups.push((fault.kind, vec![(leg, fault)])),
            }
        }
        groups
    }
}

/// How a leg is named in evidence: the address, its class, and what was dialled in its place.
fn place(leg: &Leg, port: u16) -> String {
    let redirected = if leg.is_redirected(port) { format!(", dialled as {}", leg.dialled) } else { String::new() };
    format!("{} ({}{redirected})", leg.address, leg.class)
}

/// `20.1.2.3 (public): what happened`, one line a leg.
fn observations(cache: &Cache, failed: &[(&Leg, &Fault)]) -> Vec<String> {
    failed.iter().map(|(leg, fault)| format!("{}: {}", place(leg, cache.port), fault.detail)).collect()
}

/// A finding in the making.
struct Draft(Finding);

impl Draft {
    fn evidence(mut self, line: impl Into<String>) -> Self {
        self.0.evidence.push(line.into());
        self
    }

    fn evidences(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.0.evidence.extend(lines);
        self
    }

    fn step(mut self, step: Step) -> Self {
        self.0.remedy.push(step);
        self
    }

    fn run(mut self, command: impl Into<String>) -> Self {
        self.0.remedy.push(Step::Run(command.into()));
        self
    }

    /// A command that there is for hosts of Azure alone.
    fn azure(self, command: Option<String>) -> Self {
        match command {
            Some(command) => self.run(command),
            None => self,
        }
    }

    fn note(mut self, words: impl Into<String>) -> Self {
        self.0.remedy.push(Step::Note(words.into()));
        self
    }

    /// Notes, each of them once.
    fn notes(mut self, notes: impl IntoIterator<Item = String>) -> Self {
        for note in notes.into_iter().map(Step::Note) {
            if !self.0.remedy.contains(&note) {
                self.0.remedy.push(note);
            }
        }
        self
    }

    fn done(self) -> Finding {
        self.0
    }
}
