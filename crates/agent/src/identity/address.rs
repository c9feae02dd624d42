//! Whose an IP address is, and was: the remote end's last resort. Among pods the newest claim wins; a record about
//! the time before it finds the older one. Addresses of the node are the node's, never a pod's.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use model::{Identity, Timestamp};

use super::clock::Moment;
use super::counters::Table;

/// How long a claim answers for late records after it ended.
const ENDED: Duration = Duration::from_secs(60);
/// How long a sighting holds without a new one.
const SEEN: Duration = Duration::from_secs(120);
/// Former holders of one address that are remembered.
const MAX_CLAIMS: usize = 4;
/// How much the clocks of this node and of who told an interval may differ; also, pods' starts are told in whole seconds.
const SKEW_NS: u64 = 1_000_000_000;

/// Who claims an address, in order of precedence: a pod before a service before a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// By uid; `seen`: not (yet) from the feed, but from a socket of the pod or container itself.
    Pod { uid: Arc<str>, seen: bool },
    /// By `namespace/name`.
    Service(Arc<str>),
    /// By name; held once for each pod in the node's network.
    Node(Arc<str>),
}

impl Who {
    fn is_seen(&self) -> bool {
        matches!(self, Self::Pod { seen: true, .. })
    }

    fn precedence(&self) -> u8 {
        match self {
            Self::Pod { .. } => 0,
            Self::Service(_) => 1,
            Self::Node(_) => 2,
        }
    }
}

#[derive(Debug)]
struct Claim {
    who: Who,
    identity: Arc<Identity>,
    /// On this node.
    local: bool,
    since: Timestamp,
    until: Option<Timestamp>,
    /// Last claimed or, once ended, when it ended.
    touched: Moment,
    /// How often it is held.
    count: u32,
    /// It was asked for, and the answer told the interval: it says nothing of other times.
    answered: bool,
}

impl Claim {
    fn tells_of(&self, Timestamp(time): Timestamp) -> bool {
        !self.answered
            || (self.since.0 <= time.saturating_add(SKEW_NS)
                && self.until.is_none_or(|until| time <= until.0.saturating_add(SKEW_NS)))
    }

    /// It stood at some time of these.
    fn overlaps(&self, times: &RangeInclusive<Timestamp>) -> bool {
        self.since <= *times.end() && self.until.is_none_or(|until| *times.start() <= until)
    }
}

/// What is known of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Held {
        identity: Arc<Identity>,
        local: bool,
        /// By an answer.
        answered: bool,
        /// By nothing but a socket: the address may be a service's that leads there.
        seen: bool,
    },
    /// Nobody's at that time; it was this one's a moment before.
    Former(Arc<Identity>),
    /// Another one's than the one that has it now, and nobody knows whose.
    Earlier,
    /// This node's own.
    Own,
    /// On a link of this node, and nobody said whose: its own, or a service's where IPVS leads there.
    Unclaimed,
    /// Nobody's, but a pod lives next to it (same /24 or /64): perhaps one that is not known yet.
    Near,
    Stranger,
}

#[derive(Debug, Default)]
struct Address {
    /// Oldest first; never empty for long.
    claims: Vec<Claim>,
    /// It stands in `fading`.
    queued: bool,
}

#[derive(Debug)]
pub struct Addresses {
    addresses: HashMap<IpAddr, Address>,
    /// Where pods live, and how many addresses of them.
    neighbourhoods: HashMap<IpAddr, u32>,
    own: HashSet<IpAddr>,
    /// Addresses with claims that will have to go, once each, and when they were queued.
    fading: VecDeque<(Moment, IpAddr)>,
    limit: usize,
    evicted: u64,
}

impl Addresses {
    pub fn new(limit: usize) -> Self {
        Self {
            addresses: HashMap::new(),
            neighbourhoods: HashMap::new(),
            own: HashSet::new(),
            fading: VecDeque::new(),
            limit,
            evicted: 0,
        }
    }

