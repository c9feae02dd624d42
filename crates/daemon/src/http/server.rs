//! HTTP/1.1 over TCP or a Unix socket, with a limit on everything that a client chooses.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 64;
/// A request's line and headers together.
const HEAD_BYTES: usize = 32 << 10;
const HEADERS: usize = 64;
/// How long a client may take to send a request's head.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// Serves until cancelled, then lets the requests in progress end.
pub async fn serve<L: Listener>(
    mut listener: L,
    router: Router,
    cancel: CancellationToken,
) -> Result<(), Infallible> {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = cancel.run_until_cancelled(async {
            let permit = permits.clone().acquire_owned().await;
            (permit, listener.accept().await.0)
        });
        let Some((permit, stream)) = accepted.await else { break };
        let service = TowerToHyperService::new(router.clone());
        let cancel = cancel.clone();
        connections.spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .max_headers(HEADERS)
                .max_buf_size(HEAD_BYTES)
                .serve_connection(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = cancel.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "connection");
            }
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}
