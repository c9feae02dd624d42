//! What all gRPC servers of the hub have in common: connections with or without TLS, and a stop that waits for sessions.

mod accept;
mod connection;

use std::io;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::transport;
use tonic::transport::Server;

pub use accept::{Accept, Turn};
pub use connection::{Connection, Stream};

/// Until a connection whose other end answers for its kernel only is noticed, at most the sum of both.
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(10);
/// Between the last message of a stop and the end of the connections.
const GRACE: Duration = Duration::from_millis(500);

/// Connections on their way from [`Accept::run`] to a server.
pub type Connections<I> = tokio_stream::wrappers::ReceiverStream<io::Result<Connection<I>>>;

/// With keepalive, and at most so many streams of one connection.
pub fn server(streams: u32) -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
        .max_concurrent_streams(streams)
}

/// Runs both until cancelled and `drained`: a client that does not close its connection must not hold up the stop.
///
/// # Errors
/// The server cannot go on.
pub async fn until_drained(
    serving: impl Future<Output = Result<(), transport::Error>>,
    accepting: impl Future<Output = ()>,
    cancel: CancellationToken,
    drained: impl Future<Output = ()>,
) -> Result<(), transport::Error> {
    let stopped = async {
        cancel.cancelled().await;
        drained.await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        (ended, ()) = async { tokio::join!(serving, accepting) } => ended,
        () = stopped => Ok(()),
    }
}
