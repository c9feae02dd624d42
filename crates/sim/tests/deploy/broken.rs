//! Each check finds what it is for.

use serde_json::{Value, json};

use super::objects::Objects;
use super::{findings, rendered};

const AGENT: &str = "DaemonSet amphipod-agent /spec/template/spec";
const HUB: &str = "Deployment amphipod-hub /spec/template/spec";

/// Sets what `place` (`KIND NAME /POINTER`, the last part may be new) points to, and expects a finding that contains
/// `expected`.
#[track_caller]
fn check(overlay: &str, place: &str, value: Value, expected: &str) {
    let Some(mut objects) = rendered::read(overlay) else { return };
    set(&mut objects, place, value);
    let found = findings(&objects);
    assert!(found.iter().any(|it| it.contains(expected)), "{place}: {found:#?}");
}

fn set(objects: &mut Objects, place: &str, value: Value) {
    let parts: Vec<&str> = place.splitn(3, ' ').collect();
    let [kind, name, pointer] = parts[..] else { panic!("{place}") };
    // A generated name has a digest.
    let named = |it: &&mut Value| {
        let its = it["metadata"]["name"].as_str().unwrap();
        it["kind"] == kind && (its == name || (kind == "ConfigMap" && its.starts_with(name)))
    };
    let object = objects.0.iter_mut().find(named).unwrap_or_else(|| panic!("{place}"));
    let (above, last) = pointer.rsplit_once('/').unwrap();
    match object.pointer_mut(above).unwrap_or_else(|| panic!("{place}")) {
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => items[last.parse::<usize>().unwrap()] = value,
        other => other[last.replace("~1", "/")] = value,
    }
}

#[test]
fn fields() {
    check("default", &format!("{AGENT}/hostPid"), json!(true), "hostPid: no such field");
    check(
        "default",
        &format!("{HUB}/containers/0/securityContext/capabilites"),
        json!({}),
        "no such field",
    );
    check(
        "default",
        "DaemonSet amphipod-agent /spec/updateStrategy",
        json!("RollingUpdate"),
        "invalid type",
    );
    check("default", "Service amphipod-hub /metadata/lables", json!({}), "lables: no such field");
    check("default", "Service amphipod-hub /kind", json!("Servise"), "unknown kind");
    check(
        "prometheus",
        "Certificate amphipod-hub /spec/renewbefore",
        json!("1h"),
        "renewbefore: no such field",
    );
    check(
        "prometheus",
        "PodMonitor amphipod-agent /metadata/label",
        json!({}),
        "label: no such field",
    );
    check(
        "prometheus",
        "PrometheusRule amphipod /spec/groups/0/rules/0/summary",
        json!("x"),
        "summary: no such field",
    );
}

