//! The profile `restricted` of Pod Security, as the admission plugin of Kubernetes 1.37 holds a pod to it: every check of the
//! profiles `baseline` and `restricted` (kubernetes.io/docs/concepts/security/pod-security-standards), by the plugin's names.
//!
//! There is no API server to ask here. Where the plugin admits something that no manifest of ours needs (safe sysctls, what a
//! user namespace loosens), this does not.

use serde_json::{Value, json};

use super::kubernetes::{Deployable, everything, pod};

/// Sources of a volume that the profile admits.
const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
const CONFINED: [&str; 2] = ["RuntimeDefault", "Localhost"];
const SELINUX_TYPES: [&str; 5] = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// What of a pod would be refused, as `check: who`.
fn refused(pod: &Value) -> Vec<String> {
    let spec = &pod["spec"];
    let of_pod = &spec["securityContext"];
    let mut wrong = Vec::new();
    let mut hold = |holds: bool, check: &str, who: &str| {
        if !holds {
            wrong.push(format!("{check}: {who}"));
        }
    };
    let none = |value: &Value| value.is_null() || *value == false || *value == "" || *value == 0;
    let is_one_of = |value: &Value, words: &[&str]| value.as_str().is_some_and(|word| words.contains(&word));

    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        hold(none(&spec[key]), "hostNamespaces", key);
    }
    hold(of_pod["sysctls"].as_array().is_none_or(Vec::is_empty), "sysctls", "pod");
    for (key, value) in pod["metadata"]["annotations"].as_object().into_iter().flatten() {
        let profile = value.as_str().unwrap();
        let is_confined = profile == "runtime/default" || profile.starts_with("localhost/");
        hold(!key.starts_with(APPARMOR) || is_confined, "appArmorProfile", key);
    }
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        let mut sources = volume.as_object().unwrap().keys().filter(|key| *key != "name");
        let is_admitted = sources.all(|source| VOLUMES.contains(&source.as_str()));
        hold(is_admitted, "restrictedVolumes", volume["name"].as_str().unwrap());
    }
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    let containers = lists.iter().flat_map(|list| spec[list].as_array().into_iter().flatten());
    let contexts =
        containers.clone().map(|container| (container["name"].as_str().unwrap(), &container["securityContext"]));

    // What a pod may say for its containers as well as each for itself.
    for (who, context) in contexts.clone().chain([("pod", of_pod)]) {
        hold(context["runAsUser"] != 0, "runAsUser", who);
        hold(context["runAsNonRoot"] != false, "runAsNonRoot", who);
        hold(none(&context["windowsOptions"]["hostProcess"]), "windowsHostProcess", who);
        let apparmor = &context["appArmorProfile"];
        hold(apparmor.is_null() || is_one_of(&apparmor["type"], &CONFINED), "appArmorProfile", who);
        let selinux = &context["seLinuxOptions"];
        let is_typed = selinux["type"].is_null() || is_one_of(&selinux["type"], &SELINUX_TYPES);
        hold(is_typed && none(&selinux["user"]) && none(&selinux["role"]), "seLinuxOptions", who);
        let seccomp = &context["seccompProfile"];
        hold(seccomp.is_null() || is_one_of(&seccomp["type"], &CONFINED), "seccompProfile_restricted", who);
    }
    for (who, context) in contexts {
        let said = |key: &str| if context[key].is_null() { &of_pod[key] } else { &context[key] };
        hold(*said("runAsNonRoot") == true, "runAsNonRoot", who);
        hold(!said("seccompProfile").is_null(), "seccompProfile_restricted", who);
        hold(none(&context["privileged"]), "privileged", who);
        hold(context["allowPrivilegeEscalation"] == false, "allowPrivilegeEscalation", who);
        hold(context["procMount"].is_null() || context["procMount"] == "Default", "procMount_restricted", who);
        let words = |key: &str| context["capabilities"][key].as_array().into_iter().flatten();
        let is_bare = words("drop").any(|word| word == "ALL") && words("add").all(|word| word == "NET_BIND_SERVICE");
        hold(is_bare, "capabilities_restricted", who);
    }
    for container in containers {
        let who = container["name"].as_str().unwrap();
        let ports = container["ports"].as_array().into_iter().flatten();
        hold(ports.clone().all(|port| none(&port["hostPort"])), "hostPorts", who);
        let probes = ["livenessProbe", "readinessProbe", "startupProbe"].map(|probe| &container[probe]);
        let lifecycle = ["postStart", "preStop"].map(|moment| &container["lifecycle"][moment]);
        let mut handlers = probes.into_iter().chain(lifecycle);
        let is_own = handlers.all(|handler| none(&handler["httpGet"]["host"]) && none(&handler["tcpSocket"]["host"]));
        hold(is_own, "hostProbesAndHostLifecycle", who);
    }
    wrong
}

