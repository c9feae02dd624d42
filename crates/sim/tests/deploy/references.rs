//! Whatever an object names is there, or somebody was told to bring it.

use std::collections::HashSet;

use serde_json::Value;

use super::objects::{Objects, containers, has_port, list, pod, text, title};
use super::rendered;

/// What the user brings; docs/operations.md says how.
const GIVEN: [(&str, &str); 2] = [("Secret", "amphipod-hub-tls"), ("ConfigMap", "amphipod-ca")];

pub fn check(objects: &Objects) -> Vec<String> {
    let mut found = Vec::new();
    objects.0.iter().for_each(|object| namespace(objects, object, &mut found));
    objects.workloads().for_each(|workload| of_workload(objects, workload, &mut found));
    for object in &objects.0 {
        let mut wrong = |what: String| found.push(format!("{}: {what}", title(object)));
        match text(&object["kind"]) {
            "Service" => service(objects, object, &mut wrong),
            "PodDisruptionBudget" => budget(objects, object, &mut wrong),
            "NetworkPolicy" => policy(objects, object, &mut wrong),
            "ClusterRoleBinding" | "RoleBinding" => binding(objects, object, &mut wrong),
            "PodMonitor" => {
                monitor(objects.selected(&object["spec"]["selector"]).collect(), object, &mut wrong)
            }
            "ServiceMonitor" => {
                let selector = &object["spec"]["selector"]["matchLabels"];
                let services = objects.of("Service").filter(|service| carries(service, selector));
                monitor(services.collect(), object, &mut wrong);
            }
            "Certificate" => {
                let issuer = &object["spec"]["issuerRef"];
                if objects.find("Issuer", text(&issuer["name"])).is_none() {
                    wrong(format!("no issuer {}", issuer["name"]));
                }
            }
            "Issuer" => {
                let secret = &object["spec"]["ca"]["secretName"];
                if !secret.is_null() && !issued(objects, secret) {
                    wrong(format!("no certificate makes the Secret {secret}"));
                }
            }
            _ => {}
        }
    }
    found
}

/// The one namespace, of all that live in one.
fn namespace(objects: &Objects, object: &Value, found: &mut Vec<String>) {
    let everywhere = [
        "Namespace",
        "PriorityClass",
        "ClusterRole",
        "ClusterRoleBinding",
        "SecurityContextConstraints",
    ];
    let namespace = &object["metadata"]["namespace"];
    if everywhere.iter().any(|kind| object["kind"] == *kind) {
        return;
    }
    if objects.find("Namespace", text(namespace)).is_none() {
        found.push(format!("{}: no namespace {namespace}", title(object)));
    }
}

fn of_workload(objects: &Objects, workload: &Value, found: &mut Vec<String>) {
    let mut wrong = |what: String| found.push(format!("{}: {what}", title(workload)));
    let pod = pod(workload);
    if !objects.selected(&workload["spec"]["selector"]).any(|it| it == workload) {
        wrong("does not select its own pods".into());
    }
    for (kind, name) in [
        ("ServiceAccount", &pod["serviceAccountName"]),
        ("PriorityClass", &pod["priorityClassName"]),
    ] {
        if objects.find(kind, text(name)).is_none() {
            wrong(format!("no {kind} {name}"));
        }
    }
    for volume in list(&pod["volumes"]) {
        let (map, secret) = (&volume["configMap"], &volume["secret"]);
        if !map.is_null() && !has_keys(objects, "ConfigMap", &map["name"], &map["items"]) {
            wrong(format!("no ConfigMap {} with what is mounted of it", map["name"]));
        }
        if !secret.is_null()
            && !has_keys(objects, "Secret", &secret["secretName"], &secret["items"])
        {
            wrong(format!("nobody makes the Secret {}", secret["secretName"]));
        }
    }
    let claims = list(&workload["spec"]["volumeClaimTemplates"]).iter();
    let claims = claims.map(|it| text(&it["metadata"]["name"]));
    let volumes = list(&pod["volumes"]).iter().map(|it| text(&it["name"]));
    let volumes: HashSet<&str> = volumes.chain(claims).collect();
    let governing = &workload["spec"]["serviceName"];
    if !governing.is_null() && objects.find("Service", text(governing)).is_none() {
        wrong(format!("no Service {governing}"));
    }
    let mut mounted = HashSet::new();
    for container in containers(workload) {
        let mounts = list(&container["volumeMounts"]);
        for mount in mounts {
            mounted.insert(text(&mount["name"]));
            let path = text(&mount["mountPath"]);
            // A runtime would have to make the inner one's directory in a volume that cannot be written.
            if mounts.iter().any(|it| path.starts_with(&format!("{}/", text(&it["mountPath"])))) {
                wrong(format!("{path} is mounted within another volume"));
            }
        }
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            if !has_port(workload, &container[probe]["httpGet"]["port"]) {
                wrong(format!("{probe}: no port {}", container[probe]["httpGet"]["port"]));
            }
        }
    }
    for name in volumes.symmetric_difference(&mounted) {
        wrong(format!("volume {name}: declared and mounted do not match"));
    }
}

