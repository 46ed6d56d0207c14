//! A real Alertmanager with the example of `deploy/prometheus/`.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be made is a failure of the test, and says where")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::{fs, thread};

use serde_json::Value;

use crate::{PATIENCE, repository};

/// The Debian package it comes from.
pub const PACKAGE: &str = "prometheus-alertmanager";
/// The file in `deploy/prometheus/` that it is started with.
pub const EXAMPLE: &str = "alertmanager.example.yml";
/// Where the receivers of the example are.
const RECEIVERS: &str = "https://alerts.example.com";

/// It, on a port of its own; dropping it ends it.
pub struct Alertmanager {
    child: Child,
    address: String,
    _place: tempfile::TempDir,
}

impl Alertmanager {
    /// Starts it and waits until it listens.
    pub fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        let config = place.path().join("alertmanager.yml");
        let example = repository().join("deploy/prometheus").join(EXAMPLE);
        // Nothing of a test leaves this machine, however long it takes.
        let example = fs::read_to_string(example).unwrap();
        assert!(example.contains(RECEIVERS));
        fs::write(&config, example.replace(RECEIVERS, "http://127.0.0.1:9")).unwrap();
        let mut command = Command::new("prometheus-alertmanager");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", place.path().join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="])
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("cannot start prometheus-alertmanager: {error}; this test needs it: apt-get install -y {PACKAGE}")
        });
        let (say, heard) = mpsc::channel();
        let log = BufReader::new(child.stderr.take().expect("stderr is piped"));
        // Read to its end, so that it never waits for a reader.
        thread::spawn(move || log.lines().map_while(Result::ok).for_each(|line| drop(say.send(line))));
        let mut said = Vec::new();
        let address = loop {
            let line = heard.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it does not listen: {said:#?}"));
            match line.split_once("msg=\"Listening on\" address=") {
                Some((_, address)) => break address.trim().to_owned(),
                None => said.push(line),
            }
        };
        Self { child, address, _place: place }
    }

    /// Asks for `/api/v2/{path}`; what it answers.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        let head =
            format!("{method} /api/v2/{path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}");
        write!(stream, "{head}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.lines().next().unwrap().contains(" 200 "), "{answer}");
        if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
