//! A simulated node: a bridge in a namespace of its own, where the pods' links end; a link from it to the host's
//! namespace, which is the node's network to hostNetwork pods; and a namespace beyond a router, for the world outside.
//!
//! The bridge is not in the host's namespace, so that neither the host's firewall nor its sysctls have a say in what
//! pods tell each other, and nothing of the host has to be changed.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crate::address::{OUTSIDE_ROUTER_V4, OUTSIDE_V4, Plan, Pool, both};
use crate::pod::{Pod, PodSpec};
use crate::{Error, Instance, Netns, ip};

/// Cloning shares the node; it goes with the last clone and the last pod on it.
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) parts: Arc<Parts>,
}

#[derive(Debug)]
pub(crate) struct Parts {
    // Fields drop in this order. The instance goes last: until then its names are its own.
    pub(crate) fabric: Netns,
    outside: Netns,
    pub(crate) addresses: Mutex<Pool>,
    /// Whether this host has IPv6.
    pub(crate) v6: bool,
    pub(crate) instance: Instance,
}

/// How many `ip` commands run at once.
const WORKERS: usize = 4;

impl Node {
    /// Removes what killed instances left, then builds a node without pods.
    pub fn start() -> Result<Self, Error> {
        let start = Instant::now();
        let instance = Instance::claim()?;
        let names = vec![instance.netns_name("net"), instance.netns_name("outside")];
        let mut made = Netns::create_many(names)?.into_iter();
        let (Some(fabric), Some(outside)) = (made.next(), made.next()) else {
            return Err(Error::NoNetns(instance.netns_name("net")));
        };
        let v6 = has_v6(&fabric);
        let node = Self {
            parts: Arc::new(Parts { fabric, outside, addresses: Mutex::default(), v6, instance }),
        };
        node.wire()?;
        tracing::debug!(elapsed = ?start.elapsed(), "the node is made");
        Ok(node)
    }

    fn wire(&self) -> Result<(), Error> {
        let Parts { fabric, outside, instance, v6, .. } = self.parts.as_ref();
        let plan = instance.plan();
        let (net, link) = (fabric.name(), instance.host_link());
        let (bridge, bridge6) = (plan.bridge_v4(), plan.bridge_v6());
        fabric.run(|| sysctls(*v6))??;

        ip::batch(None, &[format!("link add name {link} type veth peer name host netns {net}")])?;
        let mut lines = vec![
            "link set dev lo up".to_owned(),
            // Without IGMP and MLD snooping no packet waits for it to learn.
            "link add name br0 type bridge mcast_snooping 0".to_owned(),
            "link set dev br0 addrgenmode none".to_owned(),
            format!("addr add {bridge}/24 dev br0"),
            "link set dev br0 up".to_owned(),
            "link set dev host master br0 up".to_owned(),
            format!("link add name outside type veth peer name eth0 netns {}", outside.name()),
            format!("addr add {OUTSIDE_ROUTER_V4}/24 dev outside"),
            "link set dev outside up".to_owned(),
        ];
        if *v6 {
            lines.push(format!("addr add {bridge6}/64 dev br0 nodad"));
        }
        fabric.ip(&lines)?;

        outside.ip(&[
            "link set dev lo up".to_owned(),
            "link set dev eth0 up".to_owned(),
            format!("addr add {OUTSIDE_V4}/24 dev eth0"),
            format!("route add default via {OUTSIDE_ROUTER_V4}"),
        ])?;

        let mut lines = vec![
            format!("link set dev {link} addrgenmode none"),
            format!("link set dev {link} up"),
            format!("addr add {}/24 dev {link}", plan.node_v4()),
            format!("route add {}/24 via {bridge}", plan.service_v4(0)),
        ];
        if self.host_v6().is_some() {
            lines.push(format!("addr add {}/64 dev {link} nodad", plan.node_v6()));
        }
        ip::batch(None, &lines)
    }

    pub fn instance(&self) -> &Instance {
        &self.parts.instance
    }

    pub fn plan(&self) -> &Plan {
        self.parts.instance.plan()
    }

    /// The node's own addresses, which hostNetwork pods share.
    pub fn ips(&self) -> Vec<IpAddr> {
        both(self.plan().node_v4(), self.host_v6().map(|()| self.plan().node_v6()))
    }

