//! What each kind of text means: one parser for each, which says what is wrong and what was probably meant.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

use super::nearest::nearest;
use super::problem::Diagnostic;
use crate::azure::{self, Tier};
use crate::model::{CacheName, DialOverride, Isolation, Protocol, ProtocolRow, Resolver, ResolverName, Tls};

/// A text as a message shows it: quoted, on one line, not too long.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A duration, `30s` or `1h 30m`.
pub(super) fn duration(text: &str) -> Result<Duration, Diagnostic> {
    humantime::parse_duration(text).map_err(|_| {
        let diagnostic = Diagnostic::new(format!("{} is not a duration", quoted(text)));
        match text.trim().parse::<u64>() {
            Ok(number) => diagnostic.hint(format!("a duration has a unit: \"{number}s\"")),
            Err(_) => diagnostic.hint("write a number and a unit: \"500ms\", \"30s\", \"5m\", \"1h\", \"7d\""),
        }
    })
}

/// A duration in the largest unit that states it exactly; what [`duration`] reads back as the same value.
pub(super) fn duration_text(duration: Duration) -> String {
    const UNITS: [(u128, &str); 6] = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
    ];
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    UNITS
        .iter()
        .find(|(unit, _)| nanos.is_multiple_of(*unit))
        .map_or_else(|| format!("{nanos}ns"), |(unit, name)| format!("{}{name}", nanos / unit))
}

/// The units of a size, the largest first.
const SIZES: [(u64, &str); 4] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")];

/// A number of bytes, `256MiB`.
pub(super) fn size(text: &str) -> Result<u64, Diagnostic> {
    let diagnostic = || Diagnostic::new(format!("{} is not a size", quoted(text)));
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let unit = unit.trim_start();
    let factor = SIZES.iter().find(|(_, name)| *name == unit).map(|(factor, _)| *factor);
    match (number.parse::<u64>(), factor) {
        (Ok(number), Some(factor)) => number.checked_mul(factor).ok_or_else(diagnostic),
        // Most often a unit of thousands, or one in other letters.
        (Ok(number), None) => {
            let meant = unit.chars().next().and_then(|first| "KMG".find(first.to_ascii_uppercase()));
            let unit = meant.map_or("MiB", |place| ["KiB", "MiB", "GiB"][place]);
            Err(diagnostic().hint(format!("a size has one of the units B, KiB, MiB, GiB: \"{number}{unit}\"")))
        }
        (Err(_), _) => Err(diagnostic().hint("write a whole number and a unit: \"64MiB\", \"1GiB\"")),
    }
}

/// A size in the largest unit that states it exactly; what [`size`] reads back as the same value.
pub(super) fn size_text(bytes: u64) -> String {
    let exact = SIZES.iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    exact.map_or_else(|| format!("{bytes}B"), |(unit, name)| format!("{}{name}", bytes / unit))
}

/// The name of a cache or of a resolver.
pub(super) fn name(text: &str) -> Result<String, Diagnostic> {
    if text.is_empty() {
        return Err(Diagnostic::new("the name is empty").hint("1 to 63 letters, digits, `.`, `_` and `-`"));
    }
    let is_bare = !text.contains(|character: char| character.is_ascii_alphanumeric());
    if text.len() > 63 || !text.chars().all(CacheName::admits) || is_bare {
        return Err(Diagnostic::new(format!("{} is not a name", quoted(text)))
            .hint("1 to 63 letters, digits, `.`, `_` and `-`, with at least one letter or digit"));
    }
    Ok(text.to_owned())
}

/// Whether a text is, or is a part of, what Azure's portal gives to be pasted: host, key and options in one.
pub(super) fn is_connection_string(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["password=", "accesskey=", "pwd="].iter().any(|word| text.contains(word))
}

