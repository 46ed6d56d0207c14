//! A bare host: a cache that needs no file.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::checker::Checker;
use super::draft::CacheDraft;
use super::parse::{self, ExpectedForm};
use super::problem::{Diagnostic, Origin, Problem};
use super::rules;
use super::settings::Defaults;
use crate::model::{Cache, CacheName, Expectation, Password, Resolver, ResolverName, Tls, WireText};

/// A bare host and the options given with it, not yet checked. The rest comes from the configuration's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The host name or address.
    pub host: String,
    /// The port; `None` takes the product's.
    pub port: Option<u16>,
    /// The ACL user; `None` sends the password alone.
    pub username: Option<String>,
    /// Where the password is; `None` does not authenticate.
    pub password: Option<Password>,
    /// Roots to trust, PEM; `None` is the platform's store.
    pub ca_file: Option<PathBuf>,
    /// The name to send and to verify; `None` is the host.
    pub server_name: Option<String>,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Where the name should lead: `private`, `public`, a network or an address, in any number.
    pub expect: Vec<String>,
    /// The resolvers to ask; none stands for the system.
    pub resolvers: Vec<Resolver>,
    /// The cache's tier.
    pub tier: Option<String>,
    /// The deadline of one probe.
    pub timeout: Option<Duration>,
    /// Addresses to dial in place of resolved ones: `ADDRESS[:PORT]=ADDRESS:PORT`.
    pub connect_to: Vec<String>,
}

/// The resolver to ask, written as `system`, `system-1` to `system-3`, or `[PROTOCOL://]ADDRESS[:PORT][/PATH][#NAME]`. NAME
/// is what the certificate must cover where it is not the address; PATH and NAME are for the protocols that have them.
///
/// # Errors
/// In words, where it is none of these.
pub fn resolver(text: &str) -> Result<Resolver, String> {
    parse::resolver(text).map_err(|diagnostic| diagnostic.to_string())
}

impl Target {
    /// Reads `HOST`, `HOST:PORT`, `[V6]:PORT`, or a bare IPv6 address. The options are left at their defaults, with TLS.
    ///
    /// # Errors
    /// Where the text is a URL, or its host or port cannot be one.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if parse::is_connection_string(text) {
            let diagnostic =
                Diagnostic::new("this is a connection string with a key in it, not a target (value not shown)")
                    .hint("write HOST:PORT, put the key in a file and give --password-file");
            return Err(Problem::at(&Origin::Target("(hidden)".to_owned()), "", diagnostic));
        }
        let shown = parse::url_without_credentials(text);
        let origin = Origin::Target(WireText::new(shown.as_deref().unwrap_or(text)).to_string());
        let problem = |diagnostic| Problem::at(&origin, "", diagnostic);
        if let Some(hidden) = parse::url_without_credentials(text) {
            let inner = hidden.split_once("://").map_or(hidden.as_str(), |(_, rest)| rest);
            let inner = inner.split('/').next().unwrap_or(inner);
            let inner = inner.rsplit_once('@').map_or(inner, |(_, host)| host);
            let diagnostic = Diagnostic::new("a URL is not a target").hint(format!("write {inner}"));
            return Err(problem(diagnostic));
        }
        let (host, port) = parse::split_port(text);
        let is_bracketed = text.starts_with('[');
        let rest = if is_bracketed { text.split_once(']').map(|(_, rest)| rest) } else { Some("") };
        if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
            || (is_bracketed && !matches!(host.parse(), Ok(IpAddr::V6(_))))
        {
            let diagnostic = Diagnostic::new(format!("{} is not an IPv6 address in brackets", parse::quoted(text)));
            return Err(problem(diagnostic.hint("write [fd00::4]:6380")));
        }
        let host = parse::host(host).map_err(problem)?;
        let port = match port {
            None => None,
            Some(port) => match port.parse::<u16>() {
                Ok(port) if port > 0 => Some(port),
                _ => {
                    return Err(problem(Diagnostic::new(format!(
                        "{} is not a port (1 to 65535)",
                        parse::quoted(port)
                    ))));
                }
            },
        };
        Ok(Self {
            host,
            port,
            username: None,
            password: None,
            ca_file: None,
            server_name: None,
            tls: true,
            expect: Vec::new(),
            resolvers: Vec::new(),
            tier: None,
            timeout: None,
            connect_to: Vec::new(),
        })
    }

    /// The target as it is written.
    fn text(&self) -> String {
        match (self.port, self.host.parse::<IpAddr>()) {
            (Some(port), Ok(address)) => SocketAddr::new(address, port).to_string(),
            (Some(port), Err(_)) => format!("{}:{port}", self.host),
            (None, _) => self.host.clone(),
        }
    }
}

