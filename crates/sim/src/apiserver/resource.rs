//! The resources that are served.

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    Pods,
    Nodes,
    Services,
    Namespaces,
    EndpointSlices,
    ReplicaSets,
    Jobs,
}

impl Resource {
    pub const ALL: [Self; 7] = [
        Self::Pods,
        Self::Nodes,
        Self::Services,
        Self::Namespaces,
        Self::EndpointSlices,
        Self::ReplicaSets,
        Self::Jobs,
    ];

    /// As in a path: `pods`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Nodes => "nodes",
            Self::Services => "services",
            Self::Namespaces => "namespaces",
            Self::EndpointSlices => "endpointslices",
            Self::ReplicaSets => "replicasets",
            Self::Jobs => "jobs",
        }
    }

    pub const fn kind(self) -> &'static str {
        match self {
            Self::Pods => "Pod",
            Self::Nodes => "Node",
            Self::Services => "Service",
            Self::Namespaces => "Namespace",
            Self::EndpointSlices => "EndpointSlice",
            Self::ReplicaSets => "ReplicaSet",
            Self::Jobs => "Job",
        }
    }

    /// Empty for the core group.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Pods | Self::Nodes | Self::Services | Self::Namespaces => "",
            Self::EndpointSlices => "discovery.k8s.io",
            Self::ReplicaSets => "apps",
            Self::Jobs => "batch",
        }
    }

    /// `v1`, or the group and `v1`.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Pods | Self::Nodes | Self::Services | Self::Namespaces => "v1",
            Self::EndpointSlices => "discovery.k8s.io/v1",
            Self::ReplicaSets => "apps/v1",
            Self::Jobs => "batch/v1",
        }
    }

    pub const fn short_names(self) -> &'static [&'static str] {
        match self {
            Self::Pods => &["po"],
            Self::Nodes => &["no"],
            Self::Services => &["svc"],
            Self::Namespaces => &["ns"],
            Self::ReplicaSets => &["rs"],
            Self::EndpointSlices | Self::Jobs => &[],
        }
    }

    pub const fn is_namespaced(self) -> bool {
        !matches!(self, Self::Nodes | Self::Namespaces)
    }

    /// `replicasets.apps`, as in messages.
    pub fn qualified(self) -> String {
        match self.group() {
            "" => self.name().to_owned(),
            group => format!("{}.{group}", self.name()),
        }
    }

    pub fn of_kind(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.kind() == kind)
    }

    pub fn of_path(group: &str, name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.group() == group && resource.name() == name)
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}
