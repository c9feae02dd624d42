//! What the metadata feed says: pods, services, and whose their addresses are.

use std::net::IpAddr;
use std::sync::Arc;

use model::{Address, Change, Holder, Identity, Node, Pod, Service, Timestamp};

use super::address::Who;
use super::names::Names;
use super::pending::Key;
use super::standalone;

impl Names {
    pub fn change(&mut self, change: Change) {
        match change {
            Change::Pod(pod) => self.pod(pod),
            Change::PodGone { uid } => self.pod_gone(&uid),
            Change::Service(service) => self.service(service),
            Change::ServiceGone { namespace, name } => {
                self.service_gone(&format!("{namespace}/{name}").into());
            }
            Change::Node(node) => self.node(node),
            Change::NodeGone { name } => self.node_gone(&name),
            Change::Address(address) => self.address(address),
            Change::AddressUnknown { ip } => self.address_gone(ip, self.now),
            Change::AddressGone { ip, until } => self.address_gone(ip, until),
            Change::Begin => {
                self.account = self.account.wrapping_add(1);
                self.counting = true;
            }
            Change::Synced => {
                if std::mem::take(&mut self.counting) {
                    self.sweep();
                }
                self.synced = true;
                self.all_addresses = true;
            }
            Change::Stale => {
                self.stale = true;
                self.no_more = true;
            }
            Change::Fresh => self.stale = false,
        }
    }

    /// What the account left out is gone.
    fn sweep(&mut self) {
        let account = self.account;
        for uid in self.pods.missing(account) {
            self.pod_gone(&uid);
        }
        let missing = self.services.iter().filter(|(_, (_, told))| *told != account);
        for key in missing.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.service_gone(&key);
        }
        let missing = self.nodes.iter().filter(|(_, (_, told))| *told != account);
        for name in missing.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.node_gone(&name);
        }
        for ip in self.interest.sweep(account) {
            self.addresses.revoke(ip, self.now, self.at);
        }
    }

    fn address(&mut self, address: Address) {
        let ip = address.ip.to_canonical();
        if !self.interest.answer(&ip, true, self.account) {
            return;
        }
        let who = match address.holder {
            Holder::Pod { uid } => Who::Pod { uid, seen: false },
            Holder::Service { namespace, name } => {
                Who::Service(format!("{namespace}/{name}").into())
            }
            Holder::Node { name } => Who::Node(name),
        };
        self.addresses.answer(ip, who, &address.identity, address.since, self.at);
        self.news.push(Key::Address(ip));
    }

    fn address_gone(&mut self, ip: IpAddr, until: Timestamp) {
        let ip = ip.to_canonical();
        if self.interest.answer(&ip, false, self.account) {
            self.addresses.revoke(ip, until, self.at);
            self.news.push(Key::Address(ip));
        }
    }

    fn pod_gone(&mut self, uid: &str) {
        if let Some(entry) = self.pods.end(uid, self.at) {
            let (ips, who) = (entry.pod.ips.clone(), holder(&entry.pod));
            self.release(&ips, &who);
            self.namespaces.end(uid, self.at);
        }
    }

    fn service_gone(&mut self, key: &Arc<str>) {
        if let Some((service, _)) = self.services.remove(key) {
            self.release(&service.ips, &Who::Service(key.clone()));
        }
    }

    fn node(&mut self, mut node: Node) {
        canonical(&mut node.ips);
        let limit = self.config.limits.pods;
        if self.nodes.len() >= limit && !self.nodes.contains_key(&node.name) {
            return;
        }
        let local = node.name == self.config.node;
        let identity = standalone::node(&node);
        if local && *self.this_host != *identity {
            self.this_host = identity.clone();
        }
        let (who, ips) = (Who::Node(node.name.clone()), node.ips.clone());
        let before = self.nodes.insert(node.name.clone(), (node, self.account));
        let (held, left): (Vec<IpAddr>, Vec<IpAddr>) = before
            .map(|(before, _)| before.ips)
            .into_iter()
            .flatten()
            .partition(|ip| ips.contains(ip));
        self.release(&left, &who);
        // Held once for the node, and again for each pod in its network.
        ips.iter()
            .filter(|ip| !held.contains(ip))
            .for_each(|ip| self.claim(*ip, &who, &identity, local));
    }

    fn node_gone(&mut self, name: &Arc<str>) {
        if let Some((node, _)) = self.nodes.remove(name) {
            self.release(&node.ips, &Who::Node(name.clone()));
        }
    }

    fn pod(&mut self, mut pod: Pod) {
        canonical(&mut pod.ips);
        let (uid, ips, who, host_network) =
            (pod.uid.clone(), pod.ips.clone(), holder(&pod), pod.host_network);
        let node = standalone::host(&pod.node);
        let (before, _) = self.pods.insert(pod, self.account);
        let mut held = Vec::new();
        if let Some(before) = before {
            let was = holder(&before);
            let (kept, left): (Vec<IpAddr>, Vec<IpAddr>) =
                before.ips.into_iter().partition(|ip| was == who && ips.contains(ip));
            self.release(&left, &was);
            held = kept;
        }
        let Some(entry) = self.pods.get(&uid) else {
            self.release(&held, &who);
            return;
        };
        let identity = if host_network { node } else { entry.identity.clone() };
        let local = entry.local;
        for ip in ips {
            // A node's address is held once for each of its pods: not again for a pod that has it.
            if !(host_network && held.contains(&ip)) {
                self.claim(ip, &who, &identity, local);
            }
        }
        self.news.push(Key::Pod(uid));
    }

    fn service(&mut self, mut service: Service) {
        canonical(&mut service.ips);
        let key: Arc<str> = format!("{}/{}", service.namespace, service.name).into();
        let who = Who::Service(key.clone());
        if self.services.len() >= self.config.limits.services && !self.services.contains_key(&key) {
            self.services_evicted += 1;
            return;
        }
        let identity = standalone::service(&service);
        let ips = service.ips.clone();
        if let Some((mut before, _)) = self.services.insert(key, (service, self.account)) {
            before.ips.retain(|ip| !ips.contains(ip));
            self.release(&before.ips, &who);
        }
        for ip in ips {
            self.claim(ip, &who, &identity, false);
        }
    }

    pub(super) fn claim(&mut self, ip: IpAddr, who: &Who, identity: &Arc<Identity>, local: bool) {
        if self.addresses.claim(ip, who, identity, local, self.now, self.at) {
            self.unknown_addresses.remove(&ip);
            self.news.push(Key::Address(ip));
        }
    }

    fn release(&mut self, ips: &[IpAddr], who: &Who) {
        for ip in ips {
            self.addresses.release(*ip, who, self.now, self.at);
        }
    }
}

fn holder(pod: &Pod) -> Who {
    if pod.host_network {
        Who::Node(pod.node.clone())
    } else {
        Who::Pod { uid: pod.uid.clone(), seen: false }
    }
}

/// IPv4-mapped addresses as IPv4, each once.
fn canonical(ips: &mut Vec<IpAddr>) {
    ips.iter_mut().for_each(|ip| *ip = ip.to_canonical());
    ips.sort_unstable();
    ips.dedup();
}
