//! The files in the ConfigMaps are what the programs that read them take, and agree with the objects around them.

use serde_json::Value;

use super::objects::{Objects, containers, list, pod, text, title};

pub fn check(objects: &Objects) -> Vec<String> {
    let mut found = Vec::new();
    for workload in objects.workloads() {
        for container in containers(workload) {
            let mut wrong = |what: String| found.push(format!("{}: {what}", title(workload)));
            let arguments: Vec<&str> = list(&container["args"]).iter().map(text).collect();
            let [command, "--config", path] = arguments[..] else {
                wrong(format!("arguments are not COMMAND --config FILE: {arguments:?}"));
                continue;
            };
            let Some(content) = file(objects, workload, container, path) else {
                wrong(format!("no ConfigMap brings {path}"));
                continue;
            };
            match command {
                "agent" => agent(objects, workload, container, content, &mut wrong),
                "hub" => hub(objects, workload, container, content, &mut wrong),
                other => wrong(format!("no such command: {other}")),
            }
        }
    }
    found
}

fn agent(
    objects: &Objects,
    workload: &Value,
    container: &Value,
    content: &str,
    wrong: &mut impl FnMut(String),
) {
    let config = match agent::Config::parse(content, Some("node")) {
        Ok(config) => config,
        Err(error) => return wrong(error.to_string()),
    };
    let port = config.listen.map(|address| address.port());
    if !has_number(container, port) {
        wrong(format!("listens on {port:?}, which is no port of the container"));
    }
    if config.listen.is_some_and(|address| address.ip().is_loopback()) {
        wrong("listens where nobody else comes".into());
    }
    if !mounted(container, &config.socket.display().to_string()) {
        wrong(format!("{} is in no volume", config.socket.display()));
    }
    let metadata = &config.metadata;
    let pair = metadata.certificate.iter().flat_map(|(certificate, key)| [certificate, key]);
    for path in pair.chain(&metadata.ca).chain(&metadata.token) {
        if !mounted(container, &path.display().to_string()) {
            wrong(format!("{} is in no volume", path.display()));
        }
    }
    if metadata.token.is_none() && metadata.certificate.is_none() {
        wrong("shows the hub neither token nor certificate".into());
    }
    for hub in &metadata.hubs {
        let service = objects.of("Service").find(|service| {
            let metadata = &service["metadata"];
            hub.host == format!("{}.{}.svc", text(&metadata["name"]), text(&metadata["namespace"]))
        });
        let ports = service.map(|service| list(&service["spec"]["ports"])).unwrap_or_default();
        if !ports.iter().any(|port| port["port"] == hub.port) {
            wrong(format!("{hub} is no Service"));
        }
        for certificate in
            objects.of("Certificate").filter(|it| it["metadata"]["name"] == "amphipod-hub")
        {
            if !list(&certificate["spec"]["dnsNames"]).iter().any(|name| *name == *hub.host) {
                wrong(format!("the hub's certificate is not for {}", hub.host));
            }
        }
    }
    // A token for somebody else is refused.
    let volumes = list(&pod(workload)["volumes"]).iter();
    for source in volumes.flat_map(|volume| list(&volume["projected"]["sources"])) {
        let audience = &source["serviceAccountToken"]["audience"];
        let hub = objects.of("ConfigMap").find_map(|map| map["data"]["hub.toml"].as_str());
        let hub = hub.and_then(|content| hub::Config::parse(content).ok());
        if hub.and_then(|config| config.inventory.audience).as_deref() != audience.as_str() {
            wrong(format!("the hub takes no tokens for {audience}"));
        }
    }
}

