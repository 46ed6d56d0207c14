//! A real Prometheus.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be made is a failure of the test, and says where")]

use std::{collections::BTreeMap, fs, net::SocketAddr, process::Command, thread, time::Duration};

use cachewatch::clock::{self, Stopwatch};
use serde_json::Value;
use tempfile::TempDir;

use super::{PATIENCE, http, process::Process};

/// The job that its only target belongs to.
pub const JOB: &str = "watchers";

/// What is asked over a range covers this much, in steps of a second.
const RANGE: Duration = Duration::from_mins(1);

/// A Prometheus of the test's own. Dropping it kills it.
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    address: SocketAddr,
    _files: TempDir,
}

impl Prometheus {
    /// Scrapes this target, and evaluates these rules, each second from now on.
    pub fn start(target: &str, rules: Option<&str>) -> Self {
        let files = TempDir::new().unwrap();
        let scrape = format!("[{{job_name: {JOB}, static_configs: [{{targets: ['{target}']}}]}}]");
        let file = files.path().join("prometheus.yml");
        let global = "{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}";
        let mut text = format!("global: {global}\nscrape_configs: {scrape}\n");
        if let Some(rules) = rules {
            fs::write(files.path().join("rules.yml"), rules).unwrap();
            text += "rule_files: [rules.yml]\n";
        }
        fs::write(&file, text).unwrap();
        let mut command = Command::new("prometheus");
        command.arg("--config.file").arg(file).arg("--storage.tsdb.path").arg(files.path().join("data"));
        let process = Process::spawn(command.arg("--web.listen-address=127.0.0.1:0"), "prometheus");
        // On a busy machine either may be said first.
        let (mut address, mut is_ready) = (None, false);
        let listening = process.transcript().wait_for(PATIENCE, |line| {
            if let Some((_, text)) = line.split_once("msg=\"Listening on\" address=") {
                address = text.trim().parse().ok();
            }
            is_ready |= line.contains("Server is ready to receive web requests");
            address.filter(|_| is_ready)
        });
        let address = listening.unwrap_or_else(|unsaid| panic!("Prometheus does not start: {unsaid:?}"));
        Self { process, address, _files: files }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What an expression gives now: the labels of each series that has a number.
    pub fn instant(&self, expression: &str) -> Result<Vec<BTreeMap<String, String>>, String> {
        self.series(&format!("query?query={}", encoded(expression)))
    }

    /// The same over the last minute.
    pub fn range(&self, expression: &str) -> Result<Vec<BTreeMap<String, String>>, String> {
        let end = clock::now();
        let (start, end) = (end.minus(RANGE).unix_seconds(), end.unix_seconds());
        self.series(&format!("query_range?query={}&start={start}&end={end}&step=1", encoded(expression)))
    }

    /// The labels of each series that has a number.
    pub fn series(&self, path: &str) -> Result<Vec<BTreeMap<String, String>>, String> {
        let answer = self.get(path)?;
        let result = answer["data"]["result"].as_array().ok_or_else(|| answer.to_string())?;
        let is_number = |point: &Value| point[1].as_str().is_some_and(|text| text.parse().is_ok_and(f64::is_finite));
        let has_number = |series: &&Value| {
            is_number(&series["value"])
                || series["values"].as_array().is_some_and(|points| points.iter().any(is_number))
        };
        let labels = |series: &Value| {
            let labels = series["metric"].as_object().unwrap().iter();
            labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
        };
        Ok(result.iter().filter(has_number).map(labels).collect())
    }

    /// A document of the API.
    pub fn get(&self, path: &str) -> Result<Value, String> {
        let answer = http::get(self.address, &format!("/api/v1/{path}")).map_err(|error| error.to_string())?;
        let document: Value =
            serde_json::from_str(&answer.body).map_err(|error| format!("{error}: {}", answer.body))?;
        if answer.status != 200 || document.get("warnings").is_some() {
            return Err(answer.body);
        }
        Ok(document)
    }

    /// Waits until an expression gives something.
    #[track_caller]
    pub fn wait_for(&self, condition: &str) {
        let watch = Stopwatch::start();
        while self.instant(condition).unwrap().is_empty() {
            assert!(watch.elapsed() < PATIENCE, "never: {condition}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// For a query string: everything but letters and digits as `%XX`.
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
