//! A simulated Kubernetes node made of real processes: every pod has its own network namespace, linked to a bridge,
//! and its own cgroup in a form that a kubelet would use. Serves tests, benchmarks and `amphipod demo`.
//!
//! [`Node`] and [`Pod`] are the low level: places to run any program in. Everything removes itself when dropped, and
//! what a killed process left is removed by the next [`Node::start`]. [`Cluster`] is a small on-line shop on such a node,
//! with the feed of metadata that a real cluster would give.
//!
//! [`apiserver`] is the other half of a cluster: an API server with as many made-up objects as one likes.

mod address;
pub mod apiserver;
mod cgroup;
mod clickhouse;
mod cluster;
mod error;
mod feed;
mod instance;
mod ip;
mod kubelet;
mod layout;
mod member;
mod names;
mod netns;
mod node;
mod pod;
pub mod random;
pub mod shop;
mod workload;
mod zone;

pub use address::{OUTSIDE_V4, Plan};
pub use cgroup::{Cgroup, mount as cgroup_mount};
pub use clickhouse::ClickHouse;
pub use cluster::{Cluster, Config};
pub use error::Error;
pub use feed::Lag;
pub use instance::Instance;
pub use layout::{Layout, Qos};
pub use names::BANK;
pub use netns::Netns;
pub use node::Node;
pub use pod::{Container, Pod, PodSpec};
