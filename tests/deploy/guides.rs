//! What is said about deploying, held to what there is.

use std::collections::BTreeSet;

use cachewatch::VERSION;
use cachewatch::model::{EventKind, FindingId};
use serde_json::json;

use super::kubernetes::{Deployable, containers, everything, pod};
use super::{read, root, yaml};

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
