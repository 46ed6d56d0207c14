//! What stands in `deploy/`: it renders, fits the schemas, follows good practice, and speaks of the program as it is.
//!
//! The tools are pinned in `tests/deploy/requirements.txt`; `make test` installs them, and so does `make tools`.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use cachewatch::VERSION;
use cachewatch::azure::TCP_SETTINGS;
use cachewatch::config::{Config, Inputs, load};
use cachewatch::model::{Auth, EventKind, FindingId, Password};
use serde_json::{Value, json};

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
    let mut command = Command::new(path);
    command.current_dir(root());
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

fn parse(json: &str) -> Vec<Value> {
    serde_json::from_str(json).unwrap()
}

/// The documents of a YAML text, held to the schemas of Kubernetes.
#[track_caller]
fn manifests(yaml: &str) -> Vec<Value> {
    parse(&run(tool("python").arg("tests/deploy/manifests.py"), yaml).unwrap_or_else(|said| panic!("{said}")))
}

/// The documents of any YAML text.
#[track_caller]
fn yaml(path: &str) -> Vec<Value> {
    let read = run(tool("python").args(["tests/deploy/manifests.py", "--any"]), &read(path));
    parse(&read.unwrap_or_else(|said| panic!("{path}: {said}")))
}

#[track_caller]
fn kustomize(folder: &str) -> String {
    run(tool("kubectl").args(["kustomize", folder]), "").unwrap_or_else(|said| panic!("{said}"))
}

fn helm(arguments: &[&str]) -> Result<String, String> {
    run(tool("helm").args(["template", "cachewatch", "deploy/helm/cachewatch", "-n", "cachewatch"]).args(arguments), "")
}

/// The folders with a kustomization that can be applied.
fn overlays() -> Vec<String> {
    let mut found: Vec<_> = fs::read_dir(root().join("deploy/kubernetes/overlays"))
        .unwrap()
        .map(|entry| format!("deploy/kubernetes/overlays/{}", entry.unwrap().file_name().into_string().unwrap()))
        .chain(["deploy/kubernetes/base".to_owned()])
        .collect();
    found.sort();
    assert!(found.len() > 8, "{found:?}");
    found
}

/// Values under which the chart is looked at, beside its own.
const CHARTS: [&[&str]; 4] = [
    &[],
    &["--set", "mode=daemonset,secretProviderClass=cachewatch,dnsPolicy=Default"],
    &["--set", "journal.persistent=true,journal.storageClassName=managed-csi,podMonitor.enabled=true"],
    &[
        "--set",
        "serviceMonitor.enabled=true,serviceMonitor.apiVersion=azmonitoring.coreos.com/v1,prometheusRule.enabled=true",
        "--set",
        "existingSecret=,networkPolicy.enabled=false,podAnnotations.a=b,prometheusRule.rules=groups: []",
    ],
];

/// Something that can be applied.
struct Deployable {
    origin: String,
    yaml: String,
    manifests: Vec<Value>,
}

/// Everything that can be applied, rendered once.
fn everything() -> &'static [Deployable] {
    static EVERYTHING: LazyLock<Vec<Deployable>> = LazyLock::new(|| {
        let overlays = overlays().into_iter().map(|folder| (folder.clone(), kustomize(&folder)));
        let charts = CHARTS.iter().map(|values| (format!("chart {values:?}"), helm(values).unwrap()));
        let rendered = overlays.chain(charts);
        rendered.map(|(origin, yaml)| Deployable { manifests: manifests(&yaml), origin, yaml }).collect()
    });
    &EVERYTHING
}

/// The one pod of a workload.
fn pod(manifests: &[Value]) -> &Value {
    let pods: Vec<_> = manifests.iter().filter_map(|manifest| manifest.pointer("/spec/template")).collect();
    assert_eq!(pods.len(), 1, "one workload in each");
    pods[0]
}

