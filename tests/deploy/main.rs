//! What stands in `deploy/`: it renders, fits the schemas, follows good practice, starts, and speaks of the program as it is.
//!
//! The tools are pinned in `tests/deploy/requirements.txt` and the Makefile; `make test` installs them, and so does
//! `make tools`.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

mod azure;
mod compose;
mod guides;
mod host;
mod image;
mod kubernetes;
mod machine;
mod package;
mod restricted;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use cachewatch::config::{Config, Inputs, load};
use serde_json::Value;

const PORT: u64 = 9847;
const KEYS: &str = "/run/secrets/cachewatch";
const STATE: &str = "/var/lib/cachewatch";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A tool of `tests/deploy/requirements.txt`.
fn tool(name: &str) -> Command {
    let path = root().join("target/tools/deploy/bin").join(name);
    assert!(path.exists(), "{name} is missing; run `make tools`");
    // The parsers keep what they made of their grammars: beside the tools, where the next run finds it.
    let kept = root().join("target/tools/kept");
    std::fs::create_dir_all(&kept).unwrap_or_else(|error| panic!("{}: {error}", kept.display()));
    let mut command = Command::new(path);
    command.current_dir(root()).env("TMPDIR", kept);
    command
}

/// Runs a command to its end with `input`; what it says, where it succeeds.
fn run(command: &mut Command, input: &str) -> Result<String, String> {
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
    if status.success() { Ok(stdout) } else { Err(format!("{command:?}\n{stderr}\n{stdout}")) }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

fn parse(json: &str) -> Vec<Value> {
    serde_json::from_str(json).unwrap()
}

/// The documents of any YAML text.
#[track_caller]
fn yaml(path: &str) -> Vec<Value> {
    let read = run(tool("python").args(["tests/deploy/manifests.py", "--any"]), &read(path));
    parse(&read.unwrap_or_else(|said| panic!("{path}: {said}")))
}

fn load_text(toml: &str) -> Config {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cachewatch.toml");
    fs::write(&file, toml).unwrap();
    let inputs = Inputs { files: vec![file], ..Inputs::default() };
    load(&inputs).unwrap_or_else(|problems| panic!("{problems}\n{toml}"))
}
