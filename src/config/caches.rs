//! The caches that files declare.

use std::collections::HashSet;
use std::time::Duration;

use super::checker::{Checker, Setting};
use super::draft::CacheDraft;
use super::key::{CacheTable, Key};
use super::keys;
use super::parse;
use super::problem::Diagnostic;
use super::resolvers::Resolvers;
use super::rules;
use super::schema::CACHES;
use super::settings::{AuthMethod, Defaults};
use super::value::{Location, Value};
use crate::model::{Auth, Cache, Expectation, Exposure, Isolation, Password, Resolver, Tls};

/// The caches, in the order of declaration. A cache without a host is reported and left out.
pub(super) fn declared(checker: &mut Checker<'_>, defaults: &Defaults) -> Vec<Cache> {
    let resolvers = Resolvers::declared(checker);
    let mut caches = Vec::new();
    for (name, location) in checker.tables(CACHES) {
        let mut declared =
            DeclaredCache { checker: &mut *checker, name: &name, location: &location, resolvers: &resolvers };
        caches.extend(declared.cache(defaults));
    }
    resolvers.note_unused(checker, &caches);
    caches
}

/// One `[[caches]]` table.
struct DeclaredCache<'c, 'a> {
    checker: &'c mut Checker<'a>,
    name: &'c str,
    location: &'c Location,
    resolvers: &'c Resolvers,
}

