//! One client's stream of flows.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use model::Timestamp;
use model::line::Line;
use proto::hubble::flow::{Flow, LostEvent, LostEventSource};
use proto::hubble::observer::GetFlowsResponse;
use proto::hubble::observer::get_flows_response::ResponseTypes;
use proto::hubble::relay::{NodeState, NodeStatusEvent};
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::Status;

use super::filter::Seen;
use super::flow::{flow, timestamp};
use super::request::Request;
use crate::observe::{Event, Listener};

/// How long agents may take to tell what they have kept.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same where one follows: nobody says that this was all, and what comes later is shown when it comes.
const GATHER: Duration = Duration::from_millis(400);
/// A record may come so long after its time.
const LATE: Duration = Duration::from_secs(4);

pub type Out = Sender<Result<GetFlowsResponse, Status>>;

/// What sessions have in common.
#[derive(Debug, Default)]
pub struct Counters {
    pub flows: AtomicU64,
    /// Records that clients were told they missed.
    pub lost: AtomicU64,
    /// Lines of agents that are no records.
    pub malformed: AtomicU64,
}

pub struct Session {
    pub counters: Arc<Counters>,
    pub request: Request,
    pub listener: Listener,
    /// Who tells what no node does.
    pub hub: Arc<str>,
    /// Nodes of the cluster that cannot be asked.
    pub absent: Vec<String>,
    pub out: Out,
}

/// The client has gone.
struct Gone;

impl Session {
    pub async fn run(mut self, cancelled: impl Future<Output = ()>) {
        let out = self.out.clone();
        tokio::select! {
            _ = self.serve() => {}
            () = out.closed() => {}
            () = cancelled => {
                // It may not be reading any more.
                let _ = out.try_send(Err(Status::unavailable("the hub stops")));
            }
        }
    }

    async fn serve(&mut self) -> Result<(), Gone> {
        let connected: Vec<String> = self.listener.nodes.iter().map(ToString::to_string).collect();
        let mut absent = std::mem::take(&mut self.absent);
        absent.retain(|it| !connected.contains(it));
        self.tell(self.nodes(NodeState::NodeConnected, connected, "")).await?;
        if !absent.is_empty() {
            let why = "no agent of theirs is connected";
            self.tell(self.nodes(NodeState::NodeUnavailable, absent, why)).await?;
        }
        if self.request.most > 0 {
            self.kept().await?;
        }
        if !self.request.follow {
            return Ok(());
        }
        let end = self.request.until.map(|it| Instant::now() + it.since(Timestamp::now()) + LATE);
        loop {
            let event = tokio::select! {
                event = self.listener.next() => event,
                () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => None,
            };
            let Some(event) = event else { return Ok(()) };
            let mut responses = Vec::new();
            self.take(event, &mut responses);
            for response in responses {
                self.tell(response).await?;
            }
        }
    }

    /// What nodes have kept, the oldest first.
    async fn kept(&mut self) -> Result<(), Gone> {
        let Request { most, first, follow, all, .. } = self.request;
        let until = Instant::now() + if follow { GATHER } else { PATIENCE };
        let mut kept = Kept { most, first, flows: Vec::new(), dropped: 0 };
        let mut others = Vec::new();
        while !self.listener.is_answered() {
            let Ok(Some(event)) = timeout_at(until, self.listener.next()).await else { break };
            let before = others.len();
            self.take(event, &mut others);
            let flows = others.split_off(before).into_iter().filter_map(|it| kept.push(it));
            others.extend(flows.collect::<Vec<_>>());
        }
        kept.trim();
        if !follow && !self.listener.is_answered() {
            let names = self.listener.unanswered().map(ToString::to_string).collect();
            let why = format!("no answer within {} s", PATIENCE.as_secs());
            others.push(self.nodes(NodeState::NodeUnavailable, names, &why));
        }
        if all && kept.dropped > 0 {
            others.push(self.lost(&self.hub, kept.dropped));
        }
        for response in others.into_iter().chain(kept.flows) {
            self.tell(response).await?;
        }
        Ok(())
    }

