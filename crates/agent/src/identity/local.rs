//! The end on this node: by cgroup, then network namespace, then process.

use std::sync::Arc;
use std::time::Duration;

use model::{Identity, Process, Timestamp};

use super::cgroups::Owner;
use super::counters::Cause;
use super::names::{Names, remember};
use super::netns::Holder;
use super::pending::Key;
use super::standalone;

/// How long something may stay unknown before records no longer wait for it.
const DESPAIR: Duration = Duration::from_secs(30);

pub enum Local {
    Named(Named),
    /// Worth waiting for `key`, if `patient`; else this is what is known.
    Missing {
        key: Key,
        patient: bool,
        known: Option<Named>,
        cause: Option<Cause>,
    },
    /// The kernel told of no owner.
    Nobody,
    /// A pod outside of the scope, by uid.
    Foreign(Arc<str>),
}

#[derive(Clone, Debug)]
pub struct Named {
    pub identity: Arc<Identity>,
    /// The socket's own cgroup told.
    pub sure: bool,
    /// The feed knows the pod's addresses.
    pub addressed: bool,
}

impl Named {
    fn by_cgroup(identity: Arc<Identity>, addressed: bool) -> Self {
        Self { identity, sure: true, addressed }
    }

    fn guessed(identity: Arc<Identity>) -> Self {
        Self { identity, sure: false, addressed: true }
    }
}

impl Names {
    /// Who owns a socket of `process` at `time`. `look`: also read the file system, at a bounded rate.
    pub fn local(&mut self, process: &Process, time: Timestamp, look: bool) -> Local {
        let id = process.cgroup_id;
        if id == 0 {
            return self.ownerless(process, look);
        }
        if let Some(local) = self.owner_of(id, time) {
            return match local {
                Local::Nobody => self.ownerless(process, look),
                local => local,
            };
        }
        if look {
            self.process_owner(process.pid, process.netns);
            if self.owner_of(id, time).is_none() {
                self.rescan();
            }
            match self.owner_of(id, time) {
                Some(Local::Nobody) => return self.ownerless(process, look),
                Some(local) => return local,
                None => {}
            }
        }
        let since = remember(&mut self.unknown_cgroups, id, self.at);
        let patient = self.at.since(since) < DESPAIR;
        let (known, cause) = match self.ownerless(process, look) {
            // A process's name is no owner: its cgroup was there, somebody owns it.
            Local::Named(named) if !is_process(&named.identity) => (Some(named), None),
            Local::Missing { known, cause, .. } => (known, cause),
            Local::Foreign(uid) => return Local::Foreign(uid),
            Local::Named(_) | Local::Nobody => (None, Some(Cause::UnknownCgroup)),
        };
        Local::Missing { key: Key::Cgroup(id), patient, known, cause }
    }

    /// The owner by cgroup id; `None` if the id is not known.
    fn owner_of(&mut self, id: u64, time: Timestamp) -> Option<Local> {
        let at = self.at;
        let version = self.pods.version();
        let slot = self.cgroups.get(id, time, at)?;
        let (uid, container) = match &slot.owner {
            Owner::Nobody => return Some(Local::Nobody),
            Owner::Named(identity) => {
                return Some(Local::Named(Named::by_cgroup(identity.clone(), false)));
            }
            Owner::Foreign { uid } => return Some(Local::Foreign(uid.clone())),
            Owner::Pod { uid, container } => (uid, container),
        };
        if let Some((answered, named)) = &slot.named
            && *answered == version
        {
            return Some(Local::Named(named.clone()));
        }
        if let Some(identity) = self.pods.identity(uid, container.as_ref()) {
            let addressed = self.pods.get(uid).is_some_and(|entry| !entry.pod.ips.is_empty());
            let named = Named::by_cgroup(identity, addressed);
            slot.named = Some((version, named.clone()));
            slot.unknown_since = None;
            return Some(Local::Named(named));
        }
        let since = *slot.unknown_since.get_or_insert(at);
        let unnamed =
            slot.unnamed.get_or_insert_with(|| standalone::unnamed(uid, container.as_ref()));
        Some(Local::Missing {
            key: Key::Pod(uid.clone()),
            patient: at.since(since) < DESPAIR,
            known: Some(Named::by_cgroup(unnamed.clone(), false)),
            cause: Some(Cause::UnknownPod),
        })
    }

    /// By network namespace, then process, then the process's name.
    fn ownerless(&mut self, process: &Process, look: bool) -> Local {
        if let Some(local) = self.holder_of(process.netns, look) {
            return local;
        }
        if look && (self.hybrid || process.cgroup_id == 0 || !self.knows(process.cgroup_id)) {
            match self.process_owner(process.pid, process.netns) {
                Some(Owner::Named(identity)) => return Local::Named(Named::guessed(identity)),
                Some(Owner::Pod { uid, container }) => {
                    return self.pod_of(&uid, container.as_ref());
                }
                Some(Owner::Foreign { uid }) => return Local::Foreign(uid),
                Some(Owner::Nobody) | None => {}
            }
        }
        if !process.comm.is_empty() {
            return Local::Named(Named::guessed(self.process_names.identity(process.comm)));
        }
        if self.namespaces.is_host(process.netns) {
            return Local::Named(Named::guessed(self.this_host.clone()));
        }
        if self.namespaces.is_private(process.netns)
            && (process.cgroup_id == 0 || self.knows(process.cgroup_id))
        {
            return self.unknown_namespace(process.netns, look);
        }
        Local::Nobody
    }

    fn holder_of(&mut self, netns: u32, look: bool) -> Option<Local> {
        let (_, gone) = self.namespaces.holder(netns)?;
        if gone && look {
            // The number may be another pod's by now.
            self.look_for_namespaces();
        }
        match self.namespaces.holder(netns)?.0.clone() {
            Holder::Pod(uid) => Some(self.pod_of(&uid, None)),
            Holder::Container(identity) => Some(Local::Named(Named::guessed(identity))),
            Holder::Foreign(uid) => Some(Local::Foreign(uid)),
        }
    }

    /// Something happened in the namespace of a pod that showed no socket yet, or is about to appear.
    fn unknown_namespace(&mut self, netns: u32, look: bool) -> Local {
        if look {
            self.look_for_namespaces();
            if let Some(local) = self.holder_of(netns, false) {
                return local;
            }
        }
        let since = remember(&mut self.unknown_namespaces, netns, self.at);
        Local::Missing {
            key: Key::Namespace(netns),
            patient: self.at.since(since) < DESPAIR,
            known: self.named_namespace(netns).map(Named::guessed),
            cause: Some(Cause::NoOwner),
        }
    }

    fn knows(&mut self, id: u64) -> bool {
        self.cgroups.get(id, self.now, self.at).is_some()
    }

    fn pod_of(&mut self, uid: &Arc<str>, container: Option<&Arc<str>>) -> Local {
        match self.pods.identity(uid, container) {
            Some(identity) => Local::Named(Named::guessed(identity)),
            None => Local::Missing {
                key: Key::Pod(uid.clone()),
                patient: true,
                known: Some(Named::guessed(standalone::unnamed(uid, container))),
                cause: Some(Cause::UnknownPod),
            },
        }
    }
}

fn is_process(identity: &Identity) -> bool {
    identity.workload.as_ref().is_some_and(|workload| &*workload.kind == "Process")
}
