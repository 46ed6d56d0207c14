//! The alerts of `deploy/prometheus/`: that the tools of Prometheus accept them and their tests pass, that they speak of
//! metrics, labels and findings that exist, that no finding goes untold, and that one cause is one page.
//!
//! - [`rules`]: the file of rules, read
//! - [`azure`]: the same rules as a Bicep template · [`alertmanager`]: the example for Alertmanager, asked
//! - [`yaml`]: a reader, for tests
//!
//! `CACHEWATCH_BLESS=1 cargo test --test rules` writes the Bicep template anew; read the difference before committing it.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

mod alertmanager;
mod azure;
mod rules;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{fs, thread};

use cachewatch::model::FindingId;
use rules::Rule;
use testlab::promql::{self, Selector};
use yaml::Yaml;

/// Whom an alert is for.
const SEVERITIES: &[&str] = &["page", "ticket", "info"];
/// What an alert is.
const TELLS: &[&str] = &["cause", "symptom", "risk", "monitor"];

/// Labels that Prometheus or its surroundings give to every series of a target.
const OF_TARGETS: &[&str] = &["cluster", "namespace", "job", "instance"];
/// A label that the recording rules make, and the bound of a histogram's bucket.
const MADE: &[&str] = &["level", "le"];

/// Advice: on the page and in the API, and no alert at any time.
const ADVICE: u8 = 4;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn folder() -> PathBuf {
    root().join("deploy/prometheus")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs a program of Debian's `package` in the folder of the rules, to its end.
#[track_caller]
fn run(program: &str, package: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).current_dir(folder()).output();
    output.unwrap_or_else(|error| {
        panic!("cannot start {program}: {error}; this test needs it: apt-get install -y {package}")
    })
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The files of cases, by name.
fn cases() -> Vec<String> {
    let entries = fs::read_dir(folder().join("tests")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What `docs/metrics.md` says of a metric.
struct Metric {
    labels: BTreeSet<String>,
    is_histogram: bool,
}

/// The metrics of `docs/metrics.md`, by name.
fn metrics() -> BTreeMap<String, Metric> {
    let document = read(&root().join("docs/metrics.md"));
    let rows = document.lines().filter(|line| line.starts_with("| `cachewatch_"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let labels = cells[3].split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty());
        (cells[1].to_owned(), Metric { labels: labels.collect(), is_histogram: cells[2] == "histogram" })
    })
    .collect()
}

/// The findings of `docs/findings.md`, each with the stage it is seen at.
fn findings() -> BTreeMap<String, String> {
    let document = read(&root().join("docs/findings.md"));
    let rows = document.lines().filter(|line| line.starts_with("| [`"));
    rows.map(|row| {
        let cells: Vec<_> = row.split(" | ").collect();
        let id = cells[0].split('`').nth(1).unwrap();
        (id.to_owned(), cells[2].to_owned())
    })
    .collect()
}

/// The anchors of a Markdown document's headings, as every viewer makes them.
fn anchors(document: &str) -> BTreeSet<String> {
    let headings = document.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let text = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            text.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_')).collect()
        })
        .collect()
}

#[test]
fn promtool_accepts_the_rules() {
    let output =
        run("promtool", "prometheus", &["check", "rules", "--lint=all", "--lint-fatal", "cachewatch.rules.yml"]);
    assert!(output.status.success(), "{}", words(&output));
}

#[test]
fn the_rules_do_what_their_cases_say() {
    let outputs: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = cases()
            .into_iter()
            .map(|case| {
                scope.spawn(move || run("promtool", "prometheus", &["test", "rules", &format!("tests/{case}")]))
            })
            .collect();
        running.into_iter().map(|running| running.join().unwrap()).collect()
    });
    let wrong: Vec<_> = outputs.iter().filter(|output| !output.status.success()).map(words).collect();
    assert!(wrong.is_empty() && !outputs.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_alert_has_a_case_that_fires_and_a_near_miss() {
    let mut fires = BTreeSet::new();
    let mut rests = BTreeSet::new();
    for case in cases() {
        let case = yaml::parse(&read(&folder().join("tests").join(case)));
        for test in case["tests"].list() {
            for check in test.find("alert_rule_test").map_or(&[][..], Yaml::list) {
                let told = check["exp_alerts"].list();
                let kind = if told.is_empty() { &mut rests } else { &mut fires };
                kind.insert(check["alertname"].text().to_owned());
                // Promtool compares what is written: labels and words that are left out would not be compared.
                for alert in told {
                    assert!(!alert["exp_labels"].entries().is_empty(), "{alert:?}");
                    assert_eq!(alert["exp_annotations"].entries().len(), 3, "{alert:?}");
                }
            }
        }
    }
    let alerts: BTreeSet<_> = rules::alerts().into_iter().map(|rule| rule.name).collect();
    assert_eq!(fires, alerts, "alerts with a case that fires");
    assert_eq!(rests, alerts, "alerts with a near miss");
}

/// The metric that a name in an expression belongs to: a histogram is spoken of by its parts.
fn family<'a>(name: &'a str, metrics: &BTreeMap<String, Metric>) -> Option<&'a str> {
    let is = |name: &str, histogram: bool| metrics.get(name).is_some_and(|metric| metric.is_histogram == histogram);
    let wholes = ["_bucket", "_sum", "_count"].into_iter().filter_map(|part| name.strip_suffix(part));
    wholes.into_iter().find(|whole| is(whole, true)).or_else(|| is(name, false).then_some(name))
}

