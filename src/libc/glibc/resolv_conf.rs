//! What glibc reads in resolv.conf (glibc 2.36, `resolv/res_init.c`): keywords at the very beginning of a line, and no word
//! about what it does not understand.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

use super::c_text::{CLine, atoi, c_lines, inet_aton, is_blank, scope_id, scoped, skip, until, words};
use crate::libc::files::NameFiles;
use crate::libc::packet::WireName;
use crate::model::vocabulary;

/// The port of name servers: resolv.conf knows no other.
const PORT: u16 = 53;

/// The most name servers that are asked.
const MOST_SERVERS: usize = 3;

vocabulary! {
    /// An option without a number. A word of the file is one where it begins so; the first of these that fits is meant.
    pub enum GlibcOption {
        /// Begins with another server each time.
        Rotate = "rotate",
        /// Asks with an OPT record.
        Edns0 = "edns0",
        /// Asks for one type after the other, each from a socket of its own.
        SingleRequestReopen = "single-request-reopen",
        /// Asks for one type after the other.
        SingleRequest = "single-request",
        /// Does not ask for a name without dots as it stands.
        NoTldQueryOld = "no_tld_query",
        /// Does not ask for a name without dots as it stands.
        NoTldQuery = "no-tld-query",
        /// Does not read the file again.
        NoReload = "no-reload",
        /// Asks over TCP from the beginning.
        UseVc = "use-vc",
        /// Believes the server that it validated.
        TrustAd = "trust-ad",
        /// Asks for IPv4 addresses alone.
        NoAaaa = "no-aaaa",
    }
}

/// What glibc takes from resolv.conf, `RES_OPTIONS` and `LOCALDOMAIN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlibcConf {
    /// The servers that are asked, in their order; one at least.
    pub servers: Vec<SocketAddr>,
    /// The search list, as bytes: glibc takes what stands there, a carriage return too.
    pub search: Vec<Vec<u8>>,
    /// A name with fewer dots is tried with the search list first.
    pub ndots: usize,
    /// Seconds, before they are shared among servers. Below one is one.
    pub timeout: i32,
    /// How many times the servers are gone through. Below one none is asked.
    pub attempts: i32,
    /// The options that are set.
    pub options: BTreeSet<GlibcOption>,
    /// What is written in the file and has no effect, in the order of its lines.
    pub ignored: Vec<IgnoredLine>,
}

/// Something in a file that a library passes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoredLine {
    /// The number of the line, the first at 1.
    pub number: usize,
    /// The line, as text.
    pub text: String,
    /// Why it has no effect.
    pub why: &'static str,
}

impl GlibcConf {
    /// Reads the files and variables that say how name servers are asked.
    #[must_use]
    pub fn read(files: &NameFiles) -> Self {
        let mut reader = ConfReader::new(files);
        let bytes = files.resolv_conf.as_deref().unwrap_or_default();
        for line in c_lines(bytes) {
            reader.line(line);
        }
        reader.end()
    }

    /// Whether this option is set.
    pub(super) fn has(&self, option: GlibcOption) -> bool {
        self.options.contains(&option)
    }
}

/// The file as far as it was read.
struct ConfReader<'a> {
    files: &'a NameFiles,
    conf: GlibcConf,
    /// The line that set the search list, which a later one replaces.
    searched: Option<CLine<'a>>,
}

impl<'a> ConfReader<'a> {
    fn new(files: &'a NameFiles) -> Self {
        let conf = GlibcConf {
            servers: Vec::new(),
            search: files.local_domain.as_deref().map(local_domain).unwrap_or_default(),
            ndots: 1,
            timeout: 5,
            attempts: 2,
            options: BTreeSet::new(),
            ignored: Vec::new(),
        };
        Self { files, conf, searched: None }
    }

