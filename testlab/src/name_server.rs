//! Real name servers: nsd, which holds zones, and unbound, which asks for them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::OnceLock,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{
    PATIENCE,
    process::{Process, Unsaid},
};

/// A name server in processes of its own. Dropping it ends them, and waits until their sockets are free.
#[derive(Debug)]
pub struct NameServer {
    process: Process,
    directory: TempDir,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        // Where it stands in a process namespace, `unshare` ends when the first process inside has ended, which outlives
        // all others there. Killing `unshare` itself would leave them to die unwatched, with their sockets open.
        let inside = self.inside();
        for first in &inside {
            // It has not been waited for, so the number is still its own.
            let _ = kill_process(*first, Signal::KILL);
        }
        if !inside.is_empty() {
            let _ = self.process.wait(PATIENCE);
        }
    }
}

impl NameServer {
    /// nsd, as this configuration has it; `directory` lives as long as the server.
    #[track_caller]
    pub fn nsd(configuration: &Path, directory: TempDir) -> Self {
        // nsd is several processes; in a process namespace of their own they end together.
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "nsd", "-d", "-c"]).arg(configuration);
        Self::started(command, "nsd", "nsd started", directory)
    }

    /// unbound, as this configuration has it; `directory` lives as long as the server.
    #[track_caller]
    pub fn unbound(configuration: &Path, directory: TempDir) -> Self {
        let mut command = Command::new(unbound());
        command.args(["-d", "-c"]).arg(configuration);
        Self::started(command, "unbound", "start of service", directory)
    }

    /// The process that was started.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Tells nsd to read its zones again. It answers all the while, and a moment later by what it has read.
    #[track_caller]
    pub fn reload_zones(&self) {
        for first in self.inside() {
            kill_process(first, Signal::HUP).expect("it runs");
        }
    }

    /// Tells unbound to read its configuration again and to forget what it knows, and waits until it has.
    #[track_caller]
    pub fn reconfigure(&self) {
        let mark = self.process.transcript().mark();
        self.process.signal(Signal::HUP);
        let again = |line: &str| line.contains("start of service").then_some(());
        if let Err(unsaid) = self.process.transcript().wait_from(mark, PATIENCE, again) {
            panic!("unbound does not take its new configuration: {unsaid:?}");
        }
    }

    /// The first process of the process namespace it stands in, if it stands in one.
    fn inside(&self) -> Vec<Pid> {
        let pid = self.process.pid();
        let inside = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        inside.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
    }

    /// Waits until the server serves.
    #[track_caller]
    fn started(mut command: Command, package: &str, words: &str, directory: TempDir) -> Self {
        let process = Process::spawn(&mut command, package);
        match process.transcript().wait_for(PATIENCE, |line| line.contains(words).then_some(())) {
            Ok(()) => Self { process, directory },
            Err(Unsaid::Ended(output) | Unsaid::Overdue(output)) => panic!("{package} does not serve:\n{output}"),
        }
    }
}

/// Debian confines /usr/sbin/unbound to its own configuration, by its path; a copy is free to read ours.
fn unbound() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut places = env::split_paths(&path).chain(["/usr/sbin".into()]).map(|folder| folder.join("unbound"));
        let installed = places.find(|file| file.is_file());
        let installed = installed.unwrap_or_else(|| panic!("no unbound; run: apt-get install -y unbound"));
        let own = env::current_exe().expect("a program has a path");
        let folder = own.parent().expect("a file is in a folder");
        let (draft, copy) = (folder.join(format!("unbound-{}", process::id())), folder.join("unbound"));
        fs::copy(installed, &draft).expect("a program can be copied");
        fs::rename(draft, &copy).expect("both are in one folder");
        copy
    })
}
