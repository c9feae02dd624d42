//! What the cluster is now. One writer takes what the watches tell; what changed for somebody is numbered.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use model::{Timestamp, Workload};
use reflector::{Event, Object, ObjectKey, Resource};

use super::addresses::Addresses;
use super::behind::{Doubt, Doubts};
use super::endpoints::Endpoints;
use super::key::{Key, Str};
use super::log::Log;
use super::object::{Claim, Namespace, Node, Owner, Pod, Service, Slice};
use super::orphans::Orphans;
use super::strings::Strings;
use super::table::{Id, Named, Table};
use super::uid::Uid;
use super::uids::Uids;

#[derive(Debug)]
pub struct Store {
    pub log: Log,
    pub strings: Strings,
    pub pods: Table<Pod>,
    pub nodes: Table<Node>,
    pub services: Table<Service>,
    pub slices: Table<Slice>,
    pub endpoints: Endpoints,
    pub doubts: Doubts,
    pub namespaces: Table<Namespace>,
    pub owners: Table<Owner>,
    jobs: Table<Owner>,
    pub addresses: Addresses,
    uids: Uids,
    owner_uids: HashMap<Uid, (Resource, Id)>,
    on_node: HashMap<Str, Vec<Id>>,
    pub orphans: Orphans,
    states: [State; Resource::ALL.len()],
    pub counters: Counters,
}

/// How the watch of one resource fares.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// A complete list has been told.
    pub listed: bool,
    /// Why the watch does not go on; empty: it does.
    pub error: String,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Events that changed nothing that anybody is told.
    pub unchanged: u64,
    /// Addresses that another pod said to have at the same time.
    pub duplicates: u64,
}

impl Store {
    /// `epoch` must differ from that of any hub that an agent may have talked to.
    pub fn new(epoch: u64, log_entries: usize, remember: Duration) -> Self {
        Self {
            log: Log::new(epoch, log_entries, remember),
            strings: Strings::default(),
            pods: Table::default(),
            nodes: Table::default(),
            services: Table::default(),
            slices: Table::default(),
            endpoints: Endpoints::default(),
            doubts: Doubts::default(),
            namespaces: Table::default(),
            owners: Table::default(),
            jobs: Table::default(),
            addresses: Addresses::new(remember),
            uids: Uids::default(),
            owner_uids: HashMap::new(),
            on_node: HashMap::new(),
            orphans: Orphans::default(),
            states: Default::default(),
            counters: Counters::default(),
        }
    }

    pub fn state(&self, resource: Resource) -> &State {
        &self.states[resource as usize]
    }

    pub fn count(&self, resource: Resource) -> usize {
        match resource {
            Resource::Pods => self.pods.len(),
            Resource::Nodes => self.nodes.len(),
            Resource::Services => self.services.len(),
            Resource::EndpointSlices => self.slices.len(),
            Resource::Namespaces => self.namespaces.len(),
            Resource::ReplicaSets => self.owners.len(),
            Resource::Jobs => self.jobs.len(),
        }
    }

    /// All of every resource has been told, or its API server has none to tell.
    pub fn is_complete(&self) -> bool {
        self.states.iter().all(|state| state.listed)
    }

    pub fn pod_by_uid(&self, uid: &Uid) -> Option<&Pod> {
        self.pods.get(self.uids.get(uid, &self.pods)?)
    }

