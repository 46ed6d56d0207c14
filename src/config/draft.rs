//! A cache in the making, whether a table of a file or a bare host of the command line describes it.

use std::time::Duration;

use super::checker::Checker;
use super::rules;
use super::settings::{AuthMethod, Defaults};
use crate::azure::Tier;
use crate::model::{Auth, Cache, DialOverride, Expectation, Password, Resolver, Tls};

/// What is said of a cache. What is not said is as the configuration's defaults have it.
pub(super) struct CacheDraft<'n> {
    pub(super) name: &'n str,
    /// `None` where it is missing or cannot be one, which has been reported.
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) expectation: Expectation,
    /// The resolvers to ask, in this order; where there are none, the system's.
    pub(super) resolvers: Vec<Resolver>,
    pub(super) tls: Option<Tls>,
    pub(super) auth_method: Option<AuthMethod>,
    pub(super) username: Option<String>,
    pub(super) password: Option<Password>,
    pub(super) tier: Option<Tier>,
    pub(super) max_clients: Option<u64>,
    pub(super) interval: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    pub(super) connect_to: Vec<DialOverride>,
}

impl CacheDraft<'_> {
    /// The cache; `None` where it has no host.
    pub(super) fn cache(self, checker: &mut Checker<'_>, defaults: &Defaults) -> Option<Cache> {
        let host = self.host?;
        checker.notices.extend(rules::notices(self.name, &host, self.tier));
        let port = self.port.unwrap_or_else(|| rules::default_port(&host, self.tls.is_some()));
        let auth = match (self.auth_method, self.password) {
            (Some(AuthMethod::None), _) => Auth::Withheld,
            (_, Some(password)) => Auth::AccessKey { username: self.username, password },
            (_, None) => Auth::None,
        };
        let timeouts = self.timeout.map_or(defaults.timeouts, |total| rules::within(defaults.timeouts, total));
        Some(Cache {
            expectation: self.expectation,
            resolvers: if self.resolvers.is_empty() { vec![Resolver::System] } else { self.resolvers },
            tls: self.tls,
            auth,
            max_clients: self.max_clients,
            tier: self.tier.map(|tier| (tier.name.to_owned(), tier.max_clients)),
            interval: self.interval.unwrap_or(defaults.interval),
            timeouts,
            connect_to: self.connect_to,
            ..defaults.cache(self.name, host, port)
        })
    }
}
