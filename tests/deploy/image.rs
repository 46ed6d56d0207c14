//! The image: built from its Dockerfile, looked through, and started as a cluster would start it.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use cachewatch::VERSION;
use rustix::process::{Signal, geteuid};
use serde_json::{Value, json};
use tempfile::TempDir;
use testlab::net::Namespace;
use testlab::pki::{Authority, Leaf};
use testlab::process::Process;
use testlab::redis::RedisServer;
use testlab::{PATIENCE, http};

use super::{PORT, STATE, read, root, run, text, yaml};

/// The image's user, which has no name.
const USER: u32 = 65532;
const PROGRAM: &str = "usr/bin/cachewatch";
/// In the hosts file of every container, so that no name server is asked.
const HOST: &str = "orders.test";
const ROOTS: &str = "etc/ssl/certs/ca-certificates.crt";
/// What the test says the revision is.
const REVISION: &str = "0123abc";

/// Everything that is in the image, and whose it is.
const FILES: &str = "\
dr-xr-xr-x 0:0 .
drwxr-xr-x 0:0 etc
drwxr-xr-x 0:0 etc/ssl
drwxr-xr-x 0:0 etc/ssl/certs
-rw-r--r-- 0:0 etc/ssl/certs/ca-certificates.crt
drwxr-xr-x 0:0 usr
drwxr-xr-x 0:0 usr/bin
-rwxr-xr-x 0:0 usr/bin/cachewatch
drwxr-xr-x 0:0 usr/share
drwxr-xr-x 0:0 usr/share/doc
drwxr-xr-x 0:0 usr/share/doc/cachewatch
-rw-r--r-- 0:0 usr/share/doc/cachewatch/LICENSE
drwxr-xr-x 0:0 var
drwxr-xr-x 0:0 var/lib
drwx------ 65532:65532 var/lib/cachewatch
";

/// So much of the test's unoptimised program may be loaded, which is more than twice the released one that a node pulls.
/// It has some 10 MiB left: what takes them is a dependency that nobody meant to add.
const LOADED_BYTES: u64 = 40 << 20;

/// One build for all that is to be said of the image: it is the longest part.
#[test]
fn the_image_is_built_and_holds_nothing_else_and_runs() {
    let storage = Storage::new();
    let authority = Authority::new();
    // The roots of this machine and one more, which only the image trusts: so a check that trusts it has read the image's.
    let roots = [read_outside("/etc/ssl/certs/ca-certificates.crt"), fs::read(authority.ca_file()).unwrap()].concat();
    let image = storage.build(&roots);

    is_described(&storage, image);
    let container = storage.container(image);
    assert_eq!(list(&container), FILES);
    assert_eq!(fs::read(container.join(ROOTS)).unwrap(), roots);
    assert_eq!(fs::read(container.join("usr/share/doc/cachewatch/LICENSE")).unwrap(), read("LICENSE").into_bytes());
    let (interpreter, loaded) = loads(&container.join(PROGRAM));
    assert!(!interpreter, "the program wants a loader of shared libraries, and the image has none");
    assert!(loaded < LOADED_BYTES, "{loaded} bytes");

    runs(&storage, image, &authority);
    runs_in_compose(&storage, image);
}

fn is_described(storage: &Storage, image: &str) {
    let config = storage.inspect(image);
    assert_eq!(config["User"], format!("{USER}:{USER}"));
    assert_eq!((&config["Entrypoint"], &config["Cmd"]), (&json!(["/usr/bin/cachewatch"]), &json!(["run"])));
    assert_eq!(config["Env"], json!(["PATH=/usr/bin"]), "`exec POD -- cachewatch` finds it");
    assert_eq!(config["ExposedPorts"], json!({ format!("{PORT}/tcp"): {} }));
    assert_eq!(config["StopSignal"], "SIGTERM");
    assert_eq!(config["Healthcheck"]["Test"], json!(["CMD", "/usr/bin/cachewatch", "health"]));
    let label = |name: &str| config["Labels"][format!("org.opencontainers.image.{name}")].as_str().unwrap();
    assert_eq!((label("title"), label("version"), label("revision")), ("cachewatch", VERSION, REVISION));
    let manifest = read("Cargo.toml");
    assert!(manifest.contains(&format!("\nlicense = \"{}\"\n", label("licenses"))), "{}", label("licenses"));
    assert!(!label("description").is_empty());
}

