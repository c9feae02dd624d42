//! What can be watched.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    Pods,
    Nodes,
    Services,
    EndpointSlices,
    Namespaces,
    ReplicaSets,
    Jobs,
}

impl Resource {
    pub const ALL: [Self; 7] = [
        Self::Pods,
        Self::Nodes,
        Self::Services,
        Self::EndpointSlices,
        Self::Namespaces,
        Self::ReplicaSets,
        Self::Jobs,
    ];

    /// The name in paths and in RBAC rules.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Nodes => "nodes",
            Self::Services => "services",
            Self::EndpointSlices => "endpointslices",
            Self::Namespaces => "namespaces",
            Self::ReplicaSets => "replicasets",
            Self::Jobs => "jobs",
        }
    }

    /// Empty for the core group.
    pub fn group(self) -> &'static str {
        match self {
            Self::EndpointSlices => "discovery.k8s.io",
            Self::ReplicaSets => "apps",
            Self::Jobs => "batch",
            Self::Pods | Self::Nodes | Self::Services | Self::Namespaces => "",
        }
    }

    /// Of the whole cluster.
    pub fn path(self) -> &'static str {
        match self {
            Self::Pods => "/api/v1/pods",
            Self::Nodes => "/api/v1/nodes",
            Self::Services => "/api/v1/services",
            Self::EndpointSlices => "/apis/discovery.k8s.io/v1/endpointslices",
            Self::Namespaces => "/api/v1/namespaces",
            Self::ReplicaSets => "/apis/apps/v1/replicasets",
            Self::Jobs => "/apis/batch/v1/jobs",
        }
    }

    pub fn kind(self) -> &'static str {
        match self {
            Self::Pods => "Pod",
            Self::Nodes => "Node",
            Self::Services => "Service",
            Self::EndpointSlices => "EndpointSlice",
            Self::Namespaces => "Namespace",
            Self::ReplicaSets => "ReplicaSet",
            Self::Jobs => "Job",
        }
    }

    /// Whether only names, owners and labels are asked for.
    pub fn metadata_only(self) -> bool {
        matches!(self, Self::ReplicaSets | Self::Jobs)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
