//! What no object may do, whatever the overlay.

use serde_json::{Value, json};

use super::objects::{Objects, containers, list, pod, text, title};

/// All that an agent may have. SYS_RESOURCE is for Linux 5.10 only.
const CAPABILITIES: [&str; 5] = ["BPF", "PERFMON", "NET_ADMIN", "SYS_PTRACE", "SYS_RESOURCE"];
/// All that is read from a node, always read-only.
const HOST_PATHS: [&str; 2] = ["/sys/fs/cgroup", "/etc/amphipod/pki"];
const VERBS: [&str; 3] = ["get", "list", "watch"];

pub fn check(objects: &Objects) -> Vec<String> {
    let mut found = Vec::new();
    let in_host = objects.of("DaemonSet").any(|it| pod(it)["hostNetwork"] == true);
    for object in &objects.0 {
        let mut wrong = |what: String| found.push(format!("{}: {what}", title(object)));
        match text(&object["kind"]) {
            "DaemonSet" | "Deployment" | "StatefulSet" => workload(object, &mut wrong),
            "ClusterRole" | "Role" => role(object, &mut wrong),
            "SecurityContextConstraints" => constraints(object, in_host, &mut wrong),
            _ => {}
        }
    }
    found
}

fn workload(workload: &Value, wrong: &mut impl FnMut(String)) {
    let pod = pod(workload);
    let is_agent = workload["kind"] == "DaemonSet";
    let flag = |value: &Value| value == true;
    // Component backends. There names of the cluster are asked for only with this policy.
    let in_host = flag(&pod["hostNetwork"]);
    if in_host && !(is_agent && pod["dnsPolicy"] == "ClusterFirstWithHostNet")
        || flag(&pod["hostIPC"])
    {
        wrong("uses the host's network or IPC".into());
    }
    for volume in list(&pod["volumes"]).iter().filter(|it| !it["emptyDir"].is_null()) {
        if !volume["emptyDir"]["sizeLimit"].is_string() {
            wrong(format!("volume {} has no limit", text(&volume["name"])));
        }
    }
    if flag(&pod["hostPID"]) != is_agent {
        wrong("the host's pids are for the agent, and the agent's".into());
    }
    // The hub asks the API server; nobody else does.
    if pod["automountServiceAccountToken"] != json!(!is_agent) {
        wrong("automountServiceAccountToken: true for the hub, false for others".into());
    }
    if pod["terminationGracePeriodSeconds"].as_u64().is_none_or(|seconds| seconds < 10) {
        wrong("terminationGracePeriodSeconds: less than a drain takes".into());
    }
    for container in containers(workload) {
        let mut wrong =
            |what: &str| wrong(format!("container {}: {what}", text(&container["name"])));
        confined(container, &pod["securityContext"], is_agent, &mut wrong);
        for (kind, resource) in
            ["requests", "limits"].iter().flat_map(|kind| [(kind, "cpu"), (kind, "memory")])
        {
            if !container["resources"][kind][resource].is_string() {
                wrong(&format!("resources.{kind}.{resource} is missing"));
            }
        }
        let image = text(&container["image"]);
        if !image.contains('/') || !image.contains(':') || image.ends_with(":latest") {
            wrong("the image has no registry or no version");
        }
        for volume in list(&pod["volumes"]).iter().filter(|it| !it["hostPath"].is_null()) {
            let mounts = list(&container["volumeMounts"]).iter();
            let mut mounts = mounts.filter(|mount| mount["name"] == volume["name"]);
            if !mounts.all(|mount| flag(&mount["readOnly"])) {
                wrong("a host path can be written");
            }
            if !HOST_PATHS.iter().any(|path| volume["hostPath"]["path"] == *path) {
                wrong(&format!("host path {} is not listed", volume["hostPath"]["path"]));
            }
        }
    }
}

fn confined(container: &Value, of_pod: &Value, is_agent: bool, wrong: &mut impl FnMut(&str)) {
    let context = &container["securityContext"];
    let either = |key: &str| if context[key].is_null() { &of_pod[key] } else { &context[key] };
    for (key, expected) in [
        ("privileged", false),
        ("allowPrivilegeEscalation", false),
        ("readOnlyRootFilesystem", true),
    ] {
        if context[key] != expected {
            wrong(&format!("securityContext.{key} is not {expected}"));
        }
    }
    if context["capabilities"]["drop"] != json!(["ALL"]) {
        wrong("does not drop all capabilities");
    }
    let added = list(&context["capabilities"]["add"]);
    for capability in added {
        if !is_agent || !CAPABILITIES.contains(&text(capability)) {
            wrong(&format!("capability {} is not listed", text(capability)));
        }
    }
    if is_agent
        && !CAPABILITIES[..4].iter().all(|it| added.iter().any(|capability| capability == it))
    {
        wrong("lacks a capability that the agent needs");
    }
    if !is_agent
        && (either("runAsNonRoot") != true
            || either("runAsUser").as_u64().is_none_or(|uid| uid == 0))
    {
        wrong("may run as root");
    }
    let seccomp = text(&either("seccompProfile")["type"]);
    // Where the default profile refuses bpf(), spc_t says that somebody knew.
    let excused =
        is_agent && context["seLinuxOptions"]["type"] == "spc_t" && seccomp == "Unconfined";
    if seccomp != "RuntimeDefault" && !excused {
        wrong("seccompProfile is not RuntimeDefault");
    }
}

fn role(role: &Value, wrong: &mut impl FnMut(String)) {
    for rule in list(&role["rules"]) {
        let of = |key: &str| list(&rule[key]).iter().map(text).collect::<Vec<_>>();
        let (groups, resources, verbs) = (of("apiGroups"), of("resources"), of("verbs"));
        if [&groups, &resources, &verbs].iter().any(|part| part.iter().any(|it| it.contains('*'))) {
            wrong("a wildcard".into());
        }
        let reads = verbs.iter().all(|verb| VERBS.contains(verb));
        let reviews = matches!(resources[..], ["tokenreviews" | "subjectaccessreviews"])
            && verbs == ["create"];
        let uses = resources == ["securitycontextconstraints"]
            && verbs == ["use"]
            && !of("resourceNames").is_empty();
        if !(reads || reviews || uses) || resources.contains(&"secrets") {
            wrong(format!("may {verbs:?} {resources:?}"));
        }
    }
}

fn constraints(object: &Value, in_host: bool, wrong: &mut impl FnMut(String)) {
    for key in ["allowPrivilegedContainer", "allowPrivilegeEscalation", "allowHostIPC"] {
        if object[key] != false {
            wrong(format!("{key} is not false"));
        }
    }
    // A port of a pod in the host's network is one of the host.
    for key in ["allowHostNetwork", "allowHostPorts"] {
        if object[key] != in_host {
            wrong(format!("{key} is not {in_host}"));
        }
    }
    if !list(&object["allowedCapabilities"]).iter().all(|it| CAPABILITIES.contains(&text(it))) {
        wrong("a capability is not listed".into());
    }
}