/// As on a node: a user of no rights, a root that nobody may write, a volume for the journal, a network of its own.
fn runs(storage: &Storage, image: &str, authority: &Authority) {
    let config = storage.inspect(image);
    let state = owned_directory();
    let journal = format!("{STATE}/journal.db");
    let container = Container::new(storage.container(image), &config)
        .mount(state.path(), STATE)
        .env("CACHEWATCH__JOURNAL__PATH", &journal);
    let network = Namespace::new();
    let leaf = authority.leaf(&[HOST]);
    let redis = network.run(|| RedisServer::builder().tls(&leaf).start());
    let cache = format!("{HOST}:{}", redis.port());

    let health: Vec<_> = config["Healthcheck"]["Test"].as_array().unwrap()[1..].iter().map(text).collect();
    let (code, said) = network.run(|| container.run(&health));
    assert_eq!(code, 3, "nothing runs yet: {said}");

    let words = [container.words(), vec![cache.clone()]].concat();
    let mut daemon = network.run(|| container.start(&words));
    daemon.has_no_rights();
    let get = |path: &str| network.run(|| http::get(SocketAddr::from(([127, 0, 0, 1], 9847)), path)).unwrap();
    assert_eq!(get("/livez").status, 200);
    let page = get("/");
    assert!(page.status == 200 && page.body.contains(&cache), "{page:?}");
    let metrics = get("/metrics").body;
    let build = format!("cachewatch_build_info{{revision=\"{REVISION}\",version=\"{VERSION}\"}} 1");
    assert!(metrics.contains(&build), "{metrics}");

    // What is asked of a container by `exec`: in the same files, as the same user.
    let inside = |words: &[&str]| network.run(|| container.run(words));
    assert_eq!(inside(&health).0, 0);
    let (code, said) = inside(&["cachewatch", "health", "--server", "http://localhost:9847"]);
    assert_eq!((code, said.as_str()), (0, "alive\n"), "a name, which the static C library looks up");
    let (code, said) = inside(&["cachewatch", "check", &cache]);
    assert!(code == 0 && said.contains("  HEALTHY: "), "the image's roots vouch for it: {code}\n{said}");
    let foreign = Leaf::self_signed(&[HOST]);
    let stranger = network.run(|| RedisServer::builder().tls(&foreign).start());
    let (code, said) = inside(&["cachewatch", "check", &format!("{HOST}:{}", stranger.port())]);
    assert!(code == 2 && said.contains("tls-untrusted"), "{code}\n{said}");
    let (code, said) = inside(&["cachewatch", "explain", "tls-untrusted"]);
    assert!(code == 0 && said.contains("tls-untrusted"), "{code}\n{said}");
    let (code, said) = inside(&["cachewatch", "events", "--since", "1h"]);
    assert!(code == 0 && said.contains("started"), "{code}\n{said}");

    daemon.process.signal(Signal::TERM);
    let ended = daemon.process.wait(PATIENCE).expect("it drains");
    assert_eq!(ended.code(), Some(0), "{}", daemon.log());
    assert_eq!(inside(&health).0, 3, "it is stopped");
    let (code, said) = inside(&["cachewatch", "events", "--since", "1h"]);
    assert!(code == 0 && said.contains("stopping"), "the volume has it: {code}\n{said}");

    // Without a volume there is nowhere to write, which it says, and goes on.
    let bare = Container::new(storage.container(image), &config).env("CACHEWATCH__JOURNAL__PATH", &journal);
    let mut daemon = network.run(|| bare.start(&words));
    daemon.process.signal(Signal::TERM);
    assert_eq!(daemon.process.wait(PATIENCE).and_then(|ended| ended.code()), Some(0));
    assert!(daemon.log().contains("Read-only file system"), "{}", daemon.log());
}

