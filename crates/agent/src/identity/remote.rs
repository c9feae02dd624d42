//! The other end: by its own socket if that lives here and is known, else by address.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{ConnectionEvent, Direction, Identity, Observation, Subject};

use super::address::{Found, embedded};
use super::local::Local;
use super::names::{Names, began, lifetime, remember};
use super::peers::Tuple;
use super::pending::Key;
use super::{Feed, Mode};

/// How long after an address proved to be nobody's the next record waits for it.
const VAIN: Duration = Duration::from_secs(60);
/// How long after the start addresses may be unknown because the feed is not through.
const START: Duration = Duration::from_secs(10);

pub enum Remote {
    /// `None`: nothing can be said of it.
    Known(Option<Arc<Identity>>),
    /// Worth waiting for `key`; else this is what is known.
    Missing { key: Key, patience: Duration, known: Option<Arc<Identity>>, near: bool },
}

impl Names {
    /// Who is at the remote end. `local` is the identity of the local one.
    pub fn remote(&mut self, observation: &Observation, local: Option<&Arc<Identity>>) -> Remote {
        let ip = observation.remote.ip().to_canonical();
        let netns = observation.process.netns;
        if ip.is_unspecified() {
            return Remote::Known(None);
        }
        if ip.is_loopback() {
            let private = !self.namespaces.is_host(netns)
                && local.is_some_and(|identity| {
                    let pod = identity.pod_uid.is_some() && !identity.host_network;
                    pod || (identity.container.is_some() && self.namespaces.is_private(netns))
                });
            let instead = match local {
                Some(identity) if private => Some(self.whole(identity)),
                None if !self.namespaces.is_host(netns) => None,
                _ => Some(self.this_host.clone()),
            };
            return self.peer(observation, instead, !private);
        }
        match self.addresses.lookup_during(ip, lifetime(observation)) {
            Found::Own => self.peer(observation, Some(self.this_host.clone()), true),
            Found::Unclaimed => self.unclaimed(ip, observation),
            Found::Held { identity, answered: true, .. } => {
                self.interest.touch(&embedded(ip).unwrap_or(ip), self.at);
                Remote::Known(Some(identity))
            }
            Found::Held { identity, seen: true, .. } => {
                self.answered_first(ip, &identity).unwrap_or_else(|| self.held(identity))
            }
            Found::Held { identity, .. } => self.held(identity),
            Found::Former(identity) => self.absent(ip, Some(identity), true),
            Found::Earlier => Remote::Known(None),
            Found::Near if self.asks() => self.ask(ip, true),
            Found::Near => self.absent(ip, Some(self.world.clone()), true),
            Found::Stranger => self.stranger(ip),
        }
    }

    /// An address on this node's links. With IPVS those of services are there, too, and the feed knows them.
    fn unclaimed(&mut self, ip: IpAddr, observation: &Observation) -> Remote {
        let here = self.this_host.clone();
        let answered = self.answered_first(ip, &here);
        answered.unwrap_or_else(|| self.peer(observation, Some(here), true))
    }

    /// Worth waiting for what the feed says of `ip`, as long as it may still answer; else it is `known`.
    fn answered_first(&mut self, ip: IpAddr, known: &Arc<Identity>) -> Option<Remote> {
        if !self.asks() || self.stale {
            return None;
        }
        match self.ask(ip, false) {
            Remote::Missing { key, patience, near, .. } if patience > Duration::ZERO => {
                Some(Remote::Missing { key, patience, known: Some(known.clone()), near })
            }
            _ => None,
        }
    }

    /// By the socket at the other end; `instead` if that is not known, nor comes to be known where it is `waited` for.
    fn peer(
        &mut self,
        observation: &Observation,
        instead: Option<Arc<Identity>>,
        waited: bool,
    ) -> Remote {
        let tuple = Tuple::new(
            observation.local,
            observation.remote,
            observation.protocol,
            observation.process.netns,
        )
        .swapped();
        if let Some(process) = self.peers.find(&tuple, began(observation)) {
            return match self.local(&process, observation.time, false) {
                Local::Named(named) => Remote::Known(Some(named.identity)),
                Local::Missing { key, patient: true, known, .. } => {
                    let known = known.map(|named| named.identity).or(instead);
                    Remote::Missing { key, patience: self.config.patience, known, near: false }
                }
                Local::Missing { known, .. } => {
                    Remote::Known(known.map(|named| named.identity).or(instead))
                }
                Local::Nobody | Local::Foreign(_) => Remote::Known(instead),
            };
        }
        // Nobody answers a failed connection, and a drop has no end.
        let silent = match &observation.subject {
            Subject::Drop(_) => true,
            Subject::Connection(connection) => connection.event == ConnectionEvent::Failed,
            Subject::Dns(lookup) => lookup.code.is_none(),
            Subject::Flow(_) => false,
        };
        if silent || !waited {
            return Remote::Known(instead);
        }
        Remote::Missing {
            key: Key::Peer(tuple),
            patience: self.config.peer_patience,
            known: instead,
            near: false,
        }
    }

