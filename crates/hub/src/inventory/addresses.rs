//! Who claims each address, and until when those had it that nobody claims any more.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use model::Timestamp;

use super::object::Claim;

/// Nearly every address has one claim, or two: its pod's and that of the service before it.
#[derive(Debug)]
enum Claims {
    One(Claim),
    Two([Claim; 2]),
    #[expect(clippy::box_collection, reason = "a Vec would make all of them larger")]
    Many(Box<Vec<Claim>>),
}

impl Claims {
    fn all(&self) -> &[Claim] {
        match self {
            Self::One(claim) => std::slice::from_ref(claim),
            Self::Two(claims) => claims,
            Self::Many(claims) => claims,
        }
    }

    /// `None`: nobody claims it.
    fn new(claims: &[Claim]) -> Option<Self> {
        match claims {
            [] => None,
            [one] => Some(Self::One(*one)),
            [one, two] => Some(Self::Two([*one, *two])),
            many => Some(Self::Many(Box::new(many.to_vec()))),
        }
    }
}

/// Addresses of which it is remembered when they were let go.
const RELEASED: usize = 16_384;

#[derive(Debug)]
pub struct Addresses {
    /// By address, as [`mapped`] has it.
    claims: HashMap<Ipv6Addr, Claims>,
    released: HashMap<IpAddr, Timestamp>,
    order: VecDeque<(Timestamp, IpAddr)>,
    remember_ns: u64,
}

impl Addresses {
    /// `remember`: for how long it is known when an address was let go.
    pub fn new(remember: Duration) -> Self {
        Self {
            claims: HashMap::new(),
            released: HashMap::new(),
            order: VecDeque::new(),
            remember_ns: u64::try_from(remember.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    pub fn len(&self) -> usize {
        self.claims.len()
    }

    pub fn of(&self, ip: IpAddr) -> &[Claim] {
        self.claims.get(&mapped(ip)).map_or(&[], Claims::all)
    }

    /// Until when it was somebody's that now is nobody's, or was another one's before.
    pub fn released(&self, ip: IpAddr) -> Option<Timestamp> {
        self.released.get(&ip).copied()
    }

    pub fn claim(&mut self, ip: IpAddr, claim: Claim) {
        match self.claims.entry(mapped(ip)) {
            Entry::Vacant(entry) => {
                entry.insert(Claims::One(claim));
            }
            Entry::Occupied(entry) if entry.get().all().contains(&claim) => {}
            Entry::Occupied(mut entry) => match entry.get_mut() {
                Claims::One(one) => *entry.get_mut() = Claims::Two([*one, claim]),
                Claims::Two([one, two]) => {
                    let claims = vec![*one, *two, claim];
                    *entry.get_mut() = Claims::Many(Box::new(claims));
                }
                Claims::Many(claims) => claims.push(claim),
            },
        }
    }

    pub fn release(&mut self, ip: IpAddr, claim: Claim, now: Timestamp) {
        let Entry::Occupied(mut entry) = self.claims.entry(mapped(ip)) else { return };
        let mut claims = entry.get().all().to_vec();
        let Some(at) = claims.iter().position(|other| *other == claim) else { return };
        claims.remove(at);
        match Claims::new(&claims) {
            Some(claims) => *entry.get_mut() = claims,
            None => drop(entry.remove()),
        }
        // A slice only says that the address is behind a service.
        if !matches!(claim, Claim::Slice(_)) {
            self.remember(ip, now);
        }
    }

    fn remember(&mut self, ip: IpAddr, now: Timestamp) {
        // Two for each that comes are enough to get rid of all.
        for _ in 0..2 {
            let is_full = self.order.len() >= RELEASED;
            let goes = |(then, _): &mut (Timestamp, _)| {
                is_full || now.0 > then.0.saturating_add(self.remember_ns)
            };
            if let Some((then, oldest)) = self.order.pop_front_if(goes)
                && self.released.get(&oldest) == Some(&then)
            {
                self.released.remove(&oldest);
            }
        }
        self.released.insert(ip, now);
        self.order.push_back((now, ip));
    }
}

/// Every address as IPv6: one byte less than an [`IpAddr`], which with what must be aligned is eight.
pub fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn an_address_takes_32_bytes() {
        assert_eq!(size_of::<(Ipv6Addr, Claims)>(), 32);
    }

    #[test]
    fn claims_come_and_go_one_by_one() {
        let mut addresses = Addresses::new(HOUR);
        let ip: IpAddr = "10.0.0.1".parse().unwrap();
        let claims = [Claim::Pod(1), Claim::Slice(2), Claim::Pod(3)];
        for claim in claims {
            addresses.claim(ip, claim);
            addresses.claim(ip, claim);
        }
        assert_eq!(addresses.of(ip), claims);
        addresses.release(ip, Claim::Pod(9), Timestamp(1));
        addresses.release(ip, Claim::Slice(2), Timestamp(1));
        assert_eq!(addresses.of(ip), [claims[0], claims[2]]);
        assert_eq!(addresses.released(ip), None);
        addresses.release(ip, Claim::Pod(1), Timestamp(5));
        addresses.release(ip, Claim::Node(3), Timestamp(6));
        assert_eq!(addresses.of(ip), [claims[2]]);
        assert_eq!(addresses.released(ip), Some(Timestamp(5)));
        addresses.release(ip, Claim::Pod(3), Timestamp(7));
        assert_eq!((addresses.len(), addresses.released(ip)), (0, Some(Timestamp(7))));
    }

    #[test]
    fn what_is_long_past_is_forgotten() {
        let mut addresses = Addresses::new(HOUR);
        let mut let_go = |number: u32, seconds: u64| {
            let ip = IpAddr::from(number.to_be_bytes());
            addresses.claim(ip, Claim::Pod(number));
            addresses.release(ip, Claim::Pod(number), Timestamp(seconds * 1_000_000_000));
            (addresses.released.len(), addresses.order.len())
        };
        for number in 0..10 {
            let_go(number, u64::from(number));
        }
        assert_eq!(let_go(10, 3_600), (11, 11));
        assert_eq!(let_go(11, 3_700), (10, 10), "two at a time");
        for number in 12..20 {
            let_go(number, 3_700);
        }
        assert_eq!(let_go(20, 3_700), (11, 11));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut addresses = Addresses::new(HOUR);
        for number in 0..3 * RELEASED as u32 {
            let ip = IpAddr::from(number.to_be_bytes());
            addresses.claim(ip, Claim::Pod(number));
            addresses.release(ip, Claim::Pod(number), Timestamp(u64::from(number)));
        }
        assert_eq!((addresses.released.len(), addresses.order.len()), (RELEASED, RELEASED));
    }
}
