//! Who reports, and how far it has come.

use std::sync::Arc;

use hashbrown::HashMap;
use model::Timestamp;

use crate::store::{Loss, Position};

/// Nodes that are remembered: beyond it, those that are gone longest are forgotten.
const MOST_NODES: usize = 20_000;

#[derive(Default)]
pub struct Nodes(HashMap<Arc<str>, Node>);

/// A node's agent as the hub knows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    pub name: Arc<str>,
    pub version: String,
    /// Streams that report now.
    pub streams: usize,
    pub last_seen: Timestamp,
    /// Rows taken, and those told to be lost or untimely, in this life of the hub.
    pub rows: u64,
    pub lost_rows: u64,
    /// Events and records that did not get through on the node, since its agent's start.
    pub lost: u64,
    pub programs: Vec<Program>,
    pub records: Kept,
    /// When its agent's process started, in nanoseconds since 1970; 0: it told nothing.
    pub life: u64,
    /// How often it was handed over to another replica: what comes on a stream from before is not taken.
    pub(crate) given: u64,
    /// Of this life.
    pub(crate) received: u64,
    pub(crate) stored: u64,
    /// The end of the last interval that was told, in seconds since 1970.
    pub(crate) until_s: u64,
}

/// The records that a node's agent can be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    pub kept: u64,
    pub most: u64,
    /// Since its start.
    pub seen: u64,
}

/// A BPF program's verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    pub probe: String,
    pub program: String,
    pub state: String,
    pub reason: String,
}

impl Nodes {
    pub fn restore(&mut self, positions: Vec<Position>) {
        positions.iter().for_each(|it| self.adopt(&it.node, it, 0));
    }

    /// A stream begins. What the node lost if its agent died is told.
    pub fn join(&mut self, name: &Arc<str>, version: String, life: u64) -> Option<Loss> {
        let now = Timestamp::now();
        let node = self.node(name);
        node.version = version;
        node.streams += 1;
        node.last_seen = now;
        let (before_s, now_s) = (node.until_s, now.0 / 1_000_000_000);
        let died = life > node.life && node.life > 0 && before_s > 0 && before_s < now_s;
        died.then(|| Loss {
            node: name.clone(),
            reason: "agent_restarted".into(),
            rows: 0,
            since_s: before_s,
            until_s: now_s,
        })
    }

    pub fn leave(&mut self, name: &Arc<str>) {
        let node = self.node(name);
        node.streams = node.streams.saturating_sub(1);
        node.last_seen = Timestamp::now();
    }

    /// How far a node's agent has come elsewhere.
    pub fn adopt(&mut self, name: &Arc<str>, it: &Position, until_s: u64) {
        let node = self.node(name);
        if it.life > node.life {
            (node.life, node.received, node.stored) = (it.life, 0, 0);
        }
        if it.life == node.life {
            node.received = node.received.max(it.sequence);
            node.stored = node.stored.max(it.sequence);
            node.until_s = node.until_s.max(until_s);
        }
    }

    /// Nothing more is taken from streams that there are: how far it has come, and the end of the last interval.
    pub fn hand_over(&mut self, name: &str) -> Option<(Position, u64)> {
        let node = self.0.get_mut(name)?;
        node.given += 1;
        let position =
            Position { node: node.name.clone(), life: node.life, sequence: node.received };
        // What goes on there from now on is told to others.
        Some((position, std::mem::take(&mut node.until_s)))
    }

    pub fn given(&self, name: &str) -> u64 {
        self.0.get(name).map_or(0, |node| node.given)
    }

    pub fn streams(&self, name: &str) -> usize {
        self.0.get(name).map_or(0, |node| node.streams)
    }

    pub fn all_streams(&self) -> usize {
        self.0.values().map(|node| node.streams).sum()
    }

    /// Whether this batch is new. An older life's cannot be: its agent is gone, and its last stream with it.
    pub fn take(&mut self, name: &Arc<str>, life: u64, sequence: u64) -> bool {
        let node = self.node(name);
        node.last_seen = Timestamp::now();
        if life > node.life {
            (node.life, node.received, node.stored) = (life, 0, 0);
        }
        let new = life == node.life && sequence > node.received;
        if new {
            node.received = sequence;
        }
        new
    }

    pub fn count(&mut self, name: &Arc<str>, rows: u64, until_s: u64) {
        let node = self.node(name);
        node.rows += rows;
        node.until_s = node.until_s.max(until_s);
    }

    pub fn lose(&mut self, name: &Arc<str>, rows: u64) {
        self.node(name).lost_rows += rows;
    }

    pub fn health(&mut self, name: &Arc<str>, programs: Vec<Program>, lost: u64) {
        let node = self.node(name);
        (node.programs, node.lost) = (programs, lost);
        node.last_seen = Timestamp::now();
    }

    pub fn keep(&mut self, name: &Arc<str>, records: Kept) {
        self.node(name).records = records;
    }

    pub fn stored(&self, name: &str, life: u64) -> u64 {
        self.0.get(name).filter(|node| node.life == life).map_or(0, |node| node.stored)
    }

    /// What has been received since it was stored last.
    pub fn positions(&self) -> Vec<Position> {
        let ahead = self.0.iter().filter(|(_, node)| node.received > node.stored);
        let position = |(name, node): (&Arc<str>, &Node)| Position {
            node: name.clone(),
            life: node.life,
            sequence: node.received,
        };
        ahead.map(position).collect()
    }

    pub fn store(&mut self, positions: &[Position]) {
        for Position { node, life, sequence } in positions {
            if let Some(node) = self.0.get_mut(node).filter(|node| node.life == *life) {
                node.stored = *sequence;
            }
        }
    }

    pub fn all(&self) -> Vec<Node> {
        self.0.values().cloned().collect()
    }

    fn node(&mut self, name: &Arc<str>) -> &mut Node {
        if self.0.len() >= MOST_NODES && !self.0.contains_key(name) {
            let oldest = self.0.values().filter(|it| it.streams == 0).min_by_key(|it| it.last_seen);
            if let Some(oldest) = oldest.map(|it| it.name.clone()) {
                self.0.remove(&oldest);
            }
        }
        let new = || Node { name: name.clone(), ..Node::default() };
        self.0.entry(name.clone()).or_insert_with(new)
    }
}