/// The containers of a pod that run cachewatch, each with the list it stands in.
fn containers(pod: &Value) -> Vec<(&str, &Value)> {
    ["initContainers", "containers"]
        .into_iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten().map(move |container| (list, container)))
        .filter(|(_, container)| container["name"] == "cachewatch")
        .collect()
}

fn load_text(toml: &str) -> Config {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cachewatch.toml");
    fs::write(&file, toml).unwrap();
    let inputs = Inputs { files: vec![file], ..Inputs::default() };
    load(&inputs).unwrap_or_else(|problems| panic!("{problems}\n{toml}"))
}

#[test]
fn everything_renders_and_fits_the_schemas_of_kubernetes() {
    for Deployable { origin, manifests, .. } in everything() {
        assert!(!manifests.is_empty(), "{origin}");
    }
}

#[test]
fn what_does_not_fit_a_schema_is_seen() {
    let wrong = kustomize("deploy/kubernetes/base").replace("containerPort: 9847", "containerPort: many");
    let said = run(tool("python").arg("tests/deploy/manifests.py"), &wrong).unwrap_err();
    assert!(said.contains("Deployment/cachewatch"), "{said}");
}

#[test]
fn the_chart_is_well_and_refuses_what_cannot_be() {
    run(tool("helm").args(["lint", "--strict", "deploy/helm/cachewatch"]), "").unwrap_or_else(|said| panic!("{said}"));
    for (values, words) in [
        ("mode=sidecar", "mode"),
        ("modus=daemonset", "modus"),
        ("image.digest=latest", "digest"),
        ("mode=daemonset,journal.persistent=true", "one disk cannot serve every node"),
        ("prometheusRule.enabled=true", "--set-file prometheusRule.rules"),
    ] {
        let said = helm(&["--set", values]).unwrap_err();
        assert!(said.contains(words), "{values}: {said}");
    }
}

/// No finding is left but those that `tests/deploy/checkov.yaml` names with a reason; without a network, so that nothing is told
/// to anybody.
#[test]
fn checkov_has_nothing_to_say() {
    // Hidden directories, as temporary ones are by default, are passed over.
    let directory = tempfile::Builder::new().prefix("manifests").tempdir().unwrap();
    for (at, deployable) in everything().iter().enumerate() {
        fs::write(directory.path().join(format!("{at}.yaml")), &deployable.yaml).unwrap();
    }
    let checkov = tool("checkov");
    let check = |folder: &Path| {
        let mut alone = Command::new("unshare");
        alone.args(["--map-root-user", "--net"]).arg(checkov.get_program()).arg("--directory").arg(folder);
        run(alone.args(["--config-file", "tests/deploy/checkov.yaml"]).current_dir(root()), "")
    };
    let said = check(directory.path()).unwrap_or_else(|said| panic!("{said}"));
    assert!(said.contains("Passed checks: ") && said.contains("Failed checks: 0"), "{said}");

    let open = kustomize("deploy/kubernetes/base").replace("readOnlyRootFilesystem: true", "privileged: true");
    fs::write(directory.path().join("0.yaml"), open).unwrap();
    assert!(check(directory.path()).unwrap_err().contains("CKV_K8S_16"), "a privileged container is seen");
}

