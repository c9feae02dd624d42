//! Objects as JSON has them, without what is not kept.

use serde::Deserialize;

use super::value::{List, Pairs, Text};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Meta<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub namespace: Text<'a>,
    #[serde(borrow)]
    pub uid: Text<'a>,
    #[serde(borrow)]
    pub resource_version: Text<'a>,
    #[serde(borrow)]
    pub creation_timestamp: Text<'a>,
    #[serde(borrow)]
    pub deletion_timestamp: Text<'a>,
    #[serde(borrow)]
    pub labels: Pairs<'a>,
    #[serde(borrow)]
    pub annotations: Pairs<'a>,
    #[serde(borrow)]
    pub owner_references: List<OwnerReference<'a>>,
    /// Of a list.
    #[serde(borrow, rename = "continue")]
    pub next: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OwnerReference<'a> {
    #[serde(borrow)]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub uid: Text<'a>,
    #[serde(borrow)]
    pub api_version: Text<'a>,
    pub controller: Option<bool>,
}

/// Any object by its metadata.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Named<'a> {
    #[serde(borrow)]
    pub metadata: Option<Meta<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Pod<'a> {
    #[serde(borrow)]
    pub metadata: Option<Meta<'a>>,
    #[serde(borrow)]
    pub spec: Option<PodSpec<'a>>,
    #[serde(borrow)]
    pub status: Option<PodStatus<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec<'a> {
    #[serde(borrow)]
    pub containers: List<Container<'a>>,
    #[serde(borrow)]
    pub init_containers: List<Container<'a>>,
    #[serde(borrow)]
    pub ephemeral_containers: List<Container<'a>>,
    #[serde(borrow)]
    pub node_name: Text<'a>,
    pub host_network: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Container<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub image: Text<'a>,
    #[serde(borrow)]
    pub ports: List<Port<'a>>,
}

/// Of a container, a service or a slice.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Port<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(alias = "containerPort")]
    pub port: Option<i64>,
    pub node_port: Option<i64>,
    #[serde(borrow)]
    pub protocol: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStatus<'a> {
    #[serde(borrow)]
    pub phase: Text<'a>,
    #[serde(borrow, rename = "podIP")]
    pub pod_ip: Text<'a>,
    #[serde(borrow, rename = "podIPs")]
    pub pod_ips: List<Ip<'a>>,
    #[serde(borrow)]
    pub start_time: Text<'a>,
    #[serde(borrow)]
    pub container_statuses: List<ContainerStatus<'a>>,
    #[serde(borrow)]
    pub init_container_statuses: List<ContainerStatus<'a>>,
    #[serde(borrow)]
    pub ephemeral_container_statuses: List<ContainerStatus<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Ip<'a> {
    #[serde(borrow)]
    pub ip: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ContainerStatus<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub image: Text<'a>,
    #[serde(borrow, rename = "containerID")]
    pub container_id: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Node<'a> {
    #[serde(borrow)]
    pub metadata: Option<Meta<'a>>,
    #[serde(borrow)]
    pub spec: Option<NodeSpec<'a>>,
    #[serde(borrow)]
    pub status: Option<NodeStatus<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct NodeSpec<'a> {
    #[serde(borrow, rename = "providerID")]
    pub provider_id: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct NodeStatus<'a> {
    #[serde(borrow)]
    pub addresses: List<NodeAddress<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct NodeAddress<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub address: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Service<'a> {
    #[serde(borrow)]
    pub metadata: Option<Meta<'a>>,
    #[serde(borrow)]
    pub spec: Option<ServiceSpec<'a>>,
    #[serde(borrow)]
    pub status: Option<ServiceStatus<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ServiceSpec<'a> {
    #[serde(borrow, rename = "clusterIP")]
    pub cluster_ip: Text<'a>,
    #[serde(borrow, rename = "clusterIPs")]
    pub cluster_ips: List<Text<'a>>,
    #[serde(borrow, rename = "externalIPs")]
    pub external_ips: List<Text<'a>>,
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub ports: List<Port<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceStatus<'a> {
    #[serde(borrow)]
    pub load_balancer: Option<LoadBalancer<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct LoadBalancer<'a> {
    #[serde(borrow)]
    pub ingress: List<Ip<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EndpointSlice<'a> {
    #[serde(borrow)]
    pub metadata: Option<Meta<'a>>,
    #[serde(borrow)]
    pub address_type: Text<'a>,
    #[serde(borrow)]
    pub endpoints: List<Endpoint<'a>, 4096>,
    #[serde(borrow)]
    pub ports: List<Port<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Endpoint<'a> {
    #[serde(borrow)]
    pub addresses: List<Text<'a>>,
    pub conditions: Option<Conditions>,
    #[serde(borrow)]
    pub target_ref: Option<Target<'a>>,
    #[serde(borrow)]
    pub node_name: Text<'a>,
    #[serde(borrow)]
    pub zone: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Conditions {
    pub ready: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Target<'a> {
    #[serde(borrow)]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub uid: Text<'a>,
}

#[derive(Deserialize)]
pub struct Event<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub object: &'a serde_json::value::RawValue,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Status<'a> {
    pub code: u16,
    #[serde(borrow)]
    pub reason: Text<'a>,
    #[serde(borrow)]
    pub message: Text<'a>,
    #[serde(borrow)]
    pub details: Option<StatusDetails<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StatusDetails<'a> {
    pub retry_after_seconds: Option<u64>,
    #[serde(borrow)]
    pub causes: List<StatusCause<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct StatusCause<'a> {
    #[serde(borrow)]
    pub reason: Text<'a>,
}
