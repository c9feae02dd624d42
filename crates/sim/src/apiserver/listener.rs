//! Accepts connections, and dies and comes back when a script says so.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::fault::Versions;
use super::line::{Gate, Line};
use super::service::{Role, Server, answer};

/// Connections at one time; more wait to be accepted.
const CONNECTIONS: usize = 20_000;
/// Requests at one time on one connection, as many as the real server takes.
const STREAMS: u32 = 250;
/// Between attempts to take back the port.
const PATIENCE: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub struct Listener {
    pub server: Arc<Server>,
    pub role: Role,
    pub tls: Arc<ServerConfig>,
    pub address: SocketAddr,
    pub gate: Arc<Gate>,
    pub end: CancellationToken,
}

#[derive(Clone, Copy, Debug)]
pub struct Restart {
    pub down: Duration,
    pub versions: Versions,
}

impl Listener {
    pub async fn run(self, socket: StdListener, mut restarts: mpsc::Receiver<Restart>) {
        let mut socket = Some(socket);
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        while !self.end.is_cancelled() {
            let listener = match socket.take() {
                Some(socket) => TcpListener::from_std(socket),
                None => TcpListener::bind(self.address).await,
            };
            let Ok(listener) = listener else {
                sleep(PATIENCE).await;
                continue;
            };
            // Ends with this life of the server, or with the whole.
            let life = self.end.child_token();
            let restart = tokio::select! {
                () = self.accept(&listener, &places, &life) => continue,
                () = self.end.cancelled() => return,
                Some(restart) = restarts.recv() => restart,
            };
            drop(listener);
            life.cancel();
            match restart.versions {
                Versions::Continue => {}
                Versions::Forget => self.server.store.compact(),
                Versions::Reset => self.server.store.renumber(),
            }
            sleep(restart.down).await;
        }
    }

    async fn accept(
        &self,
        listener: &TcpListener,
        places: &Arc<Semaphore>,
        life: &CancellationToken,
    ) {
        while let Ok(place) = Arc::clone(places).acquire_owned().await {
            let Ok((tcp, _)) = listener.accept().await else {
                // Out of descriptors, or a connection that is gone already.
                sleep(PATIENCE).await;
                continue;
            };
            let (server, role, life) = (Arc::clone(&self.server), self.role.clone(), life.clone());
            let (tls, gate) = (Arc::clone(&self.tls), Arc::clone(&self.gate));
            tokio::spawn(async move {
                tokio::select! {
                    () = connection(server, role, tls, Line { tcp, gate }) => {}
                    () = life.cancelled() => {}
                }
                drop(place);
            });
        }
    }
}

async fn connection(server: Arc<Server>, role: Role, tls: Arc<ServerConfig>, line: Line) {
    let _ = TcpStream::set_nodelay(&line.tcp, true);
    let stream = match TlsAcceptor::from(tls).accept(line).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "no TLS with a client");
            return;
        }
    };
    let service = service_fn(|request| {
        let (server, role) = (Arc::clone(&server), role.clone());
        async move { Ok::<_, Infallible>(answer(server, role, request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection broke");
    }
}
