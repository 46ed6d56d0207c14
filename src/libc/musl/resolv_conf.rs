//! `/etc/resolv.conf` as musl reads it (musl 1.2.3, `src/network/resolvconf.c`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use super::c_text::{Lines, find, first_word, is_space, number, trimmed};
use super::literal::{IpLiteral, literal};

/// More name servers are passed over.
const MOST_SERVERS: usize = 3;
/// A line with its line feed must be shorter; a longer one is passed over.
const LINE: usize = 256;
const DNS: u16 = 53;

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MuslConf {
    pub(super) servers: Vec<SocketAddr>,
    /// The words of the last `search` or `domain` line, up to the end of the line.
    pub(super) search: Vec<u8>,
    pub(super) ndots: u64,
    /// For one name at all servers together.
    pub(super) timeout: Duration,
    /// So often the questions are sent within the timeout. Zero ends the process.
    pub(super) attempts: u64,
}

impl MuslConf {
    /// Reads the file; a missing one is an empty one.
    pub(super) fn read(file: &[u8], interfaces: &[(String, u32)]) -> Self {
        let mut conf =
            Self { servers: Vec::new(), search: Vec::new(), ndots: 1, timeout: Duration::from_secs(5), attempts: 2 };
        let mut lines = Lines::new(file, LINE);
        while let Some(line) = lines.next() {
            if !line.text.contains(&b'\n') && !line.is_last {
                lines.skip_line();
                continue;
            }
            conf.line(line.text, interfaces);
        }
        if conf.servers.is_empty() {
            conf.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), DNS));
        }
        conf
    }

    /// From one attempt to the next, in whole milliseconds (musl 1.2.3, `src/network/res_msend.c`).
    pub(super) fn interval(&self) -> Duration {
        let milliseconds = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(milliseconds.checked_div(self.attempts).unwrap_or(0))
    }

    /// What is left of the timeout when as many intervals are over as there are attempts. Less than an attempt in milliseconds.
    pub(super) fn remainder(&self) -> Duration {
        if self.attempts == 0 {
            return Duration::ZERO;
        }
        let attempts = u32::try_from(self.attempts).unwrap_or(u32::MAX);
        self.timeout.saturating_sub(self.interval().saturating_mul(attempts))
    }

    fn line(&mut self, line: &[u8], interfaces: &[(String, u32)]) {
        if has_keyword(line, b"options") {
            let value = |key: &[u8]| find(line, key, 0).and_then(|at| number(&line[at + key.len()..]));
            if let Some(ndots) = value(b"ndots:") {
                self.ndots = ndots.min(15);
            }
            if let Some(attempts) = value(b"attempts:") {
                self.attempts = attempts.min(10);
            }
            if let Some(timeout) = value(b"timeout:") {
                self.timeout = Duration::from_secs(timeout.min(60));
            }
        } else if has_keyword(line, b"nameserver") {
            if self.servers.len() >= MOST_SERVERS {
                return;
            }
            let word = first_word(trimmed(&line[11..]));
            if let IpLiteral::Address(address, scope) = literal(word, interfaces) {
                self.servers.push(match address {
                    IpAddr::V4(_) => SocketAddr::new(address, DNS),
                    IpAddr::V6(address) => SocketAddrV6::new(address, DNS, 0, scope).into(),
                });
            }
        } else if has_keyword(line, b"domain") || has_keyword(line, b"search") {
            self.search = trimmed(&line[7..]).to_vec();
        }
    }
}

/// Whether the line begins with the word, and white space behind it.
fn has_keyword(line: &[u8], word: &[u8]) -> bool {
    line.strip_prefix(word).and_then(<[u8]>::first).is_some_and(|next| is_space(*next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> MuslConf {
        MuslConf::read(text.as_bytes(), &[])
    }

    fn servers(text: &str) -> Vec<String> {
        read(text).servers.iter().map(|server| server.ip().to_string()).collect()
    }

    #[test]
    fn without_a_server_this_machine_is_asked() {
        assert_eq!(servers(""), ["127.0.0.1"]);
        assert_eq!(servers(" nameserver 10.0.0.1\nNAMESERVER 10.0.0.1\nnameserver 1.2.3.4;comment\n"), ["127.0.0.1"]);
    }

    #[test]
    fn white_space_of_any_kind_separates() {
        // A carriage return too: a file from Windows is read.
        assert_eq!(
            servers("nameserver 10.0.0.1\r\nnameserver\t10.0.0.2 # x\nnameserver\u{b}10.0.0.3"),
            ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
        );
        assert_eq!(
            servers("nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n").len(),
            3
        );
        assert_eq!(servers("nameserver 10.53.1\nnameserver fd00::1%7\n"), ["10.53.0.1", "fd00::1"]);
    }

    #[test]
    fn the_first_of_an_option_on_a_line_counts_and_the_last_line() {
        let numbers = |text| {
            let conf = read(text);
            (conf.ndots, conf.timeout.as_secs(), conf.attempts)
        };
        assert_eq!(numbers(""), (1, 5, 2));
        assert_eq!(numbers("options ndots:5 ndots:1 timeout:1 attempts:3\n"), (5, 1, 3));
        assert_eq!(numbers("options ndots:5\noptions timeout:0\noptions ndots:0"), (0, 0, 2));
        assert_eq!(numbers("options ndots:99 timeout:99 attempts:99\n"), (15, 60, 10));
        assert_eq!(numbers("options ndots:x timeout:.5 attempts:-1\nOPTIONS ndots:3\noptionsndots:3\n"), (1, 5, 2));
        // A word is not looked at as a whole.
        assert_eq!(numbers("options xndots:3,timeout:2;attempts:1\n"), (3, 2, 1));
        assert_eq!(numbers("options ndots:x ndots:4\n"), (1, 5, 2));
    }

    #[test]
    fn the_last_search_or_domain_counts_even_an_empty_one() {
        assert_eq!(read("search a b\ndomain c\n").search, b"c\n");
        assert_eq!(read("domain c\nsearch a b # x\n").search, b"a b # x\n");
        assert_eq!(read("search a b\nsearch\n").search, b"");
        // At the end of the file there is no white space behind the word.
        assert_eq!(read("search a b\nsearch").search, b"a b\n");
    }

    #[test]
    fn a_line_that_does_not_fit_is_passed_over() {
        let long = |length: usize| format!("{:1$}", "search a", length);
        assert_eq!(read(&format!("{}\nsearch b\n", long(300))).search, b"b\n");
        assert!(!read(&format!("{}\n", long(254))).search.is_empty());
        assert!(read(&format!("{}\n", long(255))).search.is_empty());
        assert!(!read(&long(254)).search.is_empty());
        assert!(read(&long(255)).search.is_empty());
        // A NUL hides the line feed, and with it the next line.
        assert_eq!(servers("nameserver 10.0.0.1\0\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n"), ["10.0.0.3"]);
    }

    proptest::proptest! {
        #[test]
        fn no_file_is_too_odd(file in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600), text in "(options |search |nameserver |[a-z:0-9. \n]){0,20}") {
            let _ = MuslConf::read(&file, &[]);
            proptest::prop_assert!((1..=3).contains(&MuslConf::read(text.as_bytes(), &[]).servers.len()));
        }
    }
}