    fn line(&mut self, line: CLine<'a>) {
        let text = line.text;
        if text.is_empty() || matches!(text[0], b';' | b'#') {
            return;
        }
        if let Some(value) = keyword(text, b"domain") {
            let (domain, _) = until(value, is_blank);
            let domains = if domain.is_empty() { Vec::new() } else { vec![domain.to_vec()] };
            self.search(line, domains);
        } else if let Some(value) = keyword(text, b"search") {
            self.search(line, words(value).map(<[u8]>::to_vec).collect());
        } else if let Some(value) = keyword(text, b"nameserver") {
            self.server(line, until(value, is_blank).0);
        } else if let Some(value) = keyword(text, b"options") {
            self.options(value, Some(line));
        } else if keyword(text, b"sortlist").is_some() {
            self.ignore(line, "a sort list does not touch getaddrinfo");
        } else if is_blank(text[0]) {
            self.ignore(line, "a keyword stands at the beginning of its line");
        } else if text != b"\r" {
            self.ignore(line, "not a keyword with a blank behind it");
        }
    }

    /// `domain` and `search` are one list: the last line that names a domain counts.
    fn search(&mut self, line: CLine<'a>, domains: Vec<Vec<u8>>) {
        if self.files.local_domain.is_some() {
            self.ignore(line, "LOCALDOMAIN is set");
        } else if domains.is_empty() {
            self.ignore(line, "no domain is named");
        } else {
            if domains.iter().any(|domain| !is_searchable(domain)) {
                self.ignore(line, "a domain that is no name ends the search");
            }
            self.conf.search = domains;
            if let Some(before) = self.searched.replace(line) {
                self.ignore(before, "a later line sets the search list");
            }
        }
    }

    fn server(&mut self, line: CLine<'a>, text: &[u8]) {
        match self.address(text) {
            None => self.ignore(line, "not an address alone"),
            Some(_) if self.conf.servers.len() == MOST_SERVERS => {
                self.ignore(line, "three name servers are asked at the most");
            }
            Some(address) => self.conf.servers.push(address),
        }
    }

    fn address(&self, text: &[u8]) -> Option<SocketAddr> {
        if let Some(address) = inet_aton(text) {
            return Some(SocketAddr::new(IpAddr::V4(address), PORT));
        }
        let (address, scope) = scoped(text)?;
        // A scope that is not known is no scope.
        let scope = scope.and_then(|scope| scope_id(address, scope, &self.files.interfaces)).unwrap_or(0);
        Some(SocketAddrV6::new(address, PORT, 0, scope).into())
    }

    fn options(&mut self, text: &[u8], line: Option<CLine<'a>>) {
        let mut rest = text;
        loop {
            rest = skip(rest, is_blank);
            if rest.is_empty() {
                return;
            }
            let is_known = self.option(rest);
            let (word, after) = until(rest, is_blank);
            if let Some(line) = line.filter(|_| !is_known && !is_without_effect(word)) {
                self.ignore(line, "an option that glibc does not know");
            }
            rest = after;
        }
    }

    /// One option; a number may stand behind blanks, since C skips them.
    fn option(&mut self, rest: &[u8]) -> bool {
        let conf = &mut self.conf;
        if let Some(value) = rest.strip_prefix(b"ndots:") {
            // Four bits: below zero is fifteen.
            conf.ndots = usize::try_from(atoi(value)).unwrap_or(15).min(15);
        } else if let Some(value) = rest.strip_prefix(b"timeout:") {
            conf.timeout = atoi(value).min(30);
        } else if let Some(value) = rest.strip_prefix(b"attempts:") {
            conf.attempts = atoi(value).min(5);
        } else {
            let named = GlibcOption::ALL.iter().find(|option| rest.starts_with(option.as_str().as_bytes()));
            conf.options.extend(named);
            return named.is_some();
        }
        true
    }

    fn ignore(&mut self, line: CLine<'a>, why: &'static str) {
        let text = String::from_utf8_lossy(line.text).into_owned();
        let ignored = IgnoredLine { number: line.number, text, why };
        if !self.conf.ignored.contains(&ignored) {
            self.conf.ignored.push(ignored);
        }
    }

