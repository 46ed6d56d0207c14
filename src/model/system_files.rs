//! Where this machine says how it resolves names.

use std::path::PathBuf;

/// The files that tell how this machine resolves names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemFiles {
    /// `/etc/resolv.conf`, or what stands for it.
    pub resolv_conf: PathBuf,
    /// `/etc/hosts`, or what stands for it.
    pub hosts: PathBuf,
    /// `/etc/nsswitch.conf`, or what stands for it: which of these is asked first.
    pub nsswitch: PathBuf,
    /// `/etc/host.conf`, or what stands for it: whether a name of the hosts file has one address or all of its lines.
    pub host_conf: PathBuf,
}

impl Default for SystemFiles {
    fn default() -> Self {
        Self {
            resolv_conf: "/etc/resolv.conf".into(),
            hosts: "/etc/hosts".into(),
            nsswitch: "/etc/nsswitch.conf".into(),
            host_conf: "/etc/host.conf".into(),
        }
    }
}
