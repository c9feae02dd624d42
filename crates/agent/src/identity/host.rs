//! What procfs tells of this node: the host's network namespace and addresses, and whether process ids mean
//! what the probes mean.

use hashbrown::{HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Inode number of the initial pid namespace (`PROC_PID_INIT_INO`, include/uapi/linux/nsfs.h).
const INITIAL_PID_NAMESPACE: u32 = 0xEFFF_FFFC;

/// Inode number of the initial network namespace since Linux 6.18 (`NET_NS_INIT_INO`); before, it is any number.
pub const INITIAL_NET_NAMESPACE: u32 = 0xEFFF_FFF9;

/// Named network namespaces that are looked at.
const MAX_NAMED: usize = 4_096;

#[derive(Clone, Debug)]
pub struct Host {
    proc_root: PathBuf,
    /// `proc_root` shows the initial pid namespace: its pids are the probes', and its pid 1 lives on the host.
    pub initial: bool,
    /// Inode number of the host's network namespace.
    pub netns: Option<u32>,
}

impl Host {
    pub fn read(proc_root: &Path) -> Self {
        // The links of pid 1 may be hidden from a process with fewer capabilities than it has; our own never are.
        let of = |kind| namespace(proc_root, "1", kind);
        let own = |kind| namespace(proc_root, "self", kind);
        let initial = of("pid").or_else(|| own("pid")) == Some(INITIAL_PID_NAMESPACE);
        let own_net = || own("net").filter(|&inode| inode == INITIAL_NET_NAMESPACE);
        let netns = initial.then(|| of("net").or_else(own_net)).flatten();
        Self { proc_root: proc_root.to_path_buf(), initial, netns }
    }

    /// Names of network namespaces that somebody keeps, as `ip netns` lists them, by inode number.
    pub fn named_namespaces(&self) -> HashMap<u32, String> {
        // The host's, seen from a container; else what a process on the host sees.
        let directory = fs::read_dir(self.proc_root.join("1/root/run/netns"))
            .or_else(|_| fs::read_dir("/run/netns"));
        let entries = directory.into_iter().flatten().flatten();
        let named = entries.take(MAX_NAMED).filter_map(|entry| {
            let inode = fs::metadata(entry.path()).ok()?.ino();
            Some((u32::try_from(inode).ok()?, entry.file_name().into_string().ok()?))
        });
        named.collect()
    }

    /// All addresses of the host's network but loopback; `None` if they cannot be read.
    pub fn addresses(&self) -> Option<HashSet<IpAddr>> {
        self.netns?;
        let read = |name| fs::read_to_string(self.proc_root.join("1/net").join(name)).ok();
        let mut addresses: HashSet<IpAddr> =
            local_v4(&read("fib_trie")?).map(IpAddr::from).collect();
        // Absent where IPv6 is off.
        addresses.extend(read("if_inet6").iter().flat_map(|text| local_v6(text)).map(IpAddr::from));
        addresses.retain(|ip| !ip.is_loopback());
        Some(addresses)
    }
}

/// Inode number of a process's namespace.
pub fn namespace(proc_root: &Path, process: &str, kind: &str) -> Option<u32> {
    let link = fs::read_link(proc_root.join(process).join("ns").join(kind)).ok()?;
    link.to_str()?.strip_prefix(kind)?.strip_prefix(":[")?.strip_suffix(']')?.parse().ok()
}

/// An address line (`|-- 10.0.0.1`) is followed by what it is (`/32 host LOCAL`).
fn local_v4(fib_trie: &str) -> impl Iterator<Item = Ipv4Addr> {
    let mut last = None;
    fib_trie.lines().filter_map(move |line| {
        let line = line.trim_start();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
            return None;
        }
        last.filter(|_| line == "/32 host LOCAL")
    })
}

/// The first column: 32 hex digits.
fn local_v6(if_inet6: &str) -> impl Iterator<Item = Ipv6Addr> {
    if_inet6.lines().filter_map(|line| {
        let digits = line.split(' ').next().filter(|digits| digits.len() == 32)?;
        Some(Ipv6Addr::from_bits(u128::from_str_radix(digits, 16).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 10.0.0.0/24 2 0 2\n        \
                    |-- 10.0.0.0\n           /24 link UNICAST\n        |-- 10.0.0.7\n           /32 host LOCAL\n        \
                    |-- 10.0.0.255\n           /32 link BROADCAST\nLocal:\n        |-- nonsense\n           /32 host LOCAL\n";
        assert_eq!(local_v4(trie).collect::<Vec<_>>(), [Ipv4Addr::new(10, 0, 0, 7)]);
        let inet6 = "fe800000000000000000000000000001 02 40 20 80     eth0\n\
                     00000000000000000000000000000001 01 80 10 80       lo\nshort 1\n\n";
        let expected: [Ipv6Addr; 2] = ["fe80::1".parse().unwrap(), "::1".parse().unwrap()];
        assert_eq!(local_v6(inet6).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_procfs_of_another_namespace_is_not_trusted() {
        let root = tempfile::tempdir().unwrap();
        let link = |name: &str, target: &str| {
            let path = root.path().join("1/ns").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let _ = fs::remove_file(&path);
            std::os::unix::fs::symlink(target, path).unwrap();
        };
        link("net", "net:[4026531840]");
        link("pid", "pid:[4026532001]");
        let host = Host::read(root.path());
        assert_eq!((host.initial, host.netns, host.addresses()), (false, None, None));
        link("pid", "pid:[4026531836]");
        let host = Host::read(root.path());
        assert_eq!((host.initial, host.netns), (true, Some(4026531840)));
    }
}