    /// Replaces the addresses of this node; true if some are new.
    pub fn set_own(&mut self, own: HashSet<IpAddr>) -> bool {
        let fresh = own.iter().any(|ip| !self.own.contains(ip));
        self.own = own;
        fresh
    }

    /// Adds an address seen in the host's network.
    pub fn add_own(&mut self, ip: IpAddr) {
        if self.own.len() < 1024 {
            self.own.insert(ip);
        }
    }

    pub fn is_own(&self, ip: &IpAddr) -> bool {
        self.own.contains(ip)
    }

    /// True if `ip` was not `who`'s already.
    pub fn claim(
        &mut self,
        ip: IpAddr,
        who: &Who,
        identity: &Arc<Identity>,
        local: bool,
        now: Timestamp,
        at: Moment,
    ) -> bool {
        if self.addresses.len() >= self.limit && !self.addresses.contains_key(&ip) {
            self.evicted += 1;
            return false;
        }
        let claims = &mut self.addresses.entry(ip).or_default().claims;
        let seen = who.is_seen();
        if let Some(claim) =
            claims.iter_mut().find(|claim| claim.until.is_none() && same(&claim.who, who))
        {
            // A sighting that the feed confirms keeps its age; what the feed said is not undone by a sighting.
            if claim.who != *who && !seen {
                claim.who = who.clone();
            } else if matches!(who, Who::Node(_)) {
                claim.count += 1;
            }
            claim.identity = identity.clone();
            claim.local = local;
            claim.touched = at;
            claim.answered &= seen;
            return false;
        }
        let claim = Claim {
            who: who.clone(),
            identity: identity.clone(),
            local,
            since: now,
            until: None,
            touched: at,
            count: 1,
            answered: false,
        };
        self.push(ip, claim);
        true
    }

    fn push(&mut self, ip: IpAddr, claim: Claim) {
        let address = self.addresses.entry(ip).or_default();
        let claims = &mut address.claims;
        if claims.len() >= MAX_CLAIMS {
            // A service's address is seen at each pod that comes to stand behind it.
            let ended = claims.iter().position(|claim| claim.until.is_some());
            let victim = ended
                .or_else(|| claims.iter().position(|claim| claim.who.is_seen()))
                .unwrap_or_else(|| {
                    self.evicted += 1;
                    0
                });
            let claim = claims.remove(victim);
            if matches!(claim.who, Who::Pod { .. }) {
                leave(&mut self.neighbourhoods, ip);
            }
        }
        if matches!(claim.who, Who::Pod { .. }) {
            *self.neighbourhoods.entry(neighbourhood(ip)).or_default() += 1;
        }
        let fades = claim.who.is_seen();
        if fades && !std::mem::replace(&mut address.queued, true) {
            self.fading.push_back((claim.touched, ip));
        }
        claims.push(claim);
    }

    /// Takes in whose `ip` is since when. Who had it by an answer before had it until then.
    pub fn answer(
        &mut self,
        ip: IpAddr,
        who: Who,
        identity: &Arc<Identity>,
        since: Timestamp,
        at: Moment,
    ) {
        if self.addresses.len() >= self.limit && !self.addresses.contains_key(&ip) {
            self.evicted += 1;
            return;
        }
        let address = self.addresses.entry(ip).or_default();
        let mut held = false;
        for claim in address.claims.iter_mut().filter(|claim| claim.until.is_none()) {
            if same(&claim.who, &who) {
                held = true;
                if claim.answered {
                    claim.identity = identity.clone();
                    claim.since = since;
                }
            } else if claim.answered {
                claim.until = Some(since);
                claim.touched = at;
                if !std::mem::replace(&mut address.queued, true) {
                    self.fading.push_back((at, ip));
                }
            }
        }
        if !held {
            let (identity, touched) = (identity.clone(), at);
            let claim = Claim {
                who,
                identity,
                local: false,
                since,
                until: None,
                touched,
                count: 1,
                answered: true,
            };
            self.push(ip, claim);
        }
    }

