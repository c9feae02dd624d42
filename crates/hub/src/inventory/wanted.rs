//! A set of addresses, as small as it can be: each agent has one, with some hundred in it for as long as it is connected.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Both in order.
#[derive(Debug, Default)]
pub struct Wanted {
    v4: Vec<Ipv4Addr>,
    v6: Vec<Ipv6Addr>,
}

impl Wanted {
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.v4.binary_search(&ip).is_ok(),
            IpAddr::V6(ip) => self.v6.binary_search(&ip).is_ok(),
        }
    }

    /// In order, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        let v6 = self.v6.iter().copied().map(IpAddr::from);
        self.v4.iter().copied().map(IpAddr::from).chain(v6)
    }

    /// Adds addresses that are not in it.
    pub fn extend(&mut self, new: &[IpAddr]) {
        for ip in new {
            match ip {
                IpAddr::V4(ip) => self.v4.push(*ip),
                IpAddr::V6(ip) => self.v6.push(*ip),
            }
        }
        self.v4.sort_unstable();
        self.v6.sort_unstable();
        self.shrink();
    }

    /// Leaves those for which `keep` says so.
    pub fn retain(&mut self, keep: impl Fn(IpAddr) -> bool) {
        self.v4.retain(|ip| keep((*ip).into()));
        self.v6.retain(|ip| keep((*ip).into()));
        self.shrink();
    }

    fn shrink(&mut self) {
        let Self { v4, v6 } = self;
        v4.shrink_to(v4.len() + v4.len() / 8);
        v6.shrink_to(v6.len() + v6.len() / 8);
    }
}

/// Addresses in order, each once.
pub fn ordered(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = addresses.collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_came_and_did_not_go() {
        let ip = |last: u8| IpAddr::from([10, 0, 0, last]);
        let six: IpAddr = "fd00::1".parse().unwrap();
        let mut wanted = Wanted::default();
        let new = ordered([ip(3), six, ip(1), ip(3), ip(2)].into_iter());
        assert_eq!(new, [ip(1), ip(2), ip(3), six]);
        wanted.extend(&new);
        wanted.extend(&[ip(0)]);
        assert!(wanted.iter().eq([ip(0), ip(1), ip(2), ip(3), six]));
        wanted.retain(|it| it != ip(2) && it != six);
        assert!(!wanted.contains(ip(2)) && !wanted.contains(six) && wanted.contains(ip(3)));
        assert_eq!(wanted.len(), 3);
        wanted.retain(|_| false);
        assert_eq!((wanted.len(), wanted.v4.capacity()), (0, 0));
    }
}
