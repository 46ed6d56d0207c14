//! Compose: what it starts is pinned and closed, and every file finds its way to who reads it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{PORT, load_text, read, root, run, text, tool, yaml};

const FOLDER: &str = "deploy/compose";

fn compose() -> Value {
    yaml("deploy/compose/compose.yaml").swap_remove(0)
}

/// What a service has mounted: the source as it is written, the place inside, and whether it may be written.
fn mounts(service: &Value) -> Vec<(&str, &str, bool)> {
    let split = |volume| {
        let (source, _) = text(volume).rsplit_once(":/").unwrap();
        let place = &text(volume)[source.len() + 1..];
        place.strip_suffix(":ro").map_or((source, place, true), |place| (source, place, false))
    };
    service["volumes"].as_array().unwrap().iter().map(split).collect()
}

/// The file or directory of this tree that a service sees at `place`.
#[track_caller]
fn seen_at(service: &Value, place: &str) -> PathBuf {
    let found = mounts(service).into_iter().find_map(|(source, mounted, _)| {
        let below = place.strip_prefix(mounted)?;
        let is_whole = below.is_empty() || below.starts_with('/');
        (source.starts_with('.') && is_whole).then(|| source.to_owned() + below)
    });
    let path = found.unwrap_or_else(|| panic!("nothing is mounted at {place}"));
    root().join(FOLDER).join(path).canonicalize().unwrap_or_else(|error| panic!("{place}: {error}"))
}

fn flag<'a>(service: &'a Value, name: &str) -> &'a str {
    let mut words = service["command"].as_array().unwrap().iter().map(text);
    words.find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).unwrap_or_else(|| panic!("{name} in {service}"))
}

