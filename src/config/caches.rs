//! The caches and the resolvers that files declare.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};

use super::checker::Checker;
use super::layers::Found;
use super::nearest::nearest;
use super::parse;
use super::problem::Diagnostic;
use super::schema;
use super::settings::Defaults;
use super::value::Location;
use crate::azure::{self, Product};
use crate::file;
use crate::model::{
    Auth, Cache, Expectation, Exposure, Isolation, Password, Protocol, Resolver, ResolverName, Timeouts, Tls,
};

/// The caches, in the order of declaration. A cache without a host is reported and left out.
pub(super) fn build(checker: &mut Checker<'_>, defaults: &Defaults) -> Vec<Cache> {
    let resolvers = resolvers(checker);
    let tables: Vec<(String, Location)> =
        checker.sources.items("caches").map(|item| (item.name.clone(), item.location.clone())).collect();
    let caches: Vec<_> = tables
        .iter()
        .filter_map(|(name, location)| Declared { checker, name, location, defaults }.cache(&resolvers))
        .collect();
    for (name, resolver) in &resolvers {
        let is_used = caches.iter().any(|cache| {
            cache.resolvers.contains(resolver) || cache.exposure.public_resolver.as_ref() == Some(resolver)
        });
        if !is_used && matches!(resolver, Resolver::Server { .. }) {
            checker.notices.push(format!("resolver {name} is declared and no cache asks it"));
        }
    }
    caches
}

/// Everyone who can be asked, by name: those that always exist, then the others in the order of declaration.
fn resolvers(checker: &mut Checker<'_>) -> Vec<(String, Resolver)> {
    let mut resolvers: Vec<_> = Resolver::reserved().map(|resolver| (resolver.name().to_string(), resolver)).collect();
    let reserved = resolvers.clone();
    let tables: Vec<(String, Location)> =
        checker.sources.items("resolvers").map(|item| (item.name.clone(), item.location.clone())).collect();
    for (name, location) in tables {
        let path = |key| ["resolvers", name.as_str(), key];
        if let Some((_, resolver)) = reserved.iter().find(|(reserved, _)| *reserved == name) {
            let what = match resolver {
                Resolver::Listed(position) => format!("name server {position} of resolv.conf, asked alone"),
                _ => "what this machine itself would ask".to_owned(),
            };
            let diagnostic = Diagnostic::new(format!("{} always exists: {what}", parse::quoted(&name)));
            checker.report_at(&path("name"), &location, diagnostic.hint("choose another name"));
            continue;
        }
        let protocol = Protocol::parse(checker.text(&path("protocol"))).unwrap_or(Protocol::Udp);
        let address = checker.effective.find(&path("address"));
        let address = address.and_then(|found| parse::name_server(found.text(), protocol).ok());
        let tls = checker.resolver_tls(&name, protocol);
        let url_path = parse::http_path(checker.text(&path("path"))).unwrap_or_else(|_| Resolver::PATH.to_owned());
        if address.is_none() && !checker.sources.is_invalid(&path("address")) {
            let diagnostic = Diagnostic::new("missing").hint("write the address of the name server");
            checker.sources.report(&location.origin, &schema::join(&location.key, "address"), diagnostic);
        }
        // Without a usable address it stays known by name, so that a cache that asks it is not blamed as well.
        let resolver = address.map_or(Resolver::System, |address| Resolver::Server {
            name: ResolverName::new(&name),
            address,
            protocol,
            tls,
            path: url_path,
        });
        resolvers.push((name, resolver));
    }
    resolvers
}

/// One `[[caches]]` table.
struct Declared<'c, 'a> {
    checker: &'c mut Checker<'a>,
    name: &'c str,
    location: &'c Location,
    defaults: &'c Defaults,
}

