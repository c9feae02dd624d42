//! Where the loads run: two network namespaces with a link between them, and a container's cgroup in each.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sim::{Cgroup, Instance, Netns};

/// For many connections in a short time, as servers are set up for them.
const SYSCTLS: [(&str, &str); 4] = [
    ("ipv4/ip_local_port_range", "10000 65535"),
    ("ipv4/tcp_tw_reuse", "1"),
    ("ipv4/tcp_max_syn_backlog", "8192"),
    ("core/somaxconn", "8192"),
];

/// Dropping it ends what runs in it and removes it; what a killed bench left, the next one removes.
pub struct Site {
    pub client: Place,
    pub server: Place,
    /// Cgroups elsewhere that belong to the load.
    guests: RefCell<Vec<PathBuf>>,
    /// Last: until then its names are its own.
    pub instance: Instance,
}

/// A cgroup that belongs to the load until this is dropped.
pub struct Guest<'a>(&'a Site);

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.0.guests.borrow_mut().pop();
    }
}

/// One end: a network namespace, and a cgroup that looks like a container's.
pub struct Place {
    pub cgroup: Cgroup,
    pub netns: Netns,
    pub address: Ipv4Addr,
    /// As the agent names its workload.
    pub workload: String,
}

impl Site {
    pub fn build() -> Result<Self> {
        let instance = Instance::claim()?;
        let plan = instance.plan();
        let (left, right) = (plan.bridge_v4(), plan.node_v4());
        let client = Place::build(&instance, "client", left)?;
        let server = Place::build(&instance, "server", right)?;
        let link =
            format!("link add name eth0 type veth peer name eth0 netns {}", server.netns.name());
        client.netns.ip(&[link])?;
        for place in [&client, &server] {
            place.netns.ip(&[
                format!("addr add {}/24 dev eth0", place.address),
                "link set dev eth0 up".to_owned(),
            ])?;
        }
        Ok(Self { client, server, guests: RefCell::default(), instance })
    }

    /// A file that goes with the site.
    pub fn file(&self, name: &str) -> PathBuf {
        self.instance.directory().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> Result<String> {
        let path = self.file(name);
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path.to_string_lossy().into_owned())
    }

    /// Counts `cgroup` among its own while the guest stays. The last to come is the first to go.
    pub fn invite(&self, cgroup: &Path) -> Guest<'_> {
        self.guests.borrow_mut().push(cgroup.to_owned());
        Guest(self)
    }

    /// Everything that has to do with the load, agent included, is in these cgroups.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let guests = self.guests.borrow();
        std::iter::once(self.instance.cgroup().to_owned()).chain(guests.iter().cloned()).collect()
    }

    /// Whether `cgroup`, from the root of its hierarchy, is below the site's.
    pub fn holds(&self, cgroup: &str) -> bool {
        let own = self.instance.cgroup().file_name().unwrap_or_default();
        Path::new(cgroup).components().any(|part| part.as_os_str() == own)
    }

    /// Another container's cgroup. Its processes are ended when it is dropped.
    pub fn container(&self, name: &str) -> Result<Cgroup> {
        container(&self.instance, name)
    }
}

impl Place {
    fn build(instance: &Instance, name: &str, address: Ipv4Addr) -> Result<Self> {
        let netns = Netns::create(&instance.netns_name(name))?;
        for (key, value) in SYSCTLS {
            netns.sysctl(key, value)?;
        }
        let workload = container_id(name)[..12].to_owned();
        Ok(Self { cgroup: container(instance, name)?, netns, address, workload })
    }
}

fn container(instance: &Instance, name: &str) -> Result<Cgroup> {
    let scope = format!("docker-{}.scope", container_id(name));
    Ok(Cgroup::create(instance.cgroup().join(scope))?)
}

/// 64 hexadecimal digits; the first twelve, by which a container is known, are the start of `name`.
fn container_id(name: &str) -> String {
    let digits: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{digits:0<64.64}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_have_ids_of_their_own() {
        let (client, server) = (container_id("client"), container_id("server"));
        assert_eq!((client.len(), &client[..12]), (64, "636c69656e74"));
        assert_ne!(client[..12], server[..12]);
        assert!(client.bytes().all(|digit| digit.is_ascii_hexdigit()));
    }
}