/// An object with these keys comes with the overlay, from a certificate, or from the user.
fn has_keys(objects: &Objects, kind: &str, name: &Value, items: &Value) -> bool {
    if let Some(object) = objects.find(kind, text(name)) {
        return list(items).iter().all(|item| object["data"].get(text(&item["key"])).is_some());
    }
    let told = || rendered::source("docs/operations.md").contains(text(name));
    issued(objects, name) || (GIVEN.contains(&(kind, text(name))) && told())
}

fn issued(objects: &Objects, secret: &Value) -> bool {
    objects.of("Certificate").any(|certificate| certificate["spec"]["secretName"] == *secret)
}

fn service(objects: &Objects, service: &Value, wrong: &mut impl FnMut(String)) {
    let workloads: Vec<&Value> = objects.selected(&service["spec"]["selector"]).collect();
    if workloads.is_empty() {
        wrong("selects no pod".into());
    }
    for port in list(&service["spec"]["ports"]) {
        if !workloads.iter().all(|workload| has_port(workload, &port["targetPort"])) {
            wrong(format!("the pods have no port {}", port["targetPort"]));
        }
    }
}

fn budget(objects: &Objects, budget: &Value, wrong: &mut impl FnMut(String)) {
    if objects.selected(&budget["spec"]["selector"]).next().is_none() {
        wrong("selects no pod".into());
    }
}

/// Ports by name are those of the pods at the receiving end.
fn policy(objects: &Objects, policy: &Value, wrong: &mut impl FnMut(String)) {
    let spec = &policy["spec"];
    let own: Vec<&Value> = objects.selected(&spec["podSelector"]).collect();
    if own.is_empty() {
        wrong("selects no pod".into());
    }
    let rules = |side: &str| list(&spec[side]).to_vec();
    for (rule, peers, inward) in rules("ingress")
        .iter()
        .map(|rule| (rule, &rule["from"], true))
        .chain(rules("egress").iter().map(|rule| (rule, &rule["to"], false)))
    {
        let selectors = list(peers).iter().map(|it| &it["podSelector"]).filter(|it| !it.is_null());
        let selected: Vec<Vec<&Value>> =
            selectors.map(|it| objects.selected(it).collect()).collect();
        if selected.iter().any(Vec::is_empty) {
            wrong("a rule is about no pod".into());
        }
        let ends = if inward { own.clone() } else { selected.concat() };
        for port in list(&rule["ports"]).iter().map(|it| &it["port"]).filter(|it| it.is_string()) {
            if ends.is_empty() || !ends.iter().all(|end| has_port(end, port)) {
                wrong(format!("no pod has the port {port}"));
            }
        }
    }
}

fn binding(objects: &Objects, binding: &Value, wrong: &mut impl FnMut(String)) {
    let role = &binding["roleRef"];
    if objects.find(text(&role["kind"]), text(&role["name"])).is_none() {
        wrong(format!("no {} {}", text(&role["kind"]), role["name"]));
    }
    for subject in list(&binding["subjects"]) {
        let account = objects.find(text(&subject["kind"]), text(&subject["name"]));
        if account.is_none_or(|it| it["metadata"]["namespace"] != subject["namespace"]) {
            wrong(format!("no {} {}", text(&subject["kind"]), subject["name"]));
        }
    }
}

fn carries(object: &Value, labels: &Value) -> bool {
    let own = &object["metadata"]["labels"];
    labels.as_object().is_some_and(|labels| labels.iter().all(|(key, value)| own[key] == *value))
}

fn monitor(targets: Vec<&Value>, monitor: &Value, wrong: &mut impl FnMut(String)) {
    if targets.is_empty() {
        wrong("selects nothing".into());
    }
    let spec = &monitor["spec"];
    for endpoint in list(&spec["endpoints"]).iter().chain(list(&spec["podMetricsEndpoints"])) {
        let port = &endpoint["port"];
        let has = |target: &&Value| {
            has_port(target, port)
                || list(&target["spec"]["ports"]).iter().any(|it| it["name"] == *port)
        };
        if !targets.iter().all(has) {
            wrong(format!("no port {port}"));
        }
    }
}
