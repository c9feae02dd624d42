//! Takes agents' connections.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use daemon::tls;
use proto::replica::replica_server::ReplicaServer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;

use super::connection::{Connection, Stream};
use super::{Agents, Service};
use crate::{ingest, replica};

/// TLS handshakes at once: each takes a millisecond of a processor.
const HANDSHAKES: usize = 64;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Until a connection whose other end is gone without a word is noticed, at most the sum of both.
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(10);
/// Of one message from an agent: 16,384 addresses have 300 KB.
const MESSAGE_BYTES: usize = 8 << 20;
/// What an agent may send ahead: it is read by one task that does little else.
const WINDOW_BYTES: u32 = 64 << 10;
/// All streams of a connection together: one that is not read must not hold up the others.
const CONNECTION_WINDOW_BYTES: u32 = 512 << 10;
/// Of a batch of rows: some thousand rows have 100 KB.
const REPORT_BYTES: usize = 4 << 20;
/// Of one connection: an agent has three, another replica one for each question that is open.
const STREAMS: u32 = 64;
/// Between the last message of a stop and the end of the connections.
const GRACE: Duration = Duration::from_millis(500);
/// After an accept that failed for want of something, such as descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves agents until cancelled; then tells them to go elsewhere, and lets them.
///
/// # Errors
/// The server cannot go on.
pub async fn listen(
    agents: Arc<Agents>,
    listener: TcpListener,
    tls: Option<tls::Server>,
    telemetry: ingest::Service,
    replicas: replica::Service,
    cancel: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let (out, connections) = mpsc::channel::<io::Result<Connection>>(1);
    let accepting = accept(agents.clone(), listener, tls, out, cancel.clone());
    let limit = agents.limits.max_addresses * 20 + MESSAGE_BYTES / 8;
    let service = proto::InventoryServer::new(Service(agents.clone()))
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(limit.min(MESSAGE_BYTES));
    // What is large in it is compressed already.
    let telemetry = proto::TelemetryServer::new(telemetry).max_decoding_message_size(REPORT_BYTES);
    let serving = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS)
        .add_service(service)
        .add_service(telemetry)
        .add_service(ReplicaServer::new(replicas))
        .serve_with_incoming_shutdown(ReceiverStream::new(connections), async {
            cancel.cancelled().await;
            agents.drained().await;
        });
    // A client that does not close its connection must not hold up the stop.
    let stopped = async {
        cancel.cancelled().await;
        agents.drained().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        (ended, ()) = async { tokio::join!(serving, accepting) } => ended,
        () = stopped => Ok(()),
    }
}

async fn accept(
    agents: Arc<Agents>,
    listener: TcpListener,
    tls: Option<tls::Server>,
    out: mpsc::Sender<io::Result<Connection>>,
    cancel: CancellationToken,
) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    while let Some(accepted) = cancel.run_until_cancelled(listener.accept()).await {
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept an agent's connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // Closed by nobody; while all places are taken, the others wait in the kernel's queue.
        let Ok(turn) = handshakes.clone().acquire_owned().await else { return };
        let (agents, tls, out) = (agents.clone(), tls.clone(), out.clone());
        tokio::spawn(async move {
            let shaken = tokio::time::timeout(HANDSHAKE, shake(agents.clone(), stream, tls)).await;
            drop(turn);
            match shaken {
                Ok(Ok(connection)) => drop(out.send(Ok(connection)).await),
                Ok(Err(error)) => failed(&agents, &error),
                Err(_) => failed(&agents, &io::ErrorKind::TimedOut.into()),
            }
        });
    }
}

fn failed(agents: &Agents, error: &io::Error) {
    agents.counters.handshake_failures.fetch_add(1, Ordering::Relaxed);
    tracing::debug!(%error, "no connection with an agent");
}

async fn shake(
    agents: Arc<Agents>,
    stream: TcpStream,
    tls: Option<tls::Server>,
) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let Some(tls) = tls else {
        let (stream, node, is_replica) = (Stream::Plain(stream), None, false);
        return Ok(Connection { stream, node, is_replica, agents });
    };
    let stream = TlsAcceptor::from(tls.config()).accept(stream).await?;
    let certificates = stream.get_ref().1.peer_certificates();
    let node = certificates.and_then(tls::node);
    let is_for = |it: &String| certificates.is_some_and(|all| tls::is_for(all, it));
    let is_replica = node.is_none() && agents.replicas.iter().any(is_for);
    Ok(Connection { stream: Stream::Tls(Box::new(stream)), node, is_replica, agents })
}
