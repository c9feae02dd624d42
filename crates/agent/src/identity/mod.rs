//! Who is at each end of what a probe saw: cgroup id, then network namespace, then process, and an IP address
//! only for the remote end.
//!
//! One thread owns a [`Directory`] and drives it; nothing here sleeps or locks:
//!
//! ```text
//! let mut directory = Directory::new(Config::new(node, Mode::Kubernetes))?;   // walks the cgroup hierarchy once
//! directory.cgroup(event, now);                  // each probes::Cgroup
//! directory.change(change, now);                 // each model::Change of the metadata feed
//! directory.identify(observation, now, &mut out) // each Observation: calls out(Record) now, or later ...
//! directory.tick(now, &mut out);                 // ... from here; several times a second (100 ms is good)
//! directory.take_wishes();                       // to the feed, after any of these: addresses to ask for
//! directory.take_questions();                    // to the kernel, likewise: backends to ask for
//! directory.answer(answer, now);                 // each of its answers
//! directory.flush(now, &mut out);                // at the end: nothing stays behind
//! ```
//!
//! Every observation but those of pods out of scope leaves as exactly one record. It is parked, for [`Config::patience`] at most, while its cgroup
//! or pod is not known yet. `cgroup`, `change` and `answer` only mark parked records as ready: they leave with the next
//! `identify`, `deliver_ready` or `tick`. What still has no name then is counted in [`Counters::unattributed`].
//!
//! | end | identity |
//! |---|---|
//! | container of a pod | namespace, pod, uid, container (its id if the feed does not list it), workload, labels |
//! | a pod by its address or namespace | the same without the container |
//! | a pod that the feed does not tell | uid and container id; counted as `unknown_pod` |
//! | systemd unit, session, container | workload of kind `SystemdUnit`, `Session`, `Container` |
//! | a network namespace of no container | workload of kind `NetworkNamespace`, by its name in `/run/netns` |
//! | another process | workload of kind `Process`, named as the kernel names it |
//! | a node, where the socket is not known | workload of kind `Host` |
//! | a service's address | namespace, service; and the backend's pod and workload where the kernel tells which it chose |
//! | outside | workload of kind `External`: `world`, `multicast`, `broadcast`; the names by which its network namespace looked it up |
//! | cannot be known | none |
//!
//! A pod outside of [`Config::scope`] is another agent's: what it does is counted in [`Counters::out_of_scope`], and
//! that is all.
//!
//! Records of one socket leave in the order in which they came, as long as they wait for the same thing.
//!
//! `now` is wall-clock time. It may step; waiting is measured on what it advances.

mod address;
mod backends;
mod cgroups;
mod clock;
mod counters;
mod directory;
mod feed;
mod hierarchy;
mod host;
mod interest;
mod local;
mod lookups;
mod names;
mod netns;
pub mod path;
mod peers;
mod pending;
mod pods;
mod process;
mod remote;
mod scope;
mod standalone;
mod unseen;

pub(crate) use host::INITIAL_NET_NAMESPACE;

pub use backends::BackendCounters;
pub use counters::{Cause, Counters, Table};
pub use directory::Directory;
pub use interest::{InterestCounters, Wish};

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where names come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A metadata feed names the pods; records wait for it.
    Kubernetes,
    /// No feed: systemd units, containers and sessions are named by their cgroups.
    Standalone,
}

/// What the metadata feed tells, in [`Mode::Kubernetes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// Pods and services unasked; nothing else can be asked for.
    Whole,
    /// This node's pods unasked, and whose an address is to those who want it: see [`Directory::take_wishes`].
    OnDemand,
    /// Nothing: no record waits for it.
    None,
}

#[derive(Clone, Debug)]
pub struct Config {
    /// The name of this node; pods with this [`model::Pod::node`] are local.
    pub node: Arc<str>,
    pub mode: Mode,
    pub feed: Feed,
    /// Pods whose cgroup lies outside of this part of the hierarchy are left out; `/`: none are.
    pub scope: String,
    /// Root of the cgroup2 hierarchy; `None`: the mount in `/proc/self/mountinfo`.
    pub cgroup_root: Option<PathBuf>,
    /// A procfs of the initial pid namespace.
    pub proc_root: PathBuf,
    /// How long a record waits for the cgroup or the pod of one of its ends.
    pub patience: Duration,
    /// How long a record waits for its other end's own observation, where only that can name it.
    pub peer_patience: Duration,
    /// Lookups are observed: a record of an address outside waits as long for the name that it may have.
    pub lookups: bool,
    /// Somebody answers [`Directory::take_questions`]; else nothing is asked.
    pub backends: bool,
    /// How long a record waits for such an answer.
    pub backend_patience: Duration,
    /// After so long without a record an address is no longer asked for.
    pub interest_idle: Duration,
    pub limits: Limits,
}

impl Config {
    pub fn new(node: Arc<str>, mode: Mode) -> Self {
        Self {
            node,
            mode,
            feed: Feed::Whole,
            scope: "/".into(),
            cgroup_root: None,
            proc_root: "/proc".into(),
            lookups: false,
            patience: Duration::from_secs(2),
            // The other end's event waits in a ring as long as this one did: at most for one poll.
            peer_patience: Duration::from_millis(150),
            backends: false,
            backend_patience: Duration::from_millis(250),
            interest_idle: Duration::from_secs(600),
            limits: Limits::default(),
        }
    }
}

/// Entries that each table may hold. What does not fit is counted in [`Counters::tables`].
#[derive(Clone, Debug)]
pub struct Limits {
    pub parked: usize,
    pub cgroups: usize,
    /// Pods of other nodes; this node's pods have the same room again.
    pub pods: usize,
    pub services: usize,
    pub addresses: usize,
    /// Addresses asked for at once.
    pub interest: usize,
    pub peers: usize,
    /// Addresses by whose names they were looked up.
    pub lookups: usize,
    /// Connections to services.
    pub backends: usize,
    pub namespaces: usize,
    pub processes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            parked: 16_384,
            cgroups: 65_536,
            pods: 32_768,
            services: 16_384,
            addresses: 65_536,
            interest: 16_384,
            peers: 32_768,
            lookups: 16_384,
            backends: 32_768,
            namespaces: 8_192,
            processes: 4_096,
        }
    }
}
