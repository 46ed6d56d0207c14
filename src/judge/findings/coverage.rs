//! How far a round could tell. Of what it could not see, it says nothing.

use crate::judge::memory::is_answer;
use crate::model::{Cache, Leg, Opening, ProbeReport, Resolution, Source, Stage};

/// What must have been seen to know that a condition does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::judge) enum Coverage {
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

impl Coverage {
    const COUNT: usize = Self::LegacyTls as usize + 1;

    /// Whether it comes of a test of an opening. Such tests are rare, and each is a fact.
    pub(super) const fn is_rare(self) -> bool {
        matches!(self, Self::PublicPath | Self::PlainPort | Self::LegacyTls)
    }
}

/// What one round saw.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::judge) struct Covered([bool; Coverage::COUNT]);

impl Covered {
    /// Only a probe can tell: a lookup comes between two rounds, and counts as none.
    pub(super) fn by(cache: &Cache, report: &ProbeReport) -> Self {
        let passed = |stage| report.used_legs().any(|leg| leg.passed(stage));
        let shown = |leg: &Leg| leg.tls.as_ref().is_some_and(|session| session.leaf().is_some());
        let mut covered = Self::default();
        let mut see = |coverage: Coverage, seen: bool| covered.0[coverage as usize] = seen;
        let lookup = &report.lookup;
        see(Coverage::Lookup, lookup.followed().is_some());
        let everyone = lookup.resolutions.len() >= cache.resolvers.len().max(1);
        see(Coverage::Lookups, everyone);
        see(Coverage::Answer, lookup.followed().is_some_and(is_answer));
        // One alone contradicts no other, whether it answers or not.
        let is_alone = lookup.resolutions.len() == 1;
        see(Coverage::Agreement, everyone && (is_alone || lookup.resolutions.iter().all(is_answer)));
        see(Coverage::Dial, report.used_legs().next().is_some());
        see(Coverage::Connection, passed(Stage::Connect));
        // Where none is asked for, none can be wrong.
        see(Coverage::Certificate, cache.tls.is_none() || report.used_legs().any(shown));
        see(Coverage::Session, passed(Stage::Tls));
        see(Coverage::Login, passed(Stage::Auth));
        see(Coverage::Info, cache.busiest(report).is_some());
        see(Coverage::Comparison, lookup.followed().is_some_and(is_compared));
        see(
            Coverage::Time,
            report.used_legs().filter_map(|leg| leg.server.as_ref()).any(|server| server.clock_skew_seconds.is_some()),
        );
        // An opening that is tested no longer is shown by nothing, and so nothing is held against it.
        let is_tested = |opening| !cache.exposure.tests(opening) || report.exposed(opening).is_some();
        see(Coverage::PublicPath, is_tested(Opening::PublicPath));
        see(Coverage::PlainPort, is_tested(Opening::PlainPort));
        see(Coverage::LegacyTls, is_tested(Opening::LegacyTls));
        covered
    }

    /// Whether this round saw so much.
    pub(in crate::judge) fn has(self, coverage: Coverage) -> bool {
        self.0[coverage as usize]
    }
}

/// Whether this round can tell if the hosts file says something else than the name servers.
fn is_compared(resolution: &Resolution) -> bool {
    match &resolution.overridden {
        Some(beneath) => is_answer(beneath),
        None => resolution.source != Source::HostsFile,
    }
}