    /// Those that have not ended.
    pub fn live_pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().map(|(_, pod)| pod).filter(|pod| !pod.over)
    }

    pub fn pods_on<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Pod> {
        let ids = self.on_node.get(node).map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(|id| self.pods.get(*id))
    }

    pub fn zone(&self, node: &str) -> Option<&Str> {
        self.nodes.get(self.nodes.find("", node)?)?.zone.as_ref()
    }

    /// Takes what a watch told at `now`. What changed is in the log, and in `touched`.
    pub fn take(&mut self, event: Event, now: Timestamp, touched: &mut Vec<Key>) {
        let before = touched.len();
        match event {
            Event::Relisting(resource) => self.begin(resource),
            Event::Listed(resource) => {
                let state = &mut self.states[resource as usize];
                *state = State { listed: true, error: String::new() };
                self.sweep(resource, now, touched);
            }
            Event::Applied(object) => {
                self.states[object.resource() as usize].error.clear();
                self.apply(object, now, touched);
            }
            Event::Deleted(key) => self.delete(&key, now, touched),
            Event::Failed { resource, error } => {
                self.states[resource as usize].error = error.to_string();
            }
            Event::Resumed(resource) => self.states[resource as usize].error.clear(),
        }
        self.number(&touched[before..], now);
    }

    /// These have changed, at `now`.
    pub fn number(&mut self, touched: &[Key], now: Timestamp) {
        // Nobody is told anything until then.
        if self.is_complete() {
            touched.iter().for_each(|key| self.log.push(key.clone(), now));
        } else {
            self.log.skip(touched.len());
        }
    }

    fn begin(&mut self, resource: Resource) {
        match resource {
            Resource::Pods => self.pods.begin(),
            Resource::Nodes => self.nodes.begin(),
            Resource::Services => self.services.begin(),
            Resource::EndpointSlices => self.slices.begin(),
            Resource::Namespaces => self.namespaces.begin(),
            Resource::ReplicaSets => self.owners.begin(),
            Resource::Jobs => self.jobs.begin(),
        }
    }

    fn sweep(&mut self, resource: Resource, now: Timestamp, touched: &mut Vec<Key>) {
        let stale = match resource {
            Resource::Pods => self.pods.stale(),
            Resource::Nodes => self.nodes.stale(),
            Resource::Services => self.services.stale(),
            Resource::EndpointSlices => self.slices.stale(),
            Resource::Namespaces => self.namespaces.stale(),
            Resource::ReplicaSets => self.owners.stale(),
            Resource::Jobs => self.jobs.stale(),
        };
        stale.into_iter().for_each(|id| self.remove(resource, id, now, touched));
    }

    fn delete(&mut self, key: &ObjectKey, now: Timestamp, touched: &mut Vec<Key>) {
        let ObjectKey { resource, namespace, name } = key;
        let found = match resource {
            Resource::Pods => self.pods.find(namespace, name),
            Resource::Nodes => self.nodes.find(namespace, name),
            Resource::Services => self.services.find(namespace, name),
            Resource::EndpointSlices => self.slices.find(namespace, name),
            Resource::Namespaces => self.namespaces.find(namespace, name),
            Resource::ReplicaSets => self.owners.find(namespace, name),
            Resource::Jobs => self.jobs.find(namespace, name),
        };
        if let Some(id) = found {
            self.remove(*resource, id, now, touched);
        }
    }

    fn remove(&mut self, resource: Resource, id: Id, now: Timestamp, touched: &mut Vec<Key>) {
        match resource {
            Resource::Pods => {
                if let Some(pod) = self.pods.remove(id) {
                    self.index(id, Some(&pod), now, touched);
                }
            }
            Resource::Nodes => {
                if let Some(node) = self.nodes.remove(id) {
                    self.release(&node.ips, Claim::Node(id), now, touched);
                    // Its pods are in no zone now.
                    touched.extend(self.pods_on(&node.name).flat_map(keys).collect::<Vec<_>>());
                    touched.push(Key::Node { name: node.name });
                }
            }
            Resource::Services => {
                if let Some(it) = self.services.remove(id) {
                    self.release(&it.cluster_ips, Claim::ClusterIp(id), now, touched);
                    self.release(&it.external_ips, Claim::ExternalIp(id), now, touched);
                }
            }
            Resource::EndpointSlices => {
                if let Some(slice) = self.slices.remove(id) {
                    self.endpoints.remove(id, &slice);
                    self.doubt(&slice.namespace, &slice.service, Doubt::Part);
                    self.release(&slice.ips, Claim::Slice(id), now, touched);
                }
            }
            Resource::Namespaces => drop(self.namespaces.remove(id)),
            Resource::ReplicaSets => {
                if let Some(owner) = self.owners.remove(id) {
                    self.owner_uids.remove(&owner.uid);
                }
            }
            Resource::Jobs => {
                if let Some(owner) = self.jobs.remove(id) {
                    self.owner_uids.remove(&owner.uid);
                }
            }
        }
    }

    fn release(&mut self, ips: &[IpAddr], claim: Claim, now: Timestamp, touched: &mut Vec<Key>) {
        for ip in ips {
            self.addresses.release(*ip, claim, now);
            touched.push(Key::Address(*ip));
        }
    }

    fn claim(&mut self, ips: &[IpAddr], claim: Claim, touched: &mut Vec<Key>) {
        for ip in ips {
            self.addresses.claim(*ip, claim);
            touched.push(Key::Address(*ip));
        }
    }

    fn apply(&mut self, object: Object, now: Timestamp, touched: &mut Vec<Key>) {
        match object {
            Object::Pod(pod) => self.pod(pod, now, touched),
            Object::Node(node) => self.node(node, now, touched),
            Object::Service(service) => self.service(service, now, touched),
            Object::EndpointSlice(slice) => self.slice(slice, now, touched),
            Object::Namespace(namespace) => {
                let namespace = Namespace::new(namespace, &mut self.strings);
                self.namespaces.put(namespace, &mut self.counters.unchanged);
            }
            Object::Owner(owner) => self.owner(owner, now, touched),
        }
    }

    fn pod(&mut self, pod: reflector::Pod, now: Timestamp, touched: &mut Vec<Key>) {
        let mut pod = Pod::new(pod, &mut self.strings);
        self.adopt(&mut pod);
        let Put { id, old, changed } = self.pods.put(pod, &mut self.counters.unchanged);
        if changed {
            self.index(id, old.as_ref(), now, touched);
        }
    }

    /// Calls the pod by its owner's owner, if that is known, or as it was called before.
    fn adopt(&mut self, pod: &mut Pod) {
        let Some(owner) = &pod.template.owner else { return };
        let indirect =
            matches!((&*owner.kind, &*owner.api_group), ("ReplicaSet", "apps") | ("Job", "batch"));
        if !indirect {
            return;
        }
        if let Some(workload) = self.workload(&owner.uid) {
            pod.workload = workload;
            return;
        }
        // An owner may go before the last of its pods.
        if let Some(old) = self.pod_by_uid(&pod.uid) {
            pod.workload = old.workload.clone();
        }
        self.orphans.add(&owner.uid, &pod.uid);
    }

    fn workload(&self, owner: &Uid) -> Option<Arc<Workload>> {
        let (resource, id) = self.owner_uids.get(owner)?;
        let table = if *resource == Resource::Jobs { &self.jobs } else { &self.owners };
        Some(table.get(*id)?.workload.clone())
    }

    /// Sets right what refers to the pod of this id, which was `old` before.
    fn index(&mut self, id: Id, old: Option<&Pod>, now: Timestamp, touched: &mut Vec<Key>) {
        let new = self.pods.get(id);
        let place = |pod: &Pod| (pod.uid.clone(), pod.node.clone());
        let (before, after) = (old.map(place), new.map(place));
        let ips = new.map_or(vec![], |new| new.own_ips().to_vec());
        let gone = |old: &&Pod| {
            new.is_none_or(|it| it.uid != old.uid || it.template.owner != old.template.owner)
        };
        if let Some((pod, owner)) =
            old.filter(gone).and_then(|old| Some((old, old.template.owner.as_ref()?)))
        {
            self.orphans.forget(&owner.uid, &pod.uid);
        }
        let old_ips = old.map_or(&[][..], Pod::own_ips);
        if before != after {
            if let Some((uid, node)) = before.clone() {
                self.uids.remove(&uid, id);
                self.leave(id, &node);
                touched.extend((!node.is_empty()).then_some(Key::Pod { uid, node }));
            }
            if let Some((uid, node)) = after.clone() {
                self.uids.insert(&uid, id, &self.pods);
                if !node.is_empty() {
                    self.on_node.entry(node).or_default().push(id);
                }
            }
        }
        if let Some((uid, node)) = after.clone().filter(|(_, node)| !node.is_empty()) {
            touched.push(Key::Pod { uid, node });
        }
        let stays = before.zip(after).is_some_and(|(before, after)| before.0 == after.0);
        let gone = old_ips.iter().filter(|ip| !stays || !ips.contains(ip));
        self.release(&gone.copied().collect::<Vec<_>>(), Claim::Pod(id), now, touched);
        for ip in &ips {
            let others = self.addresses.of(*ip).iter();
            self.counters.duplicates +=
                others.filter(|it| matches!(it, Claim::Pod(other) if *other != id)).count() as u64;
        }
        self.claim(&ips, Claim::Pod(id), touched);
    }

    fn leave(&mut self, id: Id, node: &str) {
        if let Some(ids) = self.on_node.get_mut(node) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.on_node.remove(node);
            }
        }
    }

    fn node(&mut self, node: reflector::Node, now: Timestamp, touched: &mut Vec<Key>) {
        let node = Node::new(node, &mut self.strings);
        let (name, zone) = (node.name.clone(), node.zone.clone());
        let Put { id, old, changed } = self.nodes.put(node, &mut self.counters.unchanged);
        if !changed {
            return;
        }
        if let Some(old) = &old {
            self.release(&old.ips, Claim::Node(id), now, touched);
        }
        let ips: Vec<IpAddr> = self.nodes.get(id).map_or(vec![], |node| node.ips.to_vec());
        self.claim(&ips, Claim::Node(id), touched);
        touched.push(Key::Node { name: name.clone() });
        if old.map_or(zone.is_some(), |old| old.zone != zone) {
            // Its pods are in that zone, too.
            let pods: Vec<Key> = self.pods_on(&name).flat_map(keys).collect();
            touched.extend(pods);
        }
    }

    fn service(&mut self, service: reflector::Service, now: Timestamp, touched: &mut Vec<Key>) {
        let mut service = Service::new(service, &mut self.strings);
        let known = self.services.find(&service.namespace, &service.name);
        // As it was, until that is settled.
        service.behind = known.and_then(|id| self.services.get(id)?.behind.clone());
        let Put { id, old, changed } = self.services.put(service, &mut self.counters.unchanged);
        if !changed {
            return;
        }
        self.doubts.add(id, Doubt::Whole);
        if let Some(old) = old {
            self.release(&old.cluster_ips, Claim::ClusterIp(id), now, touched);
            self.release(&old.external_ips, Claim::ExternalIp(id), now, touched);
        }
        let Some(service) = self.services.get(id) else { return };
        let (own, external) = (service.cluster_ips.clone(), service.external_ips.clone());
        self.claim(&own, Claim::ClusterIp(id), touched);
        self.claim(&external, Claim::ExternalIp(id), touched);
    }

    fn slice(&mut self, slice: reflector::EndpointSlice, now: Timestamp, touched: &mut Vec<Key>) {
        let slice = Slice::new(slice, &mut self.strings);
        let (namespace, service) = (slice.namespace.clone(), slice.service.clone());
        let (ips, of_pods) = (slice.ips.clone(), slice.of_pods);
        let Put { id, old, changed } = self.slices.put(slice, &mut self.counters.unchanged);
        if !changed {
            return;
        }
        let same_service = old.as_ref().is_some_and(|old| old.service == service);
        let same_kind = old.as_ref().is_some_and(|old| old.of_pods == of_pods);
        if !same_service {
            if let Some(old) = &old {
                self.endpoints.remove(id, old);
                self.doubt(&namespace, &old.service, Doubt::Part);
            }
            self.endpoints.insert(id, &self.slices);
        }
        self.doubt(&namespace, &service, if same_kind { Doubt::Part } else { Doubt::Whole });
        let old = old.map_or(Box::default(), |old| old.ips);
        // Only those that came or went: a slice has a hundred endpoints, and one of them changes.
        let without = |these: &[IpAddr], those: &[IpAddr]| -> Vec<IpAddr> {
            let new = |ip: &&IpAddr| !same_service || those.binary_search(ip).is_err();
            these.iter().filter(new).copied().collect()
        };
        self.release(&without(&old, &ips), Claim::Slice(id), now, touched);
        self.claim(&without(&ips, &old), Claim::Slice(id), touched);
    }

    fn owner(&mut self, owner: reflector::Owner, now: Timestamp, touched: &mut Vec<Key>) {
        let resource = owner.resource;
        let mut owner = Owner::new(owner, &mut self.strings);
        let (uid, workload) = (owner.uid.clone(), owner.workload.clone());
        let jobs = resource == Resource::Jobs;
        let table = if jobs { &mut self.jobs } else { &mut self.owners };
        let known = table.find(&owner.namespace, &owner.name).and_then(|id| table.get(id));
        if let Some(known) = known.filter(|known| known.uid == uid) {
            // An old one whose revision grows is deployed again.
            let again = known.revision > 0 && owner.revision > known.revision;
            owner.deployed_at =
                if again { (now.0 / 1_000_000_000) as i64 } else { known.deployed_at };
        }
        let Put { id, old, changed } = table.put(owner, &mut self.counters.unchanged);
        if !changed {
            return;
        }
        let other = |old: &Owner| old.uid == uid && old.workload != workload;
        let renamed = old.as_ref().is_some_and(other);
        if let Some(old) = old.filter(|old| old.uid != uid) {
            self.owner_uids.remove(&old.uid);
        }
        self.owner_uids.insert(uid.clone(), (resource, id));
        let mut pods = self.orphans.take(&uid);
        if renamed {
            // Adopted by somebody else: rare, so that looking at all pods is cheaper than knowing them.
            let owned =
                |pod: &Pod| pod.template.owner.as_ref().is_some_and(|owner| owner.uid == uid);
            pods.extend(
                self.pods.iter().filter(|(_, pod)| owned(pod)).map(|(_, pod)| pod.uid.clone()),
            );
        }
        for uid in pods {
            let Some(id) = self.uids.get(&uid, &self.pods) else { continue };
            let Some(pod) = self.pods.get_mut(id).filter(|pod| pod.workload != workload) else {
                continue;
            };
            pod.workload = workload.clone();
            touched.extend(keys(pod));
        }
    }
}

/// What is told of a pod.
fn keys(pod: &Pod) -> impl Iterator<Item = Key> {
    let own =
        (!pod.node.is_empty()).then(|| Key::Pod { uid: pod.uid.clone(), node: pod.node.clone() });
    let ips: Vec<IpAddr> = pod.own_ips().to_vec();
    own.into_iter().chain(ips.into_iter().map(Key::Address))
}

/// What became of an object that was put into its table.
struct Put<T> {
    id: Id,
    /// What it replaced.
    old: Option<T>,
    changed: bool,
}

impl<T: Named + PartialEq> Table<T> {
    /// The id of an object stays while its name does.
    fn put(&mut self, object: T, unchanged: &mut u64) -> Put<T> {
        let (namespace, name) = object.name();
        let Some(id) = self.find(namespace, name) else {
            return Put { id: self.insert(object), old: None, changed: true };
        };
        self.touch(id);
        match self.get_mut(id) {
            Some(held) if *held != object => {
                let old = Some(std::mem::replace(held, object));
                Put { id, old, changed: true }
            }
            _ => {
                *unchanged += 1;
                Put { id, old: None, changed: false }
            }
        }
    }
}