/// A host name or an address, without scheme, port and trailing dot.
pub(super) fn host(text: &str) -> Result<String, Diagnostic> {
    if text.is_empty() {
        return Err(Diagnostic::new("the host is empty").hint("write the name an application dials"));
    }
    if is_connection_string(text) {
        return Err(Diagnostic::new("this is a connection string with a key in it, not a host (value not shown)")
            .hint("write only the host, put the key in a file and set password_file"));
    }
    if let Some(hidden) = url_without_credentials(text) {
        let inner = hidden.split_once("://").map_or(hidden.as_str(), |(_, rest)| rest);
        let inner = inner.split(['/', '?', '#']).next().unwrap_or(inner);
        let inner = inner.rsplit_once('@').map_or(inner, |(_, host)| host);
        return Err(Diagnostic::new(format!("{} is a URL, not a host", quoted(&hidden))).hint(host_and_port(inner)));
    }
    if text.contains(char::is_whitespace) {
        return Err(Diagnostic::new(format!("{} contains a space", quoted(text))).hint("write only the host name"));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    if text.contains([':', '[', ']']) {
        return Err(Diagnostic::new(format!("{} is not only a host", quoted(text))).hint(host_and_port(text)));
    }
    let bare = text.strip_suffix('.').unwrap_or(text);
    if bare.len() > 253 {
        return Err(Diagnostic::new(format!(
            "{} is longer than 253 characters, the longest name in DNS",
            quoted(text)
        )));
    }
    if bare.split('.').any(str::is_empty) {
        return Err(Diagnostic::new(format!("{} has an empty part between its dots", quoted(text))));
    }
    if let Some(label) = bare.split('.').find(|label| label.starts_with('-') || label.ends_with('-')) {
        return Err(Diagnostic::new(format!(
            "{} has a part, {}, that begins or ends with a dash",
            quoted(text),
            quoted(label)
        )));
    }
    if let Some(label) = bare.split('.').find(|label| label.len() > 63) {
        return Err(Diagnostic::new(format!(
            "{} is longer than 63 characters, the longest part of a name",
            quoted(label)
        )));
    }
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || ".-_".contains(character);
    if let Some(character) = bare.chars().find(|character| !is_allowed(*character)) {
        let diagnostic =
            Diagnostic::new(format!("{} contains {character:?}, which is not allowed in a host name", quoted(text)));
        return Err(if character.is_ascii() { diagnostic } else { diagnostic.hint("write it in its `xn--` form") });
    }
    if bare.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(Diagnostic::new(format!("{} is neither a name nor an address", quoted(text))));
    }
    Ok(bare.to_owned())
}

