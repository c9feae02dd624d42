//! What the directory knows, and how it learns: cgroup events, the feed, and what sockets betray of each other.

use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use model::{
    Connection, ConnectionEvent, Direction, Flow, Identity, Lookup, Node, Observation, Service,
    Subject, Timestamp,
};
use tracing::{debug, info, warn};

use super::address::{Addresses, Found, Who};
use super::backends::Backends;
use super::cgroups::{Cgroups, Owner};
use super::clock::{Clock, Moment};
use super::counters::Table;
use super::host::Host;
use super::interest::Interest;
use super::lookups::Lookups;
use super::netns::{Holder, Namespaces};
use super::peers::{Peers, Tuple};
use super::pending::Key;
use super::pods::Pods;
use super::process::Processes;
use super::scope::Scope;
use super::unseen::Unseen;
use super::{Config, Feed, Mode, hierarchy, path, standalone};

/// Pause between two walks over the hierarchy; it doubles while they find nothing.
const RESCAN_PAUSE: Duration = Duration::from_secs(1);
const MAX_RESCAN_PAUSE: Duration = Duration::from_secs(60);
/// How often the node's own addresses are read.
const OWN_ADDRESSES: Duration = Duration::from_secs(30);
/// The same where a socket of the host has an address that is not among them.
const OWN_ADDRESSES_PAUSE: Duration = Duration::from_secs(1);
/// How often the names of network namespaces are read, where they are asked for.
const NAMED_PAUSE: Duration = Duration::from_secs(1);
/// Things waited for in vain that are remembered, of each kind.
const MAX_VAIN: usize = 4_096;

pub struct Names {
    pub(super) config: Config,
    scope: Scope,
    pub(super) cgroups: Cgroups,
    pub(super) pods: Pods,
    pub(super) addresses: Addresses,
    pub(super) peers: Peers,
    pub(super) lookups: Lookups,
    pub(super) backends: Backends,
    pub(super) namespaces: Namespaces,
    pub(super) unseen: Unseen,
    pub(super) processes: Processes,
    pub(super) process_names: standalone::Processes,
    /// Each with the account that told of it last.
    pub(super) services: HashMap<Arc<str>, (Service, u32)>,
    pub(super) services_evicted: u64,
    /// As services.
    pub(super) nodes: HashMap<Arc<str>, (Node, u32)>,
    pub(super) interest: Interest,
    /// Accounts of all that exists that the feed has begun, and whether the last is not complete yet.
    pub(super) account: u32,
    pub(super) counting: bool,
    /// The feed's source is out of reach.
    pub(super) stale: bool,
    host: Host,
    /// Network namespaces by the names that somebody gave them, and when to read them again.
    named: HashMap<u32, Arc<Identity>>,
    named_at: Moment,
    cgroup_root: Option<PathBuf>,
    /// Containers may be in cgroup v1 hierarchies only.
    pub(super) hybrid: bool,
    pub(super) this_host: Arc<Identity>,
    pub(super) world: Arc<Identity>,
    pub(super) multicast: Arc<Identity>,
    pub(super) broadcast: Arc<Identity>,
    /// Cgroup ids that were never explained, and when they were first met.
    pub(super) unknown_cgroups: HashMap<u64, Moment>,
    /// The same of network namespaces.
    pub(super) unknown_namespaces: HashMap<u32, Moment>,
    /// Addresses whose name was waited for in vain, by network namespace, and when it may be waited for again.
    pub(super) nameless: HashMap<(u32, IpAddr), Moment>,
    /// Addresses that were waited for in vain, and when they may be waited for again.
    pub(super) unknown_addresses: HashMap<IpAddr, Moment>,
    pub(super) synced: bool,
    rescan_at: Moment,
    rescan_pause: Duration,
    pub(super) rescans: u64,
    own_at: Moment,
    clock: Clock,
    pub(super) now: Timestamp,
    pub(super) at: Moment,
    /// What became known and may be waited for.
    pub news: Vec<Key>,
    /// So much became known that all addresses should be looked at again.
    pub all_addresses: bool,
    /// Nothing more is to be expected of the feed for now.
    pub no_more: bool,
}

