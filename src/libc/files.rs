//! What a library reads before it asks anybody.

/// The files and variables that decide how a name is looked up, as they are: each library reads them in its own way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NameFiles {
    /// `/etc/resolv.conf`; `None` where it is missing or cannot be read.
    pub resolv_conf: Option<Vec<u8>>,
    /// `/etc/hosts`.
    pub hosts: Option<Vec<u8>>,
    /// `/etc/nsswitch.conf`, which glibc alone reads.
    pub nsswitch: Option<Vec<u8>>,
    /// `/etc/host.conf`, which glibc alone reads.
    pub host_conf: Option<Vec<u8>>,
    /// The network interfaces, each with its index: a name server may be written with the name of one.
    pub interfaces: Vec<(String, u32)>,
    /// The host name of the machine, from which glibc takes a search domain where none is configured.
    pub host_name: String,
    /// The variable `RES_OPTIONS`, which glibc alone reads.
    pub res_options: Option<String>,
    /// The variable `LOCALDOMAIN`, which glibc alone reads.
    pub local_domain: Option<String>,
}
