//! Identities of what is no pod: systemd units, containers, sessions, processes, hosts, the world.

use std::sync::Arc;

use hashbrown::HashMap;
use model::text::printable;
use model::{Comm, Identity, Node, Service, Workload};

use super::cgroups::Owner;
use super::path;
use super::{Mode, counters::Table};

/// Names of processes that are kept; anybody can make up new ones.
const MAX_PROCESSES: usize = 1024;
/// Digits of a container id that people know it by.
const SHORT_ID: usize = 12;

/// The owner of a cgroup, from its path as the probes or `/proc` tell it.
pub fn owner(found: Option<path::Owner<'_>>, mode: Mode) -> Owner {
    match found {
        None => Owner::Nobody,
        Some(path::Owner::Pod { uid, container, .. }) => {
            let (uid, container) =
                (uid.as_ref().into(), container.map(|container| container.id.into()));
            match mode {
                Mode::Kubernetes => Owner::Pod { uid, container },
                Mode::Standalone => Owner::Named(pod(uid, container)),
            }
        }
        Some(path::Owner::Container(container)) => Owner::Named(self::container(&container)),
        Some(path::Owner::Unit(unit)) => Owner::Named(workload("SystemdUnit", unit)),
        Some(path::Owner::Session(session)) => Owner::Named(workload("Session", session)),
    }
}

/// A pod of which only the path is known.
pub fn unnamed(uid: &Arc<str>, container: Option<&Arc<str>>) -> Arc<Identity> {
    Arc::new(Identity {
        pod_uid: Some(uid.clone()),
        container: container.cloned(),
        ..Identity::default()
    })
}

/// A pod where no feed will ever name it.
fn pod(uid: Arc<str>, container: Option<Arc<str>>) -> Arc<Identity> {
    let name = container.as_deref().map_or(&*uid, short);
    let workload = Some(Workload { kind: "Container".into(), name: name.into() });
    Arc::new(Identity { pod_uid: Some(uid), container, workload, ..Identity::default() })
}

fn container(container: &path::Container<'_>) -> Arc<Identity> {
    let id: Arc<str> = printable(container.id.as_bytes()).into();
    let workload = Some(Workload { kind: "Container".into(), name: short(&id).into() });
    Arc::new(Identity { container: Some(id), workload, ..Identity::default() })
}

/// The first digits of an id of 64; other names as they are.
fn short(id: &str) -> &str {
    if id.len() == 64 { id.get(..SHORT_ID).unwrap_or(id) } else { id }
}

pub fn host(name: &str) -> Arc<Identity> {
    workload("Host", name)
}

pub fn node(node: &Node) -> Arc<Identity> {
    let host = host(&node.name);
    Arc::new(Identity { zone: node.zone.clone(), ..Identity::clone(&host) })
}

/// Outside of everything that is known: `world`, or `multicast`, `broadcast`.
pub fn external(name: &str) -> Arc<Identity> {
    workload("External", name)
}

pub fn service(service: &Service) -> Arc<Identity> {
    Arc::new(Identity {
        namespace: Some(service.namespace.clone()),
        service: Some(service.name.clone()),
        ..Identity::default()
    })
}

/// A network namespace in which no container's process lives, by the name that somebody gave it.
pub fn namespace(name: &str) -> Arc<Identity> {
    workload("NetworkNamespace", name)
}

fn workload(kind: &str, name: &str) -> Arc<Identity> {
    let name = printable(name.as_bytes()).into();
    Arc::new(Identity {
        workload: Some(Workload { kind: kind.into(), name }),
        ..Identity::default()
    })
}

/// Processes by the name that the kernel keeps, where there is nothing better.
#[derive(Debug, Default)]
pub struct Processes {
    identities: HashMap<Comm, Arc<Identity>>,
    evicted: u64,
}

impl Processes {
    pub fn identity(&mut self, comm: Comm) -> Arc<Identity> {
        if let Some(identity) = self.identities.get(&comm) {
            return identity.clone();
        }
        if self.identities.len() >= MAX_PROCESSES {
            self.evicted += self.identities.len() as u64;
            self.identities.clear();
        }
        let identity = workload("Process", &comm.to_string());
        self.identities.insert(comm, identity.clone());
        identity
    }

    pub fn table(&self) -> Table {
        Table {
            name: "process_names",
            entries: self.identities.len() as u64,
            max_entries: MAX_PROCESSES as u64,
            evicted: self.evicted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |path: &str, expected: &str| {
            let found = match owner(path::owner(path), Mode::Standalone) {
                Owner::Named(identity) => {
                    let workload = identity.workload.clone().unwrap();
                    let container = identity.container.as_deref().unwrap_or("-");
                    format!("{} {} {container}", workload.kind, workload.name)
                }
                other => format!("{other:?}"),
            };
            assert_eq!(found, expected, "{path}");
        };
        let id = "0123456789abcdef".repeat(4);
        check("/system.slice/nginx.service", "SystemdUnit nginx.service -");
        check("/user.slice/user-1000.slice/session-7.scope", "Session session-7 -");
        check(&format!("/docker/{id}"), &format!("Container 0123456789ab {id}"));
        check("/lxc.payload.web", "Container web web");
        check(
            &format!("/kubepods/pod0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9/{id}"),
            &format!("Container 0123456789ab {id}"),
        );
        check("/system.slice/\u{1b}[2J.service", "SystemdUnit \u{fffd}[2J.service -");
        check("/", "Nobody");
    }

    #[test]
    fn made_up_names_are_bounded() {
        let mut processes = Processes::default();
        for number in 0..=MAX_PROCESSES {
            processes.identity(Comm::from(number.to_string().as_str()));
        }
        let table = processes.table();
        assert_eq!((table.entries, table.evicted), (1, MAX_PROCESSES as u64));
    }
}