/// Adds a cache for every target, each under a name no other has.
pub(super) fn append(checker: &mut Checker<'_>, targets: &[Target], defaults: &Defaults, caches: &mut Vec<Cache>) {
    for (index, target) in targets.iter().enumerate() {
        if targets[..index].contains(target) {
            checker.notices.push(format!("target {} is given twice; it is watched once", target.text()));
            continue;
        }
        let is_taken = |name: &str| caches.iter().any(|cache| cache.name.as_str() == name);
        let shares_host = targets.iter().enumerate().any(|(other, same)| other != index && same.host == target.host);
        let name = unused_name(target, shares_host, is_taken);
        let draft =
            Bare { checker: &mut *checker, target, origin: Origin::Target(target.text()) }.draft(&name, defaults);
        caches.extend(draft.cache(checker, defaults));
    }
}

/// The host, with its port where another target has the same host, and numbered where even that is taken.
fn unused_name(target: &Target, shares_host: bool, is_taken: impl Fn(&str) -> bool) -> String {
    const LONGEST: usize = 63;
    let letter = |character: char| if CacheName::admits(character) { character } else { '-' };
    let as_name = |text: &str, room: usize| text.chars().map(letter).take(LONGEST - room).collect::<String>();
    let ending = match target.port {
        Some(port) if shares_host => format!("-{port}"),
        _ => String::new(),
    };
    let mut number = 1;
    loop {
        let ending = if number == 1 { ending.clone() } else { format!("{ending}-{number}") };
        let name = as_name(&target.host, ending.len()) + &ending;
        if !is_taken(&name) {
            return name;
        }
        number += 1;
    }
}

/// One bare host.
struct Bare<'c, 'a> {
    checker: &'c mut Checker<'a>,
    target: &'c Target,
    origin: Origin,
}

