//! A hub's status and its nodes', in words: what is wrong first, and few lines whatever the number of nodes.

use std::collections::BTreeMap;

use anyhow::Context;
use model::status::{Cost, ExportStatus};
use serde::Deserialize;
use serde_json::{Value, json};

use super::report::exports;
use super::table::{odd, table};
use crate::client::{Client, Peer};
use crate::paint::{Paint, Tone};
use crate::units::{NAMED, bytes, count, names, plural, rate, span_us};

/// As many as a hub tells of.
const NODES: &str = "20000";

pub struct Cluster {
    hub: Hub,
    nodes: Nodes,
    /// As they were sent.
    pub json: Value,
}

/// As much of `/api/v1/status` as is shown.
#[derive(Debug, Deserialize)]
struct Hub {
    version: String,
    uptime_seconds: f64,
    ready: bool,
    resources: Vec<Resource>,
    /// Absent where something is hidden from who asks.
    #[serde(flatten)]
    whole: Option<Whole>,
    #[serde(default)]
    hidden: bool,
}

#[derive(Debug, Deserialize)]
struct Whole {
    pid: u32,
    addresses: u64,
    agents: u64,
    waiting_agents: u64,
    #[serde(default)]
    history_error: String,
    history_memory_bytes: u64,
    history_max_memory_bytes: u64,
    #[serde(default)]
    replicas: Vec<Replica>,
    items_per_second: f64,
    #[serde(default)]
    exports: Vec<ExportStatus>,
    cost: Cost,
}

#[derive(Debug, Deserialize)]
struct Replica {
    name: String,
    #[serde(default)]
    error: String,
}

#[derive(Debug, Deserialize)]
struct Resource {
    name: String,
    objects: Option<u64>,
    listed: bool,
    #[serde(default)]
    error: String,
}

/// As much of `/api/v1/nodes` as is shown.
#[derive(Debug, Deserialize)]
struct Nodes {
    nodes: Vec<Node>,
    truncated: bool,
    #[serde(default)]
    missing: Vec<Missing>,
}

#[derive(Debug, Deserialize)]
struct Node {
    name: String,
    connected: bool,
    last_seen: Option<String>,
    rows: u64,
    lost_rows: u64,
    lost: u64,
    probes: Vec<Probe>,
}

#[derive(Debug, Deserialize)]
struct Probe {
    probe: String,
    program: String,
    state: String,
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Missing {
    node: String,
}

impl Cluster {
    pub async fn ask(client: &Client) -> anyhow::Result<Self> {
        let hub: Value = client.ask("status", std::iter::empty()).await?;
        let nodes: Value = client.ask("nodes", [("limit", NODES)].into_iter()).await?;
        Self::read(json!({ "hub": hub, "nodes": nodes })).with_context(|| {
            let peer = client.peer();
            format!("{peer}: its status cannot be read; {}", peer.is_it_right())
        })
    }

    fn read(json: Value) -> serde_json::Result<Self> {
        Ok(Self {
            hub: Hub::deserialize(&json["hub"])?,
            nodes: Nodes::deserialize(&json["nodes"])?,
            json,
        })
    }

    /// What somebody should do something about.
    pub fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        if !self.hub.ready {
            troubles.push("it is not ready".to_owned());
        }
        if let Some(whole) = &self.hub.whole {
            if !whole.history_error.is_empty() {
                troubles.push("history cannot be stored".to_owned());
            }
            if !self.nodes.nodes.iter().any(|node| node.connected) {
                troubles.push("no agent is connected".to_owned());
            }
        }
        let failed = self.verdicts().into_iter().filter(|it| it.state == "failed");
        troubles.extend(
            failed.map(|it| format!("{}/{} failed on {}", it.probe, it.program, names(&it.nodes))),
        );
        troubles
    }

    pub fn text(&self, peer: &Peer, colour: bool) -> String {
        let mut paint = Paint::new(colour);
        self.head(peer, &mut paint);
        self.agents(&mut paint);
        self.rows(&mut paint);
        self.history(&mut paint);
        self.inventory(&mut paint);
        self.rest(&mut paint);
        self.probes(&mut paint);
        paint.text().to_owned()
    }

