//! What the hosts file pins (glibc 2.36, `nss/nss_files/files-hosts.c`).

use std::net::IpAddr;

use super::c_text::{CLine, c_lines, inet_pton, is_space, skip, until};

/// The addresses of a name, and the first name of the first line that has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pinned {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) canonical: String,
}

/// What the file says of this name: the first line that has it, or, with `multi`, every line, in their order.
pub(super) fn pinned(hosts: &[u8], host: &[u8], multi: bool) -> Option<Pinned> {
    let mut found: Option<Pinned> = None;
    for line in c_lines(hosts) {
        let Some((address, names)) = entry(&as_read(line)) else { continue };
        if !names.iter().any(|name| name.eq_ignore_ascii_case(host)) {
            continue;
        }
        let canonical = || String::from_utf8_lossy(&names[0]).into_owned();
        found.get_or_insert_with(|| Pinned { addresses: Vec::new(), canonical: canonical() }).addresses.push(address);
        if !multi {
            break;
        }
    }
    found
}

/// A line without its blanks in front. Where no newline ends it, as many bytes of its end stand there twice as there
/// were blanks: they are moved without the zero behind them (`nss/nss_readline.c`).
fn as_read(line: CLine<'_>) -> Vec<u8> {
    let text = skip(line.text, is_space);
    let doubled = if line.shows_end { &[][..] } else { &line.text[text.len()..] };
    [text, doubled].concat()
}

/// An address and its names, of which the first may be empty.
fn entry(line: &[u8]) -> Option<(IpAddr, Vec<Vec<u8>>)> {
    let (line, _) = until(line, |byte| byte == b'#');
    let (address, rest) = until(line, is_space);
    let address = inet_pton(address)?;
    let (first, rest) = until(skip(rest, is_space), is_space);
    let aliases = rest.split(|byte| is_space(*byte)).filter(|alias| !alias.is_empty());
    Some((address, std::iter::once(first).chain(aliases).map(<[u8]>::to_vec).collect()))
}

/// Whether host.conf lets every line of the hosts file count and not the first alone (glibc 2.36, `resolv/res_hconf.c`).
pub(super) fn is_multi(host_conf: &[u8]) -> bool {
    let mut is_multi = false;
    for line in c_lines(host_conf) {
        let (word, rest) = until(skip(line.text, is_space), |byte| is_space(byte) || matches!(byte, b'#' | b','));
        let value = skip(rest, is_space).to_ascii_lowercase();
        if word.eq_ignore_ascii_case(b"multi") {
            if value.starts_with(b"on") {
                is_multi = true;
            } else if value.starts_with(b"off") {
                is_multi = false;
            }
        }
    }
    is_multi
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hosts: &str, host: &str, multi: bool) -> Vec<String> {
        let found = pinned(hosts.as_bytes(), host.as_bytes(), multi);
        found.map(|pinned| pinned.addresses.iter().map(ToString::to_string).collect()).unwrap_or_default()
    }

    const HOSTS: &str = "# pins\n10.0.0.9  Orders.Test orders # note x\nfd00::9\torders.test\r\n10.0.0.9 orders.test\n\
        nonsense x\nfe80::1%eth0 x\n010.0.0.1 x\n10.5 x\n::1 y\n";

    #[test]
    fn one_line_or_every_line() {
        assert_eq!(of(HOSTS, "orders.TEST", true), ["10.0.0.9", "fd00::9", "10.0.0.9"]);
        assert_eq!(of(HOSTS, "orders.test", false), ["10.0.0.9"]);
        assert_eq!(of(HOSTS, "orders", true), ["10.0.0.9"]);
        assert_eq!(of(HOSTS, "orders.test.", true), [""; 0], "a dot at the end is another name");
        assert_eq!(of(HOSTS, "note", true), [""; 0]);
        assert_eq!(pinned(HOSTS.as_bytes(), b"orders", true).unwrap().canonical, "Orders.Test");
    }

    #[test]
    fn what_is_no_plain_address_is_passed_over() {
        assert_eq!(of(HOSTS, "x", true), [""; 0]);
        assert_eq!(of(HOSTS, "y", true), ["::1"], "who asks for both families gets it as it is");
    }

    #[test]
    fn blanks_in_front_of_the_very_last_line_double_its_end() {
        assert_eq!(of("  10.0.0.1 ab\n", "ab", true), ["10.0.0.1"]);
        assert_eq!(of("  10.0.0.1 ab", "ab", true), [""; 0]);
        assert_eq!(of("  10.0.0.1 ab", "abab", true), ["10.0.0.1"]);
        assert_eq!(of("10.0.0.1 ab", "ab", true), ["10.0.0.1"]);
    }

    #[test]
    fn host_conf_says_whether_every_line_counts() {
        assert!(is_multi(b"order hosts,bind\n multi on # x\n"));
        assert!(!is_multi(b"multi off\n") && !is_multi(b"") && !is_multi(b"# multi on\n"));
    }
}
