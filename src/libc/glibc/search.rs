//! The names that are tried for one name, and what ends the search (glibc 2.36, `resolv/res_query.c`).

use super::exchange::{Ask, GlibcExchange, Halt, Lengths, SystemError};
use super::resolv_conf::{GlibcConf, GlibcOption};
use super::status::HostError;
use crate::libc::packet::{HEADER_LENGTH, Header, NOERROR, NXDOMAIN, SERVFAIL, WireName};
use crate::model::RecordType;

/// The most bytes of a name as text.
const LONGEST_TEXT: usize = 1025;

/// What was found, by the lengths of the replies in the buffers, or why nothing was.
pub(super) type Found = Result<Lengths, HostError>;

/// Tries the name as it stands and in the domains of the search list, in the order that `ndots` says.
pub(super) fn search(
    exchange: &mut GlibcExchange<'_>,
    conf: &GlibcConf,
    host: &[u8],
    types: &[RecordType],
) -> Result<Found, Halt> {
    exchange.error = SystemError::None;
    let dots = host.split(|byte| *byte == b'.').count() - 1;
    let is_absolute = host.last() == Some(&b'.');
    let mut as_it_stands = None;
    if dots >= conf.ndots || is_absolute {
        match query_in(exchange, host, None, types)? {
            Err(error) if !is_absolute => as_it_stands = Some(error),
            found => return Ok(found),
        }
    }
    let mut seen = Seen::default();
    // Where the list is empty it is the last error that is told.
    let mut last = as_it_stands.unwrap_or(HostError::HostNotFound);
    let domains = if is_absolute { &[][..] } else { &conf.search[..] };
    for domain in domains {
        let domain = domain.strip_prefix(b".").unwrap_or(domain);
        seen.root |= domain.is_empty();
        let error = match query_in(exchange, host, Some(domain), types)? {
            Ok(lengths) => return Ok(Ok(lengths)),
            Err(error) => error,
        };
        // No server is there: no other name will get an answer.
        if exchange.error == SystemError::Refused {
            return Ok(Err(HostError::TryAgain));
        }
        last = error;
        match error {
            HostError::NoData => seen.no_data = true,
            HostError::HostNotFound => {}
            // By what the last reply said, whatever became of it: a refusal of any other kind ends the list.
            HostError::TryAgain if Header(&exchange.first).rcode() == SERVFAIL => seen.servfail = true,
            _ => break,
        }
    }
    let may_stand_alone = dots > 0 || domains.is_empty() || !has_no_tld_query(conf);
    if may_stand_alone && as_it_stands.is_none() && !seen.root {
        match query_in(exchange, host, None, types)? {
            Ok(lengths) => return Ok(Ok(lengths)),
            Err(error) => last = error,
        }
    }
    Ok(Err(match as_it_stands {
        Some(error) => error,
        None if seen.no_data => HostError::NoData,
        None if seen.servfail => HostError::TryAgain,
        None => last,
    }))
}

/// What the search met on its way.
#[derive(Default)]
struct Seen {
    no_data: bool,
    servfail: bool,
    /// The root was on the list: the name as it stands.
    root: bool,
}

fn has_no_tld_query(conf: &GlibcConf) -> bool {
    conf.has(GlibcOption::NoTldQuery) || conf.has(GlibcOption::NoTldQueryOld)
}

/// Asks for the name in a domain, or as it stands.
fn query_in(
    exchange: &mut GlibcExchange<'_>,
    host: &[u8],
    domain: Option<&[u8]>,
    types: &[RecordType],
) -> Result<Found, Halt> {
    let (text, is_too_long) = match domain {
        None => (host.to_vec(), host.is_empty() || host.len() >= LONGEST_TEXT),
        Some(domain) => {
            let text = [host, b".", domain].concat();
            let is_too_long = text.len() >= LONGEST_TEXT;
            (text, is_too_long)
        }
    };
    if is_too_long {
        return Ok(Err(HostError::NoRecovery));
    }
    query(exchange, &text, types)
}

/// Asks for one name, and says by the headers of the replies whether it was found.
fn query(exchange: &mut GlibcExchange<'_>, text: &[u8], types: &[RecordType]) -> Result<Found, Halt> {
    exchange.first[3] &= 0xf0;
    let Some(name) = WireName::from_text(text) else {
        exchange.error = SystemError::Other;
        return Ok(Err(HostError::NoRecovery));
    };
    let Some(lengths) = exchange.send(&Ask { name: &name, types })? else {
        return Ok(Err(HostError::TryAgain));
    };
    let (first, second) = (Header(&exchange.first), Header(&exchange.second));
    let (first, second) = if types.len() < 2 || lengths.second < HEADER_LENGTH {
        (first, first)
    } else if lengths.first < HEADER_LENGTH {
        (second, second)
    } else {
        (first, second)
    };
    let has_answers = |header: Header<'_>| header.rcode() == NOERROR && header.answers() != 0;
    if has_answers(first) || has_answers(second) {
        return Ok(Ok(lengths));
    }
    let code = if first.rcode() == NOERROR { second.rcode() } else { first.rcode() };
    Ok(Err(match code {
        NXDOMAIN => HostError::HostNotFound,
        SERVFAIL => HostError::TryAgain,
        NOERROR => HostError::NoData,
        _ => HostError::NoRecovery,
    }))
}