impl Names {
    pub fn new(config: Config) -> io::Result<Self> {
        let mountinfo =
            std::fs::read_to_string(config.proc_root.join("self/mountinfo")).unwrap_or_default();
        let cgroup_root = config.cgroup_root.clone().or_else(|| hierarchy::mount(&mountinfo));
        let host = Host::read(&config.proc_root);
        let limits = config.limits.clone();
        let world = standalone::external("world");
        let mut names = Self {
            cgroups: Cgroups::new(limits.cgroups),
            pods: Pods::new(config.node.clone(), limits.pods),
            addresses: Addresses::new(limits.addresses),
            peers: Peers::new(limits.peers),
            lookups: Lookups::new(world.clone(), limits.lookups),
            backends: Backends::new(limits.backends),
            namespaces: Namespaces::new(host.netns, limits.namespaces),
            unseen: Unseen::new(
                cgroup_root.clone().filter(|_| host.initial).zip(Some(config.proc_root.clone())),
                limits.namespaces,
            ),
            scope: Scope::new(config.mode, &config.scope),
            processes: Processes::new(
                host.initial.then(|| config.proc_root.clone()),
                limits.processes,
            ),
            process_names: standalone::Processes::default(),
            services: HashMap::new(),
            services_evicted: 0,
            nodes: HashMap::new(),
            interest: Interest::new(limits.interest, config.interest_idle),
            account: 0,
            counting: false,
            stale: false,
            hybrid: hierarchy::has_v1(&mountinfo),
            this_host: standalone::host(&config.node),
            world,
            multicast: standalone::external("multicast"),
            broadcast: standalone::external("broadcast"),
            unknown_cgroups: HashMap::new(),
            unknown_namespaces: HashMap::new(),
            nameless: HashMap::new(),
            unknown_addresses: HashMap::new(),
            synced: config.mode == Mode::Standalone || config.feed == Feed::None,
            rescan_at: Moment::default(),
            rescan_pause: RESCAN_PAUSE,
            rescans: 0,
            own_at: Moment::default(),
            clock: Clock::default(),
            now: Timestamp::default(),
            at: Moment::default(),
            news: Vec::new(),
            all_addresses: false,
            no_more: false,
            named: HashMap::new(),
            named_at: Moment::default(),
            host,
            cgroup_root,
            config,
        };
        names.seed()?;
        Ok(names)
    }

    fn seed(&mut self) -> io::Result<()> {
        if !self.host.initial {
            warn!(
                "{} is not of the initial pid namespace: processes and the host's network cannot be told apart by it; \
                 set hostPID: true or mount the host's /proc",
                self.config.proc_root.display()
            );
        }
        self.read_own_addresses();
        match self.cgroup_root.clone() {
            None => warn!(
                "no cgroup2 mount found: containers are told by network namespace and process only"
            ),
            Some(root) => match self.walk() {
                Ok(_) => {
                    if hierarchy::id(&root, &self.config.scope).is_none() {
                        warn!(
                            "agent.cgroup = {:?}: there is no such cgroup; pods are left out until it appears",
                            self.config.scope
                        );
                    }
                    info!(root = %root.display(), cgroups = self.cgroups.table().entries, "read the cgroup hierarchy")
                }
                Err(error) if self.config.cgroup_root.is_some() => {
                    let text = format!(
                        "cgroup hierarchy {}: {error}; give the mount of cgroup2",
                        root.display()
                    );
                    return Err(io::Error::new(error.kind(), text));
                }
                Err(error) => warn!("cgroup hierarchy {}: {error}", root.display()),
            },
        }
        self.news.clear();
        Ok(())
    }

    pub fn advance(&mut self, now: Timestamp) {
        self.at = self.clock.advance(now);
        self.now = now;
    }

