//! A world as data: what a machine's files say, and what its name servers answer. The same for both libraries.

use std::net::{IpAddr, Ipv4Addr};

use cachewatch::libc::NameFiles;
use cachewatch::model::RecordType;
use serde::{Deserialize, Serialize};

/// What one lookup is made in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct World {
    /// What is special about it, in one or two words: a row of the table.
    pub(crate) kind: String,
    /// For a person: what it shows.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) about: String,
    /// The name that is looked up.
    pub(crate) host: String,
    /// `/etc/resolv.conf`; absent is no file. So are the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resolv_conf: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hosts: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nsswitch: Option<String>,
    /// `/etc/host.conf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host_conf: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) res_options: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) local_domain: Option<String>,
    /// What each library must return, where that is told: `found ADDRESS...` in the order of their numbers, or
    /// `failed WORD`, and `, MILLISECONDS` behind it.
    #[serde(skip_serializing_if = "Expected::is_empty")]
    pub(crate) expect: Expected,
    /// The name servers that run. Any other address of 127.0.0.0/8 and of [`ADDRESSES`] and [`WELL_KNOWN`] refuses; what lies beyond has no route.
    pub(crate) servers: Vec<Server>,
}

/// What is known of the outcome of a world that was written by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expected {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) glibc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) musl: Option<String>,
}

impl Expected {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The addresses that a world's machine has, beside loopback's.
pub(crate) const ADDRESSES: &[&str] =
    &["10.53.0.1", "10.53.0.2", "10.53.0.3", "10.53.0.4", "fd53::1", "fd53::2", "fd53::3", "fd53::4"];

/// Further addresses, of name servers that public files name.
pub(crate) const WELL_KNOWN: &[&str] =
    &["168.63.129.16", "169.254.20.10", "10.0.0.10", "8.8.8.8", "1.1.1.1", "9.9.9.9"];

/// One name server, at port 53.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) at: IpAddr,
    #[serde(default)]
    pub(crate) tcp: Tcp,
    /// The first that fits a question answers it; where none does, the name does not exist.
    #[serde(default)]
    pub(crate) rules: Vec<Rule>,
}

/// What a server does with connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tcp {
    #[default]
    Answers,
    /// Nothing listens.
    Closed,
    /// It hears the question and hangs up.
    HangsUp,
    /// It hears the question and says nothing.
    Silent,
}

/// A reply, and to which questions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of a file")]
pub(crate) struct Rule {
    /// The name asked for, in lower case and without a dot at its end; any, where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// `A` or `AAAA`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) record_type: Option<RecordType>,
    /// For so many of the same question, one after the other; without it, for all that follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) times: Option<u32>,
    /// Milliseconds from the question to the reply.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) after: u64,
    /// No reply at all.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) drop: bool,
    /// Behind the ID of the question, these bytes as hexadecimal digits, and nothing of what follows below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<String>,
    #[serde(skip_serializing_if = "is_zero_code")]
    pub(crate) rcode: u8,
    /// RA is not set.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) no_recursion: bool,
    /// AA is set.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) authoritative: bool,
    /// Over UDP only the header and the question, with TC set.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) truncated: bool,
    /// With `truncated`: over UDP all records, with TC set.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) whole: bool,
    /// Records such as `@ A 10.1.0.1`, where `@` is the name asked for. Addresses of another type than the question's are left
    /// out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) answer: Vec<String>,
    /// Addresses of the other type are not left out.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) every_type: bool,
    /// Of the addresses only one, another each time.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) rotate: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) authority: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) additional: Vec<String>,
    /// The question section holds this name instead of the one asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) question: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_zero_code(value: &u8) -> bool {
    *value == 0
}

impl World {
    /// What the models read.
    pub(crate) fn files(&self) -> NameFiles {
        let bytes = |text: &Option<String>| text.as_ref().map(|text| text.clone().into_bytes());
        NameFiles {
            resolv_conf: bytes(&self.resolv_conf),
            hosts: bytes(&self.hosts),
            nsswitch: bytes(&self.nsswitch),
            host_conf: bytes(&self.host_conf),
            interfaces: vec![("lo".to_owned(), 1)],
            host_name: self.host_name().to_owned(),
            res_options: self.res_options.clone(),
            local_domain: self.local_domain.clone(),
        }
    }

    /// The name of the machine.
    pub(crate) fn host_name(&self) -> &str {
        self.host_name.as_deref().unwrap_or("machine")
    }

    /// The server at that address.
    pub(crate) fn server_at(&self, address: IpAddr) -> Option<&Server> {
        let address = match address.to_canonical() {
            // Linux takes a packet to 0.0.0.0 for one to this machine.
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            other => other,
        };
        self.servers.iter().find(|server| server.at == address)
    }

    /// The world as the file it could be.
    pub(crate) fn text(&self) -> String {
        toml::to_string(self).expect("text, numbers and lists can be written")
    }
}
