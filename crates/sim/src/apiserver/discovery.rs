//! What the server says of itself: versions, groups and resources.

use serde_json::{Value, json};

use super::resource::Resource;

/// As of the release whose behaviour is simulated.
pub fn version() -> Value {
    json!({
        "major": "1",
        "minor": "36",
        "gitVersion": "v1.36.0",
        "gitCommit": "0000000000000000000000000000000000000000",
        "gitTreeState": "clean",
        "buildDate": "2026-04-22T00:00:00Z",
        "goVersion": "go1.26.0",
        "compiler": "gc",
        "platform": "linux/amd64",
    })
}

const GROUPS: [&str; 4] = ["apps", "authentication.k8s.io", "batch", "discovery.k8s.io"];

/// The answer to `path`, if it is about the API and not about objects. `address`: of this server.
pub fn answer(path: &str, address: &str) -> Option<Value> {
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').skip(1).collect();
    match parts[..] {
        ["version"] => Some(version()),
        ["api"] => Some(json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": address }],
        })),
        ["apis"] => Some(json!({
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": GROUPS.map(group),
        })),
        ["apis", name] if GROUPS.contains(&name) => {
            let mut group = group(name);
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            Some(group)
        }
        ["api", "v1"] => Some(resources("")),
        ["apis", name, "v1"] if GROUPS.contains(&name) => Some(resources(name)),
        _ => None,
    }
}

fn group(name: &str) -> Value {
    let version = json!({ "groupVersion": format!("{name}/v1"), "version": "v1" });
    json!({ "name": name, "versions": [version], "preferredVersion": version })
}

fn resources(group: &str) -> Value {
    let mut list: Vec<Value> = Resource::ALL
        .into_iter()
        .filter(|resource| resource.group() == group)
        .map(|resource| {
            json!({
                "name": resource.name(),
                "singularName": resource.kind().to_lowercase(),
                "namespaced": resource.is_namespaced(),
                "kind": resource.kind(),
                "verbs": ["get", "list", "watch"],
                "shortNames": resource.short_names(),
            })
        })
        .collect();
    if group == "authentication.k8s.io" {
        list.push(json!({
            "name": "tokenreviews",
            "singularName": "tokenreview",
            "namespaced": false,
            "kind": "TokenReview",
            "verbs": ["create"],
        }));
    }
    let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": version,
        "resources": list,
    })
}
