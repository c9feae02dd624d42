//! TLS below HTTP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::tls;

/// Handshakes at once: each takes a millisecond of a processor.
const HANDSHAKES: usize = 16;
const HANDSHAKE: Duration = Duration::from_secs(10);

type Shaken = (TlsStream<TcpStream>, SocketAddr);

/// Connections whose handshake is done: a slow one holds up no other.
pub struct Secure {
    shaken: mpsc::Receiver<Shaken>,
    address: SocketAddr,
    /// Ends with this.
    _accepting: JoinSet<()>,
}

impl Secure {
    /// Must be called within a runtime.
    ///
    /// # Errors
    /// The listener has no address.
    pub fn new(listener: TcpListener, tls: tls::Server) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (out, shaken) = mpsc::channel(1);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, tls, out));
        Ok(Self { shaken, address, _accepting: accepting })
    }
}

async fn accept(mut listener: TcpListener, tls: tls::Server, out: mpsc::Sender<Shaken>) {
    let turns = Arc::new(Semaphore::new(HANDSHAKES));
    let mut handshakes = JoinSet::new();
    loop {
        // Closed by nobody; while all places are taken, the others wait in the kernel's queue.
        let Ok(turn) = turns.clone().acquire_owned().await else { return };
        let (stream, address) = Listener::accept(&mut listener).await;
        let (acceptor, out) = (TlsAcceptor::from(tls.config()), out.clone());
        handshakes.spawn(async move {
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => drop(out.send((stream, address)).await),
                Ok(Err(error)) => tracing::debug!(%error, %address, "no TLS"),
                Err(_) => tracing::debug!(%address, "no TLS in time"),
            }
            drop(turn);
        });
        while handshakes.try_join_next().is_some() {}
    }
}

impl Listener for Secure {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Shaken {
        match self.shaken.recv().await {
            Some(shaken) => shaken,
            // Not while the task runs, which ends with this.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
