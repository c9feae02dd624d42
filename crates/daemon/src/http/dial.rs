//! Connections to servers that are known by name, with TLS or without.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tls;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A server of which nothing comes any more is asked whether it is there: after so long, so often.
const SILENCE: Duration = Duration::from_secs(15);
const PROBE_EVERY: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;

/// Finds the addresses of a name; what fails is told on one line. A static executable must not ask glibc.
pub type Resolve = Arc<dyn Fn(String) -> Resolving + Send + Sync>;
pub type Resolving = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send>>;

/// A connection, whatever is below it.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Cheap to clone.
#[derive(Clone)]
pub struct Dial {
    /// Without one there is no TLS.
    pub tls: Option<tls::Client>,
    pub resolve: Resolve,
}

/// Why there is no connection, on one line.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    #[error("{host}: {reason}")]
    Unknown { host: String, reason: String },
    #[error("{host} has no address")]
    Nowhere { host: String },
    #[error("{host}:{port} cannot be reached within {CONNECT_WITHIN:?}")]
    Late { host: String, port: u16 },
    #[error("{address}: {source}")]
    Refused { address: SocketAddr, source: io::Error },
    #[error("the system names no authorities; give a file with them (ca)")]
    NoAuthorities,
    #[error("{host}:{port}: {source}")]
    Tls { host: String, port: u16, source: io::Error },
}

impl Dial {
    /// `host`: a name or an address. The handshake takes as long as it takes.
    ///
    /// # Errors
    /// There is no connection.
    pub async fn connect(
        &self,
        host: &str,
        port: u16,
        secure: bool,
    ) -> Result<Box<dyn Io>, Unreachable> {
        let tcp = tokio::time::timeout(CONNECT_WITHIN, self.tcp(host, port)).await;
        let tcp = tcp.map_err(|_| Unreachable::Late { host: host.to_owned(), port })??;
        if !secure {
            return Ok(Box::new(tcp));
        }
        let tls = self.tls.as_ref().ok_or(Unreachable::NoAuthorities)?;
        let failed = |source| Unreachable::Tls { host: host.to_owned(), port, source };
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|error| failed(io::Error::other(error)))?;
        let stream = TlsConnector::from(tls.config()).connect(name, tcp).await.map_err(failed)?;
        Ok(Box::new(stream))
    }

    async fn tcp(&self, host: &str, port: u16) -> Result<TcpStream, Unreachable> {
        let addresses = match host.parse() {
            Ok(ip) => vec![ip],
            Err(_) => {
                let found = (self.resolve)(host.to_owned()).await;
                found.map_err(|reason| Unreachable::Unknown { host: host.to_owned(), reason })?
            }
        };
        let mut failed = Unreachable::Nowhere { host: host.to_owned() };
        for ip in addresses {
            let address = SocketAddr::new(ip, port);
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    watch_silence(&stream);
                    return Ok(stream);
                }
                Err(source) => failed = Unreachable::Refused { address, source },
            }
        }
        Err(failed)
    }
}

/// Where the system cannot, silence is noticed by whoever waits for an answer.
fn watch_silence(stream: &TcpStream) {
    let set = sockopt::set_socket_keepalive(stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(stream, SILENCE))
        .and_then(|()| sockopt::set_tcp_keepintvl(stream, PROBE_EVERY))
        .and_then(|()| sockopt::set_tcp_keepcnt(stream, PROBES));
    if let Err(error) = set {
        tracing::debug!(%error, "no keepalive");
    }
}
