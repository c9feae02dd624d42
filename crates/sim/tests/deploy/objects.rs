//! The objects of one overlay, as they were read.

use serde_json::Value;

#[derive(Clone)]
pub struct Objects(pub Vec<Value>);

/// What has pods.
const WORKLOADS: [&str; 3] = ["DaemonSet", "Deployment", "StatefulSet"];

impl Objects {
    pub fn parse(text: &str) -> Self {
        Self(serde_saphyr::from_multiple(text).unwrap())
    }

    pub fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    pub fn find(&self, kind: &str, name: &str) -> Option<&Value> {
        self.0.iter().find(|it| it["kind"] == kind && it["metadata"]["name"] == name)
    }

    pub fn workloads(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(|object| WORKLOADS.iter().any(|kind| object["kind"] == *kind))
    }

    /// The workloads whose pods a selector selects.
    pub fn selected<'a>(&'a self, selector: &'a Value) -> impl Iterator<Item = &'a Value> {
        let labels = selector.get("matchLabels").unwrap_or(selector).as_object();
        self.workloads().filter(move |workload| {
            let of_pod = &workload["spec"]["template"]["metadata"]["labels"];
            labels.is_some_and(|labels| labels.iter().all(|(key, value)| of_pod[key] == *value))
        })
    }
}

/// `Service amphipod-hub`.
pub fn title(object: &Value) -> String {
    format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The elements of a list; none where there is no list.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub fn pod(workload: &Value) -> &Value {
    &workload["spec"]["template"]["spec"]
}

pub fn containers(workload: &Value) -> impl Iterator<Item = &Value> {
    let pod = pod(workload);
    list(&pod["containers"]).iter().chain(list(&pod["initContainers"]))
}

/// A port of the workload's pods, by its name.
pub fn has_port(workload: &Value, name: &Value) -> bool {
    containers(workload).any(|it| list(&it["ports"]).iter().any(|port| port["name"] == *name))
}
