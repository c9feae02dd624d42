//! Takes connections.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use daemon::tls;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::Connections;
use super::connection::{Connection, Stream};

/// Who cuts itself off and comes back again and again must not fill its places with connections that are dead.
const SILENCE: Duration = Duration::from_secs(9);
const ASK: Duration = Duration::from_secs(3);
const HANDSHAKE: Duration = Duration::from_secs(10);
/// After an accept that failed for want of something, such as descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A place among those of which there are so many; given back when it is dropped.
pub type Turn = OwnedSemaphorePermit;

pub struct Accept {
    pub listener: TcpListener,
    pub tls: Option<tls::Server>,
    /// While all are taken, who comes waits in the kernel's queue.
    pub turns: usize,
    /// Whose connections they are, for the log.
    pub who: &'static str,
}

impl Accept {
    /// Connections, and what takes them until cancelled. `shaken` says what is known of one whose handshake is over, and
    /// may keep its turn; `failed` is told of those that did not come so far.
    pub fn run<I: Send + 'static>(
        self,
        shaken: impl Fn(Stream, Turn) -> Connection<I> + Clone + Send + 'static,
        failed: impl Fn() + Clone + Send + 'static,
        cancel: CancellationToken,
    ) -> (Connections<I>, impl Future<Output = ()>) {
        let (out, connections) = mpsc::channel(1);
        (ReceiverStream::new(connections), self.take(shaken, failed, out, cancel))
    }

    async fn take<I: Send + 'static>(
        self,
        shaken: impl Fn(Stream, Turn) -> Connection<I> + Clone + Send + 'static,
        failed: impl Fn() + Clone + Send + 'static,
        out: mpsc::Sender<io::Result<Connection<I>>>,
        cancel: CancellationToken,
    ) {
        let Self { listener, tls, turns, who } = self;
        let turns = Arc::new(Semaphore::new(turns));
        let next = || async {
            let turn = turns.clone().acquire_owned().await.map_err(io::Error::other)?;
            listener.accept().await.map(|(stream, _)| (stream, turn))
        };
        while let Some(accepted) = cancel.run_until_cancelled(next()).await {
            let (stream, turn) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, who, "cannot accept a connection");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let (tls, out, shaken, failed) =
                (tls.clone(), out.clone(), shaken.clone(), failed.clone());
            tokio::spawn(async move {
                let shake = tokio::time::timeout(HANDSHAKE, shake(stream, tls)).await;
                match shake.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                    Ok(stream) => drop(out.send(Ok(shaken(stream, turn))).await),
                    Err(error) => {
                        failed();
                        tracing::debug!(%error, who, "no connection");
                    }
                }
            });
        }
    }
}

async fn shake(stream: TcpStream, tls: Option<tls::Server>) -> io::Result<Stream> {
    stream.set_nodelay(true)?;
    daemon::keepalive(&stream, ASK, SILENCE)?;
    let Some(tls) = tls else { return Ok(Stream::Plain(stream)) };
    let stream = TlsAcceptor::from(tls.config()).accept(stream).await?;
    Ok(Stream::Tls(Box::new(stream)))
}
