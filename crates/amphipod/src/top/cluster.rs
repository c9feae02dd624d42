//! What a hub says of the whole cluster: sums over intervals of ten seconds, asked for again and again.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::anyhow;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::Feed;
use super::party::Group;
use super::snapshot::{Failures, Rates, Row, Snapshot, sort_failures, wanted};
use super::state::State;
use super::window::Counts;
use crate::client::Client;
use crate::failure::Usage;
use crate::filters::Filters;
use crate::paint::printable;
use crate::units::{count, names};

/// Agents tell of an interval when it is over, and hubs have it a little later: what is newer is not complete.
const SETTLED: u64 = 20;
/// As often as there is something new.
const EVERY: Duration = Duration::from_secs(10);
/// Ways between two ends, each with its port; those that fail come first, then the busiest.
const WAYS: usize = 2000;

pub struct Cluster {
    graph: Graph,
    /// Why there is nothing newer.
    trouble: Option<String>,
    wanted: watch::Sender<Group>,
    answers: mpsc::Receiver<anyhow::Result<Graph>>,
    /// Asks, and ends with this.
    _asking: JoinSet<()>,
}

struct Question {
    client: Client,
    namespaces: Vec<String>,
    since: String,
}

/// As much of `/api/v1/graph` as is shown.
#[derive(Debug, Deserialize)]
struct Graph {
    #[serde(skip)]
    group: Group,
    since: jiff::Timestamp,
    until: jiff::Timestamp,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    truncated: bool,
    missing: Vec<Missing>,
    #[serde(default)]
    hidden: bool,
}

#[derive(Debug, Deserialize)]
struct Node {
    namespace: Option<String>,
    kind: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Edge {
    /// Indices of nodes.
    source: usize,
    destination: usize,
    port: u16,
    values: Values,
}

/// What was not observed is absent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Values {
    connections: u64,
    failures: u64,
    bytes_sent: u64,
    bytes_received: u64,
    retransmits: u64,
    drops: u64,
    rtt: Times,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Times {
    count: u64,
    /// Seconds.
    mean: f64,
}

#[derive(Debug, Deserialize)]
struct Missing {
    node: String,
    reason: String,
    rows: Option<u64>,
}

impl Cluster {
    /// With the first answer. `span`: how far the rates look back.
    pub async fn new(
        client: Client,
        filters: &Filters,
        group: Group,
        span: Duration,
    ) -> anyhow::Result<Self> {
        let other = filters.pairs().find(|(key, _)| *key != "namespace");
        if let Some((key, _)) = other {
            return Err(Usage(format!(
                "--{}: with a hub the only filter of top is --namespace; amphipod observe has all filters",
                key.replace('_', "-")
            ))
            .into());
        }
        if group == Group::Pod {
            let what = "--group pod: a hub adds up workloads; ask an agent without --hub, or give workload or namespace";
            return Err(Usage(what.to_owned()).into());
        }
        let namespaces = filters.pairs().map(|(_, value)| value.to_owned()).collect();
        let since = format!("-{}s", span.as_secs() + SETTLED);
        let question = Question { client, namespaces, since };
        let graph = question.ask(group).await?;
        let (wanted, groups) = watch::channel(group);
        let (out, answers) = mpsc::channel(1);
        let mut asking = JoinSet::new();
        asking.spawn(question.repeat(groups, out));
        Ok(Self { graph, trouble: None, wanted, answers, _asking: asking })
    }
}

impl Question {
    async fn ask(&self, group: Group) -> anyhow::Result<Graph> {
        let (until, limit) = (format!("-{SETTLED}s"), WAYS.to_string());
        let query = [
            ("since", self.since.as_str()),
            ("until", until.as_str()),
            ("group", group.name()),
            ("limit", limit.as_str()),
        ];
        let namespaces = self.namespaces.iter().map(|name| ("namespace", name.as_str()));
        let graph: Graph = self.client.ask("graph", query.into_iter().chain(namespaces)).await?;
        Ok(Graph { group, ..graph })
    }

    /// Until nobody wants to know. A new group is asked for at once.
    async fn repeat(
        self,
        mut groups: watch::Receiver<Group>,
        out: mpsc::Sender<anyhow::Result<Graph>>,
    ) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                changed = groups.changed() => if changed.is_err() { return },
            }
            let group = *groups.borrow_and_update();
            if out.send(self.ask(group).await).await.is_err() {
                return;
            }
        }
    }
}

