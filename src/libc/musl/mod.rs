//! What musl's `getaddrinfo` makes of it all, by its sources: versions 1.2.3, 1.2.4 and 1.2.5.
//!
//! - `resolv_conf`, `hosts`: its files, with `literal` and `c_text` · `name`: which names it asks for · `exchange`: questions and answers on the way ·
//!   `answer`: what it reads out of an answer
//!
//! Not modelled: a machine without IPv6 whose resolv.conf names IPv6 servers, and two questions that happen to have the same ID.
//! Not known: what stood in memory before, which 1.2.3 reads where an answer ends in the middle of a record; the lookup says so.

mod answer;
mod c_text;
mod exchange;
mod hosts;
mod literal;
mod name;
mod resolv_conf;
mod version;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use self::answer::Records;
use self::c_text::{first_word, trimmed, until_nul};
use self::exchange::{Exchange, TYPES};
use self::hosts::MuslPin;
use self::literal::IpLiteral;
use self::name::question;
use self::resolv_conf::MuslConf;
pub use self::version::MuslVersion;
use super::{GaiError, Lookup, NameFiles, Returned, Unasked, Wire};
use crate::model::RecordType;

/// The longest name, with a dot at its end.
const LONGEST_NAME: usize = 254;
/// Room for a name with its search domain and the NUL at its end.
const CANON: usize = 256;

/// What came of one name.
enum MuslStep {
    Found(Vec<IpAddr>, Option<Vec<u8>>),
    /// The lookup ends with this.
    Ends(GaiError),
    /// The next name is tried.
    GoesOn,
}

/// Linux ends a wait late by this part of it (`fs/select.c`), and musl reads the time in whole milliseconds.
const LATENESS: u32 = 1000;

/// What `getaddrinfo` of this version returns for a host.
///
/// # Errors
///
/// The questions whose replies must be known to go on.
pub fn lookup(version: MuslVersion, files: &NameFiles, host: &str, wire: &impl Wire) -> Result<Lookup, Unasked> {
    lookup_by_chance(version, files, host, wire, 0)
}

/// How many lookups there are that differ by chance. Where the intervals of the attempts leave a few milliseconds of the timeout,
/// as three of 333 ms do, it is over by then, or there is a further interval: a millisecond decides.
#[must_use]
pub fn chances(files: &NameFiles) -> usize {
    let conf = MuslConf::read(files.resolv_conf.as_deref().unwrap_or_default(), &files.interfaces);
    if conf.remainder().is_zero() { 1 } else { 2 }
}

/// The same as [`lookup`], where this comes of chance: 0 is what is likely.
///
/// # Errors
///
/// As those of [`lookup`].
pub fn lookup_by_chance(
    version: MuslVersion,
    files: &NameFiles,
    host: &str,
    wire: &impl Wire,
    chance: usize,
) -> Result<Lookup, Unasked> {
    let name = until_nul(host.as_bytes());
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Ok(at_once(Returned::Failed(GaiError::NoName)));
    }
    match literal::literal(name, &files.interfaces) {
        IpLiteral::Address(address, _) => return Ok(at_once(found(name, vec![address], None))),
        IpLiteral::BadScope => return Ok(at_once(Returned::Failed(GaiError::NoName))),
        IpLiteral::Other => {}
    }
    match hosts::pinned(files.hosts.as_deref().unwrap_or_default(), name, &files.interfaces) {
        MuslPin::Addresses(addresses, canonical) => return Ok(at_once(found(name, addresses, canonical))),
        MuslPin::Unusable => return Ok(at_once(Returned::Failed(GaiError::NoName))),
        MuslPin::Absent => {}
    }
    let conf = MuslConf::read(files.resolv_conf.as_deref().unwrap_or_default(), &files.interfaces);
    let likely = conf.timeout / LATENESS;
    let lateness = match chance {
        0 => likely,
        _ if conf.remainder() > likely => conf.remainder(),
        _ => Duration::ZERO,
    };
    let mut exchange =
        Exchange { version, wire, conf: &conf, lateness, sent: HashMap::new(), now: Duration::ZERO, waits: Vec::new() };
    let mut is_guessed = false;
    let returned = search(&mut exchange, name, &mut is_guessed)?;
    let unmodelled = if is_guessed { vec!["memory behind an answer that is cut".to_owned()] } else { vec![] };
    Ok(Lookup { returned, took: exchange.now, waits: exchange.waits, unmodelled })
}

