//! Kustomize and Helm: they render, fit the schemas, and make the pod that is meant.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use cachewatch::config::{Inputs, load};
use cachewatch::model::{Auth, Password};
use serde_json::{Value, json};

use super::{KEYS, PORT, STATE, load_text, parse, read, root, run, text, tool, yaml};

/// The documents of a YAML text, held to the schemas of Kubernetes.
#[track_caller]
pub(crate) fn manifests(yaml: &str) -> Vec<Value> {
    parse(&run(tool("python").arg("tests/deploy/manifests.py"), yaml).unwrap_or_else(|said| panic!("{said}")))
}

#[track_caller]
pub(crate) fn kustomize(folder: &str) -> String {
    run(tool("kubectl").args(["kustomize", folder]), "").unwrap_or_else(|said| panic!("{said}"))
}

/// The chart with the configuration of the base, which it has none in the place of.
pub(crate) fn helm(arguments: &[&str]) -> Result<String, String> {
    chart(&[&["--set-file", "config=deploy/kubernetes/base/cachewatch.toml"], arguments].concat())
}

fn chart(arguments: &[&str]) -> Result<String, String> {
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
pub(crate) struct Deployable {
    pub(crate) origin: String,
    yaml: String,
    pub(crate) manifests: Vec<Value>,
}

/// Everything that can be applied, rendered once.
pub(crate) fn everything() -> &'static [Deployable] {
    static EVERYTHING: LazyLock<Vec<Deployable>> = LazyLock::new(|| {
        let overlays = overlays().into_iter().map(|folder| (folder.clone(), kustomize(&folder)));
        let charts = CHARTS.iter().map(|values| (format!("chart {values:?}"), helm(values).unwrap()));
        let rendered = overlays.chain(charts);
        rendered.map(|(origin, yaml)| Deployable { manifests: manifests(&yaml), origin, yaml }).collect()
    });
    &EVERYTHING
}

/// The one pod of a workload.
pub(crate) fn pod(manifests: &[Value]) -> &Value {
    let pods: Vec<_> = manifests.iter().filter_map(|manifest| manifest.pointer("/spec/template")).collect();
    assert_eq!(pods.len(), 1, "one workload in each");
    pods[0]
}

/// The containers of a pod that run cachewatch, each with the list it stands in.
pub(crate) fn containers(pod: &Value) -> Vec<(&str, &Value)> {
    ["initContainers", "containers"]
        .into_iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten().map(move |container| (list, container)))
        .filter(|(_, container)| container["name"] == "cachewatch")
        .collect()
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
    // Nobody's caches are watched by default.
    for nothing in [&[][..], &["--set", "config="]] {
        let said = chart(nothing).unwrap_err();
        assert!(said.contains("config is needed") && said.contains("--set-file config="), "{said}");
    }
}

/// Whoever scrapes is let in: Azure's agent asks from `kube-system`, an operator's Prometheus from `monitoring`.
#[test]
fn the_policy_admits_the_prometheus_that_is_chosen() {
    let admitted = |yaml: &str| {
        let manifests = manifests(yaml);
        let policy = manifests.iter().find(|manifest| manifest["kind"] == "NetworkPolicy").unwrap();
        let peers = policy["spec"]["ingress"][0]["from"].as_array().unwrap();
        let name =
            |peer: &Value| text(&peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]).to_owned();
        peers.iter().map(name).collect::<Vec<_>>()
    };
    for (overlay, namespace) in
        [("deployment", "monitoring"), ("prometheus-operator", "monitoring"), ("azure-monitor", "kube-system")]
    {
        assert_eq!(admitted(&kustomize(&format!("deploy/kubernetes/overlays/{overlay}"))), [namespace], "{overlay}");
    }
    let azure = "azmonitoring.coreos.com/v1";
    for (values, namespaces) in [
        (String::new(), &["monitoring"][..]),
        ("podMonitor.enabled=true".to_owned(), &["monitoring"]),
        (format!("podMonitor.enabled=true,podMonitor.apiVersion={azure}"), &["kube-system"]),
        (format!("serviceMonitor.enabled=true,serviceMonitor.apiVersion={azure}"), &["kube-system"]),
        (
            format!("serviceMonitor.enabled=true,podMonitor.enabled=true,podMonitor.apiVersion={azure}"),
            &["kube-system", "monitoring"],
        ),
        (format!("podMonitor.apiVersion={azure}"), &["monitoring"]),
    ] {
        assert_eq!(admitted(&helm(&["--set", &values]).unwrap()), namespaces, "{values}");
    }
    let mine = "networkPolicy.from[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=mine";
    assert_eq!(admitted(&helm(&["--set", mine]).unwrap()), ["mine"]);
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
        alone.envs(checkov.get_envs().filter_map(|(name, value)| Some((name, value?))));
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

/// What `docs/capacity.md` measures and gives reasons for is what is asked for, here, in the Compose file and in the unit.
#[test]
fn requests_and_limits_are_those_of_the_guide() {
    let guide = read("docs/capacity.md");
    let says = |form: &str| {
        let row = guide.lines().find(|line| line.starts_with(&format!("| {form} | ")));
        let row = row.unwrap_or_else(|| panic!("docs/capacity.md has no row `{form}`"));
        row.split('|').skip(2).take(3).map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    };
    let (mut alone, mut beside) = (0, 0);
    for Deployable { origin, manifests, .. } in everything() {
        let pod = pod(manifests);
        for (_, container) in containers(pod) {
            let is_sidecar = pod["spec"]["containers"] != json!([container]);
            *if is_sidecar { &mut beside } else { &mut alone } += 1;
            let resources = &container["resources"];
            let given =
                [&resources["requests"]["cpu"], &resources["requests"]["memory"], &resources["limits"]["memory"]];
            let given = given.map(|value| value.as_str().unwrap_or_default());
            assert_eq!(given.to_vec(), says(if is_sidecar { "a sidecar" } else { "a pod of its own" }), "{origin}");
            assert!(resources["limits"]["cpu"].is_null(), "{origin}: what is throttled tells its own waiting");
        }
    }
    assert!(alone > 4 && beside > 2, "{alone} pods of its own, {beside} sidecars");
    let compose = &yaml("deploy/compose/compose.yaml")[0]["services"]["cachewatch"]["mem_limit"];
    assert_eq!(says("Compose"), ["", "", compose.as_str().unwrap()]);
    let unit = read("deploy/systemd/cachewatch.service");
    let limit = unit.lines().find_map(|line| line.strip_prefix("MemoryMax=")).unwrap();
    assert_eq!(says("systemd"), ["", "", limit]);
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
    let own = "/metadata/annotations/traffic.sidecar.istio.io~1excludeInboundPorts";
    assert_eq!(*pod(&manifests).pointer(own).unwrap(), PORT.to_string());
}
