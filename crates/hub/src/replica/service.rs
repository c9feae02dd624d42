//! What other replicas may ask of this one.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashSet;
use proto::replica::replica_server::Replica;
use proto::replica::{self as wire, told};
use proto::telemetry::Ask;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Replicas, node, translate};
use crate::ingest::Ingest;
use crate::observe::{Event, Observers};
use crate::query::{Plan, Query, observed, steps};
use crate::store::{self, Position};
use crate::stream::Agents;

/// Questions at once that read history, besides those of people here.
const QUERIES: usize = 2;
const TURN: Duration = Duration::from_secs(4);
/// Messages that wait until the other replica takes them.
const OUTGOING: usize = 16;
/// How long it may take until what a node told is stored.
const FLUSH: Duration = Duration::from_secs(4);

#[derive(Clone)]
pub struct Service {
    pub replicas: Arc<Replicas>,
    pub ingest: Arc<Ingest>,
    pub observers: Arc<Observers>,
    pub agents: Arc<Agents>,
    pub query: Query,
    turns: Arc<Semaphore>,
}

impl Service {
    pub fn new(
        replicas: Arc<Replicas>,
        ingest: Arc<Ingest>,
        observers: Arc<Observers>,
        agents: Arc<Agents>,
        query: Query,
    ) -> Self {
        let turns = Arc::new(Semaphore::new(QUERIES));
        Self { replicas, ingest, observers, agents, query, turns }
    }

    /// # Errors
    /// Who asks is no replica.
    fn prove<T>(&self, request: &Request<T>) -> Result<(), Status> {
        match self.replicas.are_none() {
            true => Err(Status::permission_denied("this hub has no replicas: configure hub.peers")),
            false => self.agents.prove_replica(request),
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(Query) -> Result<T, store::Error> + Send + 'static,
    ) -> Result<T, Status> {
        let Ok(Ok(_turn)) = tokio::time::timeout(TURN, self.turns.acquire()).await else {
            return Err(Status::resource_exhausted(format!(
                "{QUERIES} queries are being answered"
            )));
        };
        let query = self.query.clone();
        let answered = tokio::task::spawn_blocking(move || ask(query)).await;
        let answered = answered.map_err(|error| Status::internal(error.to_string()))?;
        answered.map_err(|error| {
            tracing::error!(%error, "a replica's query failed");
            Status::internal("history cannot be read; see the hub's log")
        })
    }

    async fn read_series<T: Send + 'static>(
        &self,
        ask: wire::SeriesAsk,
        read: impl FnOnce(Query, Plan, wire::SeriesAsk) -> Result<T, store::Error> + Send + 'static,
    ) -> Result<T, Status> {
        let plan = translate::plan(&ask)?;
        self.read(move |query| read(query, plan, ask)).await
    }
}

fn broken(error: std::io::Error) -> Status {
    Status::internal(error.to_string())
}

#[tonic::async_trait]
impl Replica for Service {
    type SumStream = ReceiverStream<Result<wire::SumPart, Status>>;
    type ObserveStream = ReceiverStream<Result<wire::Told, Status>>;

    async fn describe(
        &self,
        request: Request<wire::What>,
    ) -> Result<Response<wire::Description>, Status> {
        self.prove(&request)?;
        let wire::What { nodes, programs } = request.into_inner();
        let all = if nodes { self.ingest.nodes() } else { Vec::new() };
        let oldest = self.ingest.store().oldest_s();
        Ok(Response::new(wire::Description {
            id: self.replicas.id,
            name: self.replicas.name.clone(),
            oldest_s: oldest.into_iter().map(|it| it.unwrap_or(0)).collect(),
            nodes: all.into_iter().map(|it| node::to_wire(it, programs)).collect(),
        }))
    }

    async fn sum(
        &self,
        request: Request<wire::SumAsk>,
    ) -> Result<Response<Self::SumStream>, Status> {
        self.prove(&request)?;
        let wire::SumAsk { since_s, until_s, select } = request.into_inner();
        let select = translate::selected(select);
        let share = self.read(move |query| query.share(since_s..until_s, &select)).await?;
        let parts = translate::parts(share).map_err(broken)?;
        let (out, told) = mpsc::channel(OUTGOING);
        tokio::spawn(async move {
            for part in parts {
                if out.send(Ok(part)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(told)))
    }

    async fn observed(
        &self,
        request: Request<wire::SeriesAsk>,
    ) -> Result<Response<wire::Ways>, Status> {
        self.prove(&request)?;
        let read = |query: Query, plan, ask: wire::SeriesAsk| {
            observed(&query, &plan, &translate::selected(ask.select))
        };
        let ways = self.read_series(request.into_inner(), read).await?;
        Ok(Response::new(wire::Ways { ways: ways.into_iter().collect() }))
    }

    async fn series(
        &self,
        request: Request<wire::SeriesAsk>,
    ) -> Result<Response<wire::Steps>, Status> {
        self.prove(&request)?;
        let read = |query: Query, plan, ask: wire::SeriesAsk| {
            // What only a newer hub measures has no values here.
            let measures: Vec<_> = ask.measures.iter().filter_map(|it| it.parse().ok()).collect();
            let others: HashSet<u64> = ask.observed.unwrap_or_default().ways.into_iter().collect();
            steps(&query, &plan, &measures, &translate::selected(ask.select), &others)
        };
        let steps = self.read_series(request.into_inner(), read).await?;
        translate::steps(steps).map(Response::new).map_err(broken)
    }

    async fn hand_over(
        &self,
        request: Request<wire::Agent>,
    ) -> Result<Response<wire::Position>, Status> {
        self.prove(&request)?;
        let wire::Agent { node } = request.into_inner();
        let Some((position, until_s)) = self.ingest.hand_over(&node) else {
            return Ok(Response::new(wire::Position::default()));
        };
        let stored = self.ingest.stored_up_to(&position);
        if tokio::time::timeout(FLUSH, stored).await.is_err() {
            return Err(Status::unavailable("what the node told cannot be stored in time"));
        }
        let Position { life, sequence, .. } = position;
        Ok(Response::new(wire::Position { life, sequence, until_s }))
    }

    async fn observe(
        &self,
        request: Request<Ask>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        self.prove(&request)?;
        let busy = |error: crate::observe::TooMany| Status::resource_exhausted(error.to_string());
        let mut listener = self.observers.ask(request.into_inner()).map_err(busy)?;
        let (out, events) = mpsc::channel(OUTGOING);
        let nodes = listener.nodes.iter().map(ToString::to_string).collect();
        let cancelled = self.agents.cancelled();
        self.agents.track(async move {
            let telling = async {
                let mut next = Some(told::Kind::Asked(told::Asked { nodes }));
                while let Some(kind) = next {
                    if out.send(Ok(wire::Told { kind: Some(kind) })).await.is_err() {
                        return;
                    }
                    next = listener.next().await.map(told);
                }
            };
            tokio::select! {
                () = telling => {}
                () = out.closed() => {}
                () = cancelled => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(events)))
    }
}

/// Nobody but agents was asked here: no other replica is there to join or leave.
fn told(event: Event) -> told::Kind {
    match event {
        Event::Lines { node, lines, lost } => {
            told::Kind::Lines(told::Lines { node: node.to_string(), lines, lost })
        }
        Event::End { node, error } => told::Kind::End(told::End { node: node.to_string(), error }),
        Event::Joined { replica, .. } => {
            told::Kind::End(told::End { node: replica.to_string(), error: String::new() })
        }
        Event::Left { replica, error } => {
            told::Kind::End(told::End { node: replica.to_string(), error })
        }
    }
}