    /// Where the bridge and the routes of services are.
    pub fn fabric(&self) -> &Netns {
        &self.parts.fabric
    }

    /// Where [`OUTSIDE_V4`] is.
    pub fn outside(&self) -> &Netns {
        &self.parts.outside
    }

    /// Makes one pod.
    pub fn pod(&self, spec: PodSpec) -> Result<Pod, Error> {
        let name = spec.name.clone();
        self.pods(vec![spec])?.pop().ok_or(Error::NoNetns(name))
    }

    /// Makes several pods at once, in the order of `specs`. All or none.
    pub fn pods(&self, specs: Vec<PodSpec>) -> Result<Vec<Pod>, Error> {
        let inner = specs.iter().filter(|spec| !spec.host_network);
        let names = inner.map(|spec| self.instance().netns_name(&spec.name)).collect();
        let mut namespaces = Netns::create_many(names)?.into_iter();
        let mut pods = Vec::with_capacity(specs.len());
        for spec in specs {
            let netns = if spec.host_network { None } else { namespaces.next() };
            pods.push(Pod::place(self.clone(), spec, netns)?);
        }
        self.fabric().ip(&pods.iter().flat_map(Pod::fabric_lines).collect::<Vec<_>>())?;
        thread::scope(|scope| {
            // `ip` mostly waits for the kernel, where each namespace is independent of the others.
            let share = pods.len().div_ceil(WORKERS).max(1);
            let workers: Vec<_> = pods
                .chunks(share)
                .map(|pods| scope.spawn(move || pods.iter().try_for_each(Pod::configure)))
                .collect();
            workers.into_iter().try_for_each(|worker| match worker.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
        Ok(pods)
    }

    /// Sends what is addressed to each cluster IP to its pods, spread by connection. Without pods it is unreachable.
    pub fn route_services(&self, services: &[(Ipv4Addr, Vec<Ipv4Addr>)]) -> Result<(), Error> {
        let line = |(service, pods): &(Ipv4Addr, Vec<Ipv4Addr>)| match pods.as_slice() {
            [] => format!("route replace unreachable {service}/32"),
            [pod] => format!("route replace {service}/32 via {pod}"),
            many => {
                let hops: String = many.iter().map(|pod| format!(" nexthop via {pod}")).collect();
                format!("route replace {service}/32{hops}")
            }
        };
        self.fabric().ip(&services.iter().map(line).collect::<Vec<_>>())
    }

    /// Removes everything at once, with all pods in it. They become empty shells.
    pub(crate) fn dismantle(&self) -> Result<(), Error> {
        self.parts.instance.clear()
    }

    pub(crate) fn take_address(&self) -> Option<u8> {
        self.parts.addresses.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn give_address(&self, host: u8) {
        self.parts.addresses.lock().unwrap_or_else(PoisonError::into_inner).give(host);
    }

    fn host_v6(&self) -> Option<()> {
        let disabled = fs::read_to_string("/proc/sys/net/ipv6/conf/all/disable_ipv6").ok()?;
        (self.parts.v6 && disabled.trim() == "0").then_some(())
    }
}

fn has_v6(netns: &Netns) -> bool {
    let disabled = netns.run(|| fs::read_to_string("/proc/sys/net/ipv6/conf/default/disable_ipv6"));
    let has = matches!(disabled, Ok(Ok(value)) if value.trim() == "0");
    if !has {
        tracing::warn!("this host has no IPv6; the simulated pods do without");
    }
    has
}

/// The fabric routes between pods, services and the outside. Runs inside its namespace.
fn sysctls(v6: bool) -> Result<(), Error> {
    let v4 = [
        ("ipv4/ip_forward", "1"),
        // Pods are told no shorter way to a service: there is none that the router could know.
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/default/send_redirects", "0"),
        // Answers from a service's address come from elsewhere than the route to it.
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        // Spread by ports too, not only by addresses.
        ("ipv4/fib_multipath_hash_policy", "1"),
    ];
    let v6: &[_] = if v6 { &[("ipv6/conf/all/forwarding", "1")] } else { &[] };
    for (key, value) in v4.iter().chain(v6) {
        let path = Path::new("/proc/sys/net").join(key);
        fs::write(&path, value).map_err(Error::file("write", path))?;
    }
    Ok(())
}
