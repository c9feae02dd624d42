//! Takes clients' connections.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use daemon::tls;
use proto::hubble::health::health_server::HealthServer;
use proto::hubble::observer::observer_server::ObserverServer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use super::{Hubble, Service};

/// Connections at once: people, and Hubble's UI.
const CONNECTIONS: usize = 256;
const HANDSHAKE: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(10);
/// Of a request: sixty filters have 10 KB.
const REQUEST_BYTES: usize = 256 << 10;
const STREAMS_OF_CONNECTION: u32 = 64;
/// Between the last message of a stop and the end of the connections.
const GRACE: Duration = Duration::from_millis(500);
/// After an accept that failed for want of something, such as descriptors.
const PAUSE: Duration = Duration::from_millis(100);

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
    let (out, connections) = mpsc::channel::<io::Result<Connection>>(1);
    let accepting = accept(hubble.clone(), listener, tls, out, cancel.clone());
    let service = Service(hubble.clone());
    let observer = ObserverServer::new(service.clone()).max_decoding_message_size(REQUEST_BYTES);
    let ended = async {
        cancel.cancelled().await;
        hubble.drained().await;
    };
    let serving = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
        .max_concurrent_streams(STREAMS_OF_CONNECTION)
        .add_service(observer)
        .add_service(HealthServer::new(service).max_decoding_message_size(REQUEST_BYTES))
        .serve_with_incoming_shutdown(ReceiverStream::new(connections), ended);
    // A client that does not close its connection must not hold up the stop.
    let stopped = async {
        cancel.cancelled().await;
        hubble.drained().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        (ended, ()) = async { tokio::join!(serving, accepting) } => ended,
        () = stopped => Ok(()),
    }
}

async fn accept(
    hubble: Arc<Hubble>,
    listener: TcpListener,
    tls: Option<tls::Server>,
    out: mpsc::Sender<io::Result<Connection>>,
    cancel: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let next = || async {
        // Closed by nobody; while all places are taken, the others wait in the kernel's queue.
        let place = room.clone().acquire_owned().await.map_err(io::Error::other)?;
        listener.accept().await.map(|(stream, _)| (stream, place))
    };
    while let Some(accepted) = cancel.run_until_cancelled(next()).await {
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection of Hubble's clients");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (hubble, tls, out) = (hubble.clone(), tls.clone(), out.clone());
        tokio::spawn(async move {
            let shaken = tokio::time::timeout(HANDSHAKE, shake(stream, tls)).await;
            match shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => drop(out.send(Ok(Connection { stream, _place: place })).await),
                Err(error) => {
                    hubble.counters.handshake_failures.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%error, "no connection with a client of Hubble's");
                }
            }
        });
    }
}

async fn shake(stream: TcpStream, tls: Option<tls::Server>) -> io::Result<Stream> {
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let stream: TlsStream<TcpStream> = TlsAcceptor::from(tls.config()).accept(stream).await?;
    Ok(Box::new(stream))
}

/// With or without TLS.
type Stream = Box<dyn Duplex>;

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

struct Connection {
    stream: Stream,
    _place: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(context)
    }
}
