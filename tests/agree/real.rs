//! The libraries themselves: a small program that calls `getaddrinfo`, built against each, in a machine of its own.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::PoisonError;
use std::time::Duration;

use cachewatch::libc::GaiError;
use tempfile::TempDir;

use crate::server::{FORKING, Heard, Servers};
use crate::world::World;
use crate::{Library, Outcome};

/// The program, built against each library, and what else must live as long.
pub(crate) struct Programs {
    folder: TempDir,
}

/// What a library did.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) outcome: Outcome,
    pub(crate) took: Duration,
    /// How long the machine kept the program from a processor.
    pub(crate) starved: Duration,
    pub(crate) heard: Heard,
}

impl Programs {
    /// Builds them.
    ///
    /// # Panics
    ///
    /// Without a compiler, naming the package.
    pub(crate) fn build() -> Self {
        let folder = TempDir::new().expect("a temporary directory");
        for library in Library::ALL {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agree/getaddrinfo.c");
            let (compiler, flags, package) = match library {
                Library::Glibc => ("cc".to_owned(), &["-O1"][..], "gcc libc6-dev"),
                // Another musl than the machine's, to see what newer versions do.
                Library::Musl => {
                    let other = std::env::var("AGREE_MUSL_GCC").ok();
                    (other.unwrap_or_else(|| "musl-gcc".to_owned()), &["-O1", "-static"][..], "musl-tools")
                }
            };
            let mut command = Command::new(&compiler);
            command.args(flags).arg("-o").arg(folder.path().join(library.word())).arg(source);
            let built = command.output().unwrap_or_else(|error| {
                panic!("{compiler}: {error}; install it: apt-get install --no-install-recommends {package}")
            });
            assert!(built.status.success(), "{compiler}: {}", String::from_utf8_lossy(&built.stderr));
        }
        Self { folder }
    }

    fn program(&self, library: Library) -> PathBuf {
        self.folder.path().join(library.word())
    }

    /// Looks the name of this world up, in the network of the thread that calls. What does not return in time hangs.
    pub(crate) fn look_up(&self, library: Library, world: &World, patience: Duration) -> Measured {
        let etc = TempDir::new_in(self.folder.path()).expect("a temporary directory");
        let files = [
            ("resolv.conf", &world.resolv_conf),
            ("hosts", &world.hosts),
            ("nsswitch.conf", &world.nsswitch),
            ("host.conf", &world.host_conf),
        ];
        for (name, text) in files {
            if let Some(text) = text {
                fs::write(etc.path().join(name), text).expect("a temporary directory can be written to");
            }
        }
        let mut command = Command::new(self.program(library));
        let patience = patience.as_secs().max(1).to_string();
        command.arg(etc.path()).args([world.host_name(), &patience, &world.host]).env_clear();
        for (name, value) in [("RES_OPTIONS", &world.res_options), ("LOCALDOMAIN", &world.local_domain)] {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        let servers = Servers::start(world);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = {
            let _alone = FORKING.lock().unwrap_or_else(PoisonError::into_inner);
            command.spawn().expect("the program has been built")
        };
        let output = child.wait_with_output().expect("a child of ours can be waited for");
        let heard = servers.stop();
        let said = String::from_utf8_lossy(&output.stdout);
        let broke = || {
            let words = format!("{}: {said}{}", output.status, String::from_utf8_lossy(&output.stderr));
            let failed = |outcome| (outcome, Duration::ZERO, Duration::ZERO);
            match output.status.signal() {
                // It divided by zero: no value is returned, and no application lives on.
                Some(8) => failed(Outcome::Failed(GaiError::System)),
                // Its own clock ended it.
                Some(14) => failed(Outcome::Hangs),
                _ => failed(Outcome::Broke(words)),
            }
        };
        let (outcome, took, starved) = read(&said).unwrap_or_else(broke);
        Measured { outcome, took, starved, heard }
    }
}

fn read(said: &str) -> Option<(Outcome, Duration, Duration)> {
    let mut words = said.split_whitespace();
    let mut milliseconds = || words.next()?.parse().ok().map(|number: f64| Duration::from_secs_f64(number / 1e3));
    let (took, starved) = (milliseconds()?, milliseconds()?);
    let outcome = match words.next()? {
        "found" => Outcome::Found(words.map(|word| word.parse::<IpAddr>().ok()).collect::<Option<BTreeSet<_>>>()?),
        "failed" => Outcome::Failed(match words.next()? {
            "EAI_NONAME" => GaiError::NoName,
            "EAI_NODATA" => GaiError::NoData,
            "EAI_AGAIN" => GaiError::Again,
            "EAI_FAIL" => GaiError::Fail,
            _ => GaiError::System,
        }),
        _ => return None,
    };
    Some((outcome, took, starved))
}
