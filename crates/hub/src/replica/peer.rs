//! One replica: whether it can be asked.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use daemon::tls;
use hyper_util::rt::TokioIo;
use proto::replica::replica_client::ReplicaClient;
use proto::replica::{Description, What};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::{Channel, Endpoint, Uri};

use super::Replicas;
use crate::config;

/// How often it is asked whether it is there, and how long that may take.
const PERIOD: Duration = Duration::from_secs(2);
const WITHIN: Duration = Duration::from_secs(2);
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Of an answer's part.
const PART_BYTES: usize = 16 << 20;

pub type Replica = ReplicaClient<Channel>;

pub struct Peer {
    pub host: config::Peer,
    address: SocketAddr,
    replica: Replica,
    state: Mutex<State>,
    /// Cancelled when nobody knows it any more.
    pub gone: CancellationToken,
    _gone: DropGuard,
}

struct State {
    name: Option<Arc<str>>,
    is_self: bool,
    /// Why it cannot be asked; empty: it can.
    error: String,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Peer {
    pub fn new(host: config::Peer, address: SocketAddr, tls: Option<tls::Client>) -> Arc<Self> {
        let name = host.host.clone();
        let tls = tls.filter(|_| host.tls);
        let connect = tower::service_fn(move |_: Uri| connect(address, name.clone(), tls.clone()));
        // The address is for who connects; the other end looks at neither.
        let endpoint = Endpoint::from_static("http://replica").connect_timeout(CONNECT_WITHIN);
        let channel = endpoint.connect_with_connector_lazy(connect);
        let replica = Replica::new(channel).max_decoding_message_size(PART_BYTES);
        let state = State { name: None, is_self: false, error: "not asked yet".into() };
        let gone = CancellationToken::new();
        let _gone = gone.clone().drop_guard();
        Arc::new(Self { host, address, replica, state: Mutex::new(state), gone, _gone })
    }

    /// Finds out again and again whether it answers.
    pub async fn run(self: Arc<Self>, own: u64, replicas: Weak<Replicas>) {
        let (weak, mut replica) = (Arc::downgrade(&self), self.replica.clone());
        drop(self);
        loop {
            let described = replica.describe(What::default());
            let described = tokio::time::timeout(WITHIN, described).await;
            let described = match described {
                Ok(Ok(told)) => Ok(told.into_inner()),
                Ok(Err(status)) => Err(status.message().to_owned()),
                Err(_) => Err(format!("no answer within {WITHIN:?}")),
            };
            let Some(peer) = weak.upgrade() else { return };
            let name = peer.hear(described, own);
            if let (Some(name), Some(replicas)) = (name, replicas.upgrade()) {
                replicas.back(&name);
            }
            drop(peer);
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Its name, if it answers.
    fn hear(&self, described: Result<Description, String>, own: u64) -> Option<Arc<str>> {
        let mut state = self.state();
        match described {
            Ok(told) => {
                let name: Arc<str> = model::text::printable(told.name.as_bytes()).into();
                state.is_self = told.id == own;
                state.error.clear();
                state.name = Some(name.clone());
                Some(name)
            }
            Err(error) => {
                state.error = error;
                None
            }
        }
    }

    /// If it answered when it was last asked.
    pub fn replica(&self) -> Option<Replica> {
        let state = self.state();
        (state.error.is_empty() && !state.is_self).then(|| self.replica.clone())
    }

    pub fn is_self(&self) -> bool {
        self.state().is_self
    }

    pub fn name(&self) -> Option<Arc<str>> {
        self.state().name.clone()
    }

    pub fn error(&self) -> String {
        self.state().error.clone()
    }

    /// Its name, or where it should be.
    pub fn shown(&self) -> Arc<str> {
        self.name().unwrap_or_else(|| self.address.to_string().into())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn connect(
    address: SocketAddr,
    host: String,
    tls: Option<tls::Client>,
) -> io::Result<TokioIo<Box<dyn Io>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(TokioIo::new(Box::new(stream))) };
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls.config()).connect(name, stream).await?;
    Ok(TokioIo::new(Box::new(stream)))
}
