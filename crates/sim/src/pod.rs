//! One pod: a network namespace with a link to the node's bridge, and a cgroup with containers' cgroups below it.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Child, Command};

use crate::address::both;
use crate::cgroup::Cgroup;
use crate::layout::{Layout, Qos};
use crate::{Error, Netns, Node, random};

/// What a pod shall be.
#[derive(Clone, Debug)]
pub struct PodSpec {
    /// Short; unique on its node; part of the namespace's name.
    pub name: String,
    pub uid: String,
    pub layout: Layout,
    pub qos: Qos,
    /// In the host's network namespace, with the node's addresses.
    pub host_network: bool,
    /// Cluster IPs that it answers to (see [`Node::route_services`]).
    pub service_ips: Vec<Ipv4Addr>,
}

impl PodSpec {
    /// A burstable pod of containerd, with a uid of its own.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            uid: random::uid(),
            layout: Layout::default(),
            qos: Qos::default(),
            host_network: false,
            service_ips: Vec::new(),
        }
    }
}

/// Dropping it kills its processes, then removes its cgroups, link and namespace.
#[derive(Debug)]
pub struct Pod {
    spec: PodSpec,
    cgroup: Cgroup,
    network: Option<Network>,
    node: Node,
}

#[derive(Debug)]
struct Network {
    netns: Netns,
    /// Number of its addresses within the node's networks.
    host: u8,
}

impl Pod {
    /// Takes an address and makes the cgroup; the links are still to be made.
    pub(crate) fn place(node: Node, spec: PodSpec, netns: Option<Netns>) -> Result<Self, Error> {
        let cgroup =
            Cgroup::create(node.instance().cgroup().join(spec.layout.pod(spec.qos, &spec.uid)))?;
        let network = match netns {
            None => None,
            Some(netns) => {
                let full =
                    || Error::Pod { pod: spec.name.clone(), reason: "the node is full".to_owned() };
                Some(Network { netns, host: node.take_address().ok_or_else(full)? })
            }
        };
        Ok(Self { spec, cgroup, network, node })
    }

    /// To be run in the bridge's namespace.
    pub(crate) fn fabric_lines(&self) -> Vec<String> {
        let Some(Network { netns, host }) = &self.network else { return Vec::new() };
        let (port, name, mac) = (port(*host), netns.name(), self.node.plan().mac(*host));
        vec![
            // The name first: a bare name could be taken for a keyword's abbreviation.
            format!("link add name {port} type veth peer name eth0 address {mac} netns {name}"),
            // Nobody needs its link-local address, but all pods would hear of it.
            format!("link set dev {port} addrgenmode none"),
            format!("link set dev {port} master br0 up"),
        ]
    }

    /// Gives the pod's end of the link its addresses.
    pub(crate) fn configure(&self) -> Result<(), Error> {
        let Some(Network { netns, .. }) = &self.network else { return Ok(()) };
        let plan = self.node.plan();
        let mut lines = vec![
            "link set dev lo up".to_owned(),
            "link set dev eth0 addrgenmode none".to_owned(),
            "link set dev eth0 up".to_owned(),
        ];
        if let Some(v4) = self.v4() {
            lines.push(format!("addr add {v4}/24 dev eth0"));
            lines.push(format!("route add default via {}", plan.bridge_v4()));
        }
        if let Some(v6) = self.v6() {
            lines.push(format!("addr add {v6}/64 dev eth0 nodad"));
            lines.push(format!("route add default via {}", plan.bridge_v6()));
        }
        lines.extend(self.spec.service_ips.iter().map(|ip| format!("addr add {ip}/32 dev lo")));
        netns.ip(&lines)
    }

    pub fn spec(&self) -> &PodSpec {
        &self.spec
    }

    /// The pod's cgroup; processes belong into those of its containers.
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// None for a hostNetwork pod.
    pub fn netns(&self) -> Option<&Netns> {
        self.network.as_ref().map(|network| &network.netns)
    }

    /// None for a hostNetwork pod.
    pub fn v4(&self) -> Option<Ipv4Addr> {
        Some(self.node.plan().pod_v4(self.network.as_ref()?.host))
    }

    /// None for a hostNetwork pod, and on a host without IPv6.
    pub fn v6(&self) -> Option<Ipv6Addr> {
        let network = self.network.as_ref().filter(|_| self.node.parts.v6)?;
        Some(self.node.plan().pod_v6(network.host))
    }

    /// All addresses, IPv4 first; the node's for a hostNetwork pod.
    pub fn ips(&self) -> Vec<IpAddr> {
        match self.v4() {
            Some(v4) => both(v4, self.v6()),
            None => self.node.ips(),
        }
    }

    /// Makes the cgroup of a container with the given id (64 hex digits).
    pub fn container(&self, id: impl Into<String>) -> Result<Container, Error> {
        let id = id.into();
        let cgroup = Cgroup::create(self.cgroup.path().join(self.spec.layout.container(&id)))?;
        Ok(Container { id, cgroup })
    }

    /// Starts `command`, usually from [`Container::command`], in the pod's network.
    pub fn spawn(&self, command: &mut Command) -> Result<Child, Error> {
        match self.netns() {
            Some(netns) => netns.spawn(command),
            None => command.spawn().map_err(|source| Error::Spawn {
                pod: self.spec.name.clone(),
                program: command.get_program().to_string_lossy().into_owned(),
                source,
            }),
        }
    }

    /// Runs `work` in the pod's network, though not in its cgroup.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        match self.netns() {
            Some(netns) => netns.run(work),
            None => Ok(work()),
        }
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if let Err(error) = self.cgroup.kill() {
            tracing::warn!(%error, pod = self.spec.name, "its processes may still run");
        }
        let Some(network) = &self.network else { return };
        // The namespace, and the address in it, would live on for a while; without its link nobody notices.
        if self.node.fabric().path().exists() {
            let line = format!("link del dev {}", port(network.host));
            if let Err(error) = self.node.fabric().ip(&[line]) {
                tracing::debug!(%error, "the pod's link is gone already");
            }
        }
        self.node.give_address(network.host);
    }
}

/// Name of a pod's link at the bridge.
fn port(host: u8) -> String {
    format!("veth{host}")
}

/// Dropping it kills its processes and removes its cgroup.
#[derive(Debug)]
pub struct Container {
    id: String,
    cgroup: Cgroup,
}

impl Container {
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// A command that runs `program` in this container's cgroup; start it with [`Pod::spawn`].
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.cgroup.command(program)
    }
}