#[test]
fn every_pod_is_admitted_where_restricted_is_enforced() {
    for Deployable { origin, manifests, .. } in everything() {
        assert_eq!(refused(pod(manifests)), [""; 0], "{origin}");
    }
}

/// Each check refuses what it is there for, in the pod and in each list of containers.
#[test]
fn what_the_profile_forbids_is_refused() {
    let base = everything().iter().find(|deployable| deployable.origin.ends_with("/base")).unwrap();
    let base = pod(&base.manifests);
    let with = |place: &str, value: &Value| {
        let mut pod = base.clone();
        let (above, key) = place.rsplit_once('/').unwrap();
        match pod.pointer_mut(above).unwrap() {
            Value::Array(list) => list[key.parse::<usize>().unwrap()] = value.clone(),
            object => object[key] = value.clone(),
        }
        pod
    };
    let of_pod = [
        ("hostNamespaces", "/spec/hostNetwork", json!(true)),
        ("hostNamespaces", "/spec/hostPID", json!(true)),
        ("hostNamespaces", "/spec/hostIPC", json!(true)),
        ("sysctls", "/spec/securityContext/sysctls", json!([{ "name": "kernel.msgmax", "value": "1" }])),
        ("restrictedVolumes", "/spec/volumes/0", json!({ "name": "v", "hostPath": { "path": "/" } })),
        ("restrictedVolumes", "/spec/volumes/0", json!({ "name": "v", "azureFile": { "shareName": "s" } })),
        ("appArmorProfile", "/metadata/annotations", json!({ format!("{APPARMOR}cachewatch"): "unconfined" })),
        ("runAsNonRoot", "/spec/securityContext/runAsNonRoot", json!(null)),
        ("seccompProfile_restricted", "/spec/securityContext/seccompProfile", json!(null)),
    ];
    let of_either = [
        ("runAsUser", "runAsUser", json!(0)),
        ("runAsNonRoot", "runAsNonRoot", json!(false)),
        ("seccompProfile_restricted", "seccompProfile", json!({ "type": "Unconfined" })),
        ("appArmorProfile", "appArmorProfile", json!({ "type": "Unconfined" })),
        ("seLinuxOptions", "seLinuxOptions", json!({ "type": "spc_t" })),
        ("seLinuxOptions", "seLinuxOptions", json!({ "user": "system_u" })),
        ("seLinuxOptions", "seLinuxOptions", json!({ "role": "system_r" })),
        ("windowsHostProcess", "windowsOptions", json!({ "hostProcess": true })),
    ];
    let of_container = [
        ("privileged", "securityContext/privileged", json!(true)),
        ("allowPrivilegeEscalation", "securityContext/allowPrivilegeEscalation", json!(null)),
        ("allowPrivilegeEscalation", "securityContext/allowPrivilegeEscalation", json!(true)),
        ("capabilities_restricted", "securityContext/capabilities", json!(null)),
        ("capabilities_restricted", "securityContext/capabilities", json!({ "drop": ["NET_RAW"] })),
        ("capabilities_restricted", "securityContext/capabilities", json!({ "drop": ["ALL"], "add": ["NET_ADMIN"] })),
        ("procMount_restricted", "securityContext/procMount", json!("Unmasked")),
        ("hostPorts", "ports", json!([{ "containerPort": 9847, "hostPort": 9847 }])),
        ("hostProbesAndHostLifecycle", "livenessProbe", json!({ "httpGet": { "host": "10.0.0.1", "port": 80 } })),
        ("hostProbesAndHostLifecycle", "lifecycle", json!({ "preStop": { "tcpSocket": { "host": "a", "port": 1 } } })),
    ];
    let mut cases: Vec<(&str, String, Value)> =
        of_pod.into_iter().map(|(check, place, value)| (check, place.to_owned(), value)).collect();
    let either = of_either.into_iter().map(|(check, key, value)| (check, format!("securityContext/{key}"), value));
    for (check, key, value) in either {
        cases.push((check, format!("/spec/{key}"), value.clone()));
        cases.push((check, format!("/spec/containers/0/{key}"), value));
    }
    let containers = of_container.into_iter();
    cases.extend(containers.map(|(check, key, value)| (check, format!("/spec/containers/0/{key}"), value)));
    assert_eq!(refused(base), [""; 0]);
    for (check, place, value) in &cases {
        let refused = refused(&with(place, value));
        let named = refused.iter().filter(|line| line.starts_with(&format!("{check}: "))).count();
        assert!(named >= 1 && named == refused.len(), "{place} = {value} is {check}, and was refused for {refused:?}");
    }
    // Where a container stands makes no difference.
    let naked = json!([{ "name": "late" }]);
    for list in ["initContainers", "ephemeralContainers"] {
        let refused = refused(&with(&format!("/spec/{list}"), &naked));
        assert_eq!(refused, ["allowPrivilegeEscalation: late", "capabilities_restricted: late"], "{list}");
    }
}
