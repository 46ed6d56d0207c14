//! The dashboards of `dashboards/`: each of their queries, asked of a real Prometheus that scrapes the real daemon, and
//! each file held to what Grafana, the metrics and the documents are.
//!
//! The world has a cache for every kind of trouble. Every query must show something of every cache; what is rightly
//! empty stands in [`EMPTY`], with the reason, and must be empty.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs, iter,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use cachewatch::clock::Stopwatch;
use serde_json::{Value, json};
use testlab::{
    PATIENCE,
    dns::Answer,
    fleet::{Fleet, PASSWORD, PRIVATE, PUBLIC, host},
    pki::Leaf,
    program::Daemon,
    prometheus::{JOB, Prometheus, encoded},
    redis::RedisServer,
};

use crate::{
    alerts::Told,
    names::{self, Said, Speaker},
};

const DASHBOARDS: [&str; 2] = ["fleet", "cache"];

/// Well but for an open plain port and another tier than the server's; led to a public address; near its client limit
/// and filling; with a certificate that ends in five days; refusing connections; without a name in DNS.
const CACHES: [&str; 6] = ["orders", "drifted", "crowded", "aging", "unreachable", "nameless"];

/// Which query of the cache's dashboard shows nothing, of which caches, and why.
const EMPTY: [(&str, &[&str], &str); 25] = [
    (
        "annotation DNS answer changed",
        &["orders", "crowded", "aging", "unreachable", "nameless"],
        "their addresses stay",
    ),
    ("Certificate valid for A", &["unreachable", "nameless"], "no handshake, so no certificate"),
    ("Certificates valid for A", &["unreachable", "nameless"], "no handshake, so no certificate"),
    ("Chain verified A", &["unreachable", "nameless"], "no handshake, so no chain"),
    ("Agreed on A", &["unreachable", "nameless"], "no handshake, so nothing was agreed on"),
    ("Clients, share of the limit A", &["unreachable", "nameless"], "INFO was not reached"),
    ("Clients against the limit A", &["unreachable", "nameless"], "INFO was not reached, and no tier is configured"),
    ("Clients against the limit B", &["unreachable", "nameless"], "INFO was not reached, and no tier is configured"),
    ("Clients against the limit C", &["unreachable", "nameless"], "INFO was not reached, and no tier is configured"),
    ("Clients against the limit D", &["unreachable", "nameless"], "INFO was not reached, and no tier is configured"),
    ("Connections rejected by the server A", &["unreachable", "nameless"], "INFO was not reached"),
    ("The server, as it says of itself A", &["unreachable", "nameless"], "INFO was not reached"),
    ("Limit reached in A", &["orders", "drifted", "aging", "unreachable", "nameless"], "their clients do not rise"),
    ("Forecast over time A", &["orders", "drifted", "aging", "unreachable", "nameless"], "their clients do not rise"),
    ("Failures by stage and reason A", &["orders", "drifted", "crowded", "aging"], "none of their probes fails"),
    ("Addresses that accept TCP A", &["nameless"], "there is no address to dial"),
    ("Private or public, by resolver A", &["nameless"], "there is no answer"),
    ("As expected, and through a private endpoint's alias A", &["nameless"], "there is no answer"),
    ("As expected, and through a private endpoint's alias B", &["nameless"], "there is no answer"),
    ("Addresses by resolver and class A", &["nameless"], "there is no answer"),
    ("Addresses now A", &["nameless"], "there is no answer"),
    ("TTL A", &["nameless"], "there is no answer"),
    (
        "Failed lookups and changes A",
        &["orders", "drifted", "crowded", "aging", "unreachable"],
        "their names are answered",
    ),
    (
        "Failed lookups and changes B",
        &["orders", "crowded", "aging", "unreachable", "nameless"],
        "their addresses stay",
    ),
    (
        "Exposure A",
        &["drifted", "crowded", "aging", "unreachable", "nameless"],
        "only the plain port of orders is tested",
    ),
];

/// How long the whole world may take until every query shows what it should.
const LIMIT: Duration = PATIENCE.saturating_mul(3);

/// The kinds of panels that every Grafana since 10 has.
const KINDS: [&str; 6] = ["bargauge", "row", "stat", "state-timeline", "table", "timeseries"];