#[test]
fn references() {
    check("default", &format!("{AGENT}/serviceAccountName"), json!("x"), "no ServiceAccount");
    check("default", &format!("{AGENT}/priorityClassName"), json!("x"), "no PriorityClass");
    check(
        "default",
        &format!("{AGENT}/volumes/0"),
        json!({ "name": "config", "configMap": { "name": "x" } }),
        "no ConfigMap",
    );
    check(
        "default",
        &format!("{HUB}/volumes/1/secret/secretName"),
        json!("x"),
        "nobody makes the Secret",
    );
    check(
        "default",
        &format!("{HUB}/volumes/-"),
        json!({ "name": "x", "emptyDir": {} }),
        "declared and mounted",
    );
    check(
        "default",
        &format!("{HUB}/containers/0/volumeMounts/1/mountPath"),
        json!("/etc/amphipod/tls"),
        "within another",
    );
    check(
        "default",
        &format!("{HUB}/containers/0/livenessProbe/httpGet/port"),
        json!("x"),
        "livenessProbe: no port",
    );
    check(
        "default",
        "Service amphipod-hub /spec/selector/app.kubernetes.io~1component",
        json!("x"),
        "selects no pod",
    );
    check(
        "default",
        "Service amphipod-hub /spec/ports/0/targetPort",
        json!("x"),
        "the pods have no port",
    );
    check("default", "Service amphipod-hub /metadata/namespace", json!("x"), "no namespace");
    check(
        "default",
        "PodDisruptionBudget amphipod-hub /spec/selector/matchLabels/a",
        json!("x"),
        "selects no pod",
    );
    check(
        "default",
        "NetworkPolicy amphipod-agent /spec/egress/0/ports/0/port",
        json!("x"),
        "no pod has the port",
    );
    check(
        "default",
        "NetworkPolicy amphipod-hub /spec/ingress/0/from/0/podSelector/matchLabels/a",
        json!("x"),
        "about no pod",
    );
    check(
        "default",
        "ClusterRoleBinding amphipod-hub /subjects/0/name",
        json!("x"),
        "no ServiceAccount",
    );
    check("default", "ClusterRoleBinding amphipod-hub /roleRef/name", json!("x"), "no ClusterRole");
    check(
        "default",
        "DaemonSet amphipod-agent /spec/selector/matchLabels/a",
        json!("x"),
        "its own pods",
    );
    check(
        "prometheus",
        "ServiceMonitor amphipod-hub /spec/selector/matchLabels/a",
        json!("x"),
        "selects nothing",
    );
    check(
        "prometheus",
        "PodMonitor amphipod-agent /spec/podMetricsEndpoints/0/port",
        json!("x"),
        "no port",
    );
    check("prometheus", "Certificate amphipod-hub /spec/issuerRef/name", json!("x"), "no issuer");
    check("prometheus", "Issuer amphipod /spec/ca/secretName", json!("x"), "no certificate makes");
}

#[test]
fn house_rules() {
    let agent = |rest: &str| format!("{AGENT}/containers/0/{rest}");
    let hub = |rest: &str| format!("{HUB}/containers/0/{rest}");
    check("default", &agent("securityContext/privileged"), json!(true), "privileged is not false");
    check(
        "default",
        &agent("securityContext/readOnlyRootFilesystem"),
        json!(false),
        "readOnlyRootFilesystem",
    );
    check(
        "default",
        &agent("securityContext/allowPrivilegeEscalation"),
        json!(true),
        "allowPrivilegeEscalation",
    );
    check("default", &agent("securityContext/capabilities/drop"), json!([]), "does not drop all");
    check(
        "default",
        &agent("securityContext/capabilities/add/-"),
        json!("SYS_ADMIN"),
        "SYS_ADMIN is not listed",
    );
    check(
        "default",
        &agent("securityContext/capabilities/add/0"),
        json!("PERFMON"),
        "lacks a capability",
    );
    check("default", &hub("securityContext/capabilities/add"), json!(["BPF"]), "BPF is not listed");
    check(
        "default",
        &agent("securityContext/seccompProfile/type"),
        json!("Unconfined"),
        "seccompProfile",
    );
    check("default", &agent("resources/limits"), json!({ "cpu": "1" }), "limits.memory is missing");
    check("default", &agent("image"), json!("amphipod:1"), "no registry");
    check("default", &agent("image"), json!("r/amphipod:latest"), "no version");
    check(
        "default",
        &format!("{AGENT}/volumes/3/hostPath/path"),
        json!("/"),
        "host path \"/\" is not listed",
    );
    check("default", &agent("volumeMounts/3/readOnly"), json!(false), "can be written");
    check("default", &format!("{AGENT}/hostNetwork"), json!(true), "the host's network");
    check("default", &format!("{HUB}/hostNetwork"), json!(true), "the host's network");
    let unlimited = json!({ "name": "history", "emptyDir": {} });
    check("default", &format!("{HUB}/volumes/2"), unlimited, "volume history has no limit");
    check(
        "default",
        &format!("{AGENT}/automountServiceAccountToken"),
        json!(true),
        "automountServiceAccountToken",
    );
    check("default", &format!("{HUB}/hostPID"), json!(true), "the host's pids");
    check(
        "default",
        &format!("{HUB}/securityContext/runAsNonRoot"),
        json!(false),
        "may run as root",
    );
    check(
        "default",
        &format!("{HUB}/terminationGracePeriodSeconds"),
        json!(1),
        "less than a drain",
    );
    check("default", "ClusterRole amphipod-hub /rules/0/resources/0", json!("*"), "a wildcard");
    check("default", "ClusterRole amphipod-hub /rules/0/resources/0", json!("secrets"), "may");
    check("default", "ClusterRole amphipod-hub /rules/0/verbs/0", json!("delete"), "may");
    check(
        "openshift",
        "SecurityContextConstraints amphipod-agent /allowHostNetwork",
        json!(true),
        "allowHostNetwork",
    );
    check(
        "openshift",
        "SecurityContextConstraints amphipod-agent /allowHostPorts",
        json!(true),
        "allowHostPorts",
    );
    check(
        "openshift",
        "SecurityContextConstraints amphipod-agent /allowedCapabilities/0",
        json!("SYS_ADMIN"),
        "not listed",
    );
}

