//! The web configuration that Prometheus' exporters share.
//!
//! The format is documented in `docs/web-configuration.md` of github.com/prometheus/exporter-toolkit. What is honoured
//! here is honoured as it is there; what cannot be is refused by its name, and never passed over in silence.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use rustls::crypto::CryptoProvider;
use rustls::{SupportedProtocolVersion, version};

use super::error::{FileFault, GuardError};
use super::rate::Rate;
use super::read;
use super::tls::{self, TlsSettings};
use super::users::{self, Users};
use super::yaml::{self, Node, YamlValue};

/// What such a file says.
#[derive(Debug, Default)]
pub(super) struct WebConfig {
    pub(super) tls: Option<TlsSettings>,
    pub(super) users: Option<Users>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) rate: Option<Rate>,
}

const SECTIONS: &[&str] = &["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"];

const TLS_KEYS: &[&str] = &[
    "cert_file",
    "key_file",
    "client_auth_type",
    "client_ca_file",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
];

/// What the format knows and this program does not do, and what to do instead.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("cert", "a certificate in this file is not supported; write it to a file and set cert_file"),
    ("key", "a key in this file is not supported; write it to a file and set key_file"),
    ("client_ca", "a certificate in this file is not supported; write it to a file and set client_ca_file"),
    (
        "client_allowed_sans",
        "the names in client certificates are not checked; use a client_ca_file that issued only certificates of \
         allowed clients",
    ),
    (
        "auth_excluded_paths",
        "the paths without authentication are fixed: /livez, /readyz, /-/healthy and /-/ready; remove it",
    ),
];

/// The headers that may be set, and the values those take that have few.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-XSS-Protection", &[]),
    ("Strict-Transport-Security", &[]),
];

impl WebConfig {
    /// Reads the file, and none of those it names.
    pub(super) fn read(path: &Path) -> Result<Self, GuardError> {
        let text = read::text(path)?;
        let document =
            yaml::parse(&text).map_err(|(line, words)| GuardError(vec![FileFault::new(path, Some(line), words)]))?;
        let mut reader = WebConfigReader { path, faults: Vec::new() };
        let config = reader.document(&document);
        reader.faults.sort_by_key(|fault| fault.line);
        if reader.faults.is_empty() { Ok(config) } else { Err(reader.faults.into()) }
    }
}

struct WebConfigReader<'p> {
    path: &'p Path,
    faults: Vec<FileFault>,
}

