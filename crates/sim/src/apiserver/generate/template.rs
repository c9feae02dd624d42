//! What all pods of a workload have in common: most of their 20 KB.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::random::Random;
use super::workload::Kind;
use crate::apiserver::error::Error;
use crate::apiserver::object::Shared;
use crate::apiserver::resource::Resource;

/// Environment variables of the first container and of its sidecar: they make a pod as large as those of real clusters.
const VARIABLES: [usize; 2] = [20, 13];

/// Spec, annotations and managed fields of a pod, for [`Shared::new`]. `role`: name of the workload.
pub fn pod(role: &str, kind: Kind, host_network: bool, random: &mut Random) -> Value {
    let image = format!(
        "registry.example.com/platform/{role}:v1.{}.{}",
        random.below(40),
        random.below(10)
    );
    let mut containers = vec![container(role, &image, 8080, VARIABLES[0], random)];
    if !host_network {
        let sidecar = "registry.example.com/mesh/proxy:1.24.2";
        containers.push(container("proxy", sidecar, 15090, VARIABLES[1], random));
    }
    let hash = random.hex(64);
    let annotations = json!({
        "checksum/config": hash,
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "8080",
        "prometheus.io/path": "/metrics",
        "kubectl.kubernetes.io/restartedAt": "2026-01-17T08:25:30Z",
        "sidecar.mesh.example.com/status": format!(
            "{{\"version\":\"{hash}\",\"initContainers\":[\"proxy-init\"],\"containers\":[\"proxy\"],\"volumes\":[\"workload-socket\",\"credential-socket\",\"proxy-envoy\",\"proxy-data\",\"proxy-podinfo\",\"proxy-token\"],\"imagePullSecrets\":null,\"revision\":\"default\"}}"
        ),
    });
    let mut spec = json!({
        "containers": containers,
        "volumes": volumes(role, random),
        "restartPolicy": if kind == Kind::CronJob { "Never" } else { "Always" },
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": if host_network { "ClusterFirstWithHostNet" } else { "ClusterFirst" },
        "serviceAccountName": role,
        "serviceAccount": role,
        "securityContext": { "runAsNonRoot": true, "runAsUser": 10001, "fsGroup": 10001, "seccompProfile": { "type": "RuntimeDefault" } },
        "schedulerName": "default-scheduler",
        "tolerations": [
            { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
            { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
        ],
        "priority": 0,
        "enableServiceLinks": true,
        "preemptionPolicy": "PreemptLowerPriority",
        "topologySpreadConstraints": [{
            "maxSkew": 1,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": { "app.kubernetes.io/name": role } },
        }],
    });
    if host_network {
        spec["hostNetwork"] = json!(true);
    }
    let made = managed(
        "kube-controller-manager",
        None,
        &json!({
            "metadata": { "annotations": annotations, "generateName": "", "labels": { "app.kubernetes.io/name": "", "app.kubernetes.io/instance": "", "pod-template-hash": "" }, "ownerReferences": {} },
            "spec": spec,
        }),
    );
    let condition = |kind: &str| json!({ "type": kind, "lastProbeTime": null, "lastTransitionTime": "", "status": "" });
    let conditions: Vec<Value> =
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"]
            .map(condition)
            .into();
    let ran = managed(
        "kubelet",
        Some("status"),
        &json!({ "status": {
        "conditions": conditions, "containerStatuses": {}, "hostIP": "", "hostIPs": {}, "phase": "", "podIP": "", "podIPs": {}, "startTime": "",
    } }),
    );
    json!({
        "metadata": { "annotations": annotations, "managedFields": [made, ran] },
        "spec": spec,
        "status": { "qosClass": "Burstable" },
    })
}

/// Of ReplicaSets and Jobs: the pods' template, which has most of a pod.
pub fn owner(resource: Resource, role: &str, template: &Value) -> Result<Arc<Shared>, Error> {
    let annotations = &template["metadata"]["annotations"];
    let mut spec = template["spec"].clone();
    if let Some(spec) = spec.as_object_mut() {
        spec.retain(|key, _| {
            !matches!(
                key.as_str(),
                "tolerations" | "priority" | "preemptionPolicy" | "enableServiceLinks"
            )
        });
    }
    let selector = json!({ "matchLabels": { "app.kubernetes.io/name": role } });
    let pods = json!({
        "metadata": { "labels": selector["matchLabels"], "annotations": annotations },
        "spec": spec,
    });
    let made = managed("kube-controller-manager", None, &json!({ "spec": { "template": pods } }));
    let value = json!({
        "metadata": { "managedFields": [made] },
        "spec": { "selector": selector, "template": pods },
    });
    shared(resource, role, &value)
}

/// Encodes what many objects share.
pub fn shared(resource: Resource, name: &str, value: &Value) -> Result<Arc<Shared>, Error> {
    let refused = |source| Error::Object {
        kind: resource.kind(),
        name: name.to_owned(),
        source: Box::new(source),
    };
    Shared::new(resource, value).map_err(refused)
}

fn container(name: &str, image: &str, port: u16, variables: usize, random: &mut Random) -> Value {
    let mut env = vec![
        from_field("POD_NAME", "metadata.name"),
        from_field("POD_NAMESPACE", "metadata.namespace"),
        from_field("POD_IP", "status.podIP"),
        from_field("NODE_NAME", "spec.nodeName"),
        json!({ "name": "DATABASE_PASSWORD", "valueFrom": { "secretKeyRef": { "name": format!("{name}-database"), "key": "password" } } }),
        json!({ "name": "FEATURE_FLAGS", "valueFrom": { "configMapKeyRef": { "name": format!("{name}-flags"), "key": "flags", "optional": true } } }),
    ];
    env.extend((0..variables).map(|index| {
        let value = format!("http://service-{}.{name}.svc.cluster.local:8080/v1/{}", random.below(100), random.suffix(24));
        json!({ "name": format!("{}_SETTING_{index}", name.to_uppercase().replace('-', "_")), "value": value })
    }));
    let probe = |path: &str| {
        json!({
            "httpGet": { "path": path, "port": "http", "scheme": "HTTP" },
            "initialDelaySeconds": 5, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
        })
    };
    json!({
        "name": name,
        "image": image,
        "args": ["--config=/etc/config/config.yaml", "--listen=0.0.0.0:8080", "--log-level=info", "--shutdown-delay=10s"],
        "ports": [
            { "name": "http", "containerPort": port, "protocol": "TCP" },
            { "name": "metrics", "containerPort": port + 1, "protocol": "TCP" },
        ],
        "env": env,
        "resources": { "limits": { "memory": "1Gi" }, "requests": { "cpu": "250m", "memory": "512Mi" } },
        "volumeMounts": [
            { "name": "config", "readOnly": true, "mountPath": "/etc/config" },
            { "name": "tmp", "mountPath": "/tmp" },
            { "name": "kube-api-access", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount" },
        ],
        "livenessProbe": probe("/healthz"),
        "readinessProbe": probe("/readyz"),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": { "capabilities": { "drop": ["ALL"] }, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false },
    })
}

fn from_field(name: &str, path: &str) -> Value {
    json!({ "name": name, "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": path } } })
}

fn volumes(role: &str, random: &mut Random) -> Value {
    json!([
        { "name": "config", "configMap": { "name": format!("{role}-config-{}", random.hex(8)), "defaultMode": 420 } },
        { "name": "tmp", "emptyDir": { "sizeLimit": "1Gi" } },
        { "name": "certificates", "secret": { "secretName": format!("{role}-tls"), "defaultMode": 420 } },
        { "name": "kube-api-access", "projected": { "defaultMode": 420, "sources": [
            { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
            { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
            { "downwardAPI": { "items": [{ "path": "namespace", "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" } }] } },
        ] } },
    ])
}

/// Who set which fields, as server-side apply keeps it.
fn managed(manager: &str, subresource: Option<&str>, value: &Value) -> Value {
    let mut entry = json!({
        "manager": manager,
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2026-01-17T08:25:31Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields(value),
    });
    if let Some(subresource) = subresource {
        entry["subresource"] = json!(subresource);
    }
    entry
}

fn fields(value: &Value) -> Value {
    let mut out = Map::new();
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                out.insert(format!("f:{key}"), fields(value));
            }
        }
        Value::Array(items) => {
            for item in items {
                let key = ["name", "type", "containerPort", "mountPath"]
                    .into_iter()
                    .find_map(|key| Some((key, item.get(key)?)));
                let Some((key, name)) = key else { continue };
                let mut inner = fields(item);
                inner["."] = json!({});
                out.insert(format!("k:{}", json!({ key: name })), inner);
            }
        }
        _ => {}
    }
    Value::Object(out)
}