#[test]
fn configuration() {
    let file = |name: &str, from: &str, to: &str, expected: &str| {
        let Some(objects) = rendered::read("default") else { return };
        let map = objects.of("ConfigMap").find(|map| map["data"].get(name).is_some()).unwrap();
        let text = map["data"][name].as_str().unwrap();
        assert!(text.contains(from), "{name} has no {from}");
        let place = format!("ConfigMap amphipod-{} /data/{name}", name.trim_end_matches(".toml"));
        check("default", &place, json!(text.replace(from, to)), expected);
    };
    file("agent.toml", "hubs =", "hub =", "did you mean `metadata.hubs`");
    file("agent.toml", "0.0.0.0:7172", "0.0.0.0:7170", "no port of the container");
    file("agent.toml", "0.0.0.0:7172", "127.0.0.1:7172", "nobody else");
    file("agent.toml", "7173", "7174", "is no Service");
    file("agent.toml", "/etc/amphipod-ca/", "/etc/ca/", "is in no volume");
    file("agent.toml", "token =", "# token =", "neither token nor certificate");
    file("hub.toml", ":7173", ":7174", "no port of the container");
    file("hub.toml", "/etc/amphipod-tls/tls.key", "/tls.key", "/tls.key is in no volume");
    file("hub.toml", "amphipod-hubs.", "amphipod-hub.", "is no port of a headless service");
    file("hub.toml", "amphipod-hub\"", "x\"", "takes no tokens for");
    file("hub.toml", "listen =", "listn =", "did you mean `hub.listen`");
    file("hub.toml", "path =", "# path =", "in memory only");
    file("hub.toml", "/var/lib/amphipod/", "/var/lib/", "/var/lib/history.db is in no volume");
    let mount = format!("{HUB}/containers/0/volumeMounts/2/readOnly");
    check("default", &mount, json!(true), "cannot be written");
    check("default", &format!("{HUB}/securityContext/fsGroup"), json!(1), "fsGroup is not");
    file("hub.toml", "[access]\ntokens = true", "[access]\ntokens = false", "answers anybody");
    for (rule, expected) in [(0, "may have them reviewed"), (1, "may ask what they may do")] {
        let place = format!("ClusterRole amphipod-hub-reviews /rules/{rule}/resources/0");
        check("default", &place, json!("pods"), expected);
    }
    let probe = format!("{HUB}/containers/0/readinessProbe/httpGet/scheme");
    check("default", &probe, json!("HTTP"), "is probed without TLS");
    check(
        "default",
        &format!("{HUB}/containers/0/args/2"),
        json!("/etc/x.toml"),
        "no ConfigMap brings",
    );
    check(
        "prometheus",
        "Certificate amphipod-hub /spec/dnsNames",
        json!(["x"]),
        "is not for amphipod-hub",
    );
}
