//! Whose the endpoints of a service are: the one workload that is behind it, if there is no other.
//!
//! It is kept with the service, and settled once for all that a batch of events changed. An endpoint that is the known
//! workload's casts no doubt on it, so that the endpoints of a service are looked through only where the answer may be
//! another one; and no further than to the first that is somebody else's.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use model::{TargetPort, Timestamp, Workload};
use reflector::Protocol;

use super::answer::Holding;
use super::key::Key;
use super::object::{Claim, Service, Slice};
use super::store::Store;
use super::table::Id;
use super::template::Port;

/// What stands behind a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// In the service's namespace.
    pub workload: Arc<Workload>,
    /// Only ports that lead to another one.
    pub target_ports: Arc<[TargetPort]>,
}

/// What may be no longer so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// That there are endpoints, and on which ports; those that there are, are the known workload's.
    Part,
    Whole,
}

/// By service.
#[derive(Debug, Default)]
pub struct Doubts(HashMap<Id, Doubt>);

impl Doubts {
    pub fn add(&mut self, service: Id, doubt: Doubt) {
        let known = self.0.entry(service).or_insert(doubt);
        *known = doubt.max(*known);
    }
}

/// Whose an endpoint is.
enum Whose<'a> {
    Workload(&'a Arc<Workload>),
    /// A pod's of which nothing was told yet, or that has gone: slices follow pods a moment later.
    Nobody,
    /// A node's, another namespace's, one outside of the cluster.
    Other,
}

impl Store {
    pub fn doubt(&mut self, namespace: &str, service: &str, doubt: Doubt) {
        if let Some(id) = self.services.find(namespace, service) {
            self.doubts.add(id, doubt);
        }
    }

    /// Finds out anew what is behind the services that a batch has cast doubt on. `touched`: what the batch changed; the
    /// addresses of services with another answer are added.
    pub fn settle(&mut self, touched: &mut Vec<Key>, now: Timestamp) {
        for key in &*touched {
            if let Key::Address(ip) = key {
                self.doubt_endpoint(*ip);
            }
        }
        let before = touched.len();
        for (id, doubt) in std::mem::take(&mut self.doubts).0 {
            let behind = self.behind(id, doubt);
            let Some(service) = self.services.get_mut(id).filter(|it| it.behind != behind) else {
                continue;
            };
            service.behind = behind;
            touched.extend(service.ips().map(Key::Address));
        }
        self.number(&touched[before..], now);
    }

    /// Another one may have this address now.
    fn doubt_endpoint(&mut self, ip: IpAddr) {
        let Self { addresses, slices, services, .. } = &*self;
        let ids = addresses.of(ip).iter().filter_map(|claim| match claim {
            Claim::Slice(id) => slices.get(*id),
            _ => None,
        });
        let doubts = ids.filter_map(|slice| {
            let id = services.find(&slice.namespace, &slice.service)?;
            let known = services.get(id)?.behind.as_ref().map(|it| &it.workload);
            match self.whose(ip, slice) {
                Whose::Workload(it) if known == Some(it) => None,
                Whose::Nobody => Some((id, Doubt::Part)),
                _ => Some((id, Doubt::Whole)),
            }
        });
        let doubts: Vec<(Id, Doubt)> = doubts.collect();
        doubts.into_iter().for_each(|(id, doubt)| self.doubts.add(id, doubt));
    }

    /// What is behind the service of this id, if that is one workload.
    pub fn behind(&mut self, id: Id, doubt: Doubt) -> Option<Behind> {
        let service = self.services.get(id)?;
        // A headless one has no address of which anything could be told.
        service.ips().next()?;
        let mut workloads = self.workloads(service);
        let first = workloads.next()??;
        let is_known = doubt == Doubt::Part && service.behind.is_some();
        if !is_known && !workloads.all(|it| it == Some(first)) {
            return None;
        }
        drop(workloads);
        let workload = first.clone();
        let target_ports = self.target_ports(service).into();
        Some(Behind { workload, target_ports: self.strings.targets.share(target_ports) })
    }

    fn slices_of<'a>(&'a self, service: &'a Service) -> impl Iterator<Item = &'a Slice> {
        self.endpoints.of(&service.namespace, &service.name, &self.slices)
    }

    /// Of each endpoint that is somebody's; `None`: no workload's.
    fn workloads<'a>(
        &'a self,
        service: &'a Service,
    ) -> impl Iterator<Item = Option<&'a Arc<Workload>>> {
        let endpoints =
            self.slices_of(service).flat_map(|it| it.ips.iter().map(move |ip| (*ip, it)));
        endpoints.filter_map(|(ip, slice)| match self.whose(ip, slice) {
            Whose::Workload(it) => Some(Some(it)),
            Whose::Other => Some(None),
            Whose::Nobody => None,
        })
    }

    fn whose(&self, ip: IpAddr, slice: &Slice) -> Whose<'_> {
        match self.holder(self.addresses.of(ip)) {
            // Whoever writes a slice by hand may write any address into it.
            Some(Holding::Pod(pod)) if pod.template.namespace == slice.namespace => {
                Whose::Workload(&pod.workload)
            }
            None if slice.of_pods => Whose::Nobody,
            _ => Whose::Other,
        }
    }

    /// None of a port that slices have different numbers for, as they may if it is the pods' that gives the number.
    fn target_ports(&self, service: &Service) -> Vec<TargetPort> {
        let slices = || self.slices_of(service).filter(|it| !it.ips.is_empty());
        let target = |port: &Port| {
            let same = |it: &&Port| (&it.name, it.protocol) == (&port.name, port.protocol);
            let mut targets = slices().flat_map(|it| it.ports.iter()).filter(same);
            let target = targets.next()?.number;
            let leads = ![0, port.number].contains(&target);
            let port = TargetPort { protocol: number(port.protocol), port: port.number, target };
            (leads && targets.all(|it| it.number == target)).then_some(port)
        };
        service.ports.iter().filter_map(target).collect()
    }
}

fn number(protocol: Protocol) -> model::Protocol {
    match protocol {
        Protocol::Tcp => model::Protocol::TCP,
        Protocol::Udp => model::Protocol::UDP,
        Protocol::Sctp => model::Protocol::SCTP,
    }
}
