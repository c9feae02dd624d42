//! One end of a row: a workload, as far as it is known.

use std::sync::Arc;

use crate::Endpoint;

/// A workload. Empty texts: there is none, or it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct End {
    pub namespace: Arc<str>,
    /// As in [`crate::Workload`]; besides these `Pod` and `Service` where only that is known, [`End::UNKNOWN`] and
    /// [`End::OVERFLOW`].
    pub kind: Arc<str>,
    pub name: Arc<str>,
    pub zone: Arc<str>,
}

impl End {
    /// The kind of an end of which nothing can be said.
    pub const UNKNOWN: &str = "Unknown";
    /// The kind of what has no room of its own.
    pub const OVERFLOW: &str = "Overflow";
    /// The kind of what is outside of the cluster.
    pub const EXTERNAL: &str = "External";
    /// The kind of what somebody may not see.
    pub const HIDDEN: &str = "Hidden";

    /// Both ends of the row that takes what has no room of its own.
    pub fn overflow() -> Self {
        Self { kind: Self::OVERFLOW.into(), name: "__overflow__".into(), ..Self::default() }
    }

    pub fn hidden() -> Self {
        Self { kind: Self::HIDDEN.into(), name: "hidden".into(), ..Self::default() }
    }

    pub fn unknown() -> Self {
        Self { kind: Self::UNKNOWN.into(), name: "unknown".into(), ..Self::default() }
    }
}

impl From<&Endpoint> for End {
    fn from(endpoint: &Endpoint) -> Self {
        let Some(identity) = endpoint.identity.as_deref() else { return Self::unknown() };
        let text = |text: &Option<Arc<str>>| text.clone().unwrap_or_default();
        let named = |kind: &str, name: &Option<Arc<str>>| {
            name.clone().map(|name| (Arc::<str>::from(kind), name))
        };
        let workload = identity.workload.as_ref().map(|it| (it.kind.clone(), it.name.clone()));
        // What is outside is better known by the name with which it was looked up.
        let outside = identity.workload.as_ref().is_none_or(|it| &*it.kind == Self::EXTERNAL);
        let looked_up = identity.names.first().filter(|_| outside && identity.pod.is_none());
        let found = looked_up
            .map(|name| (Self::EXTERNAL.into(), name.clone()))
            .or(workload)
            .or_else(|| named("Pod", &identity.pod))
            .or_else(|| named("Service", &identity.service));
        let Some((kind, name)) = found else { return Self::unknown() };
        Self { namespace: text(&identity.namespace), kind, name, zone: text(&identity.zone) }
    }
}