    /// What an agent said, as responses.
    fn take(&self, event: Event, responses: &mut Vec<GetFlowsResponse>) {
        match event {
            Event::Lines { node, lines, lost } => {
                if lost > 0 {
                    responses.push(self.lost(&node, lost));
                }
                self.flows(&lines, responses);
            }
            Event::End { node, error } if !error.is_empty() => {
                responses.push(self.nodes(NodeState::NodeError, vec![node.to_string()], &error));
            }
            Event::Joined { nodes: all, .. } if !all.is_empty() => {
                let all = all.iter().map(ToString::to_string).collect();
                responses.push(self.nodes(NodeState::NodeConnected, all, ""));
            }
            Event::Left { replica, error } if !error.is_empty() => {
                let names = vec![replica.to_string()];
                responses.push(self.nodes(NodeState::NodeUnavailable, names, &error));
            }
            Event::End { .. } | Event::Joined { .. } | Event::Left { .. } => {}
        }
    }

    fn flows(&self, lines: &Bytes, responses: &mut Vec<GetFlowsResponse>) {
        for text in lines.split(|byte| *byte == b'\n').filter(|it| !it.is_empty()) {
            let Ok(line) = serde_json::from_slice::<Line>(text) else {
                self.counters.malformed.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let Some((line, text)) = self.seen(line, text) else { continue };
            let flow = flow(&line, &text);
            if self.request.filters.hold(&Seen { line: &line, flow: &flow }) {
                responses.push(response(flow));
            }
        }
    }

    /// As much of it as may be seen, whatever agents tell.
    fn seen<'a>(&self, line: Line, text: &'a [u8]) -> Option<(Line, Cow<'a, [u8]>)> {
        let scope = &self.request.scope;
        if scope.is_all() {
            return Some((line, text.into()));
        }
        let line = scope.line(line)?;
        let text = serde_json::to_vec(&line).ok()?;
        Some((line, text.into()))
    }

    fn lost(&self, node: &str, count: u64) -> GetFlowsResponse {
        self.counters.lost.fetch_add(count, Ordering::Relaxed);
        let lost =
            LostEvent { source: LostEventSource::HubbleRingBuffer.into(), num_events_lost: count };
        GetFlowsResponse {
            node_name: node.to_owned(),
            time: Some(timestamp(Timestamp::now())),
            response_types: Some(ResponseTypes::LostEvents(lost)),
        }
    }

    fn nodes(&self, state: NodeState, node_names: Vec<String>, message: &str) -> GetFlowsResponse {
        let event =
            NodeStatusEvent { state_change: state.into(), node_names, message: message.to_owned() };
        GetFlowsResponse {
            node_name: self.hub.to_string(),
            time: Some(timestamp(Timestamp::now())),
            response_types: Some(ResponseTypes::NodeStatus(event)),
        }
    }

    async fn tell(&self, response: GetFlowsResponse) -> Result<(), Gone> {
        if matches!(response.response_types, Some(ResponseTypes::Flow(_))) {
            self.counters.flows.fetch_add(1, Ordering::Relaxed);
        }
        self.out.send(Ok(response)).await.map_err(|_| Gone)
    }
}

/// The flows that come first, or last, among many.
struct Kept {
    most: usize,
    first: bool,
    flows: Vec<GetFlowsResponse>,
    dropped: u64,
}

impl Kept {
    /// Gives back what is no flow.
    fn push(&mut self, response: GetFlowsResponse) -> Option<GetFlowsResponse> {
        if !matches!(response.response_types, Some(ResponseTypes::Flow(_))) {
            return Some(response);
        }
        self.flows.push(response);
        if self.flows.len() > 2 * self.most + 1024 {
            self.trim();
        }
        None
    }

    fn trim(&mut self) {
        let time = |it: &GetFlowsResponse| it.time.map_or((0, 0), |it| (it.seconds, it.nanos));
        self.flows.sort_by_key(time);
        let surplus = self.flows.len().saturating_sub(self.most);
        self.dropped += surplus as u64;
        match self.first {
            true => self.flows.truncate(self.most),
            false => drop(self.flows.drain(..surplus)),
        }
    }
}

fn response(flow: Flow) -> GetFlowsResponse {
    GetFlowsResponse {
        node_name: flow.node_name.clone(),
        time: flow.time,
        response_types: Some(ResponseTypes::Flow(flow)),
    }
}
