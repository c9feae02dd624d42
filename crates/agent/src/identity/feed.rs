//! What the metadata feed says: pods, services, and whose their addresses are.

use std::net::IpAddr;
use std::sync::Arc;

use model::{Change, Identity, Pod, Service};

use super::address::Who;
use super::names::Names;
use super::pending::Key;
use super::standalone;

impl Names {
    pub fn change(&mut self, change: Change) {
        match change {
            Change::Pod(pod) => self.pod(pod),
            Change::PodGone { uid } => {
                if let Some(entry) = self.pods.end(&uid, self.at) {
                    let (ips, who) = (entry.pod.ips.clone(), holder(&entry.pod));
                    self.release(&ips, &who);
                    self.namespaces.end(&uid, self.at);
                }
            }
            Change::Service(service) => self.service(service),
            Change::ServiceGone { namespace, name } => {
                let key: Arc<str> = format!("{namespace}/{name}").into();
                if let Some(service) = self.services.remove(&key) {
                    self.release(&service.ips, &Who::Service(key));
                }
            }
            Change::Synced => {
                self.synced = true;
                self.all_addresses = true;
            }
            _ => {}
        }
    }

    fn pod(&mut self, mut pod: Pod) {
        canonical(&mut pod.ips);
        let (uid, ips, who, host_network) =
            (pod.uid.clone(), pod.ips.clone(), holder(&pod), pod.host_network);
        let node = standalone::host(&pod.node);
        let (before, _) = self.pods.insert(pod);
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
        if let Some(mut before) = self.services.insert(key, service) {
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
