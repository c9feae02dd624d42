//! Every field is one that its kind has, of the type that it has there.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::objects::{Objects, text, title};

/// The fields of custom resources that `deploy` uses; `.*` stands for anything below.
const CUSTOM: [(&str, &str, &[&str]); 6] = [
    ("cert-manager.io/v1", "Issuer", &["spec.selfSigned", "spec.ca.secretName"]),
    (
        "cert-manager.io/v1",
        "Certificate",
        &[
            "spec.commonName",
            "spec.dnsNames[]",
            "spec.duration",
            "spec.isCA",
            "spec.issuerRef.kind",
            "spec.issuerRef.name",
            "spec.privateKey.algorithm",
            "spec.privateKey.rotationPolicy",
            "spec.privateKey.size",
            "spec.renewBefore",
            "spec.secretName",
            "spec.usages[]",
        ],
    ),
    (
        "monitoring.coreos.com/v1",
        "PodMonitor",
        &[
            "spec.podMetricsEndpoints[].interval",
            "spec.podMetricsEndpoints[].path",
            "spec.podMetricsEndpoints[].port",
            "spec.podMetricsEndpoints[].relabelings[].sourceLabels[]",
            "spec.podMetricsEndpoints[].relabelings[].targetLabel",
            "spec.selector.matchLabels.*",
        ],
    ),
    (
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        &[
            "spec.endpoints[].interval",
            "spec.endpoints[].path",
            "spec.endpoints[].port",
            "spec.endpoints[].scheme",
            "spec.endpoints[].tlsConfig.ca.secret.key",
            "spec.endpoints[].tlsConfig.ca.secret.name",
            "spec.endpoints[].tlsConfig.serverName",
            "spec.selector.matchLabels.*",
        ],
    ),
    (
        "monitoring.coreos.com/v1",
        "PrometheusRule",
        &[
            "spec.groups[].name",
            "spec.groups[].rules[].alert",
            "spec.groups[].rules[].expr",
            "spec.groups[].rules[].for",
            "spec.groups[].rules[].labels.*",
            "spec.groups[].rules[].annotations.*",
        ],
    ),
    (
        "security.openshift.io/v1",
        "SecurityContextConstraints",
        &[
            "allowPrivilegedContainer",
            "allowPrivilegeEscalation",
            "allowHostDirVolumePlugin",
            "allowHostIPC",
            "allowHostNetwork",
            "allowHostPID",
            "allowHostPorts",
            "allowedCapabilities[]",
            "requiredDropCapabilities[]",
            "defaultAddCapabilities",
            "readOnlyRootFilesystem",
            "runAsUser.type",
            "seLinuxContext.type",
            "fsGroup.type",
            "supplementalGroups.type",
            "seccompProfiles[]",
            "volumes[]",
        ],
    ),
];

pub fn check(objects: &Objects) -> Vec<String> {
    objects.0.iter().flat_map(of).collect()
}

fn of(object: &Value) -> Vec<String> {
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    match (version, kind) {
        ("v1", "Namespace") => typed::<Namespace>(object),
        ("v1", "ConfigMap") => typed::<ConfigMap>(object),
        ("v1", "Service") => typed::<Service>(object),
        ("v1", "ServiceAccount") => typed::<ServiceAccount>(object),
        ("apps/v1", "DaemonSet") => typed::<DaemonSet>(object),
        ("apps/v1", "Deployment") => typed::<Deployment>(object),
        ("apps/v1", "StatefulSet") => typed::<StatefulSet>(object),
        ("networking.k8s.io/v1", "NetworkPolicy") => typed::<NetworkPolicy>(object),
        ("policy/v1", "PodDisruptionBudget") => typed::<PodDisruptionBudget>(object),
        ("scheduling.k8s.io/v1", "PriorityClass") => typed::<PriorityClass>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => typed::<ClusterRole>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => {
            typed::<ClusterRoleBinding>(object)
        }
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => typed::<RoleBinding>(object),
        _ => custom(object, version, kind),
    }
}

/// Whatever the type does not know, or reads as something else, does not come back as it was.
fn typed<T: DeserializeOwned + Serialize>(object: &Value) -> Vec<String> {
    let read: T = match serde_json::from_value(object.clone()) {
        Ok(read) => read,
        Err(error) => return vec![format!("{}: {error}", title(object))],
    };
    let mut found = Vec::new();
    compare(object, &serde_json::to_value(read).unwrap(), &title(object), &mut found);
    found
}

fn compare(given: &Value, kept: &Value, path: &str, found: &mut Vec<String>) {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            for (key, value) in given {
                match kept.get(key) {
                    Some(kept) => compare(value, kept, &format!("{path}.{key}"), found),
                    None => found.push(format!("{path}.{key}: no such field")),
                }
            }
        }
        (Value::Array(given), Value::Array(kept)) if given.len() == kept.len() => {
            for (index, (given, kept)) in given.iter().zip(kept).enumerate() {
                compare(given, kept, &format!("{path}[{index}]"), found);
            }
        }
        _ if given == kept => {}
        _ => found.push(format!("{path}: {given} is read as {kept}")),
    }
}

fn custom(object: &Value, version: &str, kind: &str) -> Vec<String> {
    let known = CUSTOM.iter().find(|(its, name, _)| (*its, *name) == (version, kind));
    let Some((_, _, known)) = known else {
        return vec![format!("{}: unknown kind {version} {kind}", title(object))];
    };
    let mut found = typed_metadata(object);
    for (key, value) in object.as_object().into_iter().flatten() {
        if !["apiVersion", "kind", "metadata"].contains(&key.as_str()) {
            leaves(value, key.clone(), &mut |path| {
                let listed = known.iter().any(|it| match it.strip_suffix('*') {
                    Some(beginning) => path.starts_with(beginning),
                    None => *it == path,
                });
                if !listed {
                    found.push(format!("{}.{path}: no such field", title(object)));
                }
            });
        }
    }
    found
}

fn typed_metadata(object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let path = format!("{}.metadata", title(object));
    match serde_json::from_value::<ObjectMeta>(object["metadata"].clone()) {
        Ok(read) => {
            compare(&object["metadata"], &serde_json::to_value(read).unwrap(), &path, &mut found);
        }
        Err(error) => found.push(format!("{path}: {error}")),
    }
    found
}

fn leaves(value: &Value, path: String, leaf: &mut impl FnMut(&str)) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(key, value)| leaves(value, format!("{path}.{key}"), leaf));
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().for_each(|value| leaves(value, format!("{path}[]"), leaf));
        }
        _ => leaf(&path),
    }
}