    pub fn cgroup(&mut self, event: probes::Cgroup) {
        match event {
            probes::Cgroup::Created { id, path } => self.insert_cgroup(id, &path),
            probes::Cgroup::Removed { id } => {
                self.cgroups.remove(id, self.now, self.at);
                self.unseen.remove(id);
            }
        }
    }

    fn insert_cgroup(&mut self, id: u64, path: &str) {
        let owner = self.scope.owner(path);
        let holder = match &owner {
            Owner::Pod { uid, container: Some(_) } => Some(Holder::Pod(uid.clone())),
            Owner::Foreign { uid } => Some(Holder::Foreign(uid.clone())),
            Owner::Named(identity) if identity.container.is_some() => self.holder(identity),
            Owner::Pod { container: None, .. } | Owner::Named(_) | Owner::Nobody => None,
        };
        if self.cgroups.insert(id, owner, self.now, self.at) {
            if let Some(holder) = holder
                && !self.namespaces.has(holder.key())
            {
                self.unseen.insert(id, path, holder, self.at);
            }
            self.unknown_cgroups.remove(&id);
            self.news.push(Key::Cgroup(id));
        }
    }

    /// Takes in the whole hierarchy; the number of cgroups that were new.
    fn walk(&mut self) -> io::Result<usize> {
        let Some(root) = self.cgroup_root.clone() else { return Ok(0) };
        let before = self.news.len();
        let mut present = HashSet::new();
        let complete = hierarchy::walk(&root, |id, path| {
            present.insert(id);
            self.insert_cgroup(id, path);
            present.len() <= self.config.limits.cgroups
        })?;
        if complete {
            self.cgroups.keep(&present, self.now, self.at);
        }
        Ok(self.news.len() - before)
    }

    /// Walks again for an id that no event told of, ever less often while that does not help.
    pub(super) fn rescan(&mut self) {
        if self.cgroup_root.is_none() || self.at < self.rescan_at {
            return;
        }
        self.rescans += 1;
        match self.walk() {
            Ok(0) => self.rescan_pause = (self.rescan_pause * 2).min(MAX_RESCAN_PAUSE),
            Ok(found) => {
                debug!(found, "found cgroups that no event told of");
                self.rescan_pause = RESCAN_PAUSE;
            }
            Err(error) => {
                debug!("cgroup hierarchy: {error}");
                self.rescan_pause = MAX_RESCAN_PAUSE;
            }
        }
        self.rescan_at = self.at.after(self.rescan_pause);
    }

    /// The owner of a process by procfs; learns its cgroup's id on the way.
    pub(super) fn process_owner(&mut self, pid: u32, netns: u32) -> Option<super::cgroups::Owner> {
        let Self { processes, cgroups, cgroup_root, news, scope, unknown_cgroups, now, at, .. } =
            self;
        processes.owner(pid, netns, *at, |text| {
            if let (Some(root), Some(path)) = (cgroup_root, path::unified(text))
                && let Some(id) = hierarchy::id(root, path)
                && cgroups.insert(id, scope.owner(path), *now, *at)
            {
                unknown_cgroups.remove(&id);
                news.push(Key::Cgroup(id));
            }
            Some(scope.owner(path::of_process(text)))
        })
    }

    /// Remembers whose socket this is, if the other end may have no other way to know.
    pub fn meet(&mut self, observation: &Observation) {
        match &observation.subject {
            Subject::Drop(_) => return,
            Subject::Dns(lookup) => self.hear_of(observation, lookup),
            Subject::Connection(_) | Subject::Flow(_) => {}
        }
        let (local, remote) =
            (observation.local.ip().to_canonical(), observation.remote.ip().to_canonical());
        let netns = observation.process.netns;
        if !local.is_loopback() && !remote.is_loopback() {
            if self.namespaces.is_host(netns) && !self.addresses.is_own(&local) {
                self.find_own(local);
            }
            let ours = self.namespaces.is_host(netns) || self.addresses.is_own(&local);
            if !ours || !self.lives_here(remote, observation.time) {
                return;
            }
        }
        let tuple = Tuple::new(observation.local, observation.remote, observation.protocol, netns);
        if self.peers.insert(tuple, observation.process, began(observation), self.at) {
            self.news.push(Key::Peer(tuple));
        }
        if let Subject::Connection(Connection {
            event: ConnectionEvent::Closed | ConnectionEvent::Failed,
            ..
        }) = observation.subject
        {
            self.peers.end(&tuple, observation.time);
        }
    }

