//! Takes clients' connections.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::http::{HeaderValue, Response};
use daemon::tls;
use proto::hubble::health::health_server::HealthServer;
use proto::hubble::observer::observer_server::ObserverServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::util::MapResponseLayer;

use super::{Hubble, Service};
use crate::grpc::{self, Accept, Connection, Turn};

/// Connections at once: people, and Hubble's UI.
const CONNECTIONS: usize = 256;
/// Of a request: sixty filters have 10 KB.
const REQUEST_BYTES: usize = 256 << 10;
const STREAMS_OF_CONNECTION: u32 = 64;

/// What people are told who ask for Cilium's own events, or for another service.
const NOT_SERVED: &str = "not served by Amphipod, which has no agent events, debug events or peers: ask for flows, nodes, namespaces or \
                          the status, as with hubble observe, list and status";

/// Serves clients until cancelled.
///
/// # Errors
/// The server cannot go on.
pub async fn listen(
    hubble: Arc<Hubble>,
    listener: TcpListener,
    tls: Option<tls::Server>,
    cancel: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let accept = Accept { listener, tls, turns: CONNECTIONS, who: "a client of Hubble's" };
    let (here, there) = (hubble.clone(), hubble.clone());
    let failed = move || {
        there.counters.handshake_failures.fetch_add(1, Ordering::Relaxed);
    };
    // A turn lasts as long as its connection.
    let shaken = move |stream, turn: Turn| {
        let sent = here.counters.bytes_sent.clone();
        Connection { stream, info: Arc::new(turn), sent }
    };
    let (connections, accepting) = accept.run(shaken, failed, cancel.clone());
    let service = Service(hubble.clone());
    let observer = ObserverServer::new(service.clone()).max_decoding_message_size(REQUEST_BYTES);
    let ended = async {
        cancel.cancelled().await;
        hubble.drained().await;
    };
    let serving = grpc::server(STREAMS_OF_CONNECTION)
        .layer(MapResponseLayer::new(explained))
        .add_service(observer)
        .add_service(HealthServer::new(service).max_decoding_message_size(REQUEST_BYTES))
        .serve_with_incoming_shutdown(connections, ended);
    grpc::until_drained(serving, accepting, cancel.clone(), hubble.drained()).await
}

/// Without a word `Unimplemented` would leave people guessing.
fn explained(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    let unimplemented = Status::from_header_map(headers)
        .is_some_and(|it| it.code() == Code::Unimplemented && it.message().is_empty());
    if unimplemented {
        headers.insert(Status::GRPC_MESSAGE, HeaderValue::from_static(NOT_SERVED));
    }
    response
}
