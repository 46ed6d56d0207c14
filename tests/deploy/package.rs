//! The Debian package: clean, installed by dpkg on a machine with systemd, used, upgraded, removed and purged there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use cachewatch::VERSION;
use rustix::process::Pid;

use super::machine::Machine;
use super::{read, root, run};

#[path = "../../examples/manual.rs"]
#[expect(dead_code, reason = "its `main` is for `make deb`")]
mod manual;

const CONFIG: &str = "/etc/cachewatch/cachewatch.toml";
const DROP_IN: &str = "/etc/systemd/system/cachewatch.service.d/override.conf";
const KEY: &str = "not-to-be-shown";

/// A real cache, as `redis-server` in the machine serves it, with the words of docs/vm.md for its key.
const ORDERS: &str = r#"
[[caches]]
name = "orders"
host = "orders.test"
port = 6379
interval = "1s"
timeout = "900ms"

[caches.auth]
password_file = "/run/credentials/cachewatch.service/orders"

[caches.tls]
enabled = false
"#;

struct Packages {
    first: PathBuf,
    second: PathBuf,
}

/// The package around the tests' own binary, twice: the second is an upgrade of the first.
static PACKAGES: LazyLock<Packages> = LazyLock::new(|| {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("package");
    drop(fs::remove_dir_all(&directory));
    let built = directory.join("release");
    fs::create_dir_all(&built).unwrap();
    manual::write(&root().join("target/manual")).unwrap();
    // Stripped once, and not by each packing.
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(built.join("cachewatch")).arg(env!("CARGO_BIN_EXE_cachewatch"));
    run(&mut strip, "").unwrap();
    let pack = |place: &str, options: &[&str]| {
        let place = directory.join(place).join("");
        fs::create_dir(&place).unwrap();
        let program = root().join("target/tools/bin/cargo-deb");
        assert!(program.exists(), "cargo-deb is missing; run `make tools`");
        let mut command = Command::new(program);
        command.args(["deb", "--quiet", "--locked", "--no-build", "--no-strip", "--fast", "--output"]);
        command.arg(place).args(options).current_dir(root()).env("CARGO_TARGET_DIR", &directory);
        PathBuf::from(run(&mut command, "").unwrap().trim())
    };
    Packages { first: pack("first", &[]), second: pack("second", &["--deb-version", "999-1"]) }
});

#[test]
fn lintian_finds_nothing() {
    // It leaves files behind in the temporary folder.
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("lintian");
    command.env("TMPDIR", folder.path());
    command.args(["--fail-on", "error,warning", "--allow-root", "--tag-display-limit=0"]).arg(&PACKAGES.first);
    let said = run(&mut command, "").unwrap();
    // Lines that are no findings of severity error or warning are not shown; an override that fits nothing would be.
    assert_eq!(said, "");
}

/// cargo-deb takes the version from Cargo.toml, the revision from beside the assets; the changelog must say the same.
#[test]
fn the_changelog_is_of_this_version() {
    let name = PACKAGES.first.file_name().unwrap().to_str().unwrap().to_owned();
    let version = name.split('_').nth(1).unwrap();
    assert!(version.starts_with(&format!("{VERSION}-")), "{name}");
    let changelog = read("deploy/debian/changelog");
    assert!(changelog.starts_with(&format!("cachewatch ({version}) ")), "{name} against {changelog}");
}

fn install(machine: &Machine, package: &Path) -> String {
    machine.copy(package, "/tmp/cachewatch.deb");
    machine.run(&["dpkg", "--install", "/tmp/cachewatch.deb"])
}

/// Installed and not configured: nothing runs, nothing fails, and the words of the package lead on.
#[test]
fn a_fresh_installation_waits_for_its_first_cache() {
    let machine = Machine::boot();
    let mark = machine.mark();
    let said = install(&machine, &PACKAGES.first);
    assert!(said.contains(CONFIG) && said.contains("systemctl enable --now cachewatch"), "{said}");
    assert_eq!(machine.service("ActiveState"), "inactive");
    assert_eq!(machine.service("UnitFileState"), "disabled");
    assert_eq!(machine.service("NRestarts"), "0");
    assert_eq!(machine.run(&["systemctl", "list-units", "--failed", "--no-legend", "--plain"]), "");
    machine.run(&["systemd-analyze", "verify", "/usr/lib/systemd/system/cachewatch.service"]);
    let said = machine.run(&["cachewatch", "config", "check"]);
    assert!(said.contains("has no cache") && said.contains(CONFIG), "{said}");

    // Started all the same: it says what is missing, and a cache, named, is all that is needed.
    machine.attempt(&["systemctl", "start", "cachewatch"]).unwrap_err();
    machine.until(&mark, "nothing to watch: add a cache to /etc/cachewatch/cachewatch.toml ([[caches]])");
    machine.run(&["systemctl", "stop", "cachewatch"]);
    machine.write(CONFIG, "[[caches]]\nname = \"orders\"\nhost = \"orders.test\"\n");
    machine.run(&["systemctl", "enable", "--now", "cachewatch"]);
    let status = machine.service("StatusText");
    assert!(status.starts_with("watching 1 cache: 1 "), "{status}");
    assert_eq!(machine.service("UnitFileState"), "enabled");

    // What a person looks for is where they look.
    for page in ["cachewatch", "cachewatch-check", "cachewatch-config-check"] {
        let page = machine.run(&["man", "--warnings", page]);
        assert!(page.contains("SYNOPSIS"), "{page}");
    }
    let completed =
        machine.run(&["bash", "-euc", ". /usr/share/bash-completion/completions/cachewatch; complete -p cachewatch"]);
    assert!(completed.contains("_cachewatch"), "{completed}");
    let guide = read("docs/vm.md");
    let places: Vec<_> = guide.split(['`', ' ', '\n']).filter(|word| word.starts_with("/usr/share/")).collect();
    assert!(places.len() > 3, "{places:?}");
    for place in places {
        machine.run(&["test", "-s", place]);
    }
    // The kernel's settings concern every program of the machine, and are the operator's to change.
    machine.sh("! ls /etc/sysctl.d /usr/lib/sysctl.d | grep cachewatch");
}