#[test]
fn every_metric_and_label_that_the_rules_speak_of_exists() {
    let metrics = metrics();
    let rules = rules::all();
    let recorded: BTreeSet<_> = rules.iter().filter(|rule| !rule.is_alert).map(|rule| rule.name.as_str()).collect();
    let known: BTreeSet<_> = metrics.values().flat_map(|metric| metric.labels.iter().map(String::as_str)).collect();
    let is_known = |label: &str| known.contains(label) || OF_TARGETS.contains(&label) || MADE.contains(&label);
    let mut wrong = Vec::new();
    for rule in &rules {
        for selector in promql::selectors(&rule.expression) {
            let Selector { metric, matchers } = &selector;
            let family = family(metric, &metrics);
            if family.is_none() && !recorded.contains(&**metric) && metric != "up" {
                wrong.push(format!("{}: there is no metric {metric}", rule.name));
            }
            for matcher in matchers {
                let label = &*matcher.label;
                let of_metric = family.is_none_or(|family| metrics[family].labels.contains(label));
                if !(is_known(label) && (of_metric || OF_TARGETS.contains(&label) || label == "le")) {
                    wrong.push(format!("{}: {metric} has no label {label}", rule.name));
                }
            }
        }
        for label in promql::grouped_by(&rule.expression) {
            if !is_known(&label) {
                wrong.push(format!("{}: there is no label {label}", rule.name));
            }
        }
        for (name, text) in &rule.annotations {
            for label in promql::templated(text) {
                if !is_known(&label) {
                    wrong.push(format!("{}: {name} speaks of a label {label}", rule.name));
                }
            }
            for metric in promql::words(text).filter(|word| word.starts_with("cachewatch_")) {
                if family(metric, &metrics).is_none() {
                    wrong.push(format!("{}: {name} speaks of a metric {metric}", rule.name));
                }
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn every_finding_that_the_rules_speak_of_exists() {
    let mut wrong = Vec::new();
    for rule in rules::all() {
        let mut named: Vec<String> = Vec::new();
        for selector in promql::selectors(&rule.expression) {
            let matchers = selector.matchers.iter().filter(|matcher| matcher.label == "finding");
            named.extend(matchers.flat_map(|matcher| matcher.literals().map(str::to_owned)));
        }
        for (_, pattern) in promql::replacements(&rule.expression, "finding") {
            named.extend(promql::literals(&pattern).map(str::to_owned));
        }
        for text in rule.annotations.values() {
            let commands = text.split("cachewatch explain ").skip(1).filter(|rest| !rest.starts_with("{{"));
            named.extend(commands.map(|rest| rest.split(['.', ';', ' ']).next().unwrap().to_owned()));
        }
        let missing = named.iter().filter(|id| FindingId::parse(id).is_none());
        wrong.extend(missing.map(|id| format!("{}: there is no finding {id}", rule.name)));
    }
    assert_eq!(wrong, [""; 0]);
}

/// Which alerts tell a finding of that level.
fn told_by(id: &str, level: u8) -> Vec<String> {
    let level = level.to_string();
    let tells = |selector: &Selector| {
        selector.metric == "cachewatch:finding_open:host_stage"
            && selector.matchers.iter().all(|matcher| match &*matcher.label {
                "finding" => matcher.takes(id),
                "severity" => matcher.takes(&level),
                other => panic!("a finding is not told by its {other}"),
            })
    };
    let alerts = rules::alerts().into_iter();
    alerts.filter(|rule| promql::selectors(&rule.expression).iter().any(tells)).map(|rule| rule.name).collect()
}

#[test]
fn every_finding_is_told_by_exactly_one_alert_and_advice_by_none() {
    let mut wrong = Vec::new();
    for id in FindingId::ALL {
        for level in 1..=4 {
            let alerts = told_by(id.as_str(), level);
            if alerts.len() != usize::from(level != ADVICE) {
                wrong.push(format!("{id} of level {level} is told by {alerts:?}"));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn every_finding_stands_at_the_stage_that_its_document_says() {
    let rules = rules::all();
    let rule = rules.iter().find(|rule| rule.name == "cachewatch:finding_open:stage").unwrap();
    let stages = promql::replacements(&rule.expression, "finding");
    let mut wrong = Vec::new();
    for (id, stage) in findings() {
        let at: Vec<_> =
            stages.iter().filter(|(_, pattern)| promql::takes(pattern, &id)).map(|(stage, _)| stage.as_str()).collect();
        // What concerns the machine and no cache is not among the metrics of caches.
        if at != [stage.as_str()] && !["host-tcp-tuning", "probes-skipped"].contains(&&*id) {
            wrong.push(format!("{id} is seen at {stage}, and told at {at:?}"));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn every_alert_says_whom_it_is_for_and_what_to_read() {
    let guide = read(&folder().join("README.md"));
    let documents: BTreeMap<_, _> =
        [("docs/findings.md", read(&root().join("docs/findings.md"))), ("deploy/prometheus/README.md", guide.clone())]
            .map(|(path, text)| (path, anchors(&text)))
            .into();
    let mut wrong = Vec::new();
    for Rule { name, labels, annotations, expression, .. } in rules::alerts() {
        let mut hold = |holds: bool, what: &str| {
            if !holds {
                wrong.push(format!("{name}: {what}"));
            }
        };
        hold(name.starts_with("Cachewatch"), "a name without the prefix");
        hold(SEVERITIES.contains(&&*labels["severity"]), "a severity of its own");
        hold(TELLS.contains(&&*labels["tells"]), "a kind of its own");
        hold(labels.len() == 2, "more labels than the two");
        let keys: Vec<_> = annotations.keys().map(String::as_str).collect();
        hold(keys == ["description", "runbook_url", "summary"], "other annotations than the three");
        hold(
            annotations["summary"].len() <= 120 && !annotations["summary"].ends_with('.'),
            "a summary that is no headline",
        );
        hold(annotations["description"].ends_with('.'), "a description that is no sentence");
        let of_a_cache = labels["tells"] != "monitor" || name == "CachewatchProbesStopped";
        hold(!of_a_cache || annotations["summary"].contains("$labels.cache"), "a summary that does not name the cache");
        let (path, anchor) = annotations["runbook_url"].split_once('#').unwrap();
        let leads = match anchor {
            // Every finding has its anchor, by the document's own test.
            "{{ $labels.finding }}" => path == "docs/findings.md" && expression.contains("host_stage"),
            _ => documents.get(path).is_some_and(|anchors| anchors.contains(anchor)),
        };
        hold(leads, "a runbook that leads nowhere");
        hold(guide.contains(&format!("`{name}`")) || guide.contains(&format!("### {name}\n")), "not in the README");
    }
    assert_eq!(wrong, [""; 0]);
    for id in FindingId::ALL {
        assert!(documents["docs/findings.md"].contains(id.as_str()), "{id} has no anchor");
    }
}

/// The README lists the alerts in a table, with whom each is for.
#[test]
fn the_readme_lists_exactly_these_alerts() {
    let guide = read(&folder().join("README.md"));
    let rows = guide.lines().filter(|line| line.starts_with("| `Cachewatch"));
    let listed: BTreeSet<_> = rows
        .map(|row| {
            row.split('|').skip(1).take(3).map(|cell| cell.trim().replace('`', "")).collect::<Vec<_>>().join(" ")
        })
        .collect();
    let alerts = rules::alerts();
    let told = alerts.iter().map(|rule| format!("{} {} {}", rule.name, rule.labels["severity"], rule.labels["tells"]));
    assert_eq!(listed, told.collect());
}

/// The command of the README that stands in the fenced block with these words.
fn command(part: &str) -> String {
    let guide = read(&folder().join("README.md"));
    let blocks = guide.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let found: Vec<_> = blocks.filter(|block| block.contains(part)).collect();
    assert_eq!(found.len(), 1, "one command with {part:?}");
    found[0].to_owned()
}

#[test]
fn the_commands_of_the_readme_do_what_it_says() {
    let place = tempfile::tempdir().unwrap();
    let copy = place.path().join("deploy/prometheus/cachewatch.rules.yml");
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    fs::copy(rules::file(), &copy).unwrap();
    for part in ["sed -i", "kind: PrometheusRule"] {
        let output = Command::new("sh").args(["-ec", &command(part)]).current_dir(place.path()).output().unwrap();
        assert!(output.status.success(), "{}", words(&output));
    }
    let wrapped = yaml::parse(&read(&place.path().join("prometheusrule.yaml")));
    assert_eq!((wrapped["apiVersion"].text(), wrapped["kind"].text()), ("monitoring.coreos.com/v1", "PrometheusRule"));
    let plain = yaml::parse(&read(&copy));
    assert_eq!(wrapped["spec"], plain);
    let address = "https://git.example.com/cachewatch/blob/main/";
    for (before, after) in rules::alerts().into_iter().zip(rules::of(&plain).into_iter().filter(|rule| rule.is_alert)) {
        assert_eq!(after.annotations["runbook_url"], format!("{address}{}", before.annotations["runbook_url"]));
        assert_eq!(after.annotations["description"], before.annotations["description"]);
    }
}

#[test]
fn the_template_for_azure_is_current_and_well_formed() {
    let groups = rules::groups();
    let template = azure::template(&groups);
    let file = folder().join("azure-monitor.bicep");
    if std::env::var_os("CACHEWATCH_BLESS").is_some() {
        fs::write(&file, &template).unwrap();
    }
    assert!(
        read(&file) == template,
        "azure-monitor.bicep is not made from these rules: CACHEWATCH_BLESS=1 cargo test --test rules"
    );
    assert_eq!(azure::malformed(&template), None);
}