impl Bare<'_, '_> {
    fn draft<'n>(&mut self, name: &'n str, defaults: &Defaults) -> CacheDraft<'n> {
        let target = self.target;
        let host = self.accept("", parse::host(&target.host));
        let expectation = self.expectation();
        let redirects = target.connect_to.iter();
        let connect_to = redirects.filter_map(|text| self.accept("--connect-to", parse::dial_override(text))).collect();
        let tier = target.tier.as_deref().and_then(|text| self.accept("--tier", parse::tier(text)));
        let server_name =
            target.server_name.as_deref().and_then(|text| self.accept("--server-name", parse::host(text)));
        if let Some(file) = target.ca_file.as_deref().filter(|_| target.tls) {
            self.accept("--ca-file", rules::roots(file));
        }
        if target.username.is_some() && target.password.is_none() {
            let diagnostic = Diagnostic::new("a user needs a password, and none is given");
            self.report("--username", diagnostic.hint("add --password-file, or set CACHEWATCH_PASSWORD"));
        }
        let (interval, timeout) = self.pace(defaults);
        CacheDraft {
            name,
            host,
            port: target.port,
            expectation,
            resolvers: self.resolvers(),
            tls: target.tls.then(|| Tls { ca_file: target.ca_file.clone(), server_name }),
            auth_method: None,
            username: target.username.clone(),
            password: target.password.clone(),
            tier,
            max_clients: None,
            interval,
            timeout,
            connect_to,
        }
    }

    fn expectation(&mut self) -> Expectation {
        let mut expectation = Expectation::default();
        for text in &self.target.expect {
            match self.accept("--expect", parse::expected(text)) {
                Some(ExpectedForm::Network(network)) => expectation.addresses.push(network),
                Some(ExpectedForm::Isolation(isolation)) => {
                    if expectation.isolation.is_some_and(|other| other != isolation) {
                        let diagnostic = Diagnostic::new("private and public exclude each other");
                        self.report("--expect", diagnostic.hint("keep one"));
                    }
                    expectation.isolation = Some(isolation);
                }
                None => {}
            }
        }
        expectation
    }

    /// The resolvers to ask, each once, and each under a name of its own: one address may be asked in several ways.
    fn resolvers(&self) -> Vec<Resolver> {
        let mut resolvers: Vec<Resolver> = Vec::new();
        for (index, resolver) in self.target.resolvers.iter().enumerate() {
            if self.target.resolvers[..index].contains(resolver) {
                continue;
            }
            let mut resolver = resolver.clone();
            let given = resolver.name();
            let mut number = 1;
            while let Resolver::Server { name, .. } = &mut resolver
                && resolvers.iter().any(|other| other.name() == *name)
            {
                number += 1;
                *name = ResolverName::new(&format!("{given}-{number}"));
            }
            resolvers.push(resolver);
        }
        resolvers
    }

    /// A deadline on the command line is meant for the one round it is typed for; where it does not fit the interval, the
    /// interval makes room.
    fn pace(&mut self, defaults: &Defaults) -> (Option<Duration>, Option<Duration>) {
        match self.target.timeout {
            None => (None, None),
            Some(total) if total.is_zero() => {
                self.report("--timeout", Diagnostic::new("the timeout is zero").hint("write \"10s\""));
                (None, None)
            }
            Some(total) if total < defaults.interval => (None, Some(total)),
            Some(total) => (Some(total.saturating_mul(2)), Some(total)),
        }
    }

    fn accept<T>(&mut self, option: &str, result: Result<T, Diagnostic>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(diagnostic) => {
                self.report(option, diagnostic);
                None
            }
        }
    }

    fn report(&mut self, option: &str, diagnostic: Diagnostic) {
        self.checker.report_at(&self.origin, option, diagnostic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_host_with_or_without_a_port() {
        for (text, host, port) in [
            ("orders.redis.cache.windows.net", "orders.redis.cache.windows.net", None),
            ("orders.example:6380", "orders.example", Some(6380)),
            ("10.0.0.4:6379", "10.0.0.4", Some(6379)),
            ("[fd00::4]:6380", "fd00::4", Some(6380)),
            ("[fd00::4]", "fd00::4", None),
            ("fd00::4", "fd00::4", None),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!((target.host.as_str(), target.port, target.tls), (host, port, true), "{text}");
        }
    }

    #[test]
    fn what_is_no_target_is_refused_with_advice() {
        for (text, expected) in [
            (
                "rediss://:hunter2@orders.example:6380/0",
                "target rediss://***@orders.example:6380/0: a URL is not a target; write orders.example:6380",
            ),
            ("orders.example:70000", "target orders.example:70000: \"70000\" is not a port (1 to 65535)"),
            ("orders.example:", "target orders.example:: \"\" is not a port (1 to 65535)"),
            (
                "[orders.example]:1",
                "target [orders.example]:1: \"[orders.example]:1\" is not an IPv6 address in brackets; write [fd00::4]:6380",
            ),
            ("", "target : the host is empty; write the name an application dials"),
        ] {
            assert_eq!(Target::parse(text).unwrap_err().to_string(), expected);
        }
    }
}