    fn end(mut self) -> GlibcConf {
        if self.conf.servers.is_empty() {
            self.conf.servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
        }
        if self.conf.search.is_empty()
            && let Some((_, domain)) = self.files.host_name.split_once('.')
        {
            self.conf.search.push(domain.as_bytes().to_vec());
        }
        let files = self.files;
        self.options(files.res_options.as_deref().unwrap_or_default().as_bytes(), None);
        self.conf.ignored.sort_by_key(|line| line.number);
        self.conf
    }
}

/// What follows a keyword and the blanks behind it.
fn keyword<'a>(line: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(word)?;
    value.first().is_some_and(|byte| is_blank(*byte)).then(|| skip(value, is_blank))
}

/// The list of `LOCALDOMAIN`. A blank at its beginning is an empty domain, which is the root.
fn local_domain(text: &str) -> Vec<Vec<u8>> {
    let (line, _) = until(text.as_bytes(), |byte| byte == b'\n');
    let (first, rest) = until(line, is_blank);
    std::iter::once(first).chain(words(rest)).map(<[u8]>::to_vec).collect()
}

/// Whether a name can be asked for in this domain; a dot at its beginning is passed over.
fn is_searchable(domain: &[u8]) -> bool {
    let domain = domain.strip_prefix(b".").unwrap_or(domain);
    WireName::from_text(&[b"x.", domain].concat()).is_some()
}

