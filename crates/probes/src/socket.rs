//! The kernel's words for addresses and owners.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use model::{Comm, Process};

/// `words` are in network order; IPv4-mapped addresses become IPv4.
pub fn address(words: [u32; 4], port: u16) -> SocketAddr {
    let mut bytes = [0; 16];
    for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    SocketAddr::new(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical(), port)
}

/// Which of the two ports belongs to a server, where nobody saw who began: the lower one.
pub fn serves(local_port: u16, remote_port: u16) -> bool {
    local_port < remote_port
}

pub fn process(comm: &[u8; 16], pid: u32, cgroup_id: u64, netns: u32) -> Process {
    Process { pid, comm: Comm(*comm), cgroup_id, netns }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_canonical() {
        let word = |bytes: [u8; 4]| u32::from_ne_bytes(bytes);
        let mapped = [0, 0, word([0, 0, 0xff, 0xff]), word([10, 1, 2, 3])];
        assert_eq!(address(mapped, 80).to_string(), "10.1.2.3:80");
        let v6 = [word([0xfd, 0, 0, 1]), 0, 0, word([0, 0, 0, 9])];
        assert_eq!(address(v6, 443).to_string(), "[fd00:1::9]:443");
    }
}