    /// `remote` with the names by which the local end looked it up, if it is outside and has any. These may be on their
    /// way still: the answer came before the connection, but along another way. That is waited for once, then not again
    /// for a while.
    pub fn called(&mut self, observation: &Observation, remote: Arc<Identity>) -> Remote {
        if !Arc::ptr_eq(&remote, &self.world) {
            return Remote::Known(Some(remote));
        }
        let (netns, ip) = (observation.process.netns, observation.remote.ip().to_canonical());
        if let Some(named) = self.lookups.find(netns, ip, self.at) {
            return Remote::Known(Some(named));
        }
        // Who connects from outside was not looked up, nor are name servers.
        let looks_up = observation.direction == Direction::Egress
            && !matches!(observation.subject, Subject::Dns(_));
        if !self.config.lookups || !looks_up || self.nameless.contains_key(&(netns, ip)) {
            return Remote::Known(Some(remote));
        }
        Remote::Missing {
            key: Key::Lookup(netns, ip),
            patience: self.config.peer_patience,
            known: Some(remote),
            near: false,
        }
    }

    /// What shares its network has an address as a whole: the pod, not one of its containers.
    pub(super) fn whole(&self, identity: &Arc<Identity>) -> Arc<Identity> {
        let pod = identity.pod_uid.as_deref().and_then(|uid| self.pods.get(uid));
        pod.map_or_else(|| identity.clone(), |entry| entry.identity.clone())
    }

    fn held(&mut self, identity: Arc<Identity>) -> Remote {
        let Some(uid) = identity.pod_uid.as_ref().filter(|_| identity.pod.is_none()) else {
            return Remote::Known(Some(identity));
        };
        if self.config.mode == Mode::Standalone {
            return Remote::Known(Some(identity));
        }
        match self.pods.identity(uid, None) {
            Some(identity) => Remote::Known(Some(identity)),
            None => {
                let key = Key::Pod(uid.clone());
                Remote::Missing {
                    key,
                    patience: self.config.patience,
                    known: Some(identity),
                    near: false,
                }
            }
        }
    }

    /// Perhaps a pod that is not known yet. That is waited for once, then not again for a while.
    fn absent(&mut self, ip: IpAddr, known: Option<Arc<Identity>>, near: bool) -> Remote {
        if self.unknown_addresses.contains_key(&ip) {
            return Remote::Missing {
                key: Key::Address(ip),
                patience: Duration::ZERO,
                known,
                near,
            };
        }
        let patience = match self.config.mode {
            Mode::Kubernetes => self.config.patience,
            Mode::Standalone => self.config.peer_patience,
        };
        Remote::Missing { key: Key::Address(ip), patience, known, near }
    }

    fn asks(&self) -> bool {
        self.config.feed == Feed::OnDemand && self.config.mode == Mode::Kubernetes
    }

    /// The feed will say whose it is. That is waited for until it does, or until it does not in time.
    fn ask(&mut self, ip: IpAddr, near: bool) -> Remote {
        let ip = embedded(ip).unwrap_or(ip);
        let (awaited, gone) = self.interest.want(ip, self.at);
        if let Some(gone) = gone {
            self.addresses.forget(gone);
        }
        let known = Some(self.world.clone());
        let patience = if awaited { self.config.patience } else { Duration::ZERO };
        Remote::Missing { key: Key::Address(ip), patience, known, near }
    }

    /// Whether anybody may still tell of `key`.
    pub fn hopeful(&self, key: &Key) -> bool {
        let silent = self.stale || self.config.feed == Feed::None;
        !silent
            || self.config.mode == Mode::Standalone
            || !matches!(key, Key::Pod(_) | Key::Address(_))
    }

    /// Called when the wait for an address or a backend was in vain. The others that wait for it go too: what comes next will not
    /// wait, and must not overtake them.
    pub fn despair_of(&mut self, key: Key) {
        if let Key::Lookup(netns, ip) = key {
            let until = self.at.after(VAIN);
            remember(&mut self.nameless, (netns, ip), until);
            self.news.push(key);
            return;
        }
        if let Key::Address(ip) = key {
            if self.asks() {
                self.interest.despair_of(&ip);
                self.news.push(key);
                return;
            }
            let until = self.at.after(VAIN);
            remember(&mut self.unknown_addresses, ip, until);
            self.news.push(key);
        } else if let Key::Backend(dial) = &key {
            self.backends.despair_of(dial);
            self.news.push(key);
        }
    }

    fn stranger(&mut self, ip: IpAddr) -> Remote {
        let outside = match ip {
            IpAddr::V4(ip) if ip.is_broadcast() => self.broadcast.clone(),
            ip if ip.is_multicast() => self.multicast.clone(),
            // Of some neighbour on some link: the address alone does not tell which.
            IpAddr::V6(ip) if ip.is_unicast_link_local() => return Remote::Known(None),
            _ if self.asks() => return self.ask(ip, false),
            ip if !self.synced && self.at.since(Default::default()) < START => {
                return self.absent(ip, Some(self.world.clone()), false);
            }
            _ => self.world.clone(),
        };
        Remote::Known(Some(outside))
    }
}
