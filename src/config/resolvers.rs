//! The resolvers that files declare, and those that exist without.

use super::checker::{Checker, Setting};
use super::key::{Key, ResolverTable};
use super::keys;
use super::nearest::nearest;
use super::parse;
use super::problem::Diagnostic;
use super::rules;
use super::schema::RESOLVERS;
use super::value::{Location, Value};
use crate::model::{Cache, Protocol, ProtocolRow, Resolver, ResolverName, Tls};

/// Every resolver that can be asked, by name: those that always exist, then the declared ones in their order.
pub(super) struct Resolvers(Vec<(String, Resolver)>);

impl Resolvers {
    /// The resolvers that always exist, and those that the merged values declare.
    pub(super) fn declared(checker: &mut Checker<'_>) -> Self {
        let reserved = Resolver::reserved().map(|resolver| (resolver.name().to_string(), resolver));
        let mut resolvers: Vec<_> = reserved.collect();
        for (name, location) in checker.tables(RESOLVERS) {
            let reserved = Resolver::reserved().find(|resolver| resolver.name().as_str() == name);
            let declared = DeclaredResolver { checker: &mut *checker, name: &name, location: &location };
            match reserved {
                Some(reserved) => declared.report_reserved(&reserved),
                None => resolvers.push((name.clone(), declared.resolver())),
            }
        }
        Self(resolvers)
    }

    /// The resolver that a value names; a name that no resolver has is reported.
    pub(super) fn named(&self, checker: &mut Checker<'_>, name: &str, value: &Value) -> Option<Resolver> {
        if let Some((_, resolver)) = self.0.iter().find(|(other, _)| other == name) {
            return Some(resolver.clone());
        }
        let diagnostic = Diagnostic::new(format!("no resolver has the name {}", parse::quoted(name)));
        let names = self.0.iter().map(|(name, _)| name.as_str()).filter(|name| !name.starts_with('?'));
        let names: Vec<_> = names.collect();
        // Of `system` and `system-2`, equally near to `system2`, the second is meant.
        let diagnostic = match nearest(name, names.iter().rev().copied()) {
            Some(near) => diagnostic.suggest(Some(near)),
            None => diagnostic.hint(format!("known: {}", names.join(", "))),
        };
        checker.report(&value.location, diagnostic);
        None
    }

    /// Notes each declared resolver that no cache asks.
    pub(super) fn note_unused(&self, checker: &mut Checker<'_>, caches: &[Cache]) {
        for (name, resolver) in &self.0 {
            let is_used = caches.iter().any(|cache| {
                cache.resolvers.contains(resolver) || cache.exposure.public_resolver.as_ref() == Some(resolver)
            });
            if !is_used && matches!(resolver, Resolver::Server { .. }) {
                checker.notices.push(format!("resolver {name} is declared but no cache uses it"));
            }
        }
    }
}

/// One `[[resolvers]]` table.
struct DeclaredResolver<'c, 'a> {
    checker: &'c mut Checker<'a>,
    name: &'c str,
    location: &'c Location,
}

impl<'a> DeclaredResolver<'_, 'a> {
    fn resolver(mut self) -> Resolver {
        let protocol = self.setting(keys::RESOLVER_PROTOCOL);
        self.report_unfit(protocol);
        let protocol = protocol.parsed;
        let tls = self.tls();
        let path = self.setting(keys::RESOLVER_PATH).parsed;
        let address = self.setting(keys::RESOLVER_ADDRESS);
        if address.parsed.is_none() && !address.is_invalid {
            let hint = "write the address of the name server";
            self.checker.report_missing(self.location, keys::RESOLVER_ADDRESS, hint);
        }
        // Without a usable address it stays known by name, so that a cache that asks it is not blamed as well.
        address.parsed.map_or(Resolver::System, |address| Resolver::Server {
            name: ResolverName::new(self.name),
            address: address.over(protocol),
            protocol,
            tls,
            path,
        })
    }

    fn report_reserved(self, reserved: &Resolver) {
        let what = match reserved {
            Resolver::Listed(position) => format!("name server {position} of resolv.conf"),
            _ => "the resolver configuration of this machine".to_owned(),
        };
        let diagnostic = Diagnostic::new(format!("{} always exists: {what}", parse::quoted(self.name)));
        let name = self.setting(keys::RESOLVER_NAME).value;
        let location = name.map_or(self.location, |name| &name.location);
        self.checker.report(location, diagnostic.hint("choose another name"));
    }

    /// What a resolver's protocol has no use for is a mistake: it was meant to be used.
    fn report_unfit(&mut self, protocol: Setting<'_, Protocol>) {
        let is_secure: fn(&ProtocolRow) -> bool = |row| row.tls.is_some();
        let has_path: fn(&ProtocolRow) -> bool = |row| row.http;
        let fitting = [
            (self.setting(keys::RESOLVER_SERVER_NAME).given(), is_secure),
            (self.setting(keys::RESOLVER_CA_FILE).given(), is_secure),
            (self.setting(keys::RESOLVER_PATH).value, has_path),
        ];
        for (value, fits) in fitting {
            if protocol.is_invalid || fits(protocol.parsed.row()) {
                continue;
            }
            let words: Vec<_> = Protocol::with(fits).map(|protocol| parse::quoted(protocol.as_str())).collect();
            let words = words.join(" or ");
            self.checker.report_if_explicit(value, |_| {
                Diagnostic::new(format!("it has no effect for a resolver over {}", protocol.parsed))
                    .hint(format!("set protocol = {words}, or remove it"))
            });
        }
    }

    /// How the name server proves its identity.
    fn tls(&mut self) -> Tls {
        let ca_file = self.setting(keys::RESOLVER_CA_FILE);
        if let (Some(file), Some(value)) = (&ca_file.parsed, ca_file.value)
            && let Err(diagnostic) = rules::roots(file)
        {
            self.checker.report(&value.location, diagnostic);
        }
        Tls { ca_file: ca_file.parsed, server_name: self.setting(keys::RESOLVER_SERVER_NAME).parsed }
    }

    fn setting<T>(&self, key: Key<ResolverTable, T>) -> Setting<'a, T> {
        self.checker.setting_in(self.name, key)
    }
}