/// With the very mounts, environment and command that Compose gives it.
fn runs_in_compose(storage: &Storage, image: &str) {
    let compose = &yaml("deploy/compose/compose.yaml")[0];
    let service = &compose["services"]["cachewatch"];
    let (keys, journal) = (owned_directory(), owned_directory());
    let mut container = Container::new(storage.container(image), &storage.inspect(image));
    for volume in service["volumes"].as_array().unwrap() {
        let (source, place) = text(volume).rsplit_once(":/").unwrap();
        let source = match source {
            "journal" => journal.path().to_owned(),
            keys_of_yours if keys_of_yours.starts_with("${CACHEWATCH_KEYS:-") => keys.path().to_owned(),
            tree => root().join("deploy/compose").join(tree),
        };
        container = container.mount(&source, &format!("/{}", place.trim_end_matches(":ro")));
    }
    for (name, value) in service["environment"].as_object().unwrap() {
        container = container.env(name, text(value));
    }
    let words: Vec<_> = service["command"].as_array().unwrap().iter().map(|word| text(word).to_owned()).collect();
    let words = [container.entrypoint.clone(), words].concat();
    // It reaches no name server from in here, and is alive all the same.
    let network = Namespace::new();
    let mut daemon = network.run(|| container.start(&words));
    let check: Vec<_> = service["healthcheck"]["test"].as_array().unwrap()[1..].iter().map(text).collect();
    let (code, said) = network.run(|| container.run(&check));
    assert_eq!(code, 0, "{said}\n{}", daemon.log());
    assert!(journal.path().join("journal.db").exists(), "{}", daemon.log());
    daemon.process.signal(Signal::TERM);
    assert_eq!(daemon.process.wait(PATIENCE).and_then(|ended| ended.code()), Some(0), "{}", daemon.log());
}

/// A change of tests, documents or what was built must not reach the builder: it would be sent there each time.
#[test]
fn the_builder_is_given_what_the_program_is_made_of() {
    let storage = Storage::new();
    let mut copied = Vec::new();
    for line in read("deploy/container/Dockerfile").lines() {
        let Some(words) = line.strip_prefix("COPY ").filter(|words| !words.starts_with("--from")) else { continue };
        let words: Vec<_> = words.split(' ').collect();
        copied.extend(words[..words.len() - 1].iter().map(|word| (*word).to_owned()));
    }
    assert!(copied.contains(&"src".to_owned()), "{copied:?}");
    // All that stands in this tree, each directory with one file in place of its own: those of `target` are many.
    let tree = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(root()).unwrap() {
        let entry = entry.unwrap();
        let place = tree.path().join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&place).unwrap();
            fs::write(place.join("main.rs"), "").unwrap();
        } else {
            fs::write(place, "").unwrap();
        }
    }
    let single = copied.iter().filter(|place| place.contains('/'));
    single.for_each(|place| fs::write(tree.path().join(place), "").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("Dockerfile");
    fs::write(&file, "FROM scratch\nCOPY . /\n").unwrap();
    // Found by its name, beside the Dockerfile, by BuildKit, buildah and `az acr build` alike.
    fs::write(folder.path().join("Dockerfile.dockerignore"), read("deploy/container/Dockerfile.dockerignore")).unwrap();
    let mut build = storage.buildah(&["build", "--quiet", "--tag=localhost/context", "--file"]);
    run(build.arg(&file).arg(tree.path()), "").unwrap();
    let given = storage.files_of("localhost/context");

    let mut wanted: Vec<_> = copied
        .iter()
        .map(|place| if root().join(place).is_dir() { format!("{place}/main.rs") } else { place.clone() })
        .collect();
    wanted.sort();
    assert_eq!(given, wanted);
}

/// Images and containers in a place of their own, gone with this value; nothing of the user's is touched.
struct Storage {
    directory: TempDir,
}