impl Feed for Cluster {
    async fn next(&mut self) -> anyhow::Result<()> {
        let answer = self.answers.recv().await;
        // What was known is shown until there is an answer again: a hub may be busy, or be replaced.
        match answer.ok_or_else(|| anyhow!("nobody asks the hub any more"))? {
            Ok(graph) => (self.graph, self.trouble) = (graph, None),
            Err(error) => self.trouble = Some(format!("{error:#}")),
        }
        Ok(())
    }

    fn snapshot(&mut self, state: &State) -> Snapshot {
        self.wanted.send_if_modified(|group| std::mem::replace(group, state.group) != state.group);
        let mut snapshot = self.graph.snapshot(state);
        if let Some(trouble) = &self.trouble {
            let old = format!("as of {}: {trouble}", self.graph.until);
            snapshot.missing.insert(0, printable(&old).into_owned());
        }
        snapshot
    }
}

impl Graph {
    fn snapshot(&self, state: &State) -> Snapshot {
        let wanted = wanted(&state.search);
        let seconds = self.until.duration_since(self.since).as_secs_f64().max(1.0);
        let mut sums = HashMap::<(String, String), Counts>::new();
        let mut failures = Vec::new();
        for edge in &self.edges {
            let [source, destination] = [edge.source, edge.destination].map(|it| self.label(it));
            if !wanted(&source, &destination) {
                continue;
            }
            for (dropped, count) in [(false, edge.values.failures), (true, edge.values.drops)] {
                if count > 0 {
                    let (source, destination) = (source.clone(), destination.clone());
                    let (port, error) = (edge.port, String::new());
                    failures.push(Failures { source, destination, port, dropped, error, count });
                }
            }
            *sums.entry((source, destination)).or_default() += edge.values.counts();
        }
        let row = |((source, destination), counts)| Row {
            source,
            destination,
            rates: Rates::new(counts, seconds),
        };
        let mut pairs: Vec<Row> = sums.into_iter().map(row).collect();
        state.sort.apply(&mut pairs);
        sort_failures(&mut failures);
        Snapshot {
            seconds,
            group: self.group,
            sort: state.sort,
            pairs,
            failures,
            missing: self.missing(),
            ..Snapshot::default()
        }
    }

    fn label(&self, node: usize) -> String {
        let Some(Node { namespace, kind, name }) = self.nodes.get(node) else {
            return "?".to_owned();
        };
        let label = match (namespace, kind.as_str()) {
            (None, _) | (_, "Namespace") => name.clone(),
            (Some(namespace), "Service") => format!("{namespace}/svc/{name}"),
            (Some(namespace), _) => format!("{namespace}/{name}"),
        };
        printable(&label).into_owned()
    }

    /// What the sums lack, a line for each reason.
    fn missing(&self) -> Vec<String> {
        let mut reasons = BTreeMap::<&str, (Vec<&str>, u64)>::new();
        for Missing { node, reason, rows } in &self.missing {
            let (nodes, sum) = reasons.entry(reason).or_default();
            nodes.push(node);
            *sum += rows.unwrap_or(0);
        }
        let told = reasons.into_iter().map(|(reason, (mut nodes, rows))| {
            nodes.sort_unstable();
            nodes.dedup();
            let what = if rows > 0 { format!("{} rows", count(rows)) } else { "rows".to_owned() };
            printable(&format!("{what} missing of {}: {reason}", names(&nodes))).into_owned()
        });
        let mut missing: Vec<String> = told.collect();
        if self.truncated {
            missing.push(format!("only {WAYS} ways are shown: those that fail, and the busiest"));
        }
        if self.hidden {
            missing.push("namespaces that you may not see are left out".to_owned());
        }
        missing
    }
}

impl Values {
    fn counts(&self) -> Counts {
        Counts {
            bytes: self.bytes_sent + self.bytes_received,
            connections: self.connections,
            failures: self.failures,
            drops: self.drops,
            retransmits: self.retransmits,
            rtt_us: (self.rtt.mean * 1e6 * self.rtt.count as f64) as u64,
            rtt_samples: self.rtt.count,
        }
    }
}
