//! The story: what happens to the caches, and what cachewatch must say of it.

use crate::daemon::Said;
use crate::world::World;

/// What happens, and what must follow.
pub(crate) struct Step {
    /// In a few words: at most 32 columns of the table at the end.
    pub(crate) title: &'static str,
    /// What is done, and why it matters to whoever runs an application.
    pub(crate) told: &'static str,
    pub(crate) act: fn(&World),
    pub(crate) expected: Expected,
    /// Whether to show what a person on call would type now.
    pub(crate) check: bool,
}

/// What the daemon must come to say.
pub(crate) struct Expected {
    /// Of `/healthz`.
    pub(crate) status: u16,
    /// How `orders` fares. The other cache must be well throughout.
    pub(crate) standing: &'static str,
    /// Every open finding with its severity, the deepest cause first.
    pub(crate) findings: &'static [(&'static str, u8)],
    pub(crate) metric: Metric,
}

/// One series of `/metrics`, named by how its line begins.
pub(crate) enum Metric {
    Reads(&'static str, &'static str),
    /// Not there: what is not known has no number.
    Gone(&'static str),
}

impl Expected {
    /// Whether the daemon says all of this, and nothing else.
    pub(crate) fn is_met(&self, said: &Said) -> bool {
        let standing = |cache: &str| if cache == "orders" { self.standing } else { "well" };
        let caches = &said.health.caches;
        let found = said.findings.iter().map(|finding| (finding.cache.as_str(), finding.id.as_str(), finding.severity));
        said.status == self.status
            && caches.len() == 2
            && caches.iter().all(|cache| cache.standing == standing(&cache.cache))
            && found.eq(self.findings.iter().map(|(id, severity)| ("orders", *id, *severity)))
            && match self.metric {
                Metric::Reads(series, value) => said.metric(series).is_some_and(|line| reading(line) == value),
                Metric::Gone(series) => said.metric(series).is_none(),
            }
    }
}

impl Said {
    /// The first line of `/metrics` that begins so.
    pub(crate) fn metric(&self, series: &str) -> Option<&str> {
        self.metrics.lines().find(|line| line.starts_with(series))
    }
}

/// The value on a line of `/metrics`.
fn reading(line: &str) -> &str {
    line.rsplit(' ').next().unwrap_or_default()
}

const CLIENTS: &str = r#"cachewatch_clients_connected{cache="orders""#;
const AS_EXPECTED: &str = r#"cachewatch_dns_as_expected{cache="orders""#;
const SUCCESS: &str = r#"cachewatch_probe_success{cache="orders""#;

/// The steps, in order. Each begins where the one before it ended.
pub(crate) const STORY: [Step; 7] = [
    Step {
        title: "Everything as it should be",
        told: "Once a second cachewatch walks the way an application walks: it looks up the name, connects to \
               every address, shakes hands over TLS, sends the key, says PING and reads INFO.",
        act: |_| {},
        expected: Expected { status: 200, standing: "well", findings: &[], metric: Metric::Reads(CLIENTS, "120") },
        check: false,
    },
    Step {
        title: "The private DNS zone is unlinked",
        told: "Somebody unlinks the private DNS zone from this network. The name of `orders` still resolves, but to \
               the cache's public address. Every application goes on working, past the private endpoint and over \
               the internet, so nothing else raises an alarm.",
        act: World::unlink_zone,
        expected: Expected {
            status: 503,
            standing: "ill",
            findings: &[("dns-zone-not-linked", 2), ("dns-drift", 2)],
            metric: Metric::Reads(AS_EXPECTED, "0"),
        },
        check: true,
    },
    Step {
        title: "The zone is linked again",
        told: "The link is back and the name leads to the private endpoint. A finding clears after two good rounds, so \
               that a flapping record does not flap in your alerts.",
        act: World::link_zone,
        expected: Expected { status: 200, standing: "well", findings: &[], metric: Metric::Reads(AS_EXPECTED, "1") },
        check: false,
    },
    Step {
        title: "Clients fill up to 76 %",
        told: "A deployment leaks connections: 760 of the 1000 clients that `orders` admits. That is a risk and no \
               failure, so /healthz stays at 200.",
        act: |world| world.set_clients(760),
        expected: Expected {
            status: 200,
            standing: "at_risk",
            findings: &[("clients-headroom-low", 3)],
            metric: Metric::Reads(CLIENTS, "760"),
        },
        check: false,
    },
    Step {
        title: "Clients fill up to 93 %",
        told: "930 clients. At 1000 the cache turns every new connection away; the same finding becomes severe before \
               it does.",
        act: |world| world.set_clients(930),
        expected: Expected {
            status: 503,
            standing: "ill",
            findings: &[("clients-headroom-low", 2)],
            metric: Metric::Reads(CLIENTS, "930"),
        },
        check: false,
    },
    Step {
        title: "A certificate for another name",
        told: "Now the address answers with a certificate for another name, and TLS fails. Nobody can ask for the \
               clients any more. Unknown is not good: the clients' finding stays open, and their metric is taken away \
               instead of standing still at its last value.",
        act: World::show_another_certificate,
        expected: Expected {
            status: 503,
            standing: "ill",
            findings: &[("tls-name-mismatch", 1), ("clients-headroom-low", 2)],
            metric: Metric::Gone(CLIENTS),
        },
        check: false,
    },
    Step {
        title: "Everything is put right",
        told: "The right certificate is back, and the leak is fixed: 120 clients.",
        act: |world| {
            world.show_the_right_certificate();
            world.set_clients(120);
        },
        expected: Expected { status: 200, standing: "well", findings: &[], metric: Metric::Reads(SUCCESS, "1") },
        check: false,
    },
];
