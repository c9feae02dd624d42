//! Nodes, as several replicas know them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use model::Timestamp;
use proto::replica as wire;
use proto::telemetry as agent;

use crate::ingest::{Kept, Node, Program};

pub fn of_wire(it: wire::Node) -> Node {
    let program = |it: agent::Program| Program {
        probe: it.probe,
        program: it.program,
        state: it.state,
        reason: it.reason,
    };
    let records = it.kept.map(|it| Kept { kept: it.records, most: it.most, seen: it.seen });
    Node {
        name: it.name.into(),
        version: it.version,
        streams: it.streams as usize,
        last_seen: Timestamp(it.last_seen),
        rows: it.rows,
        lost_rows: it.lost_rows,
        lost: it.lost,
        programs: it.programs.into_iter().map(program).collect(),
        records: records.unwrap_or_default(),
        life: it.life,
        ..Node::default()
    }
}

pub fn to_wire(it: Node, programs: bool) -> wire::Node {
    let program = |it: Program| agent::Program {
        probe: it.probe,
        program: it.program,
        state: it.state,
        reason: it.reason,
    };
    let told = if programs { it.programs } else { Vec::new() };
    let Kept { kept, most, seen } = it.records;
    wire::Node {
        name: it.name.to_string(),
        version: it.version,
        streams: it.streams as u32,
        last_seen: it.last_seen.0,
        rows: it.rows,
        lost_rows: it.lost_rows,
        lost: it.lost,
        life: it.life,
        programs: told.into_iter().map(program).collect(),
        kept: Some(agent::Kept { records: kept, most, seen }),
    }
}

/// Each node once: what it is now as the one knows it to whom it reports, or did last; what it told as all heard it.
pub fn merged(lists: impl IntoIterator<Item = Vec<Node>>) -> Vec<Node> {
    let mut nodes: BTreeMap<Arc<str>, Node> = BTreeMap::new();
    for node in lists.into_iter().flatten() {
        match nodes.entry(node.name.clone()) {
            Entry::Vacant(place) => drop(place.insert(node)),
            Entry::Occupied(mut place) => {
                let known = place.get_mut();
                let newer = |it: &Node| (it.streams > 0, it.last_seen);
                let (mut newest, other) = match newer(&node) > newer(known) {
                    true => (node, &*known),
                    false => (known.clone(), &node),
                };
                newest.streams += other.streams;
                newest.rows += other.rows;
                newest.lost_rows += other.lost_rows;
                *known = newest;
            }
        }
    }
    nodes.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_moved_is_one() {
        let node = |name: &str, streams, last_seen, rows| Node {
            name: name.into(),
            streams,
            last_seen: Timestamp(last_seen),
            rows,
            version: rows.to_string(),
            ..Node::default()
        };
        let lists = [
            vec![node("a", 0, 9, 10), node("b", 1, 5, 1)],
            vec![node("a", 1, 7, 2)],
            vec![node("c", 0, 0, 0)],
        ];
        let merged = merged(lists);
        let told: Vec<_> =
            merged.iter().map(|it| (&*it.name, it.streams, it.rows, &*it.version)).collect();
        assert_eq!(told, [("a", 1, 12, "2"), ("b", 1, 1, "1"), ("c", 0, 0, "0")]);
        let mut wire = merged.clone().into_iter().map(|it| of_wire(to_wire(it, true)));
        assert!(merged.iter().all(|it| Some(it) == wire.next().as_ref()));
    }
}
