//! Caches as the configuration would describe them, for tests that call the probe itself.
//!
//! Every part of a [`Cache`] is public, so a test says what is special about its own in `Cache { .., ..at(address) }`.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use cachewatch::{
    model::{
        Auth, Cache, Leg, LookupReport, Password, ProbeReport, Protocol, Resolver, Rules, SystemFiles, Timeouts, Tls,
    },
    probe::Prober,
};
use tempfile::TempDir;

use super::{PATIENCE, pki::Authority};

/// The limit of the one stage that a test wants to see reached. What stands before it, or beside it, is done in this time
/// on a busy machine as well.
pub const SOON: Duration = Duration::from_secs(1);
/// How much later than its limit a probe may end on a busy machine. A limit that is not kept is told all the same: the
/// limits of [`AMPLE`] come later still.
pub const SLACK: Duration = PATIENCE.checked_div(2).expect("two is not zero");

/// Limits that only a stage that hangs for ever reaches, on a busy machine as well.
pub const AMPLE: Timeouts =
    Timeouts { total: PATIENCE, resolve: PATIENCE, connect: PATIENCE, tls: PATIENCE, command: PATIENCE };

/// A plain cache at this address, with nothing to resolve and nobody to be.
pub fn at(address: SocketAddr) -> Cache {
    Cache {
        tls: None,
        timeouts: AMPLE,
        rules: Rules { open_after: 1, clear_after: 1 },
        ..Cache::new("orders", &address.ip().to_string(), address.port())
    }
}

/// A plain cache on port 6380 of whatever `host` leads to when this name server is asked over UDP.
pub fn named(host: &str, server: SocketAddr) -> Cache {
    let resolvers = vec![resolver(server, Protocol::Udp)];
    Cache { host: host.to_owned(), resolvers, ..at(([127, 0, 0, 1], 6380).into()) }
}

/// The resolver `one` at this address.
pub fn resolver(address: SocketAddr, protocol: Protocol) -> Resolver {
    Resolver::server("one", address, protocol)
}

/// TLS to a peer that must prove this name before this authority.
pub fn tls(authority: &Authority, name: &str) -> Tls {
    Tls { ca_file: Some(authority.ca_file()), server_name: Some(name.to_owned()) }
}

/// A password in a file, as an orchestrator mounts it.
#[derive(Debug)]
pub struct PasswordFile {
    directory: TempDir,
}

impl PasswordFile {
    /// A file of its own that holds this password.
    pub fn new(password: &str) -> Self {
        let file = Self { directory: TempDir::new().expect("a temporary directory") };
        file.rotate(password);
        file
    }

    /// Replaces the password by a rename, as a secret store does.
    pub fn rotate(&self, password: &str) {
        let next = self.directory.path().join("next");
        fs::write(&next, format!("{password}\n")).expect("a temporary directory can be written to");
        fs::rename(next, self.path()).expect("a file can be renamed beside itself");
    }

    /// AUTH with the password alone.
    pub fn alone(&self) -> Auth {
        Auth::AccessKey { username: None, password: Password::File(self.path()) }
    }

    /// AUTH as this user.
    pub fn of(&self, user: &str) -> Auth {
        Auth::AccessKey { username: Some(user.to_owned()), password: Password::File(self.path()) }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("password")
    }
}

/// Walks the path once, from the thread and so from the network of the caller.
pub fn walk(cache: &Cache) -> ProbeReport {
    walk_as(&SystemFiles::default(), cache)
}

/// The same on a machine that resolves names by these files.
pub fn walk_as(files: &SystemFiles, cache: &Cache) -> ProbeReport {
    runtime().block_on(Prober::new(files).walk(cache))
}

/// Looks the name up and goes no further, as a machine with these files would.
pub fn look_up_as(files: &SystemFiles, cache: &Cache) -> LookupReport {
    runtime().block_on(Prober::new(files).look_up(cache))
}

/// A runtime that lives on the thread of the caller, and so in its network.
pub fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a current-thread runtime needs only a few descriptors")
}

/// The leg of a report that must have exactly one.
#[track_caller]
pub fn only_leg(report: &ProbeReport) -> &Leg {
    match report.legs.as_slice() {
        [leg] => leg,
        legs => panic!("{} legs, not one: {report:#?}", legs.len()),
    }
}

/// How a leg ended, in one line: `serves`, or the stage and the kind of the fault; then the notes, if any.
pub fn ending(leg: &Leg) -> String {
    let fault = leg.fault.as_ref().map_or("serves".to_owned(), |fault| format!("{} {}", fault.stage, fault.kind));
    let notes = leg.notes.iter().map(|note| format!(", noting {} {}", note.stage, note.kind));
    std::iter::once(fault).chain(notes).collect()
}
