//! What every object begins with.

use crate::counters::Cause;
use crate::object::{Namespace, Owner};
use crate::trim::Trim;
use crate::wire::Malformed;
use crate::{Object, ObjectKey, OwnerReference, Resource, Str};

/// `ObjectMeta`, as far as it is kept.
#[derive(Clone, Debug, Default)]
pub struct Meta {
    pub name: Str,
    pub namespace: Str,
    pub uid: Str,
    /// Where a watch goes on.
    pub version: String,
    pub deleted: bool,
    /// Seconds since 1970.
    pub created_at: Option<i64>,
    /// Which of its Deployment's (or Rollout's) it is; it grows when an old one is taken up again.
    pub revision: Option<u64>,
    pub labels: Vec<(Str, Str)>,
    pub annotations: Vec<(Str, Str)>,
    pub owner: Option<OwnerReference>,
    pub service: Option<Str>,
    pub zone: Option<Str>,
    pub region: Option<Str>,
    pub instance_type: Option<Str>,
    /// It is the bookmark after the last object of a streamed list.
    pub initial_end: bool,
    seen: usize,
}

/// Annotations of ReplicaSets.
const REVISIONS: [&[u8]; 2] =
    [b"deployment.kubernetes.io/revision", b"rollout.argoproj.io/revision"];
/// A resource version is short; what is longer is none.
const VERSION_BYTES: usize = 128;

impl Meta {
    pub fn set_version(&mut self, text: &[u8]) {
        if text.len() <= VERSION_BYTES
            && let Ok(text) = std::str::from_utf8(text)
        {
            text.clone_into(&mut self.version);
        }
    }

    pub fn label(&mut self, trim: &mut Trim, key: &[u8], value: &[u8]) {
        if !self.may_see(trim) {
            return;
        }
        match key {
            b"kubernetes.io/service-name" => self.service = trim.shared(value),
            b"topology.kubernetes.io/zone" => self.zone = trim.shared(value),
            b"topology.kubernetes.io/region" => self.region = trim.shared(value),
            b"node.kubernetes.io/instance-type" => self.instance_type = trim.shared(value),
            _ => {}
        }
        trim.label(&mut self.labels, key, value);
    }

    pub fn annotation(&mut self, trim: &mut Trim, key: &[u8], value: &[u8]) {
        if !self.may_see(trim) {
            return;
        }
        if key == b"k8s.io/initial-events-end" {
            self.initial_end = value == b"true";
        }
        if REVISIONS.contains(&key) {
            self.revision = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        }
        trim.annotation(&mut self.annotations, key, value);
    }

    /// Counted once per object.
    fn may_see(&mut self, trim: &Trim) -> bool {
        self.seen += 1;
        if self.seen == trim.limits.labels_seen + 1 {
            trim.count(Cause::TooManyLabels);
        }
        self.seen <= trim.limits.labels_seen
    }

    pub fn owner(&mut self, owner: OwnerReference) {
        if owner.controller && self.owner.is_none() {
            self.owner = Some(owner);
        }
    }

    /// An object without a name or a uid is none.
    pub fn checked(mut self, trim: &Trim) -> Result<Self, Malformed> {
        if self.name.is_empty() || self.uid.is_empty() {
            trim.count(Cause::Nameless);
            return Err(Malformed::Nameless);
        }
        for pairs in [&mut self.labels, &mut self.annotations] {
            pairs.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            pairs.dedup_by(|a, b| a.0 == b.0);
            pairs.shrink_to_fit();
        }
        Ok(self)
    }

    pub fn key(&self, resource: Resource) -> ObjectKey {
        ObjectKey { resource, namespace: self.namespace.clone(), name: self.name.clone() }
    }

    /// The object where its metadata are all that is kept of it.
    pub fn whole(self, resource: Resource) -> Object {
        if resource == Resource::Namespaces {
            return Object::Namespace(Namespace {
                uid: self.uid,
                name: self.name,
                labels: self.labels,
            });
        }
        Object::Owner(Owner {
            resource,
            uid: self.uid,
            kind: resource.kind().into(),
            namespace: self.namespace,
            name: self.name,
            controller: self.owner,
            created_at: self.created_at,
            revision: self.revision,
        })
    }
}