/// Where cachewatch runs, it runs as the restricted profile of Pod Security wants it, and can be reached and probed.
#[test]
fn every_container_of_cachewatch_is_restricted_and_probed() {
    for Deployable { origin, manifests, .. } in everything() {
        if origin.ends_with("/application") {
            continue;
        }
        let pod = pod(manifests);
        let found = containers(pod);
        let [(list, container)] = found[..] else { panic!("{origin}: {found:?}") };
        let is_sidecar = pod["spec"]["containers"] != json!([container]);
        let security = |key: &str| [&container["securityContext"][key], &pod["spec"]["securityContext"][key]];
        let holds = |key: &str, value: Value| {
            let [own, of_pod] = security(key);
            let said = if own.is_null() { of_pod } else { own };
            assert_eq!(*said, value, "{origin}: {key}");
        };
        holds("runAsNonRoot", json!(true));
        holds("runAsUser", json!(65532));
        holds("seccompProfile", json!({ "type": "RuntimeDefault" }));
        let own = &container["securityContext"];
        assert_eq!(own["capabilities"], json!({ "drop": ["ALL"] }), "{origin}");
        assert_eq!((&own["allowPrivilegeEscalation"], &own["readOnlyRootFilesystem"]), (&json!(false), &json!(true)));
        assert_eq!(pod["spec"]["automountServiceAccountToken"], json!(false), "{origin}");
        assert!(pod["spec"]["hostNetwork"].is_null(), "{origin}");

        assert_eq!(container["ports"], json!([{ "name": "cachewatch", "containerPort": PORT }]), "{origin}");
        assert_eq!(
            container["livenessProbe"]["httpGet"],
            json!({ "path": "/livez", "port": "cachewatch" }),
            "{origin}"
        );
        let ready = container.pointer("/readinessProbe/httpGet/path").and_then(Value::as_str);
        let gated = origin.ends_with("/sidecar-gated").then_some("/healthz");
        assert_eq!(ready, if is_sidecar { gated } else { Some("/readyz") }, "{origin}");
        assert_eq!(container["startupProbe"].is_null(), is_sidecar, "{origin}: a sidecar holds up no application");
        let is_native = list == "initContainers";
        assert_eq!(container["restartPolicy"] == "Always", is_native, "{origin}");
        assert_eq!(is_native, origin.ends_with("sidecar-native") || origin.ends_with("sidecar-gated"), "{origin}");
        assert_eq!(pod["metadata"]["labels"]["cachewatch-metrics"], json!("true"), "{origin}");
    }
}