impl Storage {
    /// # Panics
    ///
    /// Without the right to give a file to the image's user, naming the command that gives it.
    #[track_caller]
    fn new() -> Self {
        let mapped = fs::read_to_string("/proc/self/uid_map").unwrap();
        let is_mapped = mapped.lines().any(|line| {
            let [first, _, count] =
                [0, 1, 2].map(|at| line.split_whitespace().nth(at).unwrap().parse::<u64>().unwrap());
            (first..first + count).contains(&u64::from(USER))
        });
        assert!(
            geteuid().is_root() && is_mapped,
            "an image has files of user {USER}, and only root can make them: run the tests as root, or so:\n    \
             buildah unshare cargo test --test deploy"
        );
        let target = root().join("target");
        fs::create_dir_all(&target).unwrap();
        let directory = TempDir::with_prefix_in("containers-", target).unwrap();
        let place = |name: &str| directory.path().join(name);
        // Plain directories, which work on every file system and in a user namespace.
        let settings = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
            place("images").display(),
            place("running").display()
        );
        fs::write(place("storage.conf"), settings).unwrap();
        Self { directory }
    }

    fn within(&self, mut command: Command) -> Command {
        command.env("CONTAINERS_STORAGE_CONF", self.directory.path().join("storage.conf")).current_dir(root());
        command
    }

    fn buildah(&self, arguments: &[&str]) -> Command {
        let mut command = self.within(Command::new("buildah"));
        command.args(arguments);
        command
    }

    /// Builds the Dockerfile, with these roots to trust; the image's name.
    #[track_caller]
    fn build(&self, roots: &[u8]) -> &'static str {
        const NAME: &str = "localhost/cachewatch-under-test";
        let file = self.directory.path().join("roots.pem");
        fs::write(&file, roots).unwrap();
        let mut build = self.within(Command::new("deploy/container/build-local"));
        build.args(["--build-arg=PROFILE=dev", "--tag", NAME]).env("ROOTS", file).env("REVISION", REVISION);
        run(&mut build, "").unwrap();
        NAME
    }

    /// What a runtime is told of the image.
    #[track_caller]
    fn inspect(&self, image: &str) -> Value {
        let said = run(&mut self.buildah(&["inspect", "--type=image", image]), "").unwrap();
        serde_json::from_str::<Value>(&said).unwrap()["Docker"]["config"].take()
    }

    /// The files of a new container of this image.
    #[track_caller]
    fn container(&self, image: &str) -> PathBuf {
        let container = run(&mut self.buildah(&["from", "--pull-never", image]), "").unwrap();
        PathBuf::from(run(&mut self.buildah(&["mount", container.trim()]), "").unwrap().trim())
    }

    /// The plain files of an image.
    fn files_of(&self, image: &str) -> Vec<String> {
        let listed = list(&self.container(image));
        let plain = listed.lines().filter(|line| line.starts_with('-'));
        plain.map(|line| line.splitn(3, ' ').last().unwrap().to_owned()).collect()
    }
}

/// What a runtime makes of an image: its files below a root that nobody may write; its user without rights; its command.
struct Container {
    root: PathBuf,
    user: String,
    entrypoint: Vec<String>,
    command: Vec<String>,
    mounts: Vec<(PathBuf, String)>,
    environment: Vec<(String, String)>,
}

impl Container {
    fn new(root: PathBuf, config: &Value) -> Self {
        let words = |value: &Value| value.as_array().unwrap().iter().map(|word| text(word).to_owned()).collect();
        // What every runtime adds.
        fs::create_dir(root.join("proc")).unwrap();
        fs::write(root.join("etc/hosts"), format!("127.0.0.1 localhost {HOST}\n")).unwrap();
        Self {
            root,
            user: text(&config["User"]).to_owned(),
            entrypoint: words(&config["Entrypoint"]),
            command: words(&config["Cmd"]),
            mounts: Vec::new(),
            environment: Vec::new(),
        }
    }