#[test]
fn every_query_shows_what_the_world_is() {
    let world = World::start();
    let watch = Stopwatch::start();
    let mut wrong = Vec::new();
    let mut rightly_empty = Vec::new();
    for dashboard in DASHBOARDS.map(Dashboard::read) {
        let caches: &[&str] = if dashboard.name == "fleet" { &[".+"] } else { &CACHES };
        for queries in dashboard.queries.chunk_by(Query::are_read_together) {
            let mut labels = BTreeSet::new();
            for (query, cache) in queries.iter().flat_map(|query| caches.iter().map(move |cache| (query, *cache))) {
                let place = format!("{} {} ({cache}): {}", dashboard.name, query.title, query.expression);
                if EMPTY.iter().any(|(title, empty, _)| *title == query.title && empty.contains(&cache)) {
                    rightly_empty.push((place, cache, query.clone()));
                    continue;
                }
                match world.shown(query, cache, watch) {
                    Err(problem) => wrong.push(format!("{place}: {problem}")),
                    Ok(series) => labels.extend(series.into_iter().flat_map(BTreeMap::into_keys)),
                }
            }
            let misread = queries[0].misread(&labels);
            wrong.extend(misread.into_iter().map(|what| format!("{} {}: {what}", dashboard.name, queries[0].title)));
        }
        for (name, query) in &dashboard.variable_queries {
            if world.values_of(query, "orders").is_empty() {
                wrong.push(format!("{} variable {name}: {query} has no value", dashboard.name));
            }
        }
    }
    // By now the world has shown everything it has to show.
    for (place, cache, query) in rightly_empty {
        match world.ask(&query, JOB, cache) {
            Ok(series) if series.is_empty() => {}
            answer => wrong.push(format!("{place}: is in EMPTY and shows {answer:?}")),
        }
    }
    wrong.extend(world.names_of_nothing());
    for (title, _, _) in EMPTY {
        if !Dashboard::read("cache").queries.iter().any(|query| query.title == title) {
            wrong.push(format!("EMPTY speaks of {title}, which is nowhere"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    world.numbers_are_right();
    let findings = world.label_values("cachewatch_finding_open", "finding");
    let document = read("docs/findings.md");
    let homeless: Vec<_> = findings.iter().filter(|id| !document.contains(&format!("\n## {id}\n"))).collect();
    assert!(findings.len() >= 7 && homeless.is_empty(), "{findings:?}; without an anchor: {homeless:?}");
    world.one_cause_is_one_page();
    world.nobody_is_shown_as_well();
}

#[test]
fn every_expression_uses_metrics_labels_and_units_that_exist() {
    let metrics = documented_metrics();
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for dashboard in DASHBOARDS.map(Dashboard::read) {
        for query in &dashboard.queries {
            let place = format!("{} {}", dashboard.name, query.title);
            for (metric, labels) in uses(&query.expression) {
                match metrics.get(&metric) {
                    None => wrong.push(format!("{place}: {metric} is not in docs/metrics.md")),
                    Some(known) => {
                        let strange = labels.iter().filter(|label| !known.contains(*label));
                        wrong.extend(strange.map(|label| format!("{place}: {metric} has no label {label}")));
                    }
                }
                used.insert(metric);
            }
            if let Some(unit) = &query.unit {
                let right = units(&query.expression);
                if !right.contains(&unit.as_str()) {
                    wrong.push(format!("{place}: the unit is {unit}, not {right:?}: {}", query.expression));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // A new metric is put on a dashboard, or it is said here why it is on none.
    let unseen = [
        "cachewatch_host_sysctl",
        "cachewatch_journal_events_total",
        "cachewatch_loop_up",
        "cachewatch_probes_in_flight",
        "cachewatch_probes_skipped_total",
    ];
    let own = metrics.keys().filter(|name| name.starts_with("cachewatch_") && !is_part(name, &metrics));
    let missing: Vec<_> = own.filter(|name| !used.iter().any(|used| family(used) == **name)).collect();
    assert_eq!(missing, unseen, "advice on the page, a detail of the journal, an alert, two details of lateness");
}

#[test]
fn the_files_are_what_grafana_imports_and_people_can_read() {
    let mut wrong = Vec::new();
    let mut uids = BTreeSet::new();
    for dashboard in DASHBOARDS.map(Dashboard::read) {
        let mut say = |what: String| wrong.push(format!("{}: {what}", dashboard.name));
        let (text, document) = (&dashboard.text, &dashboard.document);
        let canonical = serde_json::to_string_pretty(document).unwrap() + "\n";
        if env::var_os("CACHEWATCH_BLESS").is_some() {
            fs::write(&dashboard.path, canonical).unwrap();
        } else if *text != canonical {
            say("is not sorted and indented; CACHEWATCH_BLESS=1 writes it so".to_owned());
        }
        if ["__inputs", "__requires", "__elements"].iter().any(|key| document.get(key).is_some()) {
            say("asks for inputs; provisioning answers none".to_owned());
        }
        let header = (&document["uid"], document["schemaVersion"].as_u64(), &document["id"]);
        if header != (&Value::from(format!("cachewatch-{}", dashboard.name)), Some(39), &Value::Null) {
            say(format!("uid, schemaVersion and id are {header:?}"));
        }
        uids.insert(header.0.as_str().unwrap().to_owned());
        variables_are_sound(&dashboard, &mut say);
        panels_are_sound(&dashboard, &mut say);
    }
    let findings = read("docs/findings.md");
    for dashboard in DASHBOARDS.map(Dashboard::read) {
        for url in all_strings(&dashboard.document, "url") {
            let problem = if let Some(rest) = url.strip_prefix("/d/") {
                let uid = rest.split('?').next().unwrap();
                (!uids.contains(uid)).then(|| format!("there is no dashboard {uid}"))
            } else if let Some(rest) = url.strip_prefix("${docs_url:raw}/") {
                let (file, anchor) = rest.split_once('#').unwrap_or((rest, ""));
                let is_heading = |anchor: &str| findings.contains(&format!("\n## {anchor}\n"));
                let leads = root().join("docs").join(file).is_file()
                    && (anchor.is_empty() || anchor.starts_with("${__") || is_heading(anchor));
                (!leads).then(|| format!("docs has no {rest}"))
            } else {
                (!url.starts_with("${cachewatch_url:raw}/")).then(|| "leads to nowhere known".to_owned())
            };
            wrong.extend(problem.map(|problem| format!("{}: {url}: {problem}", dashboard.name)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Grafana's own types, asked of its compiler; `Err` with a line for each problem.
fn fits_grafana(files: &[PathBuf]) -> Result<(), String> {
    let folder = root().join("tests/grafana");
    assert!(folder.join("node_modules/.as-locked").exists(), "Grafana's types are missing; run .ci/install-test-needs");
    let output = Command::new("node").arg(folder.join("check.mjs")).args(files).output();
    let output = output.unwrap_or_else(|error| panic!("cannot start node: {error}; run .ci/install-test-needs"));
    let said = String::from_utf8(output.stderr).unwrap();
    if output.status.success() && said.is_empty() { Ok(()) } else { Err(said) }
}

#[test]
fn every_part_is_of_the_type_that_grafana_gives_it() {
    let files = DASHBOARDS.map(|name| Dashboard::read(name).path);
    fits_grafana(&files).unwrap_or_else(|said| panic!("{said}"));
}

#[test]
fn what_grafana_does_not_know_is_seen() {
    let fleet = Dashboard::read("fleet");
    let mut document = fleet.document;
    let kind_at = |kind: &str| {
        let panels = document["panels"].as_array().unwrap();
        panels.iter().position(|panel| panel["type"] == kind).unwrap()
    };
    let [stat, table, timeline] = ["stat", "table", "state-timeline"].map(kind_at);
    document["graphTooltip"] = json!(7);
    document["annotations"]["list"][1]["colour"] = json!("red");
    let panels = document["panels"].as_array_mut().unwrap();
    panels[stat]["options"]["colorMode"] = json!("loud");
    panels[stat]["gridPos"]["w"] = json!("wide");
    panels[table]["options"]["showHeaders"] = json!(true);
    panels[timeline]["fieldConfig"]["defaults"]["custom"]["fillOpaqueness"] = json!(1);
    panels[timeline]["targets"][0]["format"] = json!("heat");
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("broken.json");
    fs::write(&file, document.to_string()).unwrap();
    let said = fits_grafana(&[file]).unwrap_err();
    // The newest gives no type for a query.
    for (version, problems) in [("for Grafana 10.", 7), ("for Grafana 13.", 6)] {
        let of_version: Vec<_> = said.lines().filter(|line| line.contains(version)).collect();
        assert_eq!(of_version.len(), problems, "{of_version:#?}");
    }
    for word in ["'7'", "colour", "loud", "'string'", "showHeaders", "fillOpaqueness", "heat"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

/// The names a person types into a link or an expression are declared, and what is declared is used.
fn variables_are_sound(dashboard: &Dashboard, say: &mut impl FnMut(String)) {
    let known = dashboard.document["templating"]["list"].as_array().unwrap();
    let mut names = BTreeSet::new();
    for variable in known {
        let name = variable["name"].as_str().unwrap();
        names.insert(name.to_owned());
        if variable["description"].as_str().unwrap_or_default().len() < 20 {
            say(format!("variable {name} is not described"));
        }
        let sound = match variable["type"].as_str().unwrap() {
            "datasource" => variable["query"] == "prometheus",
            "query" => variable["datasource"] == prometheus() && variable["refresh"] == 2,
            "custom" | "textbox" => {
                !variable["query"].as_str().unwrap().is_empty() && variable["current"]["value"].is_string()
            }
            _ => false,
        };
        if !sound {
            say(format!("variable {name} is not one that Grafana fills"));
        }
    }
    let used: BTreeSet<_> = mentioned(&dashboard.text).into_iter().filter(|name| !name.starts_with("__")).collect();
    if used != names {
        say(format!("variables declared {names:?}, used {used:?}"));
    }
}

fn panels_are_sound(dashboard: &Dashboard, say: &mut impl FnMut(String)) {
    const KEYS: [&str; 11] = [
        "datasource",
        "description",
        "fieldConfig",
        "gridPos",
        "id",
        "options",
        "targets",
        "title",
        "transformations",
        "type",
        "transparent",
    ];
    let (mut ids, mut titles, mut taken) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
    let mut last_place = (0, 0);
    for panel in dashboard.document["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        let kind = panel["type"].as_str().unwrap();
        let mut say = |what: &str| say(format!("{title}: {what}"));
        if !KINDS.contains(&kind) {
            say("is of a kind that not every Grafana has");
        }
        if !ids.insert(panel["id"].as_u64().unwrap()) || !titles.insert(title) {
            say("has the id or the title of another");
        }
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        if w == 0 || h == 0 || x + w > 24 || (y, x) < last_place {
            say("does not stand on the grid, in reading order");
        }
        last_place = (y, x);
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            if let Some(other) = taken.insert(cell, title) {
                say(&format!("lies over {other}"));
                break;
            }
        }
        if kind == "row" {
            if !title.ends_with('?') || panel["collapsed"] != false || panel["panels"] != Value::Array(vec![]) {
                say("is a row that asks nothing, or hides something");
            }
            continue;
        }
        let strange: Vec<_> = panel.as_object().unwrap().keys().filter(|key| !KEYS.contains(&key.as_str())).collect();
        if !strange.is_empty() {
            say(&format!("has {strange:?}"));
        }
        if panel["description"].as_str().unwrap_or_default().len() < 60 {
            say("does not say what it means and what to do");
        }
        let defaults = &panel["fieldConfig"]["defaults"];
        if defaults["noValue"].as_str().unwrap_or_default().len() < 8 || !defaults["unit"].is_string() {
            say("has no unit, or no words for no value");
        }
        if !panel["fieldConfig"]["overrides"].is_array() || panel["datasource"] != prometheus() {
            say("has no overrides, or another data source than ${datasource}");
        }
        // Absent must not look like well: a mapping says what unknown looks like.
        let mappings = defaults["mappings"].as_array().unwrap();
        if kind == "state-timeline" && !mappings.iter().any(|mapping| mapping["options"]["match"] == "null+nan") {
            say("has no look for unknown");
        }
        for thresholds in
            iter::once(&defaults["thresholds"]).chain(overridden(panel, "thresholds").map(|(_, value)| value))
        {
            let steps: Vec<_> =
                thresholds["steps"].as_array().unwrap().iter().map(|step| step["value"].as_f64()).collect();
            if steps.first() != Some(&None) || !steps[1..].is_sorted() || steps[1..].contains(&None) {
                say("has thresholds out of order");
            }
        }
        let expressions: Vec<_> = targets(panel).map(|target| target["expr"].as_str().unwrap()).collect();
        let steps = |expected: &[f64]| {
            let steps = defaults["thresholds"]["steps"].as_array().unwrap();
            steps.iter().filter_map(|step| step["value"].as_f64()).eq(expected.iter().copied())
        };
        let is_about =
            |metric: &str, unit: &str| defaults["unit"] == unit && expressions.iter().any(|e| e.contains(metric));
        if is_about("cachewatch_clients_headroom_ratio", "percentunit") && !steps(&[0.75, 0.9])
            || is_about("cachewatch_tls_certificate_not_after_timestamp_seconds", "s")
                && !steps(&[7.0 * 86400.0, 30.0 * 86400.0])
        {
            say("has other thresholds than cachewatch");
        }
        let mut references = BTreeSet::new();
        for target in targets(panel) {
            let is_range = ["timeseries", "state-timeline"].contains(&kind);
            let sound = target["datasource"] == prometheus()
                && references.insert(target["refId"].as_str().unwrap())
                && target["range"] == is_range
                && target["instant"] == !is_range
                && target["format"] == if kind == "table" { "table" } else { "time_series" };
            if !sound {
                say(&format!("asks {} in a way it cannot show", target["refId"]));
            }
        }
        if references.is_empty() {
            say("asks nothing");
        }
    }
}

/// A dashboard's file, and every query in it.
struct Dashboard {
    name: &'static str,
    path: PathBuf,
    text: String,
    document: Value,
    queries: Vec<Query>,
    variable_queries: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
struct Query {
    /// The panel and the query's letter, or the annotation.
    title: String,
    expression: String,
    is_range: bool,
    /// What the value is shown in; annotations show none.
    unit: Option<String>,
    /// The labels that the legend or the columns name.
    named: BTreeSet<String>,
    /// Whether a label that is not named would be shown all the same, as a column without a name.
    is_table: bool,
}

impl Dashboard {
    fn read(name: &'static str) -> Self {
        let path = root().join("dashboards").join(name).with_extension("json");
        let text = fs::read_to_string(&path).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        let mut queries = Vec::new();
        for panel in document["panels"].as_array().unwrap() {
            queries.extend(targets(panel).map(|target| Query::of_panel(panel, target)));
        }
        for annotation in document["annotations"]["list"].as_array().unwrap() {
            if annotation["builtIn"] != 1 {
                assert_eq!(annotation["datasource"], prometheus(), "{annotation}");
                queries.push(Query::of_annotation(annotation));
            }
        }
        let variables = document["templating"]["list"].as_array().unwrap().iter();
        let variable_queries = variables
            .filter(|variable| variable["type"] == "query")
            .map(|variable| {
                assert_eq!(variable["query"]["query"], variable["definition"], "{variable}");
                (variable["name"].to_string(), variable["definition"].as_str().unwrap().to_owned())
            })
            .collect();
        Self { name, path, text, document, queries, variable_queries }
    }
}

impl Query {
    fn of_panel(panel: &Value, target: &Value) -> Self {
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        let (kind, letter) = (word(&panel["type"]), word(&target["refId"]));
        let mut unit = word(&panel["fieldConfig"]["defaults"]["unit"]);
        let mut named = BTreeSet::new();
        let is_table = kind == "table";
        if is_table {
            let organize = panel["transformations"].as_array().unwrap().last().unwrap();
            let columns = organize["options"]["renameByName"].as_object().unwrap();
            let one = targets(panel).count() == 1;
            let value = if one { "Value".to_owned() } else { format!("Value #{letter}") };
            let shown = columns.get(&value).unwrap_or_else(|| panic!("{}: {value} has no column", panel["title"]));
            let units = overridden(panel, "unit").filter(|(column, _)| *column == shown);
            unit = units.map(|(_, unit)| word(unit)).last().unwrap_or(unit);
            named = columns.keys().filter(|column| !column.starts_with("Value")).cloned().collect();
            let shown: Vec<_> = columns.values().collect();
            let spoken = overridden(panel, "").map(|(column, _)| column);
            let sorted = panel["options"]["sortBy"].as_array().unwrap().iter().map(|sort| &sort["displayName"]);
            for column in spoken.chain(sorted) {
                assert!(shown.contains(&column), "{}: there is no column {column}", panel["title"]);
            }
        } else {
            named.extend(between(target["legendFormat"].as_str().unwrap(), "{{", "}}"));
        }
        for url in all_strings(panel, "url") {
            named.extend(between(&url, "${__data.fields.", "}"));
            named.extend(between(&url, "${__field.labels.", "}"));
        }
        let title = format!("{} {letter}", word(&panel["title"]));
        Self {
            title,
            expression: word(&target["expr"]),
            is_range: target["range"] == true,
            unit: Some(unit),
            named,
            is_table,
        }
    }

    fn of_annotation(annotation: &Value) -> Self {
        let word = |key: &str| annotation[key].as_str().unwrap().to_owned();
        let mut named: BTreeSet<_> = word("tagKeys").split(',').map(str::to_owned).collect();
        named.extend(["titleFormat", "textFormat"].into_iter().flat_map(|key| between(&word(key), "{{", "}}")));
        let title = format!("annotation {}", word("name"));
        Self { title, expression: word("expr"), is_range: true, unit: None, named, is_table: false }
    }

    /// The queries of one table are its columns together.
    fn are_read_together(&self, other: &Self) -> bool {
        let panel = |query: &Self| query.title.rsplit_once(' ').map(|(panel, _)| panel.to_owned());
        self.is_table && other.is_table && panel(self) == panel(other)
    }

    /// What its legend or its columns say that the series do not.
    fn misread(&self, labels: &BTreeSet<String>) -> Vec<String> {
        let mut wrong: Vec<_> = self.named.difference(labels).map(|name| format!("no series has {name}")).collect();
        if self.is_table {
            wrong.extend(labels.difference(&self.named).map(|label| format!("{label} has no column")));
        }
        wrong
    }
}

/// The caches, the daemon that watches them and the Prometheus that scrapes it, all real.
struct World {
    prometheus: Prometheus,
    daemon: Option<Daemon>,
    target: String,
    _crowd: Filling,
    _servers: [RedisServer; 2],
    _lab: Fleet,
    _leaf: Leaf,
}

impl World {
    fn start() -> Self {
        let fleet = Fleet::new();
        let leaf = fleet.authority.valid_for(&["*.redis.cache.windows.net"], Duration::from_hours(5 * 24));
        let with_tls = |leaf| RedisServer::builder().tls(leaf).password(PASSWORD);
        let aging = with_tls(&leaf).start();
        let good = fleet.authority.leaf(&["*.redis.cache.windows.net"]);
        let crowded = with_tls(&good).max_clients(1000).start();
        let mut gone = RedisServer::builder().start();
        gone.stop();

        let mut text = fleet.settings("interval = \"1s\"\ntimeout = \"950ms\"\njitter = 0.0\n");
        for name in CACHES {
            fleet.lead(name, PRIVATE);
            let own = match name {
                "crowded" => crowded.address(),
                "aging" => aging.address(),
                "unreachable" => gone.address(),
                _ => fleet.server.address(),
            };
            let tier = if name == "orders" { "\ntier = \"P1\"" } else { "" };
            let table = fleet.cache(name, &format!("isolation = \"private_endpoint\"{tier}"));
            text += &table.replace(&fleet.server.address().to_string(), &own.to_string());
        }
        let plain = format!("connect_to = [\"{PRIVATE}:6379={}\", ", fleet.server.plain_address());
        text = text.replacen("connect_to = [", &format!("exposure.plain_port = true\n{plain}"), 1);
        fleet.names.set(&host("nameless"), Answer::new().nxdomain());
        let daemon = Daemon::start(&text);
        let target = daemon.address().to_string();
        // The rules as they are, evaluated often enough for the answer to be theirs.
        let rules = read("deploy/prometheus/cachewatch.rules.yml").replace("    interval: 1m\n", "    interval: 5s\n");
        let prometheus = Prometheus::start(&target, Some(&rules));
        // What changes must be seen as it was before.
        prometheus.wait_for(&format!("count(cachewatch_probe_success) == {}", CACHES.len()));
        fleet.lead("drifted", PUBLIC);
        let crowd = Filling::start(crowded);
        let daemon = Some(daemon);
        Self { prometheus, daemon, target, _crowd: crowd, _servers: [aging, gone], _lab: fleet, _leaf: leaf }
    }

    /// The labels of what a query shows, as soon as it shows something.
    fn shown(&self, query: &Query, cache: &str, since: Stopwatch) -> Result<Vec<BTreeMap<String, String>>, String> {
        loop {
            let series = self.ask(query, JOB, cache)?;
            if !series.is_empty() {
                return Ok(series);
            }
            if since.elapsed() > LIMIT {
                return Err("shows nothing".to_owned());
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn ask(&self, query: &Query, job: &str, cache: &str) -> Result<Vec<BTreeMap<String, String>>, String> {
        let expression = self.filled(&query.expression, job, cache);
        if query.is_range { self.prometheus.range(&expression) } else { self.prometheus.instant(&expression) }
    }

    /// An expression as Grafana would send it.
    fn filled(&self, expression: &str, job: &str, cache: &str) -> String {
        let filled = [
            ("$__rate_interval", "5s"),
            ("$__interval_ms", "1000"),
            ("$__interval", "1s"),
            ("$__range_s", "60"),
            ("$__range", "60s"),
            ("$job", job),
            ("$instance", &self.target),
            ("$cache", cache),
            ("$objective", "0.999"),
        ];
        let filled = filled.iter().fold(expression.to_owned(), |text, (name, value)| text.replace(name, value));
        assert!(!filled.contains('$'), "Grafana would leave something in {filled}");
        filled
    }

    /// What a variable offers.
    fn values_of(&self, query: &str, cache: &str) -> Vec<String> {
        let (selector, label) = values_asked(query);
        self.label_values(&self.filled(selector, JOB, cache), label)
    }

    fn label_values(&self, selector: &str, label: &str) -> Vec<String> {
        let answer = self.prometheus.get(&format!("label/{label}/values?match[]={}", encoded(selector)));
        let values = answer.unwrap()["data"].as_array().unwrap().clone();
        values.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
    }

    /// What is said of the six caches, in numbers.
    fn numbers_are_right(&self) {
        let fleet = Dashboard::read("fleet");
        let filled = |title: &str| {
            let query = fleet.queries.iter().find(|query| query.title == title);
            self.filled(&query.unwrap_or_else(|| panic!("there is no {title}")).expression, JOB, ".+")
        };
        let caches = CACHES.len();
        for (title, number) in [
            ("Caches an application cannot rely on A", 4),
            ("Caches at risk A", 2),
            ("Last probe failed A", 2),
            ("Not probed for 10 minutes A", 0),
            ("cachewatch not answering A", 0),
            ("Caches watched A", caches),
            ("Room unknown A", 2),
        ] {
            self.prometheus.wait_for(&format!("({}) == {number}", filled(title)));
        }
        let standing = filled("Standing of each cache A");
        for (cache, number) in CACHES.iter().zip([2, 3, 2, 3, 4, 4]) {
            self.prometheus.wait_for(&format!(
                "({standing}) == {number} and on (cache) cachewatch_probe_success{{cache=\"{cache}\"}}"
            ));
        }
        let since = filled("Open findings A");
        let soon = format!("count(({since}) / 1000 > time() - 60 and ({since}) / 1000 <= time())");
        self.prometheus.wait_for(&format!("{soon} == count(cachewatch_finding_open == 1)"));
        let (leads, used) = (filled("Where names lead A"), filled("Clients, share of the limit A"));
        self.prometheus
            .wait_for(&format!("({leads}) == 2 and on (cache) cachewatch_dns_changes_total{{cache=\"drifted\"}} == 1"));
        self.prometheus
            .wait_for(&format!("({used}) > 0.75 and on (cache) cachewatch_clients_connected{{cache=\"crowded\"}}"));
        let left = filled("Certificate valid for A");
        let five_days = format!("({left}) < 5 * 86400 > 4.9 * 86400");
        self.prometheus.wait_for(&format!("{five_days} and on (cache) cachewatch_probe_success{{cache=\"aging\"}}"));
    }

    /// What the panels, the rules and the documents call by a name, and the daemon by none or another.
    fn names_of_nothing(&self) -> Vec<String> {
        let said = Said::of(&self.daemon.as_ref().unwrap().scrape());
        let mut wrong = said.against(&documented_metrics());
        let mut speakers = Vec::new();
        for dashboard in DASHBOARDS.map(Dashboard::read) {
            let place = |title: &str| format!("{} {title}", dashboard.name);
            let queries = dashboard.queries.iter();
            speakers.extend(queries.map(|query| Speaker::of_query(place(&query.title), &query.expression)));
            for (name, query) in &dashboard.variable_queries {
                let (selector, label) = values_asked(query);
                speakers.push(Speaker::of_query(place(name), &format!("count by ({label}) ({selector})")));
            }
        }
        let groups = self.prometheus.get("rules").unwrap();
        let groups = groups["data"]["groups"].as_array().unwrap().iter();
        let rules: Vec<_> = groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect();
        assert!(rules.len() > 40, "{} rules", rules.len());
        // With real series, which is where two of a kind meet that must not.
        let ill = rules.iter().filter(|rule| rule["health"] != "ok");
        wrong.extend(ill.map(|rule| format!("{}: {} {}", rule["name"], rule["health"], rule["lastError"])));
        speakers.extend(Speaker::of_rules(&rules));
        wrong.extend(names::problems(&speakers, &said));
        wrong
    }

    /// The alerts that these troubles raise, the ones that still wait for their time among them, given to an Alertmanager:
    /// whoever is on call hears of each cache once.
    fn one_cause_is_one_page(&self) {
        for (cache, alert) in [
            ("orders", "CachewatchCacheAtRisk"),
            ("drifted", "CachewatchDnsPathPublic"),
            ("crowded", "CachewatchHeadroomLow"),
            ("crowded", "CachewatchExhaustionNear"),
            ("crowded", "CachewatchExhaustionForecast"),
            ("aging", "CachewatchCertificateCritical"),
            ("unreachable", "CachewatchCacheUnreachable"),
            ("nameless", "CachewatchCacheUnreachable"),
        ] {
            self.prometheus.wait_for(&format!("ALERTS{{cache=\"{cache}\", alertname=\"{alert}\"}}"));
        }
        let expected = [
            "nobody orders CachewatchCacheAtRisk",
            "on-call aging CachewatchCertificateCritical",
            "on-call crowded CachewatchExhaustionNear",
            "on-call drifted CachewatchDnsPathPublic",
            "on-call nameless CachewatchCacheUnreachable",
            "on-call unreachable CachewatchCacheUnreachable",
        ];
        let told = Told::of(&self.prometheus);
        let watch = Stopwatch::start();
        // On a busy machine any cache may be slow, and that is no page.
        let is_of_a_trouble =
            |told: &&String| !told.ends_with(" CachewatchLatencyHigh") || told.starts_with("on-call ");
        while !told.notifications().iter().filter(is_of_a_trouble).eq(&expected) {
            assert!(watch.elapsed() < LIMIT, "{:#?}", told.notifications());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Where nobody reports there is nothing, and above all no number that looks like good news.
    fn nobody_is_shown_as_well(mut self) {
        const DOWN: &str = "cachewatch not answering A";
        let mut wrong = Vec::new();
        for dashboard in DASHBOARDS.map(Dashboard::read) {
            for query in &dashboard.queries {
                let answer = self.ask(query, "nobody", "nobody");
                if answer != Ok(vec![]) {
                    wrong.push(format!("{} {}: of nobody it shows {answer:?}", dashboard.name, query.title));
                }
            }
        }
        drop(self.daemon.take());
        self.prometheus.wait_for("up == 0");
        // The last numbers of a target that is gone are gone with it. What is asked of the time shown may speak of the
        // past; a stat or a table without a range is asked of now.
        let is_of_now =
            |query: &Query| !query.is_range && !query.expression.contains("[$__range") && query.title != DOWN;
        for dashboard in DASHBOARDS.map(Dashboard::read) {
            for query in &dashboard.queries {
                let answer = self.ask(query, JOB, "orders");
                let is_wrong = answer.as_ref().map_or(true, |series| is_of_now(query) && !series.is_empty());
                if is_wrong {
                    wrong.push(format!("{} {}: of the dead it shows {answer:?}", dashboard.name, query.title));
                }
            }
        }
        let fleet = Dashboard::read("fleet");
        let down = fleet.queries.iter().find(|query| query.title == DOWN);
        let expression = self.filled(&down.unwrap().expression, JOB, "orders");
        assert_eq!(self.prometheus.instant(&format!("({expression}) == 1")).map(|series| series.len()), Ok(1));
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// What a variable asks: the series, and the label whose values it offers.
fn values_asked(query: &str) -> (&str, &str) {
    let inside = query.strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap();
    inside.rsplit_once(", ").unwrap()
}

/// A server of 1000 clients at most that one client more joins again and again, until this is dropped or it is nearly full.
struct Filling {
    enough: Option<mpsc::Sender<()>>,
    clients: Option<thread::JoinHandle<()>>,
}

impl Filling {
    fn start(server: RedisServer) -> Self {
        let (enough, end) = mpsc::channel::<()>();
        let fill = move || {
            let mut clients: Vec<_> = (0..760).map(|_| server.client()).collect();
            // Slowly, so that on a busy machine it has not ended before it is looked at.
            while end.recv_timeout(Duration::from_secs(2)) == Err(mpsc::RecvTimeoutError::Timeout) {
                if clients.len() < 980 {
                    clients.push(server.client());
                }
            }
        };
        Self { enough: Some(enough), clients: Some(thread::spawn(fill)) }
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.enough = None;
        let _ = self.clients.take().map(thread::JoinHandle::join);
    }
}

/// The metrics of `docs/metrics.md` with all their labels, a histogram by its parts, and what comes with every target.
fn documented_metrics() -> BTreeMap<String, BTreeSet<String>> {
    let mut metrics = BTreeMap::new();
    for line in read("docs/metrics.md").lines().filter(|line| line.starts_with("| `cachewatch_")) {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().replace('`', "")).collect();
        let (name, kind) = (cells[1].clone(), cells[2].as_str());
        let words = cells[3].split(", ").filter(|label| !label.is_empty()).chain(["job", "instance"]);
        let labels: BTreeSet<_> = words.map(str::to_owned).collect();
        if kind == "histogram" {
            let with_bound = labels.iter().cloned().chain(["le".to_owned()]).collect();
            metrics.insert(format!("{name}_bucket"), with_bound);
            metrics.insert(format!("{name}_sum"), labels.clone());
            metrics.insert(format!("{name}_count"), labels.clone());
        }
        if kind != "histogram" {
            metrics.insert(name, labels);
        }
    }
    assert!(metrics.len() > 40, "{metrics:?}");
    let of_targets = BTreeSet::from(["job", "instance"].map(str::to_owned));
    for name in ["up", "process_resident_memory_bytes"] {
        metrics.insert(name.to_owned(), of_targets.clone());
    }
    metrics
}

/// A histogram's `_sum` and `_count` need not be shown where its `_bucket` is.
fn is_part(name: &str, metrics: &BTreeMap<String, BTreeSet<String>>) -> bool {
    ["_sum", "_count"]
        .iter()
        .any(|end| name.strip_suffix(end).is_some_and(|family| metrics.contains_key(&format!("{family}_bucket"))))
}

/// A part of a histogram as its `_bucket`; other names as they are.
fn family(name: &str) -> String {
    let part = ["_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
    part.map_or_else(|| name.to_owned(), |family| format!("{family}_bucket"))
}

/// The metrics of an expression, with the labels each is selected by.
fn uses(expression: &str) -> Vec<(String, BTreeSet<String>)> {
    let mut found = Vec::new();
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut rest = expression;
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_alphabetic()) {
        let word: String = rest[start..].chars().take_while(|letter| is_letter(*letter)).collect();
        rest = &rest[start + word.len()..];
        if ["cachewatch_", "process_"].iter().any(|start| word.starts_with(start)) || word == "up" {
            let inside = rest.strip_prefix('{').map_or("", |inside| inside.split('}').next().unwrap());
            rest = &rest[inside.len()..];
            let labels = inside.split(", ").map(|part| part.chars().take_while(|letter| is_letter(*letter)).collect());
            found.push((word, labels.filter(|label: &String| !label.is_empty()).collect()));
        }
    }
    assert!(!found.is_empty(), "no metric in {expression}");
    found
}

/// The units a value of this expression may be shown in.
fn units(expression: &str) -> &'static [&'static str] {
    let is_old = |text: &str| text.contains("< 600");
    // Whether a path was probed lately only picks what is shown.
    let shown: String = match expression.split_once("time() - cachewatch_last_probe_timestamp_seconds") {
        Some((before, after)) if is_old(after) => before.to_owned() + after,
        _ => expression.to_owned(),
    };
    let has = |part: &str| shown.contains(part);
    match () {
        () if has("_timestamp_seconds") || has("timestamp(") => match (has("1000 * "), has("- time()")) {
            (true, false) => &["dateTimeFromNow", "dateTimeAsIso"],
            (false, true) => &["s"],
            _ => &[],
        },
        () if shown.starts_with("count(") => &["none"],
        () if has("_ratio") => &["percentunit"],
        () if has("_bytes") => &["bytes"],
        () if has("/ (1 - $objective)") => {
            if shown.starts_with("1 - ") {
                &["percentunit"]
            } else {
                &["none"]
            }
        }
        () if has("avg(cachewatch_probe_success") || has("_over_time(cachewatch_probe_success") => &["percentunit"],
        () if has("_seconds_bucket") || has("_seconds_sum") || has("_seconds{") => &["s"],
        () if has("rate(") => &["cps"],
        () => &["none"],
    }
}

/// The overridden columns of a panel, each with this property where it has it; with `""`, every column.
fn overridden<'a>(panel: &'a Value, property: &'a str) -> impl Iterator<Item = (&'a Value, &'a Value)> {
    let overrides = panel["fieldConfig"]["overrides"].as_array().unwrap();
    overrides.iter().flat_map(move |one| {
        assert_eq!(one["matcher"]["id"], "byName");
        let properties = one["properties"].as_array().unwrap().iter();
        let fits = properties.filter(move |own| property.is_empty() || own["id"] == property);
        fits.map(move |own| (&one["matcher"]["options"], &own["value"]))
    })
}

fn targets(panel: &Value) -> impl Iterator<Item = &Value> {
    panel["targets"].as_array().into_iter().flatten()
}

fn prometheus() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

/// Every text that stands under this key, however deep.
fn all_strings(value: &Value, key: &str) -> Vec<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(name, inner)| match inner {
                Value::String(text) if name == key => vec![text.clone()],
                _ => all_strings(inner, key),
            })
            .collect(),
        Value::Array(list) => list.iter().flat_map(|inner| all_strings(inner, key)).collect(),
        _ => vec![],
    }
}

/// The variables that a text mentions, as `$name`, `${name}` or `${name:format}`.
fn mentioned(text: &str) -> BTreeSet<String> {
    let name = |rest: &str| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        rest.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect::<String>()
    };
    text.split('$').skip(1).map(name).filter(|name| !name.is_empty()).collect()
}

fn between(text: &str, open: &str, close: &str) -> Vec<String> {
    text.split(open).skip(1).filter_map(|rest| Some(rest.split_once(close)?.0.trim().to_owned())).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
