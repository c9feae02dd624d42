//! What the pods of a workload have in common, held once.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use reflector::Protocol;

use super::container::ContainerKind;
use super::key::Str;
use super::strings::Pairs;
use super::uid::Uid;

/// All of its parts are shared themselves, so that equal ones are the same.
#[derive(Clone, Debug)]
pub struct Template {
    pub namespace: Str,
    /// Who controls the pods directly.
    pub owner: Option<Arc<Owned>>,
    pub labels: Pairs,
    pub annotations: Pairs,
    pub ports: Arc<[Port]>,
    /// In the order of a pod's [`ContainerId`](super::container::ContainerId)s.
    pub containers: Arc<[Arc<ContainerKind>]>,
}

/// An owner's kind and uid.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owned {
    pub kind: Str,
    pub api_group: Str,
    pub uid: Uid,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    pub name: Str,
    pub number: u16,
    pub protocol: Protocol,
}

impl Template {
    fn parts(&self) -> [usize; 6] {
        [
            Arc::as_ptr(&self.namespace).addr(),
            self.owner.as_ref().map_or(0, |owner| Arc::as_ptr(owner).addr()),
            Arc::as_ptr(&self.labels).addr(),
            Arc::as_ptr(&self.annotations).addr(),
            Arc::as_ptr(&self.ports).addr(),
            Arc::as_ptr(&self.containers).addr(),
        ]
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Template {}

impl Hash for Template {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}
