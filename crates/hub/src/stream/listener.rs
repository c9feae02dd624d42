//! Takes agents' connections.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use daemon::tls;
use proto::replica::replica_server::ReplicaServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;

use super::{Agents, Peer, Service};
use crate::grpc::{self, Accept, Connection, Stream};
use crate::{ingest, replica};

/// TLS handshakes at once: each takes a millisecond of a processor.
const HANDSHAKES: usize = 64;
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
    let accept = Accept { listener, tls, turns: HANDSHAKES, who: "an agent" };
    let (here, there) = (agents.clone(), agents.clone());
    let failed = move || {
        there.counters.handshake_failures.fetch_add(1, Ordering::Relaxed);
    };
    let (connections, accepting) =
        accept.run(move |stream, _turn| shaken(&here, stream), failed, cancel.clone());
    let limit = agents.limits.max_addresses * 20 + MESSAGE_BYTES / 8;
    let service = proto::InventoryServer::new(Service(agents.clone()))
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(limit.min(MESSAGE_BYTES));
    // What is large in it is compressed already.
    let telemetry = proto::TelemetryServer::new(telemetry).max_decoding_message_size(REPORT_BYTES);
    let serving = grpc::server(STREAMS)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .add_service(service)
        .add_service(telemetry)
        .add_service(ReplicaServer::new(replicas))
        .serve_with_incoming_shutdown(connections, async {
            cancel.cancelled().await;
            agents.drained().await;
        });
    grpc::until_drained(serving, accepting, cancel.clone(), agents.drained()).await
}

/// What is known of who connected.
fn shaken(agents: &Agents, stream: Stream) -> Connection<Peer> {
    let certificates = stream.certificates();
    let node = certificates.and_then(tls::node);
    let is_for = |it: &String| certificates.is_some_and(|all| tls::is_for(all, it));
    let is_replica = node.is_none() && agents.replicas.iter().any(is_for);
    let sent = agents.counters.bytes_sent.clone();
    Connection { stream, info: Peer { node, is_replica }, sent }
}
