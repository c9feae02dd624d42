//! Who claims each address, and until when those had it that nobody claims any more.

use std::collections::VecDeque;
use std::net::IpAddr;

use hashbrown::HashMap;
use model::Timestamp;

use super::object::Claim;

/// Nearly every address has one claim, or two: its pod's and that of the service before it.
#[derive(Debug)]
enum Claims {
    One(Claim),
    Many(Vec<Claim>),
}

impl Claims {
    fn all(&self) -> &[Claim] {
        match self {
            Self::One(claim) => std::slice::from_ref(claim),
            Self::Many(claims) => claims,
        }
    }
}

/// Addresses of which it is remembered when they were let go.
const RELEASED: usize = 16_384;

#[derive(Debug, Default)]
pub struct Addresses {
    claims: HashMap<IpAddr, Claims>,
    released: HashMap<IpAddr, Timestamp>,
    order: VecDeque<(Timestamp, IpAddr)>,
}

impl Addresses {
    pub fn len(&self) -> usize {
        self.claims.len()
    }

    pub fn of(&self, ip: IpAddr) -> &[Claim] {
        self.claims.get(&ip).map_or(&[], Claims::all)
    }

    /// Until when it was somebody's that now is nobody's, or was another one's before.
    pub fn released(&self, ip: IpAddr) -> Option<Timestamp> {
        self.released.get(&ip).copied()
    }

    pub fn claim(&mut self, ip: IpAddr, claim: Claim) {
        match self.claims.get_mut(&ip) {
            None => {
                self.claims.insert(ip, Claims::One(claim));
            }
            Some(Claims::Many(claims)) if !claims.contains(&claim) => claims.push(claim),
            Some(Claims::One(one)) if *one != claim => {
                let both = Claims::Many(vec![*one, claim]);
                self.claims.insert(ip, both);
            }
            Some(_) => {}
        }
    }

    pub fn release(&mut self, ip: IpAddr, claim: Claim, now: Timestamp) {
        let Some(claims) = self.claims.get_mut(&ip) else { return };
        match claims {
            Claims::One(one) if *one == claim => {
                self.claims.remove(&ip);
            }
            Claims::One(_) => return,
            Claims::Many(many) => {
                let Some(at) = many.iter().position(|other| *other == claim) else { return };
                many.remove(at);
                if let [one] = many[..] {
                    *claims = Claims::One(one);
                }
            }
        }
        // A slice only says that the address is behind a service.
        if !matches!(claim, Claim::Slice(_)) {
            self.remember(ip, now);
        }
    }

    fn remember(&mut self, ip: IpAddr, now: Timestamp) {
        if self.order.len() >= RELEASED
            && let Some((then, oldest)) = self.order.pop_front()
            && self.released.get(&oldest) == Some(&then)
        {
            self.released.remove(&oldest);
        }
        self.released.insert(ip, now);
        self.order.push_back((now, ip));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_come_and_go_one_by_one() {
        let mut addresses = Addresses::default();
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
    fn what_is_remembered_is_bounded() {
        let mut addresses = Addresses::default();
        for number in 0..3 * RELEASED as u32 {
            let ip = IpAddr::from(number.to_be_bytes());
            addresses.claim(ip, Claim::Pod(number));
            addresses.release(ip, Claim::Pod(number), Timestamp(u64::from(number)));
        }
        assert_eq!((addresses.released.len(), addresses.order.len()), (RELEASED, RELEASED));
    }
}