    /// From `until` on the answer for `ip` is that it is nobody's.
    pub fn revoke(&mut self, ip: IpAddr, until: Timestamp, at: Moment) {
        let Some(address) = self.addresses.get_mut(&ip) else { return };
        for claim in address.claims.iter_mut().filter(|it| it.answered && it.until.is_none()) {
            claim.until = Some(until);
            claim.touched = at;
            if !std::mem::replace(&mut address.queued, true) {
                self.fading.push_back((at, ip));
            }
        }
    }

    /// Forgets all answers for `ip`.
    pub fn forget(&mut self, ip: IpAddr) {
        let Some(address) = self.addresses.get_mut(&ip) else { return };
        address.claims.retain(|claim| {
            if claim.answered && matches!(claim.who, Who::Pod { .. }) {
                leave(&mut self.neighbourhoods, ip);
            }
            !claim.answered
        });
        // What stands in `fading` is removed from there.
        if address.claims.is_empty() && !address.queued {
            self.addresses.remove(&ip);
        }
    }

    pub fn release(&mut self, ip: IpAddr, who: &Who, now: Timestamp, at: Moment) {
        let Some(address) = self.addresses.get_mut(&ip) else { return };
        for claim in
            address.claims.iter_mut().filter(|claim| claim.until.is_none() && same(&claim.who, who))
        {
            claim.count -= 1;
            if claim.count == 0 {
                claim.until = Some(now);
                claim.touched = at;
                if !std::mem::replace(&mut address.queued, true) {
                    self.fading.push_back((at, ip));
                }
            }
        }
    }

    /// Whose `ip` was at `time`.
    pub fn lookup(&self, ip: IpAddr, time: Timestamp) -> Found {
        self.lookup_during(ip, time..=time)
    }

    /// Whose `ip` was at the beginning of these times, over which it belonged to one.
    pub fn lookup_during(&self, ip: IpAddr, times: RangeInclusive<Timestamp>) -> Found {
        let claim = self.holder(ip, &times).or_else(|| self.holder(embedded(ip)?, &times));
        let time = *times.end();
        match claim {
            Some(Claim { who: Who::Node(_), local: true, until: None, .. }) => return Found::Own,
            Some(Claim { who: Who::Node(_), .. }) if self.own.contains(&ip) => return Found::Own,
            Some(Claim { until: Some(until), identity, answered: false, .. }) if *until < time => {
                return Found::Former(identity.clone());
            }
            Some(Claim { who, identity, local, answered, .. }) => {
                return Found::Held {
                    identity: identity.clone(),
                    local: *local,
                    answered: *answered,
                    seen: who.is_seen(),
                };
            }
            None => {}
        }
        if self.is_answered(ip) || embedded(ip).is_some_and(|ip| self.is_answered(ip)) {
            Found::Earlier
        } else if self.own.contains(&ip) {
            Found::Unclaimed
        } else if self.neighbourhoods.contains_key(&neighbourhood(ip)) {
            Found::Near
        } else {
            Found::Stranger
        }
    }

    /// Somebody has it now, by an answer that says nothing of the time before.
    fn is_answered(&self, ip: IpAddr) -> bool {
        let claims = self.addresses.get(&ip).map_or(&[][..], |address| &address.claims);
        claims.iter().any(|claim| claim.answered && claim.until.is_none())
    }

    fn holder(&self, ip: IpAddr, times: &RangeInclusive<Timestamp>) -> Option<&Claim> {
        let claims = &self.addresses.get(&ip)?.claims;
        let start = *times.start();
        if let [claim] = claims.as_slice() {
            return Some(claim).filter(|claim| claim.tells_of(start));
        }
        // Who held it then; else who holds it now (the feed is later than the facts); else who held it last.
        // A pod that answers at a service's address has it for the service, and not as its own.
        let service = claims
            .iter()
            .any(|claim| matches!(claim.who, Who::Service(_)) && claim.until.is_none());
        let claims = claims
            .iter()
            .filter(|claim| claim.tells_of(start))
            .filter(|claim| !service || !claim.who.is_seen());
        claims.min_by_key(|claim| {
            let (first, held) = (claim.overlaps(&(start..=start)), claim.overlaps(times));
            let age = u64::MAX - claim.since.0;
            (!first, !held, claim.until.is_some(), claim.who.precedence(), age)
        })
    }

