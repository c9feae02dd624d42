//! Who is there: the answers about the cluster instead of flows.

use std::collections::BTreeMap;

use model::{Scope, Timestamp};
use proto::hubble::observer::{
    GetNamespacesResponse, GetNodesResponse, Namespace, Node, ServerStatusResponse, Tls,
};
use proto::hubble::relay::NodeState;

use super::Hubble;

/// Names of nodes in a status.
const MOST_NAMES: usize = 100;

impl Hubble {
    pub(super) async fn nodes(&self, scope: &Scope) -> GetNodesResponse {
        let now = Timestamp::now();
        let mut nodes: BTreeMap<String, Node> = BTreeMap::new();
        let known = self.inventory.nodes();
        let state = NodeState::NodeUnavailable.into();
        for name in known.iter().map(ToString::to_string) {
            nodes.insert(name.clone(), Node { name, state, ..Node::default() });
        }
        let (all, _) = self.replicas.nodes(&self.ingest, false).await;
        for it in all {
            let connected = it.streams > 0;
            // One that has left the cluster.
            if !connected && !known.is_empty() && !nodes.contains_key(&*it.name) {
                continue;
            }
            let state =
                if connected { NodeState::NodeConnected } else { NodeState::NodeUnavailable };
            let uptime = now.since(Timestamp(it.life));
            let node = Node {
                name: it.name.to_string(),
                version: match &*it.version {
                    "" => String::new(),
                    version => format!("amphipod v{version}"),
                },
                state: state.into(),
                tls: Some(Tls { enabled: self.tls, server_name: String::new() }),
                uptime_ns: match connected {
                    true => u64::try_from(uptime.as_nanos()).unwrap_or(u64::MAX),
                    false => 0,
                },
                num_flows: it.records.kept,
                max_flows: it.records.most,
                seen_flows: it.records.seen,
                ..Node::default()
            };
            nodes.insert(node.name.clone(), node);
        }
        if !scope.is_all() {
            // Those with pods that somebody may see.
            let shown = self.inventory.nodes_within(scope);
            nodes.retain(|name, _| shown.contains(&**name));
        }
        GetNodesResponse { nodes: nodes.into_values().collect() }
    }

    /// Names of those that cannot be asked.
    pub(super) async fn absent(&self, scope: &Scope) -> Vec<String> {
        let (_, unavailable) = parted(self.nodes(scope).await.nodes);
        unavailable.into_iter().map(|it| it.name).collect()
    }

    pub(super) fn namespaces(&self, scope: &Scope) -> GetNamespacesResponse {
        let names = self.inventory.namespaces().into_iter().filter(|it| scope.has(it));
        let namespace = |name: std::sync::Arc<str>| Namespace {
            cluster: "default".to_owned(),
            namespace: name.to_string(),
        };
        GetNamespacesResponse { namespaces: names.map(namespace).collect() }
    }

    pub(super) async fn status(&self, scope: &Scope) -> ServerStatusResponse {
        let (connected, unavailable) = parted(self.nodes(scope).await.nodes);
        let sum = |value: fn(&Node) -> u64| connected.iter().map(value).sum();
        let rate = |it: &Node| it.seen_flows as f64 / (it.uptime_ns as f64 / 1e9).max(1.0);
        let count = |nodes: &[Node]| u32::try_from(nodes.len()).ok();
        ServerStatusResponse {
            num_flows: sum(|it| it.num_flows),
            max_flows: sum(|it| it.max_flows),
            seen_flows: sum(|it| it.seen_flows),
            // As Hubble's relay: of who has been there longest.
            uptime_ns: connected.iter().map(|it| it.uptime_ns).max().unwrap_or(0),
            num_connected_nodes: count(&connected),
            num_unavailable_nodes: count(&unavailable),
            flows_rate: connected.iter().map(rate).sum(),
            unavailable_nodes: unavailable.into_iter().take(MOST_NAMES).map(|it| it.name).collect(),
            version: concat!("amphipod v", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Those that are connected, and the others.
fn parted(nodes: Vec<Node>) -> (Vec<Node>, Vec<Node>) {
    nodes.into_iter().partition(|it| it.state == i32::from(NodeState::NodeConnected))
}
