//! What can be told of, and that it changed.

use std::net::IpAddr;
use std::sync::Arc;

use super::uid::Uid;

pub type Str = Arc<str>;

/// Names one thing that an agent may know; its newest state is looked up when it is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// A pod as its node knows it. A pod that is on another node by now is gone from this one.
    Pod {
        uid: Uid,
        node: Str,
    },
    Node {
        name: Str,
    },
    Address(IpAddr),
}