impl<'a> DeclaredCache<'_, 'a> {
    fn cache(&mut self, defaults: &Defaults) -> Option<Cache> {
        let host = self.setting(keys::CACHE_HOST);
        if host.parsed.is_none() && !host.is_invalid {
            self.checker.report_missing(self.location, keys::CACHE_HOST, "write the name an application dials");
        }
        let (interval, timeout) = self.pace();
        let resolvers = self.resolvers();
        let (auth_method, username, password) = self.auth();
        let draft = CacheDraft {
            name: self.name,
            host: host.parsed,
            port: self.get(keys::CACHE_PORT),
            expectation: Expectation {
                isolation: self.get(keys::CACHE_ISOLATION),
                addresses: self.get(keys::CACHE_EXPECTED_ADDRESSES),
            },
            resolvers,
            tls: self.tls(),
            auth_method,
            username,
            password,
            tier: self.get(keys::CACHE_TIER),
            max_clients: self.get(keys::CACHE_MAX_CLIENTS),
            interval,
            timeout,
            connect_to: self.get(keys::CACHE_CONNECT_TO),
        };
        let cache = draft.cache(self.checker, defaults)?;
        Some(Cache { exposure: self.exposure(&cache), ..cache })
    }

    /// From one probe to the next, and the deadline of one, where this cache has its own.
    fn pace(&mut self) -> (Option<Duration>, Option<Duration>) {
        let (interval, timeout) = (self.setting(keys::CACHE_INTERVAL), self.setting(keys::CACHE_TIMEOUT));
        // Where it has neither, the defaults are held to each other, and once.
        if interval.parsed.is_some() || timeout.parsed.is_some() {
            let (total, pace) = (self.checker.setting(keys::PROBE_TIMEOUT), self.checker.setting(keys::PROBE_INTERVAL));
            rules::check_deadline(self.checker, timeout.or(total), interval.or(pace));
        }
        (interval.parsed, timeout.parsed)
    }

    fn resolvers(&mut self) -> Vec<Resolver> {
        let list = self.setting(keys::CACHE_RESOLVERS);
        let mut asked = HashSet::new();
        let mut resolvers = Vec::new();
        for (name, part) in list.parts() {
            if asked.insert(name) {
                resolvers.extend(self.resolvers.named(self.checker, name, part));
            } else {
                let diagnostic = Diagnostic::new(format!("{} is listed twice", parse::quoted(name)));
                self.checker.report(&part.location, diagnostic);
            }
        }
        if let (Some(list), []) = (list.value, &list.parsed[..]) {
            let diagnostic = Diagnostic::new("the list is empty, so there is no resolver to ask");
            self.checker.report(&list.location, diagnostic.hint("remove it to ask the system"));
        }
        resolvers
    }

    fn auth(&mut self) -> (Option<AuthMethod>, Option<String>, Option<Password>) {
        let (method, username) = (self.setting(keys::CACHE_AUTH_METHOD), self.setting(keys::CACHE_AUTH_USERNAME));
        let password = self.password();
        if method.parsed == Some(AuthMethod::None) {
            if password.is_some() || username.parsed.is_some() {
                self.note("auth.method is none, so its username and password are not used");
            }
        } else if password.is_none()
            && !self.is_auth_invalid()
            && let Some(value) = method.given().or(username.given())
        {
            let diagnostic = Diagnostic::new(format!("{} needs a password, and none is given", value.shown()));
            self.checker.report(&value.location, diagnostic.hint("set auth.password_file or auth.password_env"));
        }
        (method.parsed, username.parsed, password)
    }

    /// Where the password is: of a file and a variable the stronger layer's, and never both of one layer.
    fn password(&mut self) -> Option<Password> {
        let file = self.setting(keys::CACHE_AUTH_PASSWORD_FILE);
        let variable = self.setting(keys::CACHE_AUTH_PASSWORD_ENV);
        if let (Some(file), Some(variable)) = (file.value, variable.value)
            && file.location.layer == variable.location.layer
        {
            let diagnostic = Diagnostic::new("password_file is given as well").hint("keep one of the two");
            self.checker.report(&variable.location, diagnostic);
        }
        let is_variable_stronger = variable.layer() > file.layer();
        let (file, variable) = (file.parsed.map(Password::File), variable.parsed.map(Password::Environment));
        if is_variable_stronger { variable } else { file }
    }

    /// Whether anything that is said of its password did not pass.
    fn is_auth_invalid(&self) -> bool {
        self.setting(keys::CACHE_AUTH_METHOD).is_invalid
            || self.setting(keys::CACHE_AUTH_USERNAME).is_invalid
            || self.setting(keys::CACHE_AUTH_PASSWORD_FILE).is_invalid
            || self.setting(keys::CACHE_AUTH_PASSWORD_ENV).is_invalid
            || self.setting(keys::CACHE_AUTH_PASSWORD).is_invalid
    }

    fn tls(&mut self) -> Option<Tls> {
        let ca_file = self.setting(keys::CACHE_TLS_CA_FILE);
        let server_name = self.get(keys::CACHE_TLS_SERVER_NAME);
        if !self.get(keys::CACHE_TLS_ENABLED) {
            if ca_file.parsed.is_some() || server_name.is_some() {
                self.note("tls.enabled is false, so its ca_file and server_name are not used");
            }
            return None;
        }
        if let (Some(file), Some(value)) = (&ca_file.parsed, ca_file.value)
            && let Err(diagnostic) = rules::roots(file)
        {
            self.checker.report(&value.location, diagnostic);
        }
        Some(Tls { ca_file: ca_file.parsed, server_name })
    }

    /// What is tested beside the path of this cache, held to everything else that is said of it.
    fn exposure(&mut self, cache: &Cache) -> Exposure {
        let public = self.setting(keys::CACHE_EXPOSURE_PUBLIC_RESOLVER);
        let public_resolver = self.public_resolver(&public, cache);
        let send = self.setting(keys::CACHE_EXPOSURE_SEND_CREDENTIALS);
        let plain = self.setting(keys::CACHE_EXPOSURE_PLAIN_PORT);
        let legacy = self.setting(keys::CACHE_EXPOSURE_LEGACY_TLS);

        let nothing_to_send = if public.parsed.is_none() && !public.is_invalid {
            let diagnostic = Diagnostic::new("it has no effect without a test of the public path");
            Some(diagnostic.hint("set exposure.public_resolver"))
        } else if cache.tls.is_none() {
            let words = "tls.enabled is false: a password is sent only where a certificate proves the cache";
            Some(Diagnostic::new(words))
        } else if !matches!(cache.auth, Auth::AccessKey { .. }) && !self.is_auth_invalid() {
            Some(Diagnostic::new("there is no password to send").hint("set one under [caches.auth]"))
        } else {
            None
        };
        let no_tls = Diagnostic::new("tls.enabled is false, so no version of TLS is spoken");
        self.report_of(send.switched_on(), nothing_to_send);
        self.report_of(plain.switched_on(), rules::no_side_port(cache));
        self.report_of(legacy.switched_on(), cache.tls.is_none().then_some(no_tls));

        let exposure = Exposure {
            public_resolver,
            send_credentials: send.parsed,
            plain_port: plain.parsed,
            legacy_tls: legacy.parsed,
            interval: self.get(keys::CACHE_EXPOSURE_INTERVAL),
        };
        // What tests nothing is equal to what says nothing, whatever its pace.
        if exposure.is_on() { exposure } else { Exposure::default() }
    }

    fn public_resolver(&mut self, public: &Setting<'a, Option<String>>, cache: &Cache) -> Option<Resolver> {
        let (name, value) = (public.parsed.as_deref()?, public.value?);
        let resolver = self.resolvers.named(self.checker, name, value)?;
        // By their names: a resolver whose address is wrong stands for another one here.
        let followed = self.get(keys::CACHE_RESOLVERS);
        let diagnostic = if cache.expectation.isolation == Some(Isolation::Public) {
            Some(Diagnostic::new("isolation is public, so the public path is meant to be open"))
        } else if followed.first().is_some_and(|followed| followed == name) {
            let diagnostic = Diagnostic::new(format!(
                "the connection follows {} already, so there would be no other address to test",
                value.shown()
            ));
            Some(diagnostic.hint("name a resolver that gives the public answer"))
        } else {
            None
        };
        let is_isolation_invalid = self.setting(keys::CACHE_ISOLATION).is_invalid;
        if diagnostic.is_none() && !cache.expectation.is_private() && !is_isolation_invalid {
            self.note(
                "exposure.public_resolver is set and no private address is expected, so an open public path is shown \
                 but is not a finding; set isolation",
            );
        }
        self.report_of(Some(value), diagnostic);
        Some(resolver)
    }

    fn report_of(&mut self, value: Option<&Value>, diagnostic: Option<Diagnostic>) {
        if let (Some(value), Some(diagnostic)) = (value, diagnostic) {
            self.checker.report(&value.location, diagnostic);
        }
    }

    fn note(&mut self, notice: &str) {
        self.checker.notices.push(format!("cache {}: {notice}", self.name));
    }

    fn get<T>(&self, key: Key<CacheTable, T>) -> T {
        self.setting(key).parsed
    }

    fn setting<T>(&self, key: Key<CacheTable, T>) -> Setting<'a, T> {
        self.checker.setting_in(self.name, key)
    }
}