/// A machine with a Redis server that asks for a key, and a service that has it.
fn watching() -> Machine {
    let machine = Machine::boot();
    set_up(&machine);
    machine
}

fn set_up(machine: &Machine) {
    machine.sh("echo 127.0.0.1 orders.test >>/etc/hosts");
    let redis =
        "--unit=orders --property=Type=notify redis-server --supervised systemd --bind 127.0.0.1 --save --requirepass";
    let mut words: Vec<_> = ["systemd-run", "--quiet"].into_iter().chain(redis.split(' ')).collect();
    words.insert(words.len() - 1, "");
    words.push(KEY);
    machine.run(&words);
    install(machine, &PACKAGES.first);
    machine.write("/etc/cachewatch/keys/orders", KEY);
    machine.sh("chmod 0700 /etc/cachewatch/keys && chmod 0600 /etc/cachewatch/keys/orders");
    machine.write(DROP_IN, "[Service]\nLoadCredential=orders:/etc/cachewatch/keys/orders\n");
    machine.write(CONFIG, ORDERS);
    machine.run(&["systemctl", "daemon-reload"]);
    machine.run(&["systemctl", "enable", "--now", "cachewatch"]);
}

/// The daemon, as the machine counts processes.
fn main_pid(machine: &Machine) -> Pid {
    Pid::from_raw(machine.service("MainPID").parse().unwrap()).expect("the service has a main process")
}

#[test]
fn the_service_watches_in_its_sandbox_with_a_key() {
    let machine = watching();
    assert_eq!(machine.service("ActiveState"), "active");
    let status = machine.service("StatusText");
    assert!(status.starts_with("watching 1 cache: "), "{status}");
    for (path, words) in [("/", "orders"), ("/livez", "200 OK")] {
        let answer = machine.http(path);
        assert!(answer.starts_with("HTTP/1.0 200 OK") && answer.contains(words), "{path}: {answer}");
    }
    machine.run(&["cachewatch", "health"]);
    // Only with the key does the server answer a PING.
    machine.http_until("/metrics", "cachewatch_probe_success{cache=\"orders\"} 1");
    machine.run(&["cachewatch", "health", "orders"]);
    // Root sees the key that the service has; who is neither learns why not.
    assert_eq!(machine.run(&["cachewatch", "config", "check"]), "the configuration is valid: 1 cache\n");
    let said = machine.run(&["cachewatch", "check", "orders"]);
    assert!(said.contains("access key") && said.contains("PONG"), "{said}");
    let by_hand = "setpriv --reuid=nobody --clear-groups cachewatch config check 2>&1";
    let said = machine.sh(by_hand);
    assert!(said.contains("systemd creates this file for cachewatch.service only"), "{said}");
    let status = machine.run(&["cat", &format!("/proc/{}/status", main_pid(&machine))]);
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}"));
        line.trim_start_matches(':').split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let uids = field("Uid");
    assert!(uids.iter().all(|uid| (61184..=65519).contains(&uid.parse::<u32>().unwrap())), "no dynamic user: {uids:?}");
    for (name, value) in [
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
        ("CapEff", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
    ] {
        assert_eq!(field(name), [value], "{name}");
    }
    let journal = machine.run(&["stat", "--format=%a %u", "/var/lib/private/cachewatch/journal.db"]);
    assert_eq!(journal.trim(), format!("600 {}", uids[0]));
    let said = machine.run(&["cachewatch", "events", "--journal", "/var/lib/cachewatch/journal.db"]);
    assert!(said.contains("started"), "{said}");
    let log = machine.run(&["journalctl", "--no-pager", "--output=cat", "--unit=cachewatch"]);
    assert!(log.contains("listening") && !log.contains(KEY), "the key is in the log:\n{log}");
}