impl<'a> Declared<'_, 'a> {
    fn cache(mut self, resolvers: &[(String, Resolver)]) -> Option<Cache> {
        let host = self.find("host").and_then(|found| parse::host(found.text()).ok());
        if host.is_none() && !self.is_invalid("host") {
            let diagnostic = Diagnostic::new("missing").hint("write the name an application dials");
            self.checker.sources.report(&self.location.origin, &schema::join(&self.location.key, "host"), diagnostic);
        }
        let (interval, timeouts) = self.pace();
        let expectation = self.expectation();
        let known = resolvers;
        let resolvers = self.resolvers(known);
        let auth = self.auth();
        let tls = self.tls();
        let connect_to = self.parts("connect_to", parse::dial_override);
        let max_clients = self.find("max_clients").and_then(|found| u64::try_from(found.integer()).ok());
        let tier = self.find("tier").and_then(|found| parse::tier(found.text()).ok());

        let host = host?;
        self.checker.notices.extend(notices(self.name, &host, tier));
        let port = self.find("port").and_then(|found| u16::try_from(found.integer()).ok());
        let port = port.unwrap_or_else(|| default_port(&host, tls.is_some()));
        let cache = Cache {
            expectation,
            resolvers,
            tls,
            auth,
            max_clients,
            tier: tier.map(|tier| (tier.name.to_owned(), tier.max_clients)),
            interval,
            timeouts,
            connect_to,
            ..self.defaults.cache(self.name, host, port)
        };
        Some(Cache { exposure: self.exposure(known, &cache), ..cache })
    }

    /// What is tested beside the path of this cache, held to everything else that is said of it.
    fn exposure(&mut self, known: &[(String, Resolver)], cache: &Cache) -> Exposure {
        let flag = |found: Option<Found<'a>>| found.filter(|found| found.flag());
        let public = self.find_in("exposure", "public_resolver").filter(|found| !found.text().is_empty());
        let (plain, legacy) =
            (flag(self.find_in("exposure", "plain_port")), flag(self.find_in("exposure", "legacy_tls")));
        let send = flag(self.find_in("exposure", "send_credentials"));
        let interval = self.find_in("exposure", "interval").and_then(|found| parse::duration(found.text()).ok());
        let public_resolver = public.and_then(|found| self.known_resolver(found, known));
        if let Some(found) = public.filter(|_| public_resolver.is_some()) {
            self.check_public_resolver(found, cache);
        }
        let is_invalid = |table, key| self.checker.sources.is_invalid(&["caches", self.name, table, key]);
        let is_auth_invalid = ["method", "username", "password_file", "password_env", "password"]
            .into_iter()
            .any(|key| is_invalid("auth", key));
        let is_public_invalid = is_invalid("exposure", "public_resolver");
        let diagnostic = match send {
            Some(_) if public.is_none() && !is_public_invalid => Some(
                Diagnostic::new("nothing is sent where no public path is tested").hint("set exposure.public_resolver"),
            ),
            Some(_) if cache.tls.is_none() => Some(Diagnostic::new(
                "tls.enabled is false: a password is sent only where a certificate proves the cache",
            )),
            Some(_) if !matches!(cache.auth, Auth::AccessKey { .. }) && !is_auth_invalid => {
                Some(Diagnostic::new("there is no password to send").hint("name one under [caches.auth]"))
            }
            _ => None,
        };
        self.report_of(send, diagnostic);
        self.report_of(plain, plain.and_then(|_| no_side_port(cache)));
        let diagnostic = Diagnostic::new("tls.enabled is false, so no version of TLS is spoken");
        self.report_of(legacy, cache.tls.is_none().then_some(diagnostic));
        let exposure = Exposure {
            public_resolver,
            send_credentials: send.is_some(),
            plain_port: plain.is_some(),
            legacy_tls: legacy.is_some(),
            interval: interval.unwrap_or_default(),
        };
        // What tests nothing is equal to what says nothing: its pace is nobody's.
        if exposure.is_on() { exposure } else { Exposure::default() }
    }

    fn check_public_resolver(&mut self, found: Found<'a>, cache: &Cache) {
        // By their names: a resolver whose address is wrong stands for another one here.
        let followed = self.find("resolvers").and_then(|list| list.parts().first().copied());
        let diagnostic = if cache.expectation.isolation == Some(Isolation::Public) {
            Some(Diagnostic::new("isolation is public, so the public path is meant to be open"))
        } else if followed.is_some_and(|followed| followed.text() == found.text()) {
            let diagnostic = Diagnostic::new(format!(
                "the connection follows {} already, so there would be no other address to test",
                found.shown()
            ));
            Some(diagnostic.hint("name a resolver that gives the public answer"))
        } else {
            None
        };
        if diagnostic.is_none() && !cache.expectation.is_private() && !self.is_invalid("isolation") {
            let notice = "exposure.public_resolver is set and no private address is expected, so an open public path is \
                          shown and is no finding; set isolation";
            self.checker.notices.push(format!("cache {}: {notice}", self.name));
        }
        self.report_of(Some(found), diagnostic);
    }

    fn report_of(&mut self, found: Option<Found<'a>>, diagnostic: Option<Diagnostic>) {
        if let (Some(found), Some(diagnostic)) = (found, diagnostic) {
            self.checker.report(found, diagnostic);
        }
    }

    fn pace(&mut self) -> (Duration, Timeouts) {
        let own = |key| self.find(key).and_then(|found| parse::duration(found.text()).ok());
        let (own_interval, own_timeout) = (own("interval"), own("timeout"));
        if own_interval.is_some() || own_timeout.is_some() {
            let interval = ["caches", self.name, "interval"];
            let timeout = ["caches", self.name, "timeout"];
            let is_judgeable = !self.is_invalid("interval") && !self.is_invalid("timeout");
            if is_judgeable {
                self.checker.check_deadline(
                    if own_timeout.is_some() { &timeout } else { &["probe", "timeout"] },
                    if own_interval.is_some() { &interval } else { &["probe", "interval"] },
                );
            }
        }
        let timeouts = own_timeout.map_or(self.defaults.timeouts, |total| within(self.defaults.timeouts, total));
        (own_interval.unwrap_or(self.defaults.interval), timeouts)
    }

    fn expectation(&self) -> Expectation {
        Expectation {
            isolation: self.find("isolation").and_then(|found| Isolation::parse(found.text())),
            addresses: self.parts("expected_addresses", parse::network),
        }
    }

    fn resolvers(&mut self, known: &[(String, Resolver)]) -> Vec<Resolver> {
        let Some(list) = self.find("resolvers") else { return vec![Resolver::System] };
        let mut asked: HashMap<&str, &Location> = HashMap::new();
        let mut resolvers = Vec::new();
        for part in list.parts() {
            let name = part.text();
            if asked.insert(name, part.location).is_some() {
                let diagnostic = Diagnostic::new(format!("{} is listed twice", parse::quoted(name)));
                self.checker.report(part, diagnostic);
            } else {
                resolvers.extend(self.known_resolver(part, known));
            }
        }
        if list.parts().is_empty() {
            let diagnostic = Diagnostic::new("the list is empty, so nobody would be asked");
            self.checker.report(list, diagnostic.hint("leave it out to ask the system"));
        }
        resolvers
    }

    /// The resolver of that name; a name that no resolver has is reported.
    fn known_resolver(&mut self, found: Found<'_>, known: &[(String, Resolver)]) -> Option<Resolver> {
        let name = found.text();
        if let Some((_, resolver)) = known.iter().find(|(other, _)| other == name) {
            return Some(resolver.clone());
        }
        let diagnostic = Diagnostic::new(format!("no resolver has the name {}", parse::quoted(name)));
        let names: Vec<_> = known.iter().map(|(name, _)| name.as_str()).filter(|name| !name.starts_with('?')).collect();
        // Of `system` and `system-2`, equally near to `system2`, the second is meant.
        let diagnostic = match nearest(name, names.iter().rev().copied()) {
            Some(near) => diagnostic.suggest(Some(near)),
            None => diagnostic.hint(format!("known: {}", names.join(", "))),
        };
        self.checker.report(found, diagnostic);
        None
    }

    fn auth(&mut self) -> Auth {
        let method = self.find_in("auth", "method");
        let username = self.find_in("auth", "username").filter(|found| !found.text().is_empty());
        let password = self.password();
        let is_invalid = |key| self.checker.sources.is_invalid(&["caches", self.name, "auth", key]);
        let is_judgeable =
            !["method", "username", "password_file", "password_env", "password"].into_iter().any(is_invalid);
        match (method.map(Found::text), password) {
            (Some("none"), password) => {
                if password.is_some() || username.is_some() {
                    let notice = "auth.method is none, so its username and password are not used";
                    self.checker.notices.push(format!("cache {}: {notice}", self.name));
                }
                Auth::Withheld
            }
            (_, Some(password)) => {
                Auth::AccessKey { username: username.map(|found| found.text().to_owned()), password }
            }
            (_, None) => {
                if let Some(found) = method.or(username).filter(|_| is_judgeable) {
                    let diagnostic = Diagnostic::new(format!("{} needs a password, and none is named", found.shown()));
                    self.checker.report(found, diagnostic.hint("set auth.password_file or auth.password_env"));
                }
                Auth::None
            }
        }
    }

    /// Where the password is: of a file and a variable the stronger layer's, and never both of one layer.
    fn password(&mut self) -> Option<Password> {
        let (file, variable) = (self.find_in("auth", "password_file"), self.find_in("auth", "password_env"));
        let as_file = |found: Found<'_>| Password::File(found.text().into());
        let as_variable = |found: Found<'_>| Password::Environment(found.text().to_owned());
        match (file, variable) {
            (Some(file), Some(variable)) if file.location.layer == variable.location.layer => {
                let diagnostic = Diagnostic::new("password_file is given as well");
                self.checker.report(variable, diagnostic.hint("keep one of the two"));
                Some(as_file(file))
            }
            (Some(file), Some(variable)) if file.location.layer < variable.location.layer => {
                Some(as_variable(variable))
            }
            (Some(file), _) => Some(as_file(file)),
            (None, variable) => variable.map(as_variable),
        }
    }

    fn tls(&mut self) -> Option<Tls> {
        let ca_file = self.find_in("tls", "ca_file").filter(|found| !found.text().is_empty());
        let server_name = self.find_in("tls", "server_name").filter(|found| !found.text().is_empty());
        if !self.find_in("tls", "enabled").is_none_or(Found::flag) {
            if ca_file.is_some() || server_name.is_some() {
                let notice = "tls.enabled is false, so its ca_file and server_name are not used";
                self.checker.notices.push(format!("cache {}: {notice}", self.name));
            }
            return None;
        }
        if let Some((found, diagnostic)) = ca_file.and_then(|found| Some((found, roots(found.text().as_ref()).err()?)))
        {
            self.checker.report(found, diagnostic);
        }
        Some(Tls {
            ca_file: ca_file.map(|found| PathBuf::from(found.text())),
            server_name: server_name.and_then(|found| parse::host(found.text()).ok()),
        })
    }

    fn parts<T>(&self, key: &str, parser: fn(&str) -> Result<T, Diagnostic>) -> Vec<T> {
        let parts = self.find(key).map(Found::parts).unwrap_or_default();
        parts.into_iter().filter_map(|part| parser(part.text()).ok()).collect()
    }

    fn find(&self, key: &str) -> Option<Found<'a>> {
        self.checker.effective.find(&["caches", self.name, key])
    }

    fn find_in(&self, table: &str, key: &str) -> Option<Found<'a>> {
        self.checker.effective.find(&["caches", self.name, table, key])
    }

    fn is_invalid(&self, key: &str) -> bool {
        self.checker.sources.is_invalid(&["caches", self.name, key])
    }
}

