//! Hubble's Observer API over the hub's records, for the clients that people already have: `hubble`, and Hubble's UI.
//!
//! A request becomes a question to all agents, as from `/api/v1/records` ([`ask`]: what nodes can filter themselves); each
//! line that they answer becomes a [`flow`], goes through the client's [`filter`]s, and out.

mod ask;
mod door;
mod filter;
mod flow;
mod listener;
mod nodes;
mod pattern;
mod reason;
mod request;
mod selector;
pub mod session;
mod summary;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proto::hubble::health::health_server::Health;
use proto::hubble::health::{HealthCheckRequest, HealthCheckResponse, health_check_response};
use proto::hubble::observer::observer_server::Observer;
use proto::hubble::observer::{
    GetFlowsRequest, GetFlowsResponse, GetNamespacesRequest, GetNamespacesResponse,
    GetNodesRequest, GetNodesResponse, ServerStatusRequest, ServerStatusResponse,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};

use crate::Inventory;
use crate::access::Access;
use crate::ingest::Ingest;
use crate::observe::Observers;
use crate::replica::Replicas;

pub use listener::listen;

/// Responses that wait until the client takes them; then what nodes tell waits, and at last is left out and told as lost.
const OUTGOING: usize = 256;

/// Serves Hubble's clients.
pub struct Hubble {
    inventory: Arc<Inventory>,
    ingest: Arc<Ingest>,
    observers: Arc<Observers>,
    access: Arc<Access>,
    replicas: Arc<Replicas>,
    /// Whether agents come with TLS.
    tls: bool,
    /// This host's name; in a cluster, the pod's.
    name: Arc<str>,
    cancel: CancellationToken,
    sessions: TaskTracker,
    pub counters: Counters,
}

#[derive(Debug, Default)]
pub struct Counters {
    pub requests: [AtomicU64; Method::ALL.len()],
    /// Requests that ask for what is not known here, or too much.
    pub refused: AtomicU64,
    pub handshake_failures: AtomicU64,
    pub bytes_sent: Arc<AtomicU64>,
    pub sessions: Arc<session::Counters>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    GetFlows,
    GetNodes,
    GetNamespaces,
    ServerStatus,
}

impl Method {
    pub const ALL: [Self; 4] =
        [Self::GetFlows, Self::GetNodes, Self::GetNamespaces, Self::ServerStatus];

    /// As in Hubble's service.
    pub fn name(self) -> &'static str {
        match self {
            Self::GetFlows => "GetFlows",
            Self::GetNodes => "GetNodes",
            Self::GetNamespaces => "GetNamespaces",
            Self::ServerStatus => "ServerStatus",
        }
    }
}

impl Hubble {
    pub fn new(
        inventory: Arc<Inventory>,
        ingest: Arc<Ingest>,
        observers: Arc<Observers>,
        access: Arc<Access>,
        replicas: Arc<Replicas>,
        tls: bool,
        cancel: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            inventory,
            ingest,
            observers,
            access,
            replicas,
            tls,
            name: rustix::system::uname().nodename().to_string_lossy().into(),
            cancel,
            sessions: TaskTracker::new(),
            counters: Counters::default(),
        })
    }

    /// Streams of flows that are open.
    pub fn streams(&self) -> usize {
        self.sessions.len()
    }

    /// Returns when the last stream of flows has ended.
    async fn drained(&self) {
        self.sessions.close();
        self.sessions.wait().await;
    }
}

/// The gRPC services.
#[derive(Clone)]
pub struct Service(pub Arc<Hubble>);

#[tonic::async_trait]
impl Observer for Service {
    type GetFlowsStream = ReceiverStream<Result<GetFlowsResponse, Status>>;

    async fn get_flows(
        &self,
        request: Request<GetFlowsRequest>,
    ) -> Result<Response<Self::GetFlowsStream>, Status> {
        let Self(hubble) = self;
        let person = hubble.person(Method::GetFlows, request.metadata()).await?;
        let refuse = |status| {
            hubble.counters.refused.fetch_add(1, Ordering::Relaxed);
            status
        };
        let request = request::Request::parse(request.get_ref(), person.scope).map_err(refuse)?;
        let absent = hubble.absent(&request.scope).await;
        let busy = |error: crate::observe::TooMany| Status::resource_exhausted(error.to_string());
        let listener = hubble
            .replicas
            .observe(&hubble.observers, request.ask.clone())
            .map_err(|error| refuse(busy(error)))?;
        let (out, responses) = mpsc::channel(OUTGOING);
        let counters = hubble.counters.sessions.clone();
        let hub = hubble.name.clone();
        let session = session::Session { counters, request, listener, hub, absent, out };
        hubble.sessions.spawn(session.run(hubble.cancel.clone().cancelled_owned()));
        Ok(Response::new(ReceiverStream::new(responses)))
    }

    async fn get_nodes(
        &self,
        request: Request<GetNodesRequest>,
    ) -> Result<Response<GetNodesResponse>, Status> {
        let person = self.0.person(Method::GetNodes, request.metadata()).await?;
        Ok(Response::new(self.0.nodes(&person.scope).await))
    }

    async fn get_namespaces(
        &self,
        request: Request<GetNamespacesRequest>,
    ) -> Result<Response<GetNamespacesResponse>, Status> {
        let person = self.0.person(Method::GetNamespaces, request.metadata()).await?;
        Ok(Response::new(self.0.namespaces(&person.scope)))
    }

    async fn server_status(
        &self,
        request: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        let person = self.0.person(Method::ServerStatus, request.metadata()).await?;
        Ok(Response::new(self.0.status(&person.scope).await))
    }
}

#[tonic::async_trait]
impl Health for Service {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match &*request.get_ref().service {
            // Hubble's own name for it, and the service's.
            "" | "hubble.server.Observer" | "observer.Observer" => {
                let status = health_check_response::ServingStatus::Serving.into();
                Ok(Response::new(HealthCheckResponse { status }))
            }
            other => {
                let other = model::text::printable(other.as_bytes());
                Err(Status::not_found(format!(
                    "no service {other:?} here; hubble.server.Observer is"
                )))
            }
        }
    }
}