/// SIGHUP takes a change in; a mistake changes nothing, and both are told.
#[test]
fn a_reload_takes_a_change_and_no_mistake() {
    let machine = watching();
    let pid = main_pid(&machine);
    let second = ORDERS.replace("\"orders\"", "\"carts\"");
    let mark = machine.mark();
    machine.write(CONFIG, &format!("{ORDERS}{second}"));
    machine.run(&["systemctl", "reload", "cachewatch"]);
    machine.until(&mark, "2 caches, 1 of them unchanged");
    machine.http_until("/api/v1/caches", "carts");
    machine.status_until("watching 2 caches: healthy");
    let mark = machine.mark();
    machine.write(CONFIG, &ORDERS.replace("port", "prot"));
    machine.run(&["systemctl", "reload", "cachewatch"]);
    machine.until(&mark, "the new configuration is refused, the old one stays");
    assert!(machine.http("/api/v1/caches").contains("carts"));
    assert_eq!(main_pid(&machine), pid, "a reload is no restart");
    machine.status_until("the old one stays: /etc/cachewatch/cachewatch.toml:");
    machine.status_until("(watching 2 caches: healthy)");
}

/// A daemon that hangs is found by the watchdog, one that is killed by its end; both go on with the same journal.
#[test]
fn what_hangs_or_dies_is_started_again() {
    let machine = watching();
    assert_eq!(machine.service("WatchdogUSec"), "1min", "as the package has it");
    // Soon, and yet longer than a busy machine keeps a daemon waiting that does not hang.
    machine.write(&DROP_IN.replace("override", "quick"), "[Service]\nWatchdogSec=10s\nRestartSec=100ms\n");
    machine.run(&["systemctl", "daemon-reload"]);
    machine.run(&["systemctl", "restart", "cachewatch"]);
    for (signal, words, restarts) in [("STOP", "Watchdog timeout", "1"), ("KILL", "status=9/KILL", "2")] {
        let before = main_pid(&machine);
        let mark = machine.mark();
        machine.sh(&format!("kill -{signal} {before}"));
        machine.until(&mark, words);
        machine.until(&mark, "Started cachewatch.service");
        assert_eq!(machine.service("NRestarts"), restarts, "{signal}");
        assert_ne!(main_pid(&machine), before, "{signal}");
        machine.http_until("/metrics", "cachewatch_probe_success{cache=\"orders\"} 1");
    }
    let said =
        machine.run(&["cachewatch", "events", "--journal", "/var/lib/cachewatch/journal.db", "--kind", "started"]);
    assert_eq!(said.matches("cachewatch ").count(), 4, "each start goes on with the journal of the last:\n{said}");
}

#[test]
fn an_upgrade_keeps_what_is_configured_and_a_purge_leaves_nothing() {
    let machine = Machine::boot();
    let at_first = machine.written();
    set_up(&machine);
    let edited = format!("{ORDERS}# by the operator\n");
    machine.write(CONFIG, &edited);
    let before = main_pid(&machine);
    let said = install(&machine, &PACKAGES.second);
    assert_eq!(
        machine.run(&["dpkg-query", "--show", "--showformat=${Version} ${Status}", "cachewatch"]),
        "999-1 install ok installed"
    );
    assert_eq!(machine.run(&["cat", CONFIG]), edited);
    assert_eq!(machine.service("ActiveState"), "active");
    assert!(!said.contains("does not run"), "{said}");
    assert_ne!(main_pid(&machine), before, "the old program still runs");
    machine.http_until("/metrics", "cachewatch_probe_success{cache=\"orders\"} 1");

    // What the operator has stopped stays so.
    machine.run(&["systemctl", "stop", "cachewatch"]);
    install(&machine, &PACKAGES.second);
    assert_eq!(machine.service("ActiveState"), "inactive");
    machine.run(&["systemctl", "start", "cachewatch"]);

    let pid = main_pid(&machine);
    machine.run(&["dpkg", "--remove", "cachewatch"]);
    assert_eq!(machine.run(&["cat", CONFIG]), edited);
    machine.run(&["test", "-s", "/var/lib/private/cachewatch/journal.db"]);
    machine.run(&["test", "!", "-e", &format!("/proc/{pid}")]);
    assert_eq!(machine.service("LoadState"), "masked");

    let said = install(&machine, &PACKAGES.first);
    assert!(said.contains("enabled and does not run") && said.contains("sudo systemctl start cachewatch"), "{said}");
    assert_eq!([machine.service("UnitFileState"), machine.service("ActiveState")], ["enabled", "inactive"]);
    machine.run(&["systemctl", "start", "cachewatch"]);
    machine.run(&["cachewatch", "health"]);
    machine.run(&["dpkg", "--remove", "cachewatch"]);

    machine.run(&["dpkg", "--purge", "cachewatch"]);
    assert_eq!(machine.service("LoadState"), "not-found");
    // What is in memory goes with the machine, and the books of dpkg, man and systemd are theirs.
    let books = ["/tmp/", "/var/lib/dpkg/", "/var/log/dpkg.log", "/var/cache/man/", "/etc/hosts"];
    let is_left = |path: &String| {
        let is_of_books = path == "/var/lib/private" || books.iter().any(|book| path.starts_with(book));
        !at_first.contains(path) && !is_of_books && !Path::new(path).is_dir()
    };
    let left: Vec<_> = machine.written().into_iter().filter(is_left).collect();
    assert_eq!(left, [""; 0]);
}