    pub fn expire(&mut self, at: Moment) {
        while let Some(&(moment, ip)) = self.fading.front() {
            if at.since(moment) < ENDED {
                return;
            }
            self.fading.pop_front();
            let Some(address) = self.addresses.get_mut(&ip) else { continue };
            let mut again = false;
            address.claims.retain(|claim| {
                let limit = match (&claim.until, &claim.who) {
                    (Some(_), _) => ENDED,
                    (None, who) if who.is_seen() => SEEN,
                    (None, _) => return true,
                };
                let gone = at.since(claim.touched) >= limit;
                if gone && matches!(claim.who, Who::Pod { .. }) {
                    leave(&mut self.neighbourhoods, ip);
                }
                again |= !gone;
                !gone
            });
            address.queued = again;
            if again {
                self.fading.push_back((at, ip));
            } else if address.claims.is_empty() {
                self.addresses.remove(&ip);
            }
        }
    }

    pub fn table(&self) -> Table {
        Table {
            name: "addresses",
            entries: self.addresses.len() as u64,
            max_entries: self.limit as u64,
            evicted: self.evicted,
        }
    }
}

fn same(a: &Who, b: &Who) -> bool {
    match (a, b) {
        (Who::Pod { uid: a, .. }, Who::Pod { uid: b, .. }) => a == b,
        _ => a == b,
    }
}

fn leave(neighbourhoods: &mut HashMap<IpAddr, u32>, ip: IpAddr) {
    let key = neighbourhood(ip);
    if let Some(count) = neighbourhoods.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            neighbourhoods.remove(&key);
        }
    }
}

/// The /24 or the /64 around an address.
fn neighbourhood(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & !0xff).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