    fn head(&self, peer: &Peer, paint: &mut Paint) {
        let up = span_us((self.hub.uptime_seconds * 1e6) as u64);
        let pid = self.hub.whole.as_ref().map(|it| format!(", pid {}", it.pid)).unwrap_or_default();
        paint.plain(&format!("{peer}: amphipod {}{pid}, up {up}", self.hub.version));
        paint.line_feed();
        match self.hub.ready {
            true => paint.put(Tone::Good, "ready"),
            false => paint.put(Tone::Bad, "not ready: agents that start now get no names"),
        }
        if self.hub.hidden {
            paint.put(
                Tone::Odd,
                "; you see nodes with pods that you may list, and not how the hub fares",
            );
        }
        paint.line_feed();
    }

    fn agents(&self, paint: &mut Paint) {
        let all = &self.nodes.nodes;
        let connected = all.iter().filter(|node| node.connected).count();
        paint.plain("agents   ");
        let tone = if connected == 0 { Tone::Bad } else { Tone::Good };
        paint.put(tone, &format!("{} connected", count(connected as u64)));
        let nodes = self.hub.resources.iter().find(|it| it.name == "nodes");
        if let Some(objects) = nodes.and_then(|it| it.objects) {
            paint.plain(&format!("; the cluster has {}", plural(objects, "node")));
        }
        paint.line_feed();
        let mut gone: Vec<&Node> = all.iter().filter(|node| !node.connected).collect();
        // Who left last is what somebody is awake for.
        gone.sort_by(|a, b| (&b.last_seen, &a.name).cmp(&(&a.last_seen, &b.name)));
        if !gone.is_empty() {
            let shown = gone.iter().take(NAMED).map(|node| match &node.last_seen {
                Some(time) => format!("{} (last seen {time})", node.name),
                None => format!("{} (not since the hub's start)", node.name),
            });
            let shown: Vec<_> = shown.collect();
            paint.pad(9);
            paint.put(
                Tone::Odd,
                &format!("{} gone: {}", count(gone.len() as u64), shown.join(", ")),
            );
            if gone.len() > NAMED {
                paint.plain(&format!(", {} more", gone.len() - NAMED));
            }
            paint.line_feed();
        }
        if self.nodes.truncated {
            paint.pad(9);
            paint.put(Tone::Odd, &format!("the hub tells of {NODES} nodes, and there are more"));
            paint.line_feed();
        }
        for replica in &self.nodes.missing {
            paint.pad(9);
            paint.put(
                Tone::Odd,
                &format!("those that report to {} may lack: it does not answer", replica.node),
            );
            paint.line_feed();
        }
    }

    /// What agents told, and what never came.
    fn rows(&self, paint: &mut Paint) {
        let nodes = &self.nodes.nodes;
        paint.plain(&format!(
            "rows     {} in this life of the hub",
            count(nodes.iter().map(|node| node.rows).sum())
        ));
        for (number, what) in [
            ((|node| node.lost_rows) as fn(&Node) -> u64, "rows lost"),
            (|node| node.lost, "events lost on the node itself"),
        ] {
            let of: Vec<&str> =
                nodes.iter().filter(|node| number(node) > 0).map(|node| &*node.name).collect();
            if !of.is_empty() {
                let sum = nodes.iter().map(number).sum();
                paint.put(Tone::Odd, &format!("; {} {what} ({})", count(sum), names(&of)));
            }
        }
        paint.line_feed();
    }

    fn history(&self, paint: &mut Paint) {
        let Some(it) = &self.hub.whole else { return };
        paint.plain("history  ");
        match it.history_error.as_str() {
            "" => paint.put(Tone::Good, "stored"),
            error => paint.put(Tone::Bad, &format!("cannot be stored: {error}")),
        }
        paint.plain(&format!(
            ", {} of {} in memory",
            bytes(it.history_memory_bytes),
            bytes(it.history_max_memory_bytes)
        ));
        paint.line_feed();
    }

