//! Looks at this machine: the kernel's TCP settings.

use std::fs;
use std::path::Path;

use crate::azure::TCP_SETTINGS;
use crate::model::Sysctl;

/// The TCP settings of the kernel, read below `proc` (`/proc`). One that cannot be read, as in a sandbox, is left out.
#[must_use]
pub fn tcp_settings(proc: &Path) -> Vec<Sysctl> {
    let folder = proc.join("sys/net/ipv4");
    let read = |name: &'static str| {
        let text = fs::read_to_string(folder.join(name)).ok()?;
        Some(Sysctl { name, value: text.trim().parse().ok()? })
    };
    TCP_SETTINGS.iter().filter_map(|setting| read(setting.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_is_read() {
        let proc = tempfile::tempdir().unwrap();
        let folder = proc.path().join("sys/net/ipv4");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("tcp_retries2"), "15\n").unwrap();
        fs::write(folder.join("tcp_keepalive_time"), "nonsense").unwrap();
        assert_eq!(tcp_settings(proc.path()), [Sysctl { name: "tcp_retries2", value: 15 }]);
    }
}