/// The IPv4 address inside one of NAT64's well-known prefix (RFC 6052).
pub(super) fn embedded(ip: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(ip) = ip else { return None };
    match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3));

    fn pod(uid: &str, seen: bool) -> Who {
        Who::Pod { uid: uid.into(), seen }
    }

    fn named(name: &str) -> Arc<Identity> {
        Arc::new(Identity { pod: Some(name.into()), ..Identity::default() })
    }

    fn at(seconds: u64) -> Moment {
        Moment::default().after(Duration::from_secs(seconds))
    }

    #[track_caller]
    fn check(addresses: &Addresses, ip: IpAddr, time: u64, expected: &str) {
        let found = match addresses.lookup(ip, Timestamp(time)) {
            Found::Held { identity, .. } => identity.pod.as_deref().unwrap_or_default().to_string(),
            Found::Former(identity) => {
                format!("former {}", identity.pod.as_deref().unwrap_or_default())
            }
            other => format!("{other:?}"),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn reuse_within_a_second() {
        let mut addresses = Addresses::new(8);
        addresses.claim(IP, &pod("a", false), &named("a"), true, Timestamp(100), at(0));
        addresses.release(IP, &pod("a", false), Timestamp(500), at(0));
        check(&addresses, IP, 600, "former a");
        addresses.claim(IP, &pod("b", false), &named("b"), true, Timestamp(800), at(1));
        for (time, expected) in
            [(50, "b"), (100, "a"), (500, "a"), (501, "b"), (800, "b"), (900, "b")]
        {
            check(&addresses, IP, time, expected);
        }
        addresses.expire(at(61));
        check(&addresses, IP, 200, "b");
    }

    #[test]
    fn the_newest_of_two_that_stand() {
        let mut addresses = Addresses::new(8);
        addresses.claim(IP, &pod("a", false), &named("a"), true, Timestamp(100), at(0));
        addresses.claim(IP, &pod("b", true), &named("b"), true, Timestamp(800), at(1));
        // The feed repeats the older one: that makes it no newer.
        addresses.claim(IP, &pod("a", false), &named("a2"), true, Timestamp(900), at(2));
        check(&addresses, IP, 1000, "b");
        check(&addresses, IP, 500, "a2");
        // Before both, the one that stands is more likely than the one that ended.
        addresses.release(IP, &pod("b", true), Timestamp(1100), at(3));
        check(&addresses, IP, 50, "a2");
    }

    #[test]
    fn a_pod_seen_at_a_services_address_does_not_take_it() {
        let mut addresses = Addresses::new(8);
        addresses.claim(IP, &pod("a", true), &named("a"), true, Timestamp(100), at(0));
        check(&addresses, IP, 200, "a");
        let service = Who::Service("shop/web".into());
        addresses.claim(IP, &service, &named("the service"), false, Timestamp(300), at(1));
        for time in [200, 400] {
            check(&addresses, IP, time, "the service");
        }
        addresses.release(IP, &service, Timestamp(500), at(2));
        check(&addresses, IP, 600, "a");
    }

    #[test]
    fn a_sighting_fades_and_a_confirmed_one_does_not() {
        let mut addresses = Addresses::new(8);
        addresses.claim(IP, &pod("a", true), &named("a"), true, Timestamp(1), at(0));
        let next = "10.1.2.4".parse().unwrap();
        addresses.claim(next, &pod("b", true), &named("b"), true, Timestamp(1), at(0));
        addresses.claim(next, &pod("b", false), &named("b"), true, Timestamp(2), at(1));
        check(&addresses, "10.1.2.5".parse().unwrap(), 5, "Near");
        for seconds in (0..400).step_by(10) {
            addresses.expire(at(seconds));
        }
        check(&addresses, IP, 5, "Near");
        check(&addresses, next, 5, "b");
        addresses.release(next, &pod("b", false), Timestamp(9), at(400));
        addresses.expire(at(460));
        check(&addresses, next, 10, "Stranger");
        assert!(addresses.addresses.is_empty() && addresses.fading.is_empty());
    }

    #[test]
    fn nodes_are_held_by_each_of_their_pods_and_give_way_to_services() {
        let mut addresses = Addresses::new(8);
        let node = Who::Node("n".into());
        addresses.claim(IP, &node, &named("n"), false, Timestamp(1), at(0));
        addresses.claim(IP, &node, &named("n"), false, Timestamp(1), at(0));
        addresses.release(IP, &node, Timestamp(2), at(0));
        addresses.expire(at(100));
        check(&addresses, IP, 5, "n");
        addresses.claim(IP, &Who::Service("s".into()), &named("s"), false, Timestamp(3), at(100));
        check(&addresses, IP, 5, "s");
        addresses.release(IP, &node, Timestamp(6), at(100));
        addresses.release(IP, &node, Timestamp(6), at(100));
        addresses.expire(at(200));
        check(&addresses, IP, 7, "s");
    }

    #[test]
    fn own_nat64_and_room() {
        let mut addresses = Addresses::new(1);
        addresses.set_own([IP].into());
        check(&addresses, IP, 1, "Unclaimed");
        // The feed's word for it is enough.
        let mut told = Addresses::new(1);
        told.claim(IP, &Who::Node("n".into()), &named("n"), true, Timestamp(1), at(0));
        check(&told, IP, 1, "Own");
        addresses.claim(IP, &Who::Node("n".into()), &named("n"), true, Timestamp(1), at(0));
        check(&addresses, IP, 1, "Own");
        addresses.claim(IP, &pod("a", false), &named("a"), true, Timestamp(1), at(0));
        check(&addresses, "64:ff9b::10.1.2.3".parse().unwrap(), 1, "a");
        assert!(!addresses.claim(
            "10.9.9.9".parse().unwrap(),
            &pod("c", false),
            &named("c"),
            true,
            Timestamp(1),
            at(0)
        ));
        assert_eq!(addresses.table().evicted, 1);
    }
}
