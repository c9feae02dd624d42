//! The gRPC service.

use std::sync::Arc;

use proto::telemetry::{Ack, Observed, Question, Report};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Ingest, session};
use crate::observe::{self, Observers};
use crate::replica::Replicas;
use crate::stream::Agents;

/// Messages that wait until the agent takes them.
const OUTGOING: usize = 2;

#[derive(Clone)]
pub struct Service {
    pub ingest: Arc<Ingest>,
    pub observers: Arc<Observers>,
    pub agents: Arc<Agents>,
    pub replicas: Arc<Replicas>,
}

#[tonic::async_trait]
impl proto::Telemetry for Service {
    type ReportStream = ReceiverStream<Result<Ack, Status>>;
    type ObserveStream = ReceiverStream<Result<Question, Status>>;

    async fn report(
        &self,
        request: Request<Streaming<Report>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let proven = self.agents.prove(&request).await?;
        let (out, acks) = mpsc::channel(OUTGOING);
        let session = session::run(self.clone(), proven, request.into_inner(), out);
        self.agents.track(session);
        Ok(Response::new(ReceiverStream::new(acks)))
    }

    async fn observe(
        &self,
        request: Request<Streaming<Observed>>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        let proven = self.agents.prove(&request).await?;
        let (out, questions) = mpsc::channel(OUTGOING);
        let (observers, answers) = (self.observers.clone(), request.into_inner());
        let cancelled = self.agents.cancelled();
        self.agents.track(observe::run(observers, proven, answers, out, cancelled));
        Ok(Response::new(ReceiverStream::new(questions)))
    }
}
