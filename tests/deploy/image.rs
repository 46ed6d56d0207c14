//! The image, and Compose that runs it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::{PORT, STATE, root, run, yaml};

#[test]
fn compose_is_open_to_this_machine_only_and_pins_what_it_runs() {
    let compose = &yaml("deploy/compose/compose.yaml")[0];
    for (name, service) in compose["services"].as_object().unwrap() {
        for port in service["ports"].as_array().unwrap() {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name}: {port}");
        }
        let image = service["image"].as_str().unwrap();
        assert!(image.rsplit(':').next().unwrap().contains(|letter: char| letter.is_ascii_digit()), "{name}: {image}");
        for volume in service["volumes"].as_array().unwrap() {
            let (source, place) = volume.as_str().unwrap().split_once(':').unwrap();
            // What other parts of the tree bring; keys are the operator's.
            if !source.starts_with("./") {
                continue;
            }
            assert!(place.ends_with(":ro"), "{name}: {volume}");
            assert!(root().join("deploy/compose").join(source).exists(), "{name}: {source}");
        }
    }
    assert_eq!(compose["services"].as_object().unwrap().len(), 4);
    let targets = yaml("deploy/compose/prometheus.yml")[0]["scrape_configs"][0]["static_configs"][0]["targets"].clone();
    assert_eq!(targets, json!([format!("cachewatch:{PORT}")]));
}

/// The image's files and nothing else: no shell, no user, no name server, not writable. The program starts and answers.
///
/// A test's binary needs its shared libraries, which the real, static one does not: they are the one addition.
#[test]
fn the_program_runs_in_what_the_image_holds() {
    let directory = tempfile::tempdir().unwrap();
    let rootfs = directory.path();
    let binary = env!("CARGO_BIN_EXE_cachewatch");
    let mut build = Command::new("deploy/container/build-local");
    run(build.arg(binary).env("ROOTFS", rootfs).env("REVISION", "").current_dir(root()), "").unwrap();
    // A static binary has none, and ldd says so with an error.
    let libraries = run(Command::new("ldd").arg(binary), "").unwrap_or_default();
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        let place = rootfs.join(library.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(library, place).unwrap();
    }

    // The kernel lets this user do nothing that root may, and the bind mount lets nobody write.
    let script = r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" &&
        exec unshare --user --map-user=65532 --map-group=65532 --root="$1" --wd=/ /usr/bin/cachewatch run 127.0.0.1:1"#;
    let mut daemon = Command::new("timeout");
    daemon
        .args(["--kill-after=1", "60", "unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(rootfs);
    daemon.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("CACHEWATCH__LOG__FORMAT", "json");
    daemon.env("CACHEWATCH__SERVER__LISTEN", "127.0.0.1:0");
    daemon.env("CACHEWATCH__JOURNAL__PATH", format!("{STATE}/journal.db"));
    let mut child = daemon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();

    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    let address: SocketAddr = loop {
        let mut line = String::new();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended before it listened:\n{said}");
        said.push_str(&line);
        let Ok(record) = serde_json::from_str::<Value>(&line) else { continue };
        let field = |name: &str| record.get(name).or_else(|| record["fields"].get(name)).and_then(Value::as_str);
        if field("message") == Some("listening") {
            break field("address").unwrap().parse().unwrap();
        }
    };
    let status = |path: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(status("/livez"), "200");
    assert_eq!(status("/metrics"), "200");
    // `timeout` hands the signal on.
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    log.read_to_string(&mut said).unwrap();
    let status = child.wait().unwrap();
    assert!(said.contains("Read-only file system"), "nothing could be written, and that was said:\n{said}");
    assert_eq!(status.code(), Some(0), "it drains and says that all is well:\n{said}");
}
