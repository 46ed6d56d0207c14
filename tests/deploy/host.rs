//! A machine with systemd: the unit, and the kernel's settings.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use cachewatch::azure::TCP_SETTINGS;

use super::{read, run};

/// 0 is a service that can do nothing, 10 one that can do everything; what a probe needs of the network is 1.1.
#[test]
fn the_systemd_unit_is_sandboxed() {
    let exposed = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let unit = folder.path().join("cachewatch.service");
        fs::write(&unit, text).unwrap();
        let mut command = Command::new("systemd-analyze");
        command.args(["security", "--offline=true", "--threshold=15", "--no-pager"]).arg(unit);
        run(&mut command, "")
    };
    let unit = read("deploy/systemd/cachewatch.service");
    exposed(&unit).unwrap();
    let weaker: Vec<_> = unit.lines().filter(|line| !line.starts_with("Protect")).collect();
    assert!(exposed(&weaker.join("\n")).is_err(), "a unit that protects nothing passes");
    for line in ["Type=notify", "WatchdogSec=", "ExecReload=", "StateDirectory=cachewatch", "DynamicUser=yes"] {
        assert!(unit.contains(line), "{line}");
    }
}

/// What the advice `host-tcp-tuning` recommends is what the drop-in sets.
#[test]
fn the_sysctl_drop_in_sets_what_is_recommended() {
    let file = read("deploy/sysctl/90-cachewatch.conf");
    let set: BTreeSet<_> = file.lines().filter(|line| line.contains('=')).map(|line| line.replace(' ', "")).collect();
    let recommended = TCP_SETTINGS.iter().map(|setting| format!("net.ipv4.{}={}", setting.name, setting.recommended));
    assert_eq!(set, recommended.collect());
}