/// How to write `inner`, a host with or without a port, in two keys.
fn host_and_port(inner: &str) -> String {
    let (host, port) = split_port(inner);
    match port.and_then(|port| port.parse::<u16>().ok()) {
        Some(port) => format!("write host = {} and port = {port}", quoted(host)),
        None => format!("write host = {}", quoted(host)),
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port` or a bare v6, in its two parts.
pub(super) fn split_port(text: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':'));
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (text, None),
    }
}

/// The text with its credentials replaced, where it is a URL or holds a path or credentials.
pub(super) fn url_without_credentials(text: &str) -> Option<String> {
    if !text.contains("://") && !text.contains(['/', '@']) {
        return None;
    }
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let separator = if scheme.is_empty() { "" } else { "://" };
    // A password may itself hold `/`, `?` and `@`: everything before the last `@` is taken for credentials, and a query
    // may carry a key.
    let rest = match rest.rsplit_once('@') {
        Some((_, host)) => format!("***@{host}"),
        None => rest.to_owned(),
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    Some(format!("{scheme}{separator}{rest}"))
}

/// Where the daemon listens.
pub(super) fn listen(text: &str) -> Result<SocketAddr, Diagnostic> {
    const PORT: u16 = 9847;
    text.parse().map_err(|_| {
        let diagnostic = Diagnostic::new(format!("{} is not an address and a port", quoted(text)));
        let (host, port) = split_port(text);
        let port = port.and_then(|port| port.parse().ok()).unwrap_or(PORT);
        match host {
            "localhost" => diagnostic.hint(format!("write the address: \"127.0.0.1:{port}\"")),
            "" | "*" => diagnostic.hint(format!("for every interface write \"0.0.0.0:{port}\"")),
            _ => match host.parse::<IpAddr>() {
                Ok(address) => diagnostic.hint(format!("did you mean \"{}\"?", SocketAddr::new(address, port))),
                Err(_) => diagnostic.hint(format!("write \"127.0.0.1:{port}\"")),
            },
        }
    })
}

/// Where a name server listens: at the usual port of the protocol, where none is given.
#[derive(Debug, Clone, Copy)]
pub(super) enum NameServer {
    Address(IpAddr),
    AddressAndPort(SocketAddr),
}

impl NameServer {
    /// Where it is asked over that protocol.
    pub(super) fn over(self, protocol: Protocol) -> SocketAddr {
        match self {
            Self::Address(address) => SocketAddr::new(address, protocol.row().port),
            Self::AddressAndPort(address) => address,
        }
    }
}

/// A name server: `ADDRESS` or `ADDRESS:PORT`.
pub(super) fn name_server(text: &str) -> Result<NameServer, Diagnostic> {
    match (text.parse::<IpAddr>(), text.parse::<SocketAddr>()) {
        (Ok(address), _) if !address.is_unspecified() => Ok(NameServer::Address(address)),
        (_, Ok(address)) if address.port() != 0 && !address.ip().is_unspecified() => {
            Ok(NameServer::AddressAndPort(address))
        }
        _ => Err(Diagnostic::new(format!("{} is not the address of a name server", quoted(text))).hint(
            "write an IP address, with a port if it is not the default: \"10.0.0.4\", \"10.0.0.4:5353\", \"[fd00::4]:53\"",
        )),
    }
}

/// The path of a URL, without query and fragment.
pub(super) fn http_path(text: &str) -> Result<String, Diagnostic> {
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:@".contains(character);
    if text.starts_with('/') && text.chars().all(is_allowed) {
        return Ok(text.to_owned());
    }
    Err(Diagnostic::new(format!("{} is not the path of a URL", quoted(text)))
        .hint(format!("write what follows the host: {}", quoted(Resolver::PATH))))
}

/// A resolver, as a command line says it: `system`, `system-2`, `[PROTOCOL://]ADDRESS[:PORT][/PATH][#NAME]`.
pub(super) fn resolver(text: &str) -> Result<Resolver, Diagnostic> {
    if let Some(reserved) = Resolver::reserved().find(|resolver| resolver.name().as_str() == text) {
        return Ok(reserved);
    }
    if text.to_ascii_lowercase().starts_with(ResolverName::SYSTEM) {
        let names: Vec<_> = Resolver::reserved().map(|resolver| resolver.name().to_string()).collect();
        // Of `system` and `system-2`, equally near to `system2`, the second is meant.
        let near = nearest(text, names.iter().rev().map(String::as_str));
        let near = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        return Err(Diagnostic::new(format!("{} is not a resolver of this machine", quoted(text))).hint(format!(
            "{near}there are {}; or write an address: {}",
            names.join(", "),
            joined(Protocol::ALL.iter().map(|protocol| example(*protocol)), ", ")
        )));
    }
    let (protocol, rest) = match text.split_once("://") {
        None => (Protocol::Udp, text),
        Some((scheme, rest)) => {
            let known = || Protocol::ALL.iter().map(|protocol| protocol.as_str());
            let protocol = Protocol::parse(scheme).ok_or_else(|| {
                let words = joined(known(), ", ");
                Diagnostic::new(format!("{} is not one of {words}", quoted(scheme))).suggest(nearest(scheme, known()))
            })?;
            (protocol, rest)
        }
    };
    let (rest, server_name) = match rest.split_once('#') {
        Some((rest, name)) => (rest, Some(host(name)?)),
        None => (rest, None),
    };
    let (place, path) = rest.find('/').map_or((rest, None), |start| (&rest[..start], Some(&rest[start..])));
    let unfit = |part: &str, fits: fn(&ProtocolRow) -> bool| {
        let fitting = joined(Protocol::with(fits), " and ");
        (!fits(protocol.row())).then(|| Diagnostic::new(format!("{part} is for {fitting} only, not for {protocol}")))
    };
    let name_unfit = server_name.as_ref().and_then(|_| unfit("a name after #", |row| row.tls.is_some()));
    let path_unfit = path.and_then(|_| unfit("a path", |row| row.http));
    if let Some(diagnostic) = name_unfit.or(path_unfit) {
        return Err(diagnostic);
    }
    let bare = place.strip_prefix('[').and_then(|place| place.strip_suffix(']'));
    let address = name_server(bare.filter(|bare| bare.contains(':')).unwrap_or(place))?.over(protocol);
    let path = path.map_or(Ok(Resolver::PATH.to_owned()), http_path)?;
    let name = ResolverName::new(&resolver_name(protocol, address));
    Ok(Resolver::Server { name, address, protocol, tls: Tls { ca_file: None, server_name }, path })
}

/// How a name server is written where all is said that its protocol has a use for.
fn example(protocol: Protocol) -> String {
    let row = protocol.row();
    let scheme = if protocol == Protocol::Udp { String::new() } else { format!("{protocol}://") };
    let path = if row.http { Resolver::PATH } else { "" };
    let name = if row.tls.is_some() { "#NAME" } else { "" };
    quoted(&format!("{scheme}10.0.0.4{path}{name}"))
}

fn joined(words: impl Iterator<Item = impl ToString>, between: &str) -> String {
    words.map(|word| word.to_string()).collect::<Vec<_>>().join(between)
}

/// How a resolver of the command line is called: by its address, with the protocol and the port where they are not the
/// usual ones.
fn resolver_name(protocol: Protocol, address: SocketAddr) -> String {
    let letter = |character: char| if character == ':' { '-' } else { character };
    let mut name: String = address.ip().to_string().chars().map(letter).collect();
    if protocol != Protocol::Udp {
        name = format!("{protocol}-{name}");
    }
    if address.port() != protocol.row().port {
        name = format!("{name}-{}", address.port());
    }
    name
}

/// The control target: `ADDRESS:PORT`.
pub(super) fn control(text: &str) -> Result<SocketAddr, Diagnostic> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        _ => Err(Diagnostic::new(format!("{} is not an address and a port", quoted(text)))
            .hint("write an endpoint that accepts TCP whenever this machine's network is up: \"10.0.0.4:53\"")),
    }
}

/// A network: an address is the network that holds it alone. Bits beyond the prefix are a mistake, not a mask.
pub(super) fn network(text: &str) -> Result<IpNet, Diagnostic> {
    network_or(text, "write \"10.20.1.0/24\" or \"10.20.1.4\"")
}

/// A network; `hint` says what else to write in place of a text that is none.
fn network_or(text: &str, hint: &str) -> Result<IpNet, Diagnostic> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    match text.parse::<IpNet>() {
        Ok(network) if network.addr() == network.network() => Ok(network),
        Ok(network) => Err(Diagnostic::new(format!("{} has bits set beyond its prefix", quoted(text))).hint(format!(
            "the network is \"{}\", the address alone is \"{}\"",
            network.trunc(),
            network.addr()
        ))),
        Err(_) => Err(Diagnostic::new(format!("{} is neither a network nor an address", quoted(text))).hint(hint)),
    }
}