    fn mount(mut self, source: &Path, place: &str) -> Self {
        fs::create_dir_all(self.root.join(place.trim_start_matches('/'))).unwrap();
        self.mounts.push((source.to_owned(), place.to_owned()));
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What it runs when it is told nothing.
    fn words(&self) -> Vec<String> {
        [self.entrypoint.clone(), self.command.clone()].concat()
    }

    /// The command that runs these words inside. It becomes them, and does not wait for them.
    fn inside(&self, words: &[impl AsRef<str>]) -> Command {
        let root = self.root.display();
        let mut script = format!("mount --bind '{root}' '{root}' && mount --rbind /proc '{root}/proc'");
        for (source, place) in &self.mounts {
            write!(script, " && mount --bind '{}' '{root}{place}'", source.display()).unwrap();
        }
        write!(script, " && mount -o remount,bind,ro '{root}' && exec setpriv --no-new-privs").unwrap();
        write!(script, " chroot --userspec={} --groups= '{root}' \"$@\"", self.user).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh"]).args(words.iter().map(AsRef::as_ref));
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(self.environment.iter().cloned());
        command
    }

    /// Runs these words to their end; the exit code, and what was said.
    #[track_caller]
    fn run(&self, words: &[&str]) -> (i32, String) {
        let mut process = Process::spawn(&mut self.inside(words), "util-linux");
        drop(process.stdin());
        let ended = process.wait(PATIENCE).unwrap_or_else(|| panic!("{words:?} does not end"));
        let said = process.transcript().lines().iter().fold(String::new(), |said, line| said + line + "\n");
        (ended.code().unwrap_or_else(|| panic!("{words:?} {ended}: {said}")), said)
    }

    /// Starts the daemon with these words and waits until it listens.
    #[track_caller]
    fn start(&self, words: &[String]) -> Daemon {
        let mut command = self.inside(words);
        command.env("CACHEWATCH__LOG__FORMAT", "json");
        let process = Process::spawn(&mut command, "util-linux");
        let listens = |line: &str| line.contains("\"listening\"").then_some(());
        let told = process.transcript().wait_for(PATIENCE, listens);
        told.unwrap_or_else(|unsaid| panic!("{words:?} does not listen: {unsaid:?}"));
        Daemon { process }
    }
}

/// The program of a container, running.
struct Daemon {
    process: Process,
}

impl Daemon {
    fn log(&self) -> String {
        self.process.transcript().lines().join("\n")
    }

    #[track_caller]
    fn has_no_rights(&self) {
        let told = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.process.pid())).unwrap();
        let status = told("status");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_else(|| panic!("{name} in {status}")).split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let four_times = [USER; 4].map(|id| id.to_string()).join(" ");
        assert_eq!([field("Uid"), field("Gid"), field("Groups")], [four_times.clone(), four_times, String::new()]);
        for rights in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(field(rights).trim_matches('0'), "", "{rights}");
        }
        assert_eq!(field("NoNewPrivs"), "1");
        // proc_pid_mountinfo(5): the place is the fifth field, its options are the sixth.
        let mounts = told("mountinfo");
        let options = mounts.lines().find_map(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            (fields[4] == "/").then(|| fields[5].to_owned())
        });
        assert!(options.as_ref().is_some_and(|options| options.split(',').any(|option| option == "ro")), "{mounts}");
    }
}

/// A directory that the image's user may write.
fn owned_directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    chown(directory.path(), Some(USER), Some(USER)).unwrap();
    directory
}

fn read_outside(path: &str) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}; apt-get install -y ca-certificates"))
}

/// Everything below a directory: mode, owner, and place, sorted.
#[track_caller]
fn list(directory: &Path) -> String {
    let said =
        run(Command::new("find").arg(".").args(["-printf", "%M %U:%G %p\n"]).current_dir(directory), "").unwrap();
    let mut lines: Vec<_> = said.lines().map(|line| line.replacen(" ./", " ", 1)).collect();
    lines.sort_by(|one, other| one.split(' ').nth(2).cmp(&other.split(' ').nth(2)));
    lines.iter().fold(String::new(), |list, line| list + line + "\n")
}

/// Whether a program asks for a loader of shared libraries, and how many bytes of its file are loaded: elf(5), of 64 bits
/// and little-endian.
fn loads(program: &Path) -> (bool, u64) {
    const LOAD: u64 = 1;
    const INTERPRETER: u64 = 3;
    let file = fs::read(program).unwrap();
    assert_eq!(file[..6], *b"\x7fELF\x02\x01");
    let number =
        |at: usize, size: usize| file[at..at + size].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let place = |number: u64| usize::try_from(number).unwrap();
    let (first, size, count) = (place(number(32, 8)), place(number(54, 2)), place(number(56, 2)));
    let headers: Vec<_> = (0..count).map(|at| first + at * size).collect();
    let loaded = headers.iter().filter(|at| number(**at, 4) == LOAD).map(|at| number(at + 32, 8)).sum();
    (headers.iter().any(|at| number(*at, 4) == INTERPRETER), loaded)
}