#[test]
fn compose_is_what_the_specification_says() {
    let check =
        |file: &Path| run(tool("check-jsonschema").args(["--builtin-schema", "vendor.compose-spec"]).arg(file), "");
    check(&root().join("deploy/compose/compose.yaml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("compose.yaml");
    fs::write(&wrong, read("deploy/compose/compose.yaml").replace("healthcheck:", "healthchek:")).unwrap();
    assert!(check(&wrong).is_err(), "a key that nobody knows passes");
}

#[test]
fn compose_is_open_to_this_machine_only_and_pins_what_it_runs() {
    let compose = compose();
    let services = compose["services"].as_object().unwrap();
    assert_eq!(services.len(), 4);
    for (name, service) in services {
        for port in service["ports"].as_array().unwrap() {
            assert!(text(port).starts_with("127.0.0.1:"), "{name}: {port}");
        }
        let image = text(&service["image"]);
        assert!(image.rsplit(':').next().unwrap().contains(|letter: char| letter.is_ascii_digit()), "{name}: {image}");
        for (source, place, writable) in mounts(service) {
            if source.starts_with('.') {
                assert!(seen_at(service, place).exists() && !writable, "{name}: {source}");
            } else if source.starts_with("${") {
                // The operator's own.
                assert!(!writable, "{name}: {source}");
            } else {
                assert!(compose["volumes"].get(source).is_some() && writable, "{name}: {source}");
            }
        }
        for other in service["depends_on"].as_array().into_iter().flatten() {
            assert!(services.contains_key(text(other)), "{name}: {other}");
        }
    }
}

/// What the guide has made and filled in is what Compose asks for, and it stops where that is missing.
#[test]
fn the_guide_fills_in_what_compose_asks_for() {
    let guide = read("deploy/compose/README.md");
    let example = read("deploy/compose/.env.example");
    let given = |name: &str| example.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap();
    for variable in example.lines().filter(|line| !line.starts_with('#')) {
        let name = variable.split('=').next().unwrap();
        let compose = read("deploy/compose/compose.yaml");
        assert!(compose.contains(&format!("${{{name}:")), "{name} is read by nothing");
    }
    assert_eq!(given("GRAFANA_PASSWORD"), "", "no password that everybody knows");
    let password = &compose()["services"]["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"];
    assert!(text(password).starts_with("${GRAFANA_PASSWORD:?"), "{password}: an empty one passes");
    assert!(guide.contains("`GRAFANA_PASSWORD`") && guide.contains("CACHEWATCH_IMAGE="), "{guide}");

    let keys = given("CACHEWATCH_KEYS").trim_start_matches("./");
    let config = load_text(&read("deploy/compose/config/cachewatch.toml"));
    assert!(guide.contains(&format!("mkdir {keys}\n")) && guide.contains(&format!("chown -R 65532:65532 {keys}\n")));
    for cache in &config.caches {
        assert!(guide.contains(&format!("> {keys}/{}\n", cache.name)), "no key of {}", cache.name);
    }
}

/// An image of the OCI format has no health check, and then this one is asked.
#[test]
fn compose_asks_the_health_check_of_the_image() {
    let check = &compose()["services"]["cachewatch"]["healthcheck"];
    let options = ["interval", "timeout", "start_period"]
        .map(|option| format!("--{}={}", option.replace('_', "-"), text(&check[option])));
    let (kind, words) = check["test"].as_array().unwrap().split_first().unwrap();
    assert_eq!(kind, "CMD");
    let words: Vec<_> = words.iter().map(|word| format!("{word}")).collect();
    let line = format!("\nHEALTHCHECK {} CMD [{}]\n", options.join(" "), words.join(", "));
    assert!(read("deploy/container/Dockerfile").contains(&line), "{line}");
}

/// Prometheus with its files where Compose puts them: a glob that finds nothing is no error to it.
#[test]
fn prometheus_finds_its_rules_its_targets_and_who_to_tell() {
    let compose = compose();
    let service = &compose["services"]["prometheus"];
    let file = seen_at(service, flag(service, "--config.file"));
    let config = &yaml(file.to_str().unwrap())[0];
    let static_targets = |of: &Value| of[0]["static_configs"][0]["targets"].clone();
    assert_eq!(static_targets(&config["scrape_configs"]), json!([format!("cachewatch:{PORT}")]));
    assert_eq!(static_targets(&config["alerting"]["alertmanagers"]), json!(["alertmanager:9093"]));

    let mut outside = fs::read_to_string(&file).unwrap();
    for glob in config["rule_files"].as_array().unwrap() {
        let (directory, names) = text(glob).rsplit_once('/').unwrap();
        let here = seen_at(service, directory).join(names);
        outside = outside.replace(text(glob), here.to_str().unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prometheus.yml");
    fs::write(&file, outside).unwrap();
    let said = run(Command::new("promtool").args(["check", "config"]).arg(&file), "").unwrap();
    let rules = |line: &str| line.split_once("SUCCESS: ")?.1.strip_suffix(" rules found")?.parse::<usize>().ok();
    assert!(said.lines().filter_map(rules).sum::<usize>() > 0, "{said}");
}

#[test]
fn alertmanager_accepts_its_file() {
    let service = &compose()["services"]["alertmanager"];
    let file = seen_at(service, flag(service, "--config.file"));
    run(Command::new("amtool").arg("check-config").arg(file), "").unwrap();
}

/// Grafana reads two directories, and shows a dashboard with the data source that is the default of its kind.
#[test]
fn grafana_finds_the_dashboards_and_prometheus() {
    let compose = compose();
    let service = &compose["services"]["grafana"];
    let provisioned = |kind: &str| {
        let folder = seen_at(service, &format!("/etc/grafana/provisioning/{kind}"));
        let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        let [file] = files.as_slice() else { panic!("{kind}: {files:?}") };
        yaml(file.to_str().unwrap()).swap_remove(0)
    };
    let sources = provisioned("datasources");
    let [source] = sources["datasources"].as_array().unwrap().as_slice() else { panic!("{sources}") };
    assert_eq!((&source["isDefault"], &source["url"]), (&json!(true), &json!("http://prometheus:9090")));
    assert!(compose["services"]["prometheus"]["ports"][0].as_str().unwrap().ends_with(":9090"));

    let providers = provisioned("dashboards");
    let folder = seen_at(service, text(&providers["providers"][0]["options"]["path"]));
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let dashboards: Vec<_> = files.filter(|file| file.extension().is_some_and(|ending| ending == "json")).collect();
    assert!(!dashboards.is_empty());
    for file in dashboards {
        let dashboard: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
        let kinds: Vec<_> = variables.filter(|one| one["type"] == "datasource").map(|one| &one["query"]).collect();
        assert_eq!(kinds, [&source["type"]], "{}", file.display());
    }
}