    /// What an answer says to who asked for it.
    fn hear_of(&mut self, observation: &Observation, lookup: &Lookup) {
        if observation.direction != Direction::Egress {
            return;
        }
        let netns = observation.process.netns;
        for ip in self.lookups.learn(netns, lookup, self.at) {
            self.nameless.remove(&(netns, ip));
            self.news.push(Key::Lookup(netns, ip));
        }
    }

    /// An address of the host that is not known yet: it was added since the last look.
    fn find_own(&mut self, local: IpAddr) {
        if self.host.netns.is_none() {
            if !local.is_unspecified() {
                self.addresses.add_own(local);
            }
        } else if self.at.since(self.own_at) >= OWN_ADDRESSES_PAUSE {
            self.read_own_addresses();
        }
    }

    fn lives_here(&self, ip: IpAddr, time: Timestamp) -> bool {
        match self.addresses.lookup(ip, time) {
            Found::Own | Found::Unclaimed | Found::Near | Found::Former(_) => true,
            Found::Held { local, .. } => local,
            Found::Earlier | Found::Stranger => false,
        }
    }

    /// Who a network namespace is taken to belong to where this one is seen in it.
    fn holder(&self, identity: &Arc<Identity>) -> Option<Holder> {
        match (self.config.mode, &identity.pod_uid) {
            (Mode::Kubernetes, Some(uid)) if self.pods.is_gone(uid) => None,
            (Mode::Kubernetes, Some(uid)) => Some(Holder::Pod(uid.clone())),
            // A node of kind: pods in its network are no less pods.
            (Mode::Kubernetes, None) => None,
            (Mode::Standalone, _) => Some(Holder::Container(identity.clone())),
        }
    }

    pub(super) fn learn_namespace(&mut self, netns: u32, holder: &Holder) {
        // Where the host's is not known, a container's may be it.
        let sure = matches!(holder, Holder::Pod(_)) || self.namespaces.is_private(netns);
        if sure && self.namespaces.learn(netns, holder, self.at) {
            self.unseen.forget(holder.key());
            self.unknown_namespaces.remove(&netns);
            self.news.push(Key::Namespace(netns));
        }
    }

    /// Reads the namespaces of pods that showed no socket yet, as far as it is time; each is read once, as a rule.
    pub(super) fn look_for_namespaces(&mut self) {
        let Some(host) = self.namespaces.host() else { return };
        for (netns, holder) in self.unseen.look(host, self.at) {
            self.learn_namespace(netns, &holder);
        }
    }

    /// What somebody calls a namespace in which no pod was found.
    pub(super) fn named_namespace(&mut self, netns: u32) -> Option<Arc<Identity>> {
        if self.at >= self.named_at {
            self.named_at = self.at.after(NAMED_PAUSE);
            let named = self.host.named_namespaces().into_iter();
            self.named = named.map(|(netns, name)| (netns, standalone::namespace(&name))).collect();
        }
        self.named.get(&netns).cloned()
    }

    /// Learns from a socket whose owner its cgroup told: the network namespace and, if no feed tells it, the address.
    pub fn sight(&mut self, observation: &Observation, identity: &Arc<Identity>, addressed: bool) {
        let netns = observation.process.netns;
        if identity.host_network {
            self.namespaces.learn_host(netns);
        } else if let Some(key) = identity.pod_uid.as_ref().or(identity.container.as_ref())
            && !self.namespaces.confirm(netns, key, self.at)
            && let Some(holder) = self.holder(identity)
        {
            self.learn_namespace(netns, &holder);
        }
        let ip = observation.local.ip().to_canonical();
        let drop = matches!(observation.subject, Subject::Drop(_));
        if addressed
            || drop
            || ip.is_loopback()
            || ip.is_unspecified()
            || !self.namespaces.is_private(netns)
        {
            return;
        }
        if let Some(uid) = identity.pod_uid.as_ref().or(identity.container.as_ref()) {
            let who = Who::Pod { uid: uid.clone(), seen: true };
            self.claim(ip, &who, &self.whole(identity), true);
        }
    }

