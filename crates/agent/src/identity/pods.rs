//! Pods as the feed tells them, each with the identities that its containers and addresses share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use model::{Identity, Pod, Workload};

use super::clock::Moment;
use super::counters::Table;

/// How long a pod's name is kept after it is gone: as long as an orphaned socket can live (`tcp_orphan_retries`).
const LINGER: Duration = Duration::from_secs(900);
/// Containers that the feed did not list (the sandbox, one that just started), remembered for each pod.
const MAX_UNLISTED: usize = 16;

#[derive(Debug)]
pub struct Entry {
    pub pod: Pod,
    /// Runs on this node.
    pub local: bool,
    /// The pod without a container.
    pub identity: Arc<Identity>,
    /// By container id: the listed, then the unlisted.
    containers: Vec<(Arc<str>, Arc<Identity>)>,
    gone: Option<Moment>,
    /// The account that told of it last.
    account: u32,
}

#[derive(Debug)]
pub struct Pods {
    node: Arc<str>,
    entries: HashMap<Arc<str>, Entry>,
    gone: VecDeque<(Moment, Arc<str>)>,
    /// Grows with every change: whatever was answered before must be asked again.
    version: u64,
    locals: usize,
    limit: usize,
    evicted: u64,
}

impl Pods {
    pub fn new(node: Arc<str>, limit: usize) -> Self {
        Self {
            node,
            entries: HashMap::new(),
            gone: VecDeque::new(),
            version: 0,
            locals: 0,
            limit,
            evicted: 0,
        }
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    /// The pod as it was before, and whether it was taken in.
    pub fn insert(&mut self, pod: Pod, account: u32) -> (Option<Pod>, bool) {
        self.version += 1;
        let local = pod.node == self.node;
        let before = self.remove(&pod.uid.clone());
        let count = if local { self.locals } else { self.entries.len() - self.locals };
        if count >= self.limit && !self.make_room() {
            self.evicted += 1;
            return (before, false);
        }
        let identity = identity(&pod);
        let containers = pod
            .containers
            .iter()
            .map(|container| (container.id.clone(), identity_of(&identity, &container.name)))
            .collect();
        self.locals += usize::from(local);
        self.entries.insert(
            pod.uid.clone(),
            Entry { pod, local, identity, containers, gone: None, account },
        );
        (before, true)
    }

    fn remove(&mut self, uid: &str) -> Option<Pod> {
        let entry = self.entries.remove(uid)?;
        self.locals -= usize::from(entry.local);
        entry.gone.is_none().then_some(entry.pod)
    }

    fn make_room(&mut self) -> bool {
        while let Some((moment, uid)) = self.gone.pop_front() {
            if self.entries.get(&uid).is_some_and(|entry| entry.gone == Some(moment)) {
                self.remove(&uid);
                return true;
            }
        }
        false
    }

    /// Marks a pod as gone; its name stays for late records.
    pub fn end(&mut self, uid: &str, at: Moment) -> Option<&Entry> {
        let entry = self.entries.get_mut(uid).filter(|entry| entry.gone.is_none())?;
        entry.gone = Some(at);
        self.gone.push_back((at, entry.pod.uid.clone()));
        Some(entry)
    }

    /// The pods of which `account` did not tell.
    pub fn missing(&self, account: u32) -> Vec<Arc<str>> {
        let entries = self.entries.iter();
        let missing = entries.filter(|(_, entry)| entry.gone.is_none() && entry.account != account);
        missing.map(|(uid, _)| uid.clone()).collect()
    }

    pub fn is_gone(&self, uid: &str) -> bool {
        self.entries.get(uid).is_some_and(|entry| entry.gone.is_some())
    }

    pub fn get(&self, uid: &str) -> Option<&Entry> {
        self.entries.get(uid)
    }

    /// The identity of a pod's container. A container that the feed does not list goes by its id.
    pub fn identity(&mut self, uid: &str, container: Option<&Arc<str>>) -> Option<Arc<Identity>> {
        let entry = self.entries.get_mut(uid)?;
        let Some(id) = container else { return Some(entry.identity.clone()) };
        if let Some((_, identity)) = entry.containers.iter().find(|(known, _)| known == id) {
            return Some(identity.clone());
        }
        let identity = identity_of(&entry.identity, id);
        let listed = entry.pod.containers.len();
        if entry.containers.len() - listed >= MAX_UNLISTED {
            entry.containers.remove(listed);
        }
        entry.containers.push((id.clone(), identity.clone()));
        Some(identity)
    }

    pub fn expire(&mut self, at: Moment) {
        while let Some((moment, uid)) =
            self.gone.pop_front_if(|(moment, _)| at.since(*moment) >= LINGER)
        {
            if self.entries.get(&uid).is_some_and(|entry| entry.gone == Some(moment)) {
                self.remove(&uid);
                self.version += 1;
            }
        }
    }

    pub fn table(&self) -> Table {
        Table {
            name: "pods",
            entries: self.entries.len() as u64,
            max_entries: 2 * self.limit as u64,
            evicted: self.evicted,
        }
    }
}

fn identity(pod: &Pod) -> Arc<Identity> {
    let workload = pod
        .workload
        .clone()
        .unwrap_or_else(|| Workload { kind: "Pod".into(), name: pod.name.clone() });
    Arc::new(Identity {
        namespace: Some(pod.namespace.clone()),
        pod: Some(pod.name.clone()),
        pod_uid: Some(pod.uid.clone()),
        container: None,
        workload: Some(workload),
        service: None,
        target_ports: Vec::new(),
        names: Vec::new(),
        labels: pod.labels.clone(),
        zone: pod.zone.clone(),
        host_network: pod.host_network,
    })
}

fn identity_of(pod: &Arc<Identity>, container: &Arc<str>) -> Arc<Identity> {
    Arc::new(Identity { container: Some(container.clone()), ..Identity::clone(pod) })
}

#[cfg(test)]
mod tests {
    use model::Container;

