//! Which addresses a simulated node uses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The networks of one instance. Host numbers: 1 is the bridge, 2 the node, pods from [`FIRST_POD`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// First two bytes of the pods' network.
    base: [u8; 2],
    place: u8,
}

/// Destination and mask of an IPv4 route of this host, in host byte order.
pub(crate) type Route = (u32, u32);

const BRIDGE: u8 = 1;
const NODE: u8 = 2;
pub(crate) const FIRST_POD: u8 = 10;
pub(crate) const LAST_POD: u8 = 250;
/// Usual pod networks first; others where the host itself uses those.
const BASES: [[u8; 2]; 4] = [[10, 244], [10, 112], [172, 29], [10, 9]];
/// Above the pods' network by so much: where services have their addresses (10.244 gives 10.245).
const SERVICE_STEP: u8 = 1;

impl Plan {
    /// The networks of `place`, clear of the host's `routes`.
    pub(crate) fn choose(place: u16, routes: &[Route]) -> Option<Self> {
        let place = u8::try_from(place).ok()?;
        BASES.into_iter().map(|base| Self { base, place }).find(|plan| {
            let free = |network: Ipv4Addr| {
                routes.iter().all(|&(destination, mask)| {
                    // The default route, and anything that short, leads away from the host only.
                    let mask_of_both = mask & 0xffff_ff00;
                    mask == 0 || u32::from(network) & mask_of_both != destination & mask_of_both
                })
            };
            free(plan.pod_v4(0)) && free(plan.service_v4(0))
        })
    }

    pub fn bridge_v4(&self) -> Ipv4Addr {
        self.pod_v4(BRIDGE)
    }

    pub fn bridge_v6(&self) -> Ipv6Addr {
        self.pod_v6(BRIDGE)
    }

    /// The node itself, as its pods see it.
    pub fn node_v4(&self) -> Ipv4Addr {
        self.pod_v4(NODE)
    }

    pub fn node_v6(&self) -> Ipv6Addr {
        self.pod_v6(NODE)
    }

    pub(crate) fn pod_v4(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(self.base[0], self.base[1], self.place, host)
    }

    pub(crate) fn pod_v6(&self, host: u8) -> Ipv6Addr {
        let base = u16::from_be_bytes(self.base);
        Ipv6Addr::new(0xfd10, base, 0, self.place.into(), 0, 0, 0, host.into())
    }

    /// Cluster IPs of services.
    pub fn service_v4(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(self.base[0], self.base[1] + SERVICE_STEP, self.place, host)
    }

    /// A hardware address that follows from the IP address: when a pod takes over an address, its peers'
    /// neighbour tables stay true.
    pub(crate) fn mac(&self, host: u8) -> String {
        let [a, b, c, d] = self.pod_v4(host).octets();
        format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
    }
}

/// An address outside of the cluster (TEST-NET-3) with a server behind it.
pub const OUTSIDE_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
pub(crate) const OUTSIDE_ROUTER_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// Addresses that pods can have at one time, the one freed last first: the next pod takes over the address of
/// the one before.
#[derive(Debug)]
pub(crate) struct Pool {
    free: Vec<u8>,
}

impl Default for Pool {
    fn default() -> Self {
        Self { free: (FIRST_POD..=LAST_POD).rev().collect() }
    }
}

impl Pool {
    pub fn take(&mut self) -> Option<u8> {
        self.free.pop()
    }

    pub fn give(&mut self, host: u8) {
        self.free.push(host);
    }
}

/// The host's IPv4 routes; none if they cannot be read.
pub(crate) fn routes() -> Vec<Route> {
    parse_routes(&std::fs::read_to_string("/proc/net/route").unwrap_or_default())
}

/// Lines of `/proc/net/route`: numbers are the bytes of the address, read as a native integer.
fn parse_routes(text: &str) -> Vec<Route> {
    let number = |field: &str| {
        u32::from_str_radix(field, 16).ok().map(|n| u32::from_be_bytes(n.to_ne_bytes()))
    };
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split('\t').skip(1);
            let destination = number(fields.next()?)?;
            Some((destination, number(fields.nth(5)?.trim())?))
        })
        .collect()
}

/// Of both families, the old one first.
pub(crate) fn both(v4: Ipv4Addr, v6: Option<Ipv6Addr>) -> Vec<IpAddr> {
    [Some(IpAddr::V4(v4)), v6.map(IpAddr::V6)].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(routes: &str, expected: Option<&str>) {
        let table =
            format!("Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n{routes}");
        let plan = Plan::choose(3, &parse_routes(&table));
        assert_eq!(plan.map(|plan| plan.node_v4().to_string()).as_deref(), expected, "{routes}");
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn networks_keep_clear_of_the_hosts() {
        let default = "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        let flannel = "cni0\t0000F40A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        let other_place = "amph1\t0001F40A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let same_services = "x\t0003F50A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let one_pod = "x\t2A03F40A\t00000000\t0001\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n";
        let ten = "vpn\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n";
        check(default, Some("10.244.3.2"));
        check(&[default, flannel].concat(), Some("10.112.3.2"));
        check(other_place, Some("10.244.3.2"));
        check(same_services, Some("10.112.3.2"));
        check(one_pod, Some("10.112.3.2"));
        check(ten, Some("172.29.3.2"));
        let nearly_all = "vpn\t000010AC\t00000000\t0001\t0\t0\t0\t0000F0FF\t0\t0\t0\n";
        check(&[ten, nearly_all].concat(), None);
    }

    #[test]
    fn a_freed_address_is_the_next_taken() {
        let mut pool = Pool::default();
        let (first, second) = (pool.take(), pool.take());
        assert_eq!((first, second), (Some(10), Some(11)));
        pool.give(10);
        assert_eq!(pool.take(), Some(10));
        assert_eq!(pool.take(), Some(12));
        let taken = std::iter::from_fn(|| pool.take()).count();
        assert_eq!(taken, usize::from(LAST_POD - FIRST_POD) + 1 - 3);
    }
}