    pub fn expire(&mut self) {
        let at = self.at;
        self.cgroups.expire(at);
        self.pods.expire(at);
        self.addresses.expire(at);
        self.peers.expire(at);
        self.lookups.expire(at);
        self.backends.expire(at);
        self.namespaces.expire(at);
        self.processes.expire(at);
        for ip in self.interest.expire(at) {
            self.addresses.forget(ip);
        }
        self.nameless.retain(|_, until| *until > at);
        self.unknown_addresses.retain(|_, until| *until > at);
        self.unknown_namespaces.retain(|_, since| at.since(*since) < MAX_RESCAN_PAUSE * 10);
        self.unknown_cgroups.retain(|_, since| at.since(*since) < MAX_RESCAN_PAUSE * 10);
        if at.since(self.own_at) >= OWN_ADDRESSES {
            self.read_own_addresses();
        }
    }

    fn read_own_addresses(&mut self) {
        self.own_at = self.at;
        if let Some(own) = self.host.addresses() {
            self.all_addresses |= self.addresses.set_own(own);
        }
    }

    pub fn tables(&self) -> impl Iterator<Item = Table> {
        let services = Table {
            name: "services",
            entries: self.services.len() as u64,
            max_entries: self.config.limits.services as u64,
            evicted: self.services_evicted,
        };
        [
            self.cgroups.table(),
            self.pods.table(),
            services,
            self.addresses.table(),
            self.interest.table(),
            self.peers.table(),
            self.lookups.table(),
            self.backends.table(),
            self.namespaces.table(),
            self.unseen.table(),
            self.processes.table(),
            self.process_names.table(),
        ]
        .into_iter()
    }
}

/// Adds to a memory of failures, which is emptied rather than outgrow its bound: then some are waited for again.
pub(super) fn remember<K: std::hash::Hash + Eq>(
    vain: &mut HashMap<K, Moment>,
    key: K,
    moment: Moment,
) -> Moment {
    if vain.len() >= MAX_VAIN {
        vain.clear();
    }
    *vain.entry(key).or_insert(moment)
}

/// From when until when a connection was there, as far as that is known: it is with whom had the address when it began.
pub(super) fn lifetime(observation: &Observation) -> RangeInclusive<Timestamp> {
    let age_ns = match &observation.subject {
        Subject::Connection(Connection { duration_ns, .. }) => *duration_ns,
        Subject::Flow(Flow { age_ns, .. }) => *age_ns,
        Subject::Dns(_) | Subject::Drop(_) => 0,
    };
    Timestamp(observation.time.0.saturating_sub(age_ns))..=observation.time
}

/// When that which a record is about began; 0 if unknown.
pub(super) fn began(observation: &Observation) -> Timestamp {
    let Timestamp(time) = observation.time;
    match &observation.subject {
        Subject::Connection(Connection {
            event: ConnectionEvent::Opened | ConnectionEvent::Accepted,
            ..
        }) => observation.time,
        Subject::Connection(Connection { duration_ns: 0, .. }) => Timestamp(0),
        Subject::Connection(Connection { duration_ns, .. }) => {
            Timestamp(time.saturating_sub(*duration_ns))
        }
        Subject::Flow(Flow { interval_ns, age_ns, .. }) => {
            Timestamp(time.saturating_sub(*interval_ns.max(age_ns)))
        }
        Subject::Dns(lookup) => Timestamp(time.saturating_sub(lookup.duration_ns)),
        Subject::Drop(_) => observation.time,
    }
}