    use super::*;

    fn pod(uid: &str, node: &str) -> Pod {
        Pod {
            uid: uid.into(),
            namespace: "shop".into(),
            name: uid.into(),
            node: node.into(),
            ips: Vec::new(),
            host_network: false,
            workload: None,
            containers: vec![Container { id: "listed".into(), name: "app".into() }],
            labels: Default::default(),
            zone: None,
        }
    }

    #[test]
    fn unlisted_containers_are_bounded_and_never_displace_the_listed() {
        let mut pods = Pods::new("here".into(), 8);
        pods.insert(pod("a", "here"), 0);
        for number in 0..100 {
            let id: Arc<str> = format!("unlisted-{number}").into();
            assert_eq!(pods.identity("a", Some(&id)).unwrap().container, Some(id));
        }
        assert_eq!(pods.get("a").unwrap().containers.len(), 1 + MAX_UNLISTED);
        let identity = pods.identity("a", Some(&"listed".into())).unwrap();
        assert_eq!(identity.container.as_deref(), Some("app"));
        assert_eq!(identity.workload, Some(Workload { kind: "Pod".into(), name: "a".into() }));
    }

    #[test]
    fn this_nodes_pods_have_room_of_their_own_and_the_gone_make_room() {
        let mut pods = Pods::new("here".into(), 2);
        for (uid, node, taken) in [
            ("a", "far", true),
            ("b", "far", true),
            ("c", "far", false),
            ("d", "here", true),
            ("e", "here", true),
        ] {
            assert_eq!(pods.insert(pod(uid, node), 0).1, taken, "{uid}");
        }
        let start = Moment::default();
        pods.end("a", start);
        assert!(pods.get("a").is_some(), "for late records");
        assert!(pods.insert(pod("c", "far"), 0).1);
        assert!(pods.get("a").is_none());
        pods.end("d", start);
        // Back again under the same uid: it is not gone.
        pods.insert(pod("d", "here"), 0);
        pods.end("e", start);
        pods.expire(start.after(LINGER));
        assert!(pods.get("d").is_some() && pods.get("e").is_none());
        let table = pods.table();
        assert_eq!((table.entries, table.evicted), (3, 1));
    }
}