/// Where a name should lead, as a command line says it.
pub(super) enum ExpectedForm {
    Isolation(Isolation),
    Network(IpNet),
}

/// Where a name should lead: `private`, `public`, a network or an address.
pub(super) fn expected(text: &str) -> Result<ExpectedForm, Diagnostic> {
    match text {
        "private" => Ok(ExpectedForm::Isolation(Isolation::PrivateEndpoint)),
        "public" => Ok(ExpectedForm::Isolation(Isolation::Public)),
        _ => network_or(text, "write private, public, \"10.20.1.0/24\" or \"10.20.1.4\"").map(ExpectedForm::Network),
    }
}

/// An address to dial in place of another: `ADDRESS[:PORT]=ADDRESS:PORT`.
pub(super) fn dial_override(text: &str) -> Result<DialOverride, Diagnostic> {
    let diagnostic = || {
        Diagnostic::new(format!("{} is not a pair of an address and the address to dial instead", quoted(text)))
            .hint("write ADDRESS[:PORT]=ADDRESS:PORT: \"10.20.1.4=127.0.0.1:6390\"")
    };
    let (from, to) = text.split_once('=').ok_or_else(diagnostic)?;
    let to = to.parse::<SocketAddr>().ok().filter(|to| to.port() != 0).ok_or_else(diagnostic)?;
    if let Ok(address) = from.parse::<IpAddr>() {
        return Ok(DialOverride { address, port: None, to });
    }
    let from = from.parse::<SocketAddr>().map_err(|_| diagnostic())?;
    Ok(DialOverride { address: from.ip(), port: Some(from.port()), to })
}