/// Options of other systems and of old times, which have no effect.
fn is_without_effect(word: &[u8]) -> bool {
    let word = word.strip_suffix(b"\r").unwrap_or(word);
    matches!(word, b"" | b"debug" | b"inet6" | b"ip6-bytestring" | b"ip6-dotint" | b"no-ip6-dotint" | b"no-check-names")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(resolv_conf: &str) -> NameFiles {
        NameFiles { resolv_conf: Some(resolv_conf.as_bytes().to_vec()), ..NameFiles::default() }
    }

    fn read(resolv_conf: &str) -> GlibcConf {
        GlibcConf::read(&files(resolv_conf))
    }

    fn servers(conf: &GlibcConf) -> Vec<String> {
        conf.servers.iter().map(ToString::to_string).collect()
    }

    fn search(conf: &GlibcConf) -> Vec<String> {
        conf.search.iter().map(|domain| String::from_utf8_lossy(domain).into_owned()).collect()
    }

    fn ignored(conf: &GlibcConf) -> Vec<(usize, &str)> {
        conf.ignored.iter().map(|line| (line.number, line.why)).collect()
    }

    #[test]
    fn no_server_named_is_this_machine() {
        for conf in [GlibcConf::read(&NameFiles::default()), read(""), read("# nothing\n; here\n\n")] {
            assert_eq!(servers(&conf), ["127.0.0.1:53"]);
            assert_eq!((conf.ndots, conf.timeout, conf.attempts), (1, 5, 2));
            assert!(conf.search.is_empty() && conf.options.is_empty() && conf.ignored.is_empty());
        }
    }

    #[test]
    fn a_server_is_an_address_and_nothing_else() {
        let conf = read(
            "nameserver 10.0.0.1\r\n nameserver 10.0.0.2\nnameserver 10.0.0.3;comment\nnameserver 10.0.0.4 # comment\n\
             nameserver\t \tfd00::1%eth0\nnameserver 10.5\nnameserver\nnameserver 10.0.0.7\nNameserver 10.0.0.8\n",
        );
        assert_eq!(servers(&conf), ["10.0.0.4:53", "[fd00::1]:53", "10.0.0.5:53"]);
        assert_eq!(
            ignored(&conf),
            [
                (1, "not an address alone"),
                (2, "a keyword stands at the beginning of its line"),
                (3, "not an address alone"),
                (7, "not a keyword with a blank behind it"),
                (8, "three name servers are asked at the most"),
                (9, "not a keyword with a blank behind it"),
            ]
        );
    }

    #[test]
    fn a_server_of_the_link_has_its_interface() {
        let mut files = files("nameserver fe80::1%eth0\nnameserver fe80::1%4\nnameserver fe80::1%none\n");
        files.interfaces = vec![("eth0".to_owned(), 2)];
        assert_eq!(servers(&GlibcConf::read(&files)), ["[fe80::1%2]:53", "[fe80::1%4]:53", "[fe80::1]:53"]);
    }

    #[test]
    fn the_last_line_with_a_domain_is_the_search_list() {
        let conf = read("search a.example  b.example\t.\ndomain c.example d.example\nsearch \n");
        assert_eq!(search(&conf), ["c.example"]);
        assert_eq!(ignored(&conf), [(1, "a later line sets the search list"), (3, "no domain is named")]);
        let conf = read("domain c.example\nsearch a.example corp..example b.example\r\n");
        assert_eq!(search(&conf), ["a.example", "corp..example", "b.example\r"], "a carriage return is of the name");
        assert_eq!(
            ignored(&conf),
            [(1, "a later line sets the search list"), (2, "a domain that is no name ends the search")]
        );
    }

    #[test]
    fn the_host_name_and_local_domain_give_a_search_list_as_well() {
        let mut files = files("nameserver 10.0.0.1\n");
        files.host_name = "web-1.corp.example".to_owned();
        assert_eq!(search(&GlibcConf::read(&files)), ["corp.example"]);
        files.resolv_conf = Some(b"search a.example\n".to_vec());
        assert_eq!(search(&GlibcConf::read(&files)), ["a.example"]);
        files.local_domain = Some("x.example y.example\nz.example".to_owned());
        let conf = GlibcConf::read(&files);
        assert_eq!(search(&conf), ["x.example", "y.example"]);
        assert_eq!(ignored(&conf), [(1, "LOCALDOMAIN is set")]);
        files.local_domain = Some(String::new());
        assert_eq!(search(&GlibcConf::read(&files)), [""], "empty is the root: the name itself");
        files.local_domain = Some(" x.example".to_owned());
        assert_eq!(search(&GlibcConf::read(&files)), ["", "x.example"]);
    }

    #[test]
    fn numbers_have_their_limits() {
        for (options, expected) in [
            ("ndots:5 timeout:3 attempts:4", (5, 3, 4)),
            ("ndots:99 timeout:99 attempts:99", (15, 30, 5)),
            ("ndots:-1 timeout:-1 attempts:-1", (15, -1, -1)),
            ("ndots: 7", (7, 5, 2)),
            ("ndots:", (0, 5, 2)),
            ("ndots:5x timeout:1s attempts:3\r", (5, 1, 3)),
            ("NDOTS:5 ndots=5 xndots:5", (1, 5, 2)),
            ("\tndots:2\tndots:3", (3, 5, 2)),
        ] {
            let conf = read(&format!("options {options}\n"));
            assert_eq!((conf.ndots, conf.timeout, conf.attempts), expected, "{options}");
        }
    }

    #[test]
    fn an_option_is_known_by_its_beginning() {
        use GlibcOption::{NoAaaa, NoTldQueryOld, Rotate, SingleRequest, SingleRequestReopen, UseVc};
        let conf =
            read("options rotated single-request no_tld_query\noptions use-vc\r\noptions no-aaaa debug frobnicate\n");
        assert_eq!(conf.options, [Rotate, SingleRequest, NoTldQueryOld, UseVc, NoAaaa].into());
        assert_eq!(ignored(&conf), [(3, "an option that glibc does not know")]);
        assert_eq!(read("options single-request-reopen\n").options, [SingleRequestReopen].into());
    }

    #[test]
    fn res_options_come_last() {
        let mut files = files("options ndots:5 rotate\n");
        files.res_options = Some("ndots:2 use-vc".to_owned());
        let conf = GlibcConf::read(&files);
        assert_eq!(conf.ndots, 2);
        assert_eq!(conf.options, [GlibcOption::Rotate, GlibcOption::UseVc].into());
        assert!(conf.ignored.is_empty());
    }
}