/// What the manifests say to the program, the program understands.
#[test]
fn arguments_and_variables_are_those_of_the_program() {
    let help = Command::new(env!("CARGO_BIN_EXE_cachewatch")).args(["run", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    let mut seen = BTreeSet::new();
    for Deployable { origin, manifests, .. } in everything() {
        for (_, container) in containers(pod(manifests)) {
            assert_eq!(container["args"], json!(["run"]), "{origin}");
            let mut environment = Vec::new();
            for variable in container["env"].as_array().unwrap() {
                let (name, value) = (variable["name"].as_str().unwrap(), variable["value"].as_str().unwrap_or("x"));
                if name.starts_with("CACHEWATCH__") {
                    environment.push((name.to_owned(), value.to_owned()));
                } else if name.starts_with("CACHEWATCH") {
                    assert!(help.contains(&format!("[env: {name}=]")), "{origin}: {name}");
                }
                seen.insert(name.to_owned());
            }
            let config = load(&Inputs { environment, ..Inputs::default() });
            let listen = config.unwrap_or_else(|problems| panic!("{origin}: {problems}")).server.listen;
            assert!(listen.ip().is_unspecified() && u64::from(listen.port()) == PORT, "{origin}: {listen}");
        }
    }
    let wanted = ["CACHEWATCH_CONFIG", "CACHEWATCH_TARGETS", "CACHEWATCH_EXPECT", "CACHEWATCH_PASSWORD_FILE"];
    assert!(wanted.iter().all(|name| seen.contains(*name)), "{seen:?}");
}

/// Every configuration loads, and finds its keys and its journal where the manifests mount them.
#[test]
fn configurations_load_and_point_to_what_is_mounted() {
    let mut configurations = vec![
        ("compose".to_owned(), read("deploy/compose/config/cachewatch.toml")),
        ("default".to_owned(), read("deploy/kubernetes/base/cachewatch.toml")),
    ];
    for Deployable { origin, manifests, .. } in everything() {
        let Some(map) = manifests.iter().find(|manifest| manifest["kind"] == "ConfigMap") else { continue };
        configurations.push((origin.clone(), map["data"]["cachewatch.toml"].as_str().unwrap().to_owned()));
        for (_, container) in containers(pod(manifests)) {
            let mounts = container["volumeMounts"].as_array().unwrap();
            let is_mounted = |path: &str| mounts.iter().any(|mount| mount["mountPath"] == path);
            assert!(is_mounted("/etc/cachewatch") && is_mounted(STATE), "{origin}");
            assert!(mounts.iter().all(|mount| mount["subPath"].is_null()), "{origin}: a subPath never sees a change");
            let file = container["env"][0]["value"].as_str().unwrap();
            assert_eq!(file, "/etc/cachewatch/cachewatch.toml", "{origin}");
        }
    }
    assert!(configurations.len() > 8, "{}", configurations.len());
    for (origin, toml) in configurations {
        let config = load_text(&toml);
        assert!(!config.caches.is_empty(), "{origin}");
        assert!(config.journal.path.unwrap().starts_with(STATE), "{origin}");
        for cache in &config.caches {
            let Auth::AccessKey { password: Password::File(path), .. } = &cache.auth else {
                panic!("{origin}: {} has no key", cache.name)
            };
            assert_eq!(path.parent(), Some(Path::new(KEYS)), "{origin}");
        }
    }
}

/// The chart and the kustomization are two spellings of one thing.
#[test]
fn the_chart_and_the_base_make_the_same_pod() {
    let [base, chart] = [kustomize("deploy/kubernetes/base"), helm(&[]).unwrap()].map(|yaml| manifests(&yaml));
    let spec = |manifests: &[Value], kind: &str| {
        let mut spec = manifests.iter().find(|manifest| manifest["kind"] == kind).unwrap()["spec"].clone();
        if kind == "Deployment" {
            spec = spec["template"]["spec"].take();
            // The chart names the default.
            assert!(matches!(spec["dnsPolicy"].as_str(), None | Some("ClusterFirst")));
            spec.as_object_mut().unwrap().remove("dnsPolicy");
        }
        for labels in ["podSelector", "selector"] {
            spec.as_object_mut().unwrap().remove(labels);
        }
        spec
    };
    for kind in ["Deployment", "Service", "NetworkPolicy"] {
        assert_eq!(spec(&base, kind), spec(&chart, kind), "{kind}");
    }
    let config = |manifests: &[Value]| {
        let map = manifests.iter().find(|manifest| manifest["kind"] == "ConfigMap").unwrap();
        map["data"]["cachewatch.toml"].as_str().unwrap().to_owned()
    };
    assert_eq!(format!("{:?}", load_text(&config(&base)).caches), format!("{:?}", load_text(&config(&chart)).caches));
}

/// Istio refuses the whole annotation over a range or a space.
#[test]
fn istio_is_given_single_ports() {
    let manifests = manifests(&kustomize("deploy/kubernetes/overlays/istio"));
    let key = "/metadata/annotations/traffic.sidecar.istio.io~1excludeOutboundPorts";
    let ports = pod(&manifests).pointer(key).unwrap().as_str().unwrap();
    let ports: BTreeSet<u16> = ports.split(',').map(|port| port.parse().unwrap()).collect();
    let wanted: BTreeSet<u16> = [6379, 6380, 10000].into_iter().chain(13000..13020).chain(15000..15020).collect();
    assert_eq!(ports, wanted);
}

#[test]
fn one_version_and_one_image_everywhere() {
    let image = format!("registry.example/cachewatch:{VERSION}");
    for Deployable { origin, manifests, .. } in everything() {
        for (_, container) in containers(pod(manifests)) {
            assert_eq!(container["image"], image, "{origin}");
        }
    }
    let chart = &yaml("deploy/helm/cachewatch/Chart.yaml")[0];
    assert_eq!((&chart["version"], &chart["appVersion"]), (&json!(VERSION), &json!(VERSION)));
    let dockerfile = read("deploy/container/Dockerfile");
    assert!(dockerfile.contains(&format!("image.version=\"{VERSION}\"")), "the label in the Dockerfile");
    assert!(dockerfile.contains(&image) && read("deploy/compose/.env.example").contains(&image));
    let compose = &yaml("deploy/compose/compose.yaml")[0];
    assert_eq!(compose["services"]["cachewatch"]["image"], format!("${{CACHEWATCH_IMAGE:-{image}}}"));
    let toolchain = dockerfile.lines().find_map(|line| line.strip_prefix("ARG RUST=")).unwrap();
    let manifest = read("Cargo.toml");
    let minimum = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    assert!(toolchain.starts_with(&format!("{minimum}.")), "{toolchain} against {minimum}");
}

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

/// The guides speak of findings, events and folders that there are.
#[test]
fn the_guides_speak_of_what_there_is() {
    let mut findings = BTreeSet::new();
    let mut events = BTreeSet::new();
    for guide in ["docs/aks.md", "docs/migrate-to-private-endpoint.md", "deploy/kubernetes/README.md"] {
        let text = read(guide);
        for word in text.split('`').skip(1).step_by(2) {
            let is_plain = |extra: char| word.chars().all(|letter| letter.is_ascii_lowercase() || letter == extra);
            let first = word.split('-').next().unwrap();
            if word.contains('-')
                && is_plain('-')
                && ["dns", "tcp", "tls", "redis", "clients", "public", "credential"].contains(&first)
            {
                assert!(FindingId::parse(word).is_some(), "{guide}: {word}");
                findings.insert(word.to_owned());
            } else if is_plain('_') && word.ends_with("_changed") {
                assert!(EventKind::parse(word).is_some(), "{guide}: {word}");
                events.insert(word.to_owned());
            } else if let Some(folder) = word.strip_prefix("components/").or_else(|| word.strip_prefix("overlays/")) {
                let place =
                    ["components", "overlays"].map(|kind| root().join("deploy/kubernetes").join(kind).join(folder));
                assert!(folder.is_empty() || place.iter().any(|place| place.is_dir()), "{guide}: {word}");
            }
        }
    }
    assert!(findings.len() > 8 && events.len() > 1, "{findings:?} {events:?}");
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

/// 0 is a service that can do nothing, 10 one that can do everything; what a probe needs of the network is 1.1.
#[test]
fn the_systemd_unit_is_sandboxed() {
    let exposed = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let unit = folder.path().join("cachewatch.service");
        fs::write(&unit, text).unwrap();
        let mut command = Command::new("systemd-analyze");
        command.args(["security", "--offline=true", "--threshold=15", "--no-pager"]).arg(unit);
        run(&mut command, "")
    };
    let unit = read("deploy/systemd/cachewatch.service");
    exposed(&unit).unwrap();
    let weaker: Vec<_> = unit.lines().filter(|line| !line.starts_with("Protect")).collect();
    assert!(exposed(&weaker.join("\n")).is_err(), "a unit that protects nothing passes");
    for line in ["Type=notify", "WatchdogSec=", "ExecReload=", "StateDirectory=cachewatch", "DynamicUser=yes"] {
        assert!(unit.contains(line), "{line}");
    }
}

/// What the advice `host-tcp-tuning` recommends is what the drop-in sets.
#[test]
fn the_sysctl_drop_in_sets_what_is_recommended() {
    let file = read("deploy/sysctl/90-cachewatch.conf");
    let set: BTreeSet<_> = file.lines().filter(|line| line.contains('=')).map(|line| line.replace(' ', "")).collect();
    let recommended = TCP_SETTINGS.iter().map(|setting| format!("net.ipv4.{}={}", setting.name, setting.recommended));
    assert_eq!(set, recommended.collect());
}
