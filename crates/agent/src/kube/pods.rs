//! Pods as Kubernetes tells them, for the pipeline.

use std::sync::Arc;

use model::Workload;

/// Pods of one node, beyond which something is wrong.
pub const MAX_PODS: usize = 8_192;
/// The label with which a Deployment marks its pods.
pub const HASH: &str = "pod-template-hash";

pub fn pod(pod: reflector::Pod) -> model::Pod {
    let over = matches!(pod.phase, reflector::Phase::Succeeded | reflector::Phase::Failed);
    let hash = pod.labels.iter().find(|(key, _)| &**key == HASH).map(|(_, hash)| hash);
    let workload = pod.owner.map(|owner| workload(owner, hash));
    let containers = pod.containers.into_iter();
    let containers =
        containers.filter_map(|it| Some(model::Container { id: it.id?, name: it.name }));
    model::Pod {
        uid: pod.uid,
        namespace: pod.namespace,
        name: pod.name.clone(),
        node: pod.node,
        // A pod that is over has its address no longer, whatever it says.
        ips: if over { Vec::new() } else { pod.ips },
        host_network: pod.host_network,
        workload,
        containers: containers.collect(),
        labels: pod.labels.into_iter().filter(|(key, _)| &**key != HASH).collect(),
        zone: None,
    }
}

/// The owner's owner is not told here; a Deployment's ReplicaSet is named by it and by the hash in its pods' label.
fn workload(owner: reflector::OwnerReference, hash: Option<&Arc<str>>) -> Workload {
    let deployment = hash
        .filter(|_| &*owner.kind == "ReplicaSet" && &*owner.api_group == "apps")
        .and_then(|hash| owner.name.strip_suffix(&**hash)?.strip_suffix('-'));
    match deployment {
        Some(name) => Workload { kind: "Deployment".into(), name: name.into() },
        None => Workload { kind: owner.kind, name: owner.name },
    }
}