fn hub(
    objects: &Objects,
    workload: &Value,
    container: &Value,
    content: &str,
    wrong: &mut impl FnMut(String),
) {
    let config = match hub::Config::parse(content) {
        Ok(config) => config,
        Err(error) => return wrong(error.to_string()),
    };
    for address in [config.listen, Some(config.inventory.listen)] {
        if !has_number(container, address.map(|address| address.port())) {
            wrong(format!("listens on {address:?}, which is no port of the container"));
        }
        if address.is_some_and(|address| address.ip().is_loopback()) {
            wrong("listens where nobody else comes".into());
        }
    }
    for peer in &config.peers {
        let name = peer.host.split('.').next().unwrap_or_default();
        let service = objects.find("Service", name).map(|it| &it["spec"]);
        // All addresses, and not one of them.
        let headless = service.filter(|it| it["clusterIP"] == "None");
        let has = |it: &Value| list(&it["ports"]).iter().any(|it| it["port"] == peer.port);
        if !headless.is_some_and(has) {
            wrong(format!("{peer} is no port of a headless service"));
        }
    }
    match &config.history.path {
        Some(path) => history(workload, container, &path.display().to_string(), wrong),
        None => wrong("keeps history in memory only".into()),
    }
    let (Some(tls), Some(https)) = (config.inventory.tls, config.tls) else {
        return wrong("has no certificate".into());
    };
    let files = [&tls.certificate, &tls.key, &https.certificate, &https.key];
    for path in files.into_iter().chain(&tls.client_ca) {
        if !mounted(container, &path.display().to_string()) {
            wrong(format!("{} is in no volume", path.display()));
        }
    }
    let roles = objects.of("ClusterRole").flat_map(|role| list(&role["rules"]));
    let granted: Vec<&str> = roles.flat_map(|rule| list(&rule["resources"])).map(text).collect();
    let tokens = config.inventory.audience.is_some() || config.access.audience.is_some();
    if tokens != granted.contains(&"tokenreviews") {
        wrong("takes tokens if, and only if, it may have them reviewed".into());
    }
    if config.access.is_open() {
        wrong("answers anybody".into());
    }
    if config.access.is_open() == granted.contains(&"subjectaccessreviews") {
        wrong("knows people if, and only if, it may ask what they may do".into());
    }
    let probes = ["startupProbe", "livenessProbe", "readinessProbe"];
    if probes.iter().any(|it| container[it]["httpGet"]["scheme"] != "HTTPS") {
        wrong("is probed without TLS".into());
    }
}

/// The database has a volume for itself, which the hub's group can write.
fn history(workload: &Value, container: &Value, path: &str, wrong: &mut impl FnMut(String)) {
    let Some(mount) = mount(container, path) else {
        return wrong(format!("{path} is in no volume"));
    };
    let emptied = list(&pod(workload)["volumes"]).iter();
    let emptied = emptied.filter(|it| !it["emptyDir"].is_null()).map(|it| &it["name"]);
    let claimed = list(&workload["spec"]["volumeClaimTemplates"]).iter();
    let claimed = claimed.map(|it| &it["metadata"]["name"]);
    if mount["readOnly"] == true || !emptied.chain(claimed).any(|it| *it == mount["name"]) {
        wrong(format!("{path} cannot be written"));
    }
    let context = &pod(workload)["securityContext"];
    if context["fsGroup"].is_null() || context["fsGroup"] != context["runAsGroup"] {
        wrong(format!("{path}: fsGroup is not the group of the hub"));
    }
}

/// The text that a ConfigMap brings to this path of the container.
fn file<'a>(
    objects: &'a Objects,
    workload: &Value,
    container: &Value,
    path: &str,
) -> Option<&'a str> {
    let (folder, name) = path.rsplit_once('/')?;
    let mount = list(&container["volumeMounts"]).iter().find(|it| it["mountPath"] == folder)?;
    let volume = list(&pod(workload)["volumes"]).iter().find(|it| it["name"] == mount["name"])?;
    objects.find("ConfigMap", text(&volume["configMap"]["name"]))?["data"][name].as_str()
}

fn mounted(container: &Value, path: &str) -> bool {
    mount(container, path).is_some()
}

fn mount<'a>(container: &'a Value, path: &str) -> Option<&'a Value> {
    let mut mounts = list(&container["volumeMounts"]).iter();
    mounts.find(|it| path.rsplit_once('/').is_some_and(|(folder, _)| it["mountPath"] == folder))
}

fn has_number(container: &Value, port: Option<u16>) -> bool {
    port.is_some_and(|port| list(&container["ports"]).iter().any(|it| it["containerPort"] == port))
}