/// A tier of Azure.
pub(super) fn tier(text: &str) -> Result<Tier, Diagnostic> {
    azure::tier(text).ok_or_else(|| {
        Diagnostic::new(format!("{} is not a tier with a known client limit", quoted(text)))
            .hint(format!("nearest: {}; or remove it and set max_clients", azure::nearest_tiers(text).join(", ")))
    })
}

/// What to log: a level, or `tracing` directives.
pub(super) fn log_filter(text: &str) -> Result<String, Diagnostic> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    for directive in text.split(',').map(str::trim) {
        // A bare word that is no level would be taken for a module, and silence everything else.
        let is_bare = directive.chars().all(|character| character.is_ascii_alphanumeric());
        if is_bare && !LEVELS.contains(&directive.to_ascii_lowercase().as_str()) {
            return Err(Diagnostic::new(format!(
                "{} is not a level (error, warn, info, debug, trace, off)",
                quoted(directive)
            ))
            .suggest(nearest(directive, LEVELS)));
        }
    }
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(Diagnostic::new(format!("{} is not a log filter", quoted(text)))
            .hint("write a level, or directives such as \"info,cachewatch::probe=debug\"")),
    }
}

/// The name of an environment variable. The text is never shown: it may be the secret itself, put in the wrong key.
pub(super) fn variable(text: &str) -> Result<String, Diagnostic> {
    let is_name = text.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
        && text.starts_with(|character: char| character.is_ascii_alphabetic() || character == '_');
    if is_name {
        return Ok(text.to_owned());
    }
    Err(Diagnostic::new("the value (hidden) is not the name of an environment variable")
        .hint("give the variable's name, such as \"ORDERS_KEY\", not the secret"))
}

/// Any text that is not empty.
pub(super) fn text(text: &str) -> Result<String, Diagnostic> {
    if text.is_empty() { Err(Diagnostic::new("the value is empty")) } else { Ok(text.to_owned()) }
}

/// The path of a file.
pub(super) fn path(text: &str) -> Result<PathBuf, Diagnostic> {
    self::text(text).map(PathBuf::from)
}