fn at_once(returned: Returned) -> Lookup {
    Lookup { returned, took: Duration::ZERO, waits: Vec::new(), unmodelled: Vec::new() }
}

fn found(name: &[u8], addresses: Vec<IpAddr>, canonical: Option<Vec<u8>>) -> Returned {
    let mut each_once: Vec<IpAddr> = Vec::new();
    for address in addresses {
        if !each_once.contains(&address) {
            each_once.push(address);
        }
    }
    let asked = name.strip_suffix(b".").unwrap_or(name);
    let canonical = canonical.filter(|canonical| !canonical.eq_ignore_ascii_case(asked));
    let canonical = canonical.map(|canonical| String::from_utf8_lossy(&canonical).into_owned());
    Returned::Found { addresses: each_once, canonical }
}

/// The search list, and the name as it stands (`src/network/lookup_name.c`, `name_from_dns_search`).
///
/// The list is used only for a name with fewer dots than `ndots`, and always before the name itself; the first name of which
/// something is known ends it.
fn search<W: Wire>(exchange: &mut Exchange<'_, W>, name: &[u8], is_guessed: &mut bool) -> Result<Returned, Unasked> {
    let dots = name.split(|byte| *byte == b'.').count() as u64 - 1;
    let stem = name.strip_suffix(b".").unwrap_or(name);
    if stem.is_empty() || stem.ends_with(b".") {
        return Ok(Returned::Failed(GaiError::NoName));
    }
    let conf = exchange.conf;
    let is_final = dots >= conf.ndots || name.ends_with(b".");
    let mut rest = if is_final { &[][..] } else { trimmed(&conf.search) };
    while !rest.is_empty() {
        let domain = first_word(rest);
        rest = trimmed(&rest[domain.len()..]);
        // What does not fit is passed over.
        if domain.len() + stem.len() + 1 < CANON {
            let candidate = [stem, b".", domain].concat();
            match step(exchange, &candidate, is_guessed)? {
                MuslStep::Found(addresses, alias) => return Ok(found(name, addresses, alias.or(Some(candidate)))),
                MuslStep::Ends(error) => return Ok(Returned::Failed(error)),
                MuslStep::GoesOn => {}
            }
        }
    }
    Ok(match step(exchange, name, is_guessed)? {
        MuslStep::Found(addresses, alias) => found(name, addresses, alias),
        MuslStep::Ends(error) => Returned::Failed(error),
        MuslStep::GoesOn => Returned::Failed(GaiError::NoName),
    })
}

/// One name (`src/network/lookup_name.c`, `name_from_dns`). It needs both answers: NXDOMAIN of one type spoils the other.
fn step<W: Wire>(exchange: &mut Exchange<'_, W>, name: &[u8], is_guessed: &mut bool) -> Result<MuslStep, Unasked> {
    let version = exchange.version;
    let Ok(question) = question(name, version) else {
        // Before 1.2.4 a name that cannot be asked ends the search, and after it does not exist.
        let is_end = version == MuslVersion::V1_2_3;
        return Ok(if is_end { MuslStep::Ends(GaiError::NoName) } else { MuslStep::GoesOn });
    };
    // The division by zero ends the process, on most processors.
    if exchange.conf.attempts == 0 {
        return Ok(MuslStep::Ends(GaiError::System));
    }
    let answers = exchange.ask(question.as_deref())?;
    let packets = [answers.packet(0), answers.packet(1)];
    for packet in packets {
        match packet.map(answer::Packet::code) {
            Some(0) => {}
            Some(3) => return Ok(MuslStep::GoesOn),
            None | Some(2) => return Ok(MuslStep::Ends(GaiError::Again)),
            Some(_) => return Ok(MuslStep::Ends(GaiError::Fail)),
        }
    }
    let mut records = Records::default();
    let mut order: Vec<_> = packets.into_iter().flatten().zip(TYPES).collect();
    if version > MuslVersion::V1_2_3 {
        order.reverse();
    }
    for (packet, record_type) in order {
        let wanted = match record_type {
            RecordType::A => 1,
            RecordType::Aaaa => 28,
        };
        records.read(packet, wanted, version);
    }
    *is_guessed |= records.is_guessed;
    if records.addresses.is_empty() {
        return Ok(MuslStep::Ends(version.no_data()));
    }
    Ok(MuslStep::Found(records.addresses, records.canonical))
}

#[cfg(test)]
mod tests;