/// The timeouts under another deadline: no stage has longer than the whole.
pub(super) fn within(timeouts: Timeouts, total: Duration) -> Timeouts {
    Timeouts {
        total,
        resolve: timeouts.resolve.min(total),
        connect: timeouts.connect.min(total),
        tls: timeouts.tls.min(total),
        command: timeouts.command.min(total),
    }
}

/// The port of the product behind a host, with or without TLS.
pub(super) fn default_port(host: &str, is_tls: bool) -> u16 {
    let product = azure::identify(host).product;
    if is_tls { product.tls_port() } else { product.plain_port() }
}

/// Why there is no port without TLS beside the one that this cache is used at, where there is none.
fn no_side_port(cache: &Cache) -> Option<Diagnostic> {
    let product = azure::identify(&cache.host).product;
    let Some(port) = product.side_port() else {
        let title = product.title();
        return Some(Diagnostic::new(format!("{title} has one port, with TLS or without, and none beside it to test")));
    };
    if cache.tls.is_none() {
        return Some(Diagnostic::new("tls.enabled is false, so the port without TLS is the one that is used"));
    }
    (cache.port == port).then(|| Diagnostic::new(format!("the cache is used with TLS at port {port} itself")))
}

/// Whether a file holds roots to trust.
pub(super) fn roots(path: &Path) -> Result<(), Diagnostic> {
    let shown = parse::quoted(&path.to_string_lossy());
    let unreadable = |error: &pem::Error| match error {
        pem::Error::Io(error) => Diagnostic::new(format!("{shown} cannot be read: {error}")),
        _ => Diagnostic::new(format!("{shown} is not PEM"))
            .hint("convert it: openssl x509 -inform der -in FILE -out FILE.pem"),
    };
    let bytes = file::read(path).map_err(|error| unreadable(&pem::Error::Io(error)))?;
    let mut certificates = CertificateDer::pem_slice_iter(&bytes).peekable();
    if certificates.peek().is_none() {
        return Err(Diagnostic::new(format!("{shown} holds no certificate")).hint("it should hold PEM certificates"));
    }
    certificates.try_for_each(|certificate| certificate.map(drop).map_err(|error| unreadable(&error)))
}

