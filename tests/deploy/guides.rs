//! What is said about deploying, held to what there is.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use cachewatch::VERSION;
use cachewatch::model::{EventKind, FindingId};
use serde_json::{Value, json};

use super::kubernetes::{Deployable, containers, everything, helm, kustomize, manifests, pod};
use super::{read, root, text, yaml};

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
    for (guide, tag) in [("docs/aks.md", "\nTAG="), ("deploy/compose/README.md", " -t cachewatch:")] {
        assert!(read(guide).contains(&format!("{tag}{VERSION}")), "{guide}: {tag}{VERSION}");
    }
    let compose = &yaml("deploy/compose/compose.yaml")[0];
    assert_eq!(compose["services"]["cachewatch"]["image"], format!("${{CACHEWATCH_IMAGE:-{image}}}"));
    let toolchain = dockerfile.lines().find_map(|line| line.strip_prefix("ARG BASE=docker.io/library/rust:")).unwrap();
    let manifest = read("Cargo.toml");
    let minimum = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    assert!(toolchain.starts_with(&format!("{minimum}.")), "{toolchain} against {minimum}");
}

/// The guides speak of findings, events and folders that there are.
#[test]
fn the_guides_speak_of_what_there_is() {
    let mut findings = BTreeSet::new();
    let mut events = BTreeSet::new();
    for guide in
        ["docs/aks.md", "docs/capacity.md", "docs/migrate-to-private-endpoint.md", "deploy/kubernetes/README.md"]
    {
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

/// The one fenced block of a guide that holds these words, without the fence.
#[track_caller]
fn block(guide: &str, words: &str) -> String {
    let document = read(guide);
    let blocks = document.split("```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap().1);
    let found: Vec<_> = blocks.filter(|block| block.contains(words)).collect();
    assert_eq!(found.len(), 1, "{guide}: blocks with {words:?}");
    found[0].to_owned()
}

/// The kustomization of the AKS guide, beside an application and a clone of this repository, as it says.
fn beside_the_application(application: &str, kustomization: &str) -> String {
    let place = tempfile::tempdir().unwrap();
    let shop = place.path().join("shop");
    fs::create_dir(&shop).unwrap();
    symlink(root(), place.path().join("cachewatch")).unwrap();
    fs::write(shop.join("deployment.yaml"), application).unwrap();
    fs::write(shop.join("kustomization.yaml"), kustomization).unwrap();
    kustomize(shop.to_str().unwrap())
}

#[test]
fn the_sidecar_of_the_guide_is_the_one_that_is_meant() {
    let application = read("deploy/kubernetes/overlays/application/application.yaml");
    let native = block("docs/aks.md", "components/sidecar-native");
    // "For the plain form write `containers` in place of `initContainers`."
    let plain = native.replace("components/sidecar-native", "components/sidecar-plain");
    let plain = plain.replace("initContainers:", "containers:");
    for (kustomization, wanted) in [(&native, "initContainers"), (&plain, "containers")] {
        let manifests = manifests(&beside_the_application(&application, kustomization));
        let pod = pod(&manifests);
        let [(list, container)] = containers(pod)[..] else { panic!("{pod}") };
        assert_eq!(list, wanted);
        assert_eq!(container["image"], "REGISTRY.azurecr.io/cachewatch:TAG");
        let own: Vec<_> = pod["spec"]["containers"].as_array().unwrap().iter().map(|own| &own["image"]).collect();
        assert!(own.contains(&&json!("registry.example/orders-api:1.0.0")), "{own:?}");
        let variable = |name: &str| {
            let mut variables = container["env"].as_array().unwrap().iter();
            variables.find(|variable| variable["name"] == name).map_or(&Value::Null, |found| &found["value"])
        };
        assert_eq!(variable("CACHEWATCH_TARGETS"), "sessions.westeurope.redis.azure.net");
        assert_eq!(variable("CACHEWATCH_EXPECT"), "private");
        assert_eq!(variable("CACHEWATCH__SERVER__LISTEN"), "0.0.0.0:9847", "what the patch does not name stays");
        let key = Path::new(text(variable("CACHEWATCH_PASSWORD_FILE")));
        let [mount] = container["volumeMounts"].as_array().unwrap().as_slice() else { panic!("{container}") };
        assert_eq!(key.parent(), Some(Path::new(text(&mount["mountPath"]))));
        assert_eq!(manifests[0]["metadata"]["namespace"], "shop");
        // The Secret of step 3 has the key.
        let keys = block("docs/aks.md", "create secret generic");
        assert!(keys.contains(&format!("> $keys/{}", key.file_name().unwrap().to_str().unwrap())), "{keys}");
    }

    // A cache without access keys.
    let line = block("deploy/kubernetes/README.md", "$patch: delete");
    let named = native.lines().find(|line| line.contains("CACHEWATCH_PASSWORD_FILE")).unwrap();
    let indent = &named[..named.find('-').unwrap()];
    let keyless = native.replace(named, &format!("{indent}{}", line.trim_end()));
    let rendered = beside_the_application(&application, &keyless);
    assert!(rendered.contains("CACHEWATCH_TARGETS") && !rendered.contains("CACHEWATCH_PASSWORD_FILE"), "{rendered}");

    // What the guide counts to see that the label was forgotten.
    let counted = |rendered: &str| rendered.lines().filter(|line| line.contains("CACHEWATCH_TARGETS")).count();
    assert_eq!(counted(&beside_the_application(&application, &native)), 1);
    let forgotten = application.replace("    cachewatch: sidecar\n", "    other: label\n");
    assert_eq!(counted(&beside_the_application(&forgotten, &native)), 0);
}

/// What is commented out in the overlay to copy can be taken as it stands.
#[test]
fn components_are_added_to_a_copy_by_uncommenting() {
    let place = tempfile::tempdir().unwrap();
    let mine = place.path().join("overlays/mine");
    fs::create_dir_all(&mine).unwrap();
    for name in ["base", "components"] {
        symlink(root().join("deploy/kubernetes").join(name), place.path().join(name)).unwrap();
    }
    let of_overlay = |name: &str| read(&format!("deploy/kubernetes/overlays/deployment/{name}"));
    fs::write(mine.join("cachewatch.toml"), of_overlay("cachewatch.toml")).unwrap();
    let kustomization = of_overlay("kustomization.yaml");
    fs::write(mine.join("kustomization.yaml"), kustomization.replace("# components:", "components:")).unwrap();
    let manifests = manifests(&kustomize(mine.to_str().unwrap()));
    let kinds: BTreeSet<_> = manifests.iter().map(|manifest| text(&manifest["kind"])).collect();
    assert!(kinds.contains("PodMonitor") && kinds.contains("PersistentVolumeClaim"), "{kinds:?}");
}

/// What the guide gives to Helm, the chart takes; its configuration is the one that the guide copies.
#[test]
fn the_chart_takes_what_the_guide_gives() {
    let command = block("docs/aks.md", "helm upgrade").replace("\\\n", " ");
    let given: Vec<_> = command.lines().find(|line| line.starts_with("helm ")).unwrap().split_whitespace().collect();
    let source = "deploy/kubernetes/overlays/deployment/cachewatch.toml";
    assert!(command.contains(&format!("cp {source} my-cachewatch.toml\n")), "{command}");
    let at = given.iter().position(|word| word.starts_with("--set")).unwrap();
    let values: Vec<_> = given[at..].iter().map(|word| word.replace("my-cachewatch.toml", source)).collect();
    let rendered = manifests(&helm(&values.iter().map(String::as_str).collect::<Vec<_>>()).unwrap());
    assert_eq!(containers(pod(&rendered))[0].1["image"], "REGISTRY.azurecr.io/cachewatch:$TAG");
    let map = rendered.iter().find(|manifest| manifest["kind"] == "ConfigMap").unwrap();
    assert_eq!(text(&map["data"]["cachewatch.toml"]).trim_end(), read(source).trim_end());
}

/// The heading of a document as an address has it.
fn slug(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

/// Below `deploy/` too, and to the heading.
#[test]
fn the_links_of_the_guides_lead_somewhere() {
    let mut seen = 0;
    for guide in [
        "docs/aks.md",
        "deploy/kubernetes/README.md",
        "deploy/compose/README.md",
        "deploy/prometheus/README.md",
        "dashboards/README.md",
    ] {
        for rest in read(guide).split("](").skip(1) {
            let target = rest.split(')').next().unwrap();
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            if path.contains("://") {
                continue;
            }
            let file =
                if path.is_empty() { root().join(guide) } else { root().join(guide).parent().unwrap().join(path) };
            assert!(file.exists(), "{guide}: {target}");
            if !heading.is_empty() {
                let document = fs::read_to_string(&file).unwrap();
                let mut headings = document.lines().filter(|line| line.starts_with('#'));
                let found = headings.any(|line| slug(line.trim_start_matches('#')) == heading);
                assert!(found, "{guide}: no heading for {target}");
                seen += 1;
            }
        }
    }
    assert!(seen > 8, "{seen}");
}
