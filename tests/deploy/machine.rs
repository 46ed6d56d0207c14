//! A machine to install on: this one's files, copied on write into memory, with a systemd of its own as first process.
//!
//! It has its own processes, network and mounts. Nothing of it reaches the host, and nothing is left of it.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cachewatch::clock::Stopwatch;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use testlab::PATIENCE;

use super::{root, run};

/// Ends, with all that runs in it, when dropped, and also when the test's process ends in another way.
pub(super) struct Machine {
    unshare: Child,
    init: Pid,
    group: PathBuf,
    _directory: TempDir,
}

/// A place in the machine's journal.
pub(super) struct Mark(String);

impl Machine {
    pub(super) fn boot() -> Self {
        // In a user namespace root is not the host's, and has neither the users nor the control groups that systemd
        // hands out.
        let users = fs::read_to_string("/proc/self/uid_map").unwrap();
        assert!(
            geteuid().is_root() && users.split_whitespace().eq(["0", "0", "4294967295"]),
            "a machine with systemd needs the host's root, for users, mounts and control groups; run `sudo make test`"
        );
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("disk")).unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let name = directory.path().file_name().unwrap().to_str().unwrap();
        let group = control_groups().join(format!("cachewatch-test{name}"));
        fs::create_dir(&group).unwrap_or_else(|error| panic!("{}: {error}", group.display()));

        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(root().join("tests/deploy/boot")).arg(directory.path()).arg(&group);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let complaints = directory.path().join("complaints");
        let unshare = command.stderr(fs::File::create(&complaints).unwrap()).spawn().unwrap();
        // Until the first process is known, it is `unshare` that is ended, and takes the other with it.
        let init = Pid::from_child(&unshare);
        let mut machine = Self { unshare, init, group, _directory: directory };
        let watch = Stopwatch::start();
        let mut message = [0; 4096];
        while !socket.recv(&mut message).is_ok_and(|length| message[..length].starts_with(b"READY=1")) {
            let ended = machine.unshare.try_wait().unwrap();
            let said = || fs::read_to_string(&complaints).unwrap();
            assert!(ended.is_none() && watch.elapsed() < PATIENCE, "systemd does not start: {ended:?} {}", said());
        }
        let children = format!("/proc/{0}/task/{0}/children", machine.unshare.id());
        let child = fs::read_to_string(children).unwrap();
        machine.init = Pid::from_raw(child.trim().parse().unwrap()).unwrap();
        machine
    }

    /// A program, run in there.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.as_raw_nonzero().to_string(), "--all", "--root"]);
        command.args(["env", "-i", "--chdir=/", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]);
        // Where a test hangs, it must end and say where.
        command.args(["timeout", "--kill-after=1", &PATIENCE.as_secs().to_string()]).args(words);
        command
    }

    /// What a program says that succeeds.
    #[track_caller]
    pub(super) fn run(&self, words: &[&str]) -> String {
        self.attempt(words).unwrap_or_else(|said| panic!("{said}\n{}", self.last_words()))
    }

    pub(super) fn attempt(&self, words: &[&str]) -> Result<String, String> {
        run(&mut self.command(words), "")
    }

    /// A shell's words.
    #[track_caller]
    pub(super) fn sh(&self, script: &str) -> String {
        self.run(&["sh", "-euc", script])
    }

    #[track_caller]
    pub(super) fn write(&self, path: &str, text: &str) {
        run(&mut self.command(&["sh", "-euc", "mkdir -p \"$(dirname \"$0\")\" && cat >\"$0\"", path]), text).unwrap();
    }

    /// Brings a file of the host in.
    #[track_caller]
    pub(super) fn copy(&self, file: &Path, path: &str) {
        let mut command = self.command(&["sh", "-euc", "cat >\"$0\"", path]);
        let status = command.stdin(fs::File::open(file).unwrap()).status().unwrap();
        assert!(status.success(), "{} → {path}", file.display());
    }

    /// A property of the service.
    #[track_caller]
    pub(super) fn service(&self, property: &str) -> String {
        self.run(&["systemctl", "show", "--value", "--property", property, "cachewatch.service"]).trim().to_owned()
    }

    /// What `path` of the daemon's HTTP answers, head and body.
    #[track_caller]
    pub(super) fn http(&self, path: &str) -> String {
        let script = "exec 3<>/dev/tcp/127.0.0.1/9847
            printf 'GET %s HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' \"$0\" >&3
            cat <&3";
        self.run(&["bash", "-euc", script, path])
    }

    /// Asks again until `path` answers with `words`: what a probe saw is told by no event.
    #[track_caller]
    pub(super) fn http_until(&self, path: &str, words: &str) {
        let watch = Stopwatch::start();
        loop {
            let answer = self.http(path);
            if answer.contains(words) {
                return;
            }
            assert!(watch.elapsed() < PATIENCE, "{path} never said {words:?}\n{answer}\n{}", self.last_words());
        }
    }

    /// Looks again until `systemctl status` has these words: it changes without a word in the journal.
    #[track_caller]
    pub(super) fn status_until(&self, words: &str) {
        let watch = Stopwatch::start();
        loop {
            let status = self.service("StatusText");
            if status.contains(words) {
                return;
            }
            assert!(watch.elapsed() < PATIENCE, "the status never said {words:?}, but {status:?}");
        }
    }

    /// The end of the journal as it is now.
    #[track_caller]
    pub(super) fn mark(&self) -> Mark {
        self.run(&["journalctl", "--sync"]);
        let said = self.run(&["journalctl", "--lines=1", "--show-cursor", "--quiet", "--output=cat"]);
        Mark(said.lines().find_map(|line| line.strip_prefix("-- cursor: ")).unwrap().to_owned())
    }

    /// Looks again until the service, or systemd of it, has said `words` in the journal, later than at `mark`.
    #[track_caller]
    pub(super) fn until(&self, mark: &Mark, words: &str) {
        let after = format!("--after-cursor={}", mark.0);
        let watch = Stopwatch::start();
        loop {
            // What was said before this is in the journal after it, however slow the machine is to write it.
            self.run(&["journalctl", "--sync"]);
            let said = self.run(&["journalctl", "--no-pager", "--output=cat", "--unit=cachewatch", &after]);
            if said.contains(words) {
                return;
            }
            assert!(
                watch.elapsed() < PATIENCE,
                "the journal never said {words:?}, but:\n{said}\n{}",
                self.last_words()
            );
        }
    }

    /// Every file that differs from the host's, or is not there.
    pub(super) fn written(&self) -> Vec<String> {
        self.sh("cd /mnt && find . -mindepth 1 | sort").lines().map(|line| line[1..].to_owned()).collect()
    }

    fn last_words(&self) -> String {
        self.attempt(&["journalctl", "--lines=20", "--no-pager", "--output=cat"]).unwrap_or_else(|said| said)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A first process takes all others with it, and `unshare` ends when the last is gone.
        let _ = kill_process(self.init, Signal::KILL);
        let _ = self.unshare.wait();
        remove_groups(&self.group);
    }
}

/// Where this process may make control groups: its own, in the second version's hierarchy.
fn control_groups() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mounted = fields.find(|fields| fields[2] == "cgroup2").expect("a cgroup2 is mounted, which systemd needs");
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).expect("this process is in a cgroup2");
    Path::new(mounted[1]).join(own)
}

/// A group that holds no process is removed; only empty directories are.
fn remove_groups(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    if let Err(error) = fs::remove_dir(group) {
        tell(&format!("{} stays: {error}", group.display()));
    }
}

/// To whoever runs the tests; a panic while dropping would hide why a test failed.
fn tell(words: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{words}");
}