/// What to say of a host that is a letter or two away from one of Azure's domains, and of a tier that belongs to another
/// product than the host.
pub(super) fn notices(name: &str, host: &str, tier: Option<azure::Tier>) -> Vec<String> {
    let slip = azure::nearest_suffix(host)
        .map(|(end, suffix)| format!("cache {name}: host ends in {end}, which is not Azure's; did you mean {suffix}?"));
    let product = azure::identify(host).product;
    let foreign = tier.filter(|tier| product != Product::Other && tier.product != product).map(|tier| {
        let (sold, named) = (tier.product.title(), product.title());
        format!("cache {name}: tier {} is one of {sold}, and {host} is a name of {named}", tier.name)
    });
    slip.into_iter().chain(foreign).collect()
}

impl Checker<'_> {
    /// How a declared resolver proves who it is. What its protocol has no use for is a mistake: it was meant to be used.
    fn resolver_tls(&mut self, name: &str, protocol: Protocol) -> Tls {
        let path = |key| ["resolvers", name, key];
        let is_judgeable = !self.sources.is_invalid(&path("protocol"));
        let fitting = [
            ("server_name", [Protocol::Tls, Protocol::Https].as_slice()),
            ("ca_file", &[Protocol::Tls, Protocol::Https]),
            ("path", &[Protocol::Https]),
        ];
        for (key, protocols) in fitting {
            let found = self.effective.find(&path(key)).filter(|found| found.location.is_explicit());
            let Some(found) = found.filter(|found| !found.text().is_empty()) else { continue };
            if is_judgeable && !protocols.contains(&protocol) {
                let words: Vec<_> = protocols.iter().map(|protocol| parse::quoted(protocol.as_str())).collect();
                let words = words.join(" or ");
                let diagnostic = Diagnostic::new(format!("a resolver that is asked over {protocol} has no use for it"));
                self.report(found, diagnostic.hint(format!("set protocol = {words}, or leave it out")));
            }
        }
        let text = |key| Some(self.text(&path(key))).filter(|text| !text.is_empty());
        let (ca_file, server_name) = (text("ca_file"), text("server_name").and_then(|text| parse::host(text).ok()));
        if let (Some(file), Some(found)) = (ca_file, self.effective.find(&path("ca_file")))
            && let Err(diagnostic) = roots(file.as_ref())
        {
            self.report(found, diagnostic);
        }
        Tls { ca_file: ca_file.map(PathBuf::from), server_name }
    }

    /// Complains of a value, or of the table it should stand in.
    fn report_at(&mut self, path: &[&str], table: &Location, diagnostic: Diagnostic) {
        let location = self.effective.find(path).map_or(table, |found| found.location);
        self.sources.report(&location.origin, &location.key, diagnostic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_is_shown_as_it_is_read() {
        for text in
            ["10.0.0.4=127.0.0.1:6390", "10.0.0.4:6380=127.0.0.1:6390", "fd00::4=[::1]:6390", "[fd00::4]:1=[::1]:2"]
        {
            let redirect = parse::dial_override(text).unwrap();
            assert_eq!(redirect.to_string(), text);
        }
    }
}