/// Whatever a text of the standard library's own syntax stands for.
pub(super) fn number<T: FromStr>(text: &str, noun: &str) -> Result<T, Diagnostic> {
    text.trim().parse().map_err(|_| Diagnostic::new(format!("{} is not {noun}", quoted(text))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_duration_reads_back_as_it_was_written() {
        for text in ["30s", "90d", "100ms", "7d", "1h", "1500ms", "90m", "3us", "1ns", "0s"] {
            assert_eq!(duration_text(duration(text).unwrap()), text);
        }
        assert_eq!(duration_text(duration("1h 30m").unwrap()), "90m");
    }

    #[test]
    fn a_size_reads_back_as_it_was_written() {
        for text in ["256MiB", "1GiB", "1536KiB", "1B", "0B", "1023B"] {
            assert_eq!(size_text(size(text).unwrap()), text);
        }
        assert_eq!(size("64 KiB"), Ok(65_536));
        for bad in ["", "MiB", "-1MiB", "1.5GiB", "256", "256MB", "99999999999GiB", "1 mib"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn credentials_in_a_url_are_not_repeated() {
        for text in [
            "redis://:hunter2@orders.example:6380",
            "rediss://user:hunter2@orders.example/0",
            "user:hunter2@orders.example",
            "redis://:hunt/er2?hunter2@orders.example",
            "https://orders.example/?password=hunter2",
        ] {
            let diagnostic = host(text).unwrap_err();
            assert!(!format!("{diagnostic:?}").contains("hunt"), "{diagnostic:?}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_nothing_else() {
        for good in ["orders.redis.cache.windows.net", "localhost", "10.0.0.4", "fd00::4", "a_b.example"] {
            assert_eq!(host(good).as_deref(), Ok(good));
        }
        assert_eq!(host("orders.example.").as_deref(), Ok("orders.example"));
        let long = format!("{}.example", "a".repeat(64));
        for bad in ["", ".", "a..b", "a b", "a:1", "[fd00::4]:6380", "10.0.0.256", "bücher.example", "a,b", &long] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    /// A resolver in one line: name, address, protocol, and what of the rest is not the usual.
    fn shown(text: &str) -> String {
        match resolver(text) {
            Ok(Resolver::Server { name, address, protocol, tls, path }) => {
                let server_name = tls.server_name.unwrap_or_default();
                format!("{name} {address} {protocol} {server_name} {path}")
                    .replace("/dns-query", "")
                    .trim_end()
                    .to_owned()
            }
            Ok(reserved) => format!("{} {reserved:?}", reserved.name()),
            Err(diagnostic) => diagnostic.to_string(),
        }
    }

    #[test]
    fn whom_to_ask_is_a_name_that_always_exists_or_an_address_with_its_protocol() {
        for (text, expected) in [
            ("system", "system System"),
            ("system-3", "system-3 Listed(3)"),
            ("10.0.0.4", "10.0.0.4 10.0.0.4:53 udp"),
            ("udp://10.0.0.4:53", "10.0.0.4 10.0.0.4:53 udp"),
            ("10.0.0.4:5353", "10.0.0.4-5353 10.0.0.4:5353 udp"),
            ("fd00::4", "fd00--4 [fd00::4]:53 udp"),
            ("tcp://[fd00::4]:54", "tcp-fd00--4-54 [fd00::4]:54 tcp"),
            ("tls://1.1.1.1", "tls-1.1.1.1 1.1.1.1:853 tls"),
            ("tls://[fd00::4]#dns.example", "tls-fd00--4 [fd00::4]:853 tls dns.example"),
            ("https://1.1.1.1:8443/q#dns.example", "https-1.1.1.1-8443 1.1.1.1:8443 https dns.example /q"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        for (text, expected) in [
            (
                "system-4",
                "did you mean `system-3`? there are system, system-1, system-2, system-3; or write an address",
            ),
            ("system2", "did you mean `system-2`?"),
            ("system-4", "\"tls://10.0.0.4#NAME\", \"https://10.0.0.4/dns-query#NAME\""),
            ("0.0.0.0", "is not the address of a name server"),
            ("10.0.0.4:0", "is not the address of a name server"),
            ("https://dns.google/dns-query", "\"dns.google\" is not the address of a name server"),
            ("http://1.1.1.1", "\"http\" is not one of udp, tcp, tls, https; did you mean `https`?"),
            ("10.0.0.4#dns.example", "a name after # is for tls and https only, not for udp"),
            ("tls://1.1.1.1/q", "a path is for https only, not for tls"),
            ("tls://1.1.1.1#", "the host is empty"),
            ("https://1.1.1.1/q?dns=x", "\"/q?dns=x\" is not the path of a URL"),
            ("", "\"\" is not the address of a name server"),
        ] {
            assert!(shown(text).contains(expected), "{text}: {}", shown(text));
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_a_resolver_panic(text in "((udp|tcp|tls|https|x)://)?[0-9a-f.:\\[\\]]{0,20}(/[a-z?% é]{0,8})?(#[a-z.:]{0,9})?") {
            if let Ok(resolver) = resolver(&text) {
                prop_assert!(name(resolver.name().as_str()).is_ok(), "{text}: {resolver:?}");
            }
        }

        #[test]
        fn whom_to_ask_is_read_as_it_is_written(
            address: IpAddr,
            port in 1u16..,
            kind in prop::sample::select(Protocol::ALL),
            proof in prop::option::of("[a-z][a-z0-9]{0,9}(\\.[a-z]{1,9}){0,2}"),
            own in prop::option::of("(/[a-z0-9._~%!$&'()*+,;=:@-]{1,8}){1,3}"),
        ) {
            prop_assume!(!address.is_unspecified());
            let address = SocketAddr::new(address, port);
            let proof = proof.filter(|_| kind.row().tls.is_some());
            let own = own.filter(|_| kind.row().http);
            let fragment = proof.as_ref().map_or_else(String::new, |proof| format!("#{proof}"));
            let text = format!("{kind}://{address}{}{fragment}", own.as_deref().unwrap_or_default());
            let Ok(Resolver::Server { address: read, protocol, tls, path, .. }) = resolver(&text) else {
                return Err(TestCaseError::fail(text));
            };
            prop_assert_eq!((read, protocol, tls.server_name), (address, kind, proof));
            prop_assert_eq!(path, own.unwrap_or_else(|| Resolver::PATH.to_owned()));
        }
    }
}