    /// What is known of the cluster, and whether that goes on.
    fn inventory(&self, paint: &mut Paint) {
        let resources = &self.hub.resources;
        paint.plain("names    ");
        let counted =
            resources.iter().filter_map(|it| Some(format!("{} {}", it.name, count(it.objects?))));
        let counted: Vec<_> = counted.collect();
        match counted.is_empty() {
            true => paint.plain(&format!("{} kinds of objects are watched", resources.len())),
            false => paint.plain(&counted.join(", ")),
        }
        if let Some(whole) = &self.hub.whole {
            paint.plain(&format!(
                "; {} addresses, told to {} at {}/s",
                count(whole.addresses),
                plural(whole.agents, "agent"),
                rate(whole.items_per_second)
            ));
            if whole.waiting_agents > 0 {
                paint.put(
                    Tone::Odd,
                    &format!(", {} wait for their turn", count(whole.waiting_agents)),
                );
            }
        }
        paint.line_feed();
        for it in resources.iter().filter(|it| !it.listed || !it.error.is_empty()) {
            let state = if it.listed { "may be out of date" } else { "not listed yet" };
            let why = if it.error.is_empty() { String::new() } else { format!(": {}", it.error) };
            paint.pad(9);
            let tone = if it.listed { Tone::Odd } else { Tone::Bad };
            paint.put(tone, &format!("{} {state}{why}", it.name));
            paint.line_feed();
        }
    }

    fn rest(&self, paint: &mut Paint) {
        let Some(it) = &self.hub.whole else { return };
        for replica in &it.replicas {
            paint.plain(&format!("replica  {} ", replica.name));
            match replica.error.as_str() {
                "" => paint.put(Tone::Good, "answers"),
                error => paint.put(Tone::Odd, &format!("does not answer: {error}")),
            }
            paint.line_feed();
        }
        exports(&it.exports, paint);
        paint.plain(&format!(
            "cost     CPU {:.1}% of a core now; memory {} now, {} at most",
            it.cost.cpu_percent,
            bytes(it.cost.rss_bytes),
            bytes(it.cost.peak_rss_bytes)
        ));
        paint.line_feed();
    }

    fn probes(&self, paint: &mut Paint) {
        let verdicts = self.verdicts();
        let reporting = self.nodes.nodes.iter().filter(|node| !node.probes.is_empty()).count();
        let bad = |it: &&Verdict| matches!(it.state, "failed" | "degraded");
        paint.plain("probes   ");
        match (reporting, verdicts.iter().filter(bad).count()) {
            (0, _) => paint.put(Tone::Faint, "no node has told"),
            (nodes, 0) => {
                paint.put(
                    Tone::Good,
                    &format!("none failed or degraded on {}", plural(nodes as u64, "node")),
                );
            }
            (nodes, _) => paint.plain(&format!("of {}:", plural(nodes as u64, "node"))),
        }
        paint.line_feed();
        let rows = verdicts.iter().filter(bad).map(|it| {
            let tone = if it.state == "failed" { Tone::Bad } else { Tone::Odd };
            vec![
                (Tone::Plain, format!("{}/{}", it.probe, it.program)),
                (tone, it.state.to_owned()),
                (odd(true), names(&it.nodes)),
                (Tone::Plain, it.reason.to_owned()),
            ]
        });
        table(["PROGRAM", "STATE", "ON", "REASON"], rows, paint);
    }

    /// Of each program, the nodes on which it has the same state for the same reason; those that failed first.
    fn verdicts(&self) -> Vec<Verdict<'_>> {
        let mut found = BTreeMap::<_, Vec<&str>>::new();
        for node in &self.nodes.nodes {
            for it in &node.probes {
                let key = (it.state != "failed", &*it.probe, &*it.program, &*it.state, &*it.reason);
                found.entry(key).or_default().push(&node.name);
            }
        }
        let verdict = |((_, probe, program, state, reason), nodes)| Verdict {
            probe,
            program,
            state,
            reason,
            nodes,
        };
        found.into_iter().map(verdict).collect()
    }
}

struct Verdict<'a> {
    probe: &'a str,
    program: &'a str,
    state: &'a str,
    reason: &'a str,
    nodes: Vec<&'a str>,
}