impl WebConfigReader<'_> {
    fn document(&mut self, document: &Node) -> WebConfig {
        let mut config = WebConfig::default();
        for (name, line, node) in self.mapping("", document, SECTIONS) {
            match name {
                "tls_server_config" => config.tls = self.tls(node),
                "http_server_config" => config.headers = self.http(node),
                "basic_auth_users" => config.users = self.users(node),
                "rate_limit" => config.rate = self.rate(line, node),
                _ => {}
            }
        }
        config
    }

    fn tls(&mut self, section: &Node) -> Option<TlsSettings> {
        if matches!(section.value, YamlValue::Nothing) {
            return None;
        }
        let at = "tls_server_config";
        let mut settings = TlsSettings { own_order: true, ..TlsSettings::new(PathBuf::new(), PathBuf::new()) };
        let (mut client_auth, mut oldest, mut newest) = (("NoClientCert", section.line), 12, 13);
        for (name, line, node) in self.mapping(at, section, TLS_KEYS) {
            let key = format!("{at}.{name}");
            match name {
                "cert_file" => settings.cert_file = self.file(&key, node).unwrap_or_default(),
                "key_file" => settings.key_file = self.file(&key, node).unwrap_or_default(),
                "client_ca_file" => settings.client_ca_file = self.file(&key, node),
                "client_auth_type" => {
                    client_auth =
                        (self.text(&key, node).filter(|text| !text.is_empty()).unwrap_or("NoClientCert"), line);
                }
                "min_version" => oldest = self.version(&key, node).unwrap_or(oldest),
                "max_version" => newest = self.version(&key, node).unwrap_or(newest),
                "prefer_server_cipher_suites" => settings.own_order = self.flag(&key, node).unwrap_or(true),
                "cipher_suites" => self.choice(&key, node, &mut settings.provider, tls::choose_suites),
                "curve_preferences" => self.choice(&key, node, &mut settings.provider, tls::choose_groups),
                _ => {}
            }
        }
        for (key, path) in [("cert_file", &settings.cert_file), ("key_file", &settings.key_file)] {
            if path.as_os_str().is_empty() {
                self.complain(
                    section.line,
                    &format!("{at}.{key}"),
                    "is missing; a certificate and its key go together",
                );
            }
        }
        self.client_auth(client_auth, settings.client_ca_file.is_some());
        if oldest > newest {
            self.complain(section.line, at, "min_version is newer than max_version");
        }
        let versions: [(u8, &SupportedProtocolVersion); 2] = [(13, &version::TLS13), (12, &version::TLS12)];
        settings.versions =
            versions.iter().filter(|(own, _)| (oldest..=newest).contains(own)).map(|(_, version)| *version).collect();
        let is_usable = |suite: &rustls::SupportedCipherSuite| settings.versions.contains(&suite.version());
        if !settings.provider.cipher_suites.iter().any(is_usable) && self.faults.is_empty() {
            self.complain(section.line, at, "cipher_suites has no suite of an allowed version");
        }
        Some(settings)
    }

    fn client_auth(&mut self, (policy, line): (&str, usize), has_ca: bool) {
        let key = "tls_server_config.client_auth_type";
        match policy {
            "RequireAndVerifyClientCert" if has_ca => {}
            "RequireAndVerifyClientCert" => self.complain(line, key, "needs client_ca_file, which is not set"),
            "NoClientCert" if has_ca => self.complain(
                line,
                key,
                "does not request a certificate, but client_ca_file is set; write RequireAndVerifyClientCert",
            ),
            "NoClientCert" => {}
            "RequestClientCert" | "RequireAnyClientCert" | "VerifyClientCertIfGiven" => self.complain(
                line,
                key,
                &format!(
                    "{policy} admits clients whose certificate is not verified, and is not supported; write \
                          RequireAndVerifyClientCert or NoClientCert"
                ),
            ),
            _ => self.complain(line, key, "is neither NoClientCert nor RequireAndVerifyClientCert"),
        }
    }

    fn version(&mut self, key: &str, node: &Node) -> Option<u8> {
        match self.text(key, node)? {
            "TLS12" => Some(12),
            "TLS13" => Some(13),
            "TLS10" | "TLS11" => {
                self.complain(node.line, key, "is not supported: TLS 1.0 and 1.1 are broken; write TLS12 or TLS13");
                None
            }
            _ => {
                self.complain(node.line, key, "is neither TLS12 nor TLS13");
                None
            }
        }
    }

    /// A list of names; an empty one leaves everything as it is.
    fn choice(
        &mut self,
        key: &str,
        node: &Node,
        provider: &mut CryptoProvider,
        choose: fn(&mut CryptoProvider, &[&str]) -> Result<(), String>,
    ) {
        let parts = match &node.value {
            YamlValue::Nothing => return,
            YamlValue::List(parts) => parts,
            _ => return self.complain(node.line, key, "is not a list of names"),
        };
        let names: Vec<_> = parts.iter().filter_map(|part| self.text(key, part)).collect();
        if names.is_empty() {
            return;
        }
        // Each by itself first, so that the line of the one that is not known can be named.
        let mut known = true;
        for part in parts {
            if let Some(name) = text_of(part)
                && let Err(words) = choose(&mut provider.clone(), &[name])
            {
                self.complain(part.line, key, &format!("{name:?} {words}"));
                known = false;
            }
        }
        if known && let Err(words) = choose(provider, &names) {
            self.complain(node.line, key, &words);
        }
    }

    fn http(&mut self, section: &Node) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::new();
        for (name, line, node) in self.mapping("http_server_config", section, &["http2", "headers"]) {
            if name == "http2" {
                if self.flag("http_server_config.http2", node) == Some(true) {
                    self.complain(
                        line,
                        "http_server_config.http2",
                        "HTTP/2 is not supported; write false or remove it",
                    );
                }
                continue;
            }
            let known = HEADERS.map(|(name, _)| name);
            for (name, line, node) in self.mapping("http_server_config.headers", node, &known) {
                headers.extend(self.header(name, line, node));
            }
        }
        headers
    }

    /// One header; a blank one is not set.
    fn header(&mut self, name: &str, line: usize, node: &Node) -> Option<(HeaderName, HeaderValue)> {
        let key = format!("http_server_config.headers.{name}");
        let (_, allowed) = HEADERS.iter().find(|(known, _)| *known == name)?;
        let text = match &node.value {
            YamlValue::Nothing => return None,
            _ => self.text(&key, node)?,
        };
        if text.is_empty() {
            return None;
        }
        if !allowed.is_empty() && !allowed.contains(&text) {
            self.complain(line, &key, &format!("is not one of {}", allowed.join(", ")));
            return None;
        }
        let header = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let Ok(value) = HeaderValue::from_str(text) else {
            self.complain(line, &key, "contains characters that a header must not have");
            return None;
        };
        Some((header, value))
    }

    fn users(&mut self, section: &Node) -> Option<Users> {
        let YamlValue::Mapping(entries) = &section.value else {
            if !matches!(section.value, YamlValue::Nothing) {
                self.complain(section.line, "basic_auth_users", "is not a mapping of users to bcrypt hashes");
            }
            return None;
        };
        if entries.is_empty() {
            return None;
        }
        let users = entries.iter().map(|(user, line, node)| (*line, user.as_str(), text_of(node).unwrap_or_default()));
        match users::collect(self.path, users, Vec::new()) {
            Ok(users) => Some(users),
            Err(GuardError(faults)) => {
                let within =
                    |fault: FileFault| FileFault { words: format!("basic_auth_users: {}", fault.words), ..fault };
                self.faults.extend(faults.into_iter().map(within));
                None
            }
        }
    }

    fn rate(&mut self, line: usize, section: &Node) -> Option<Rate> {
        let (mut interval, mut burst) = (None, None);
        for (name, line, node) in self.mapping("rate_limit", section, &["interval", "burst"]) {
            let key = format!("rate_limit.{name}");
            let text = self.text(&key, node)?;
            if name == "interval" {
                interval = if text == "0" { Some(Duration::ZERO) } else { humantime::parse_duration(text).ok() };
                if interval.is_none() {
                    self.complain(line, &key, "is not a duration, such as \"1s\" or \"100ms\"");
                    return None;
                }
            } else {
                burst = text.parse().ok().filter(|burst: &u32| *burst > 0);
                if burst.is_none() {
                    self.complain(line, &key, "is not a number of requests (1 or more)");
                    return None;
                }
            }
        }
        match (interval, burst) {
            (None | Some(Duration::ZERO), _) => None,
            (Some(interval), Some(burst)) => Some(Rate { interval, burst }),
            (Some(_), None) => {
                self.complain(line, "rate_limit.burst", "is missing, so that no request would be answered");
                None
            }
        }
    }

    /// The entries of a mapping that are known; each other one is told.
    fn mapping<'n>(&mut self, at: &str, node: &'n Node, known: &[&str]) -> Vec<(&'n str, usize, &'n Node)> {
        let entries = match &node.value {
            YamlValue::Mapping(entries) => entries,
            YamlValue::Nothing => return Vec::new(),
            _ => {
                self.complain(node.line, at, "is not a mapping");
                return Vec::new();
            }
        };
        let mut found = Vec::new();
        for (name, line, node) in entries {
            let key = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            if known.contains(&name.as_str()) {
                found.push((name.as_str(), *line, node));
            } else if let Some((_, words)) = UNSUPPORTED.iter().find(|(known, _)| known == name) {
                self.complain(*line, &key, words);
            } else {
                self.complain(*line, &key, &format!("unknown key; known here: {}", known.join(", ")));
            }
        }
        found
    }

    /// A path; a relative one begins at the directory of this file.
    fn file(&mut self, key: &str, node: &Node) -> Option<PathBuf> {
        let text = match &node.value {
            YamlValue::Nothing => "",
            _ => self.text(key, node)?,
        };
        (!text.is_empty()).then(|| self.path.parent().unwrap_or(Path::new("")).join(text))
    }

    fn text<'n>(&mut self, key: &str, node: &'n Node) -> Option<&'n str> {
        let text = text_of(node);
        if text.is_none() {
            self.complain(node.line, key, "is not a text");
        }
        text
    }

    fn flag(&mut self, key: &str, node: &Node) -> Option<bool> {
        match &node.value {
            YamlValue::Scalar { text, is_quoted: false } if text == "true" => Some(true),
            YamlValue::Scalar { text, is_quoted: false } if text == "false" => Some(false),
            _ => {
                self.complain(node.line, key, "is neither true nor false");
                None
            }
        }
    }

    fn complain(&mut self, line: usize, key: &str, words: &str) {
        let words = if key.is_empty() { words.to_owned() } else { format!("{key}: {words}") };
        self.faults.push(FileFault::new(self.path, Some(line), words));
    }
}

fn text_of(node: &Node) -> Option<&str> {
    match &node.value {
        YamlValue::Scalar { text, .. } => Some(text),
        _ => None,
    }
}
