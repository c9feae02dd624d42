//! Connections to who tells names: TLS where that is configured, a token where there is one, and every byte counted as
//! it travels.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use daemon::tls;
use http::HeaderValue;
use reflector::Resolver;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Link;
use super::error::{Error, Peer, causes};
use crate::config::{Hub, Metadata};

/// For TCP: after this a new try comes sooner than the kernel's next one.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// For TLS: when all agents come back at once, they take turns.
const SHAKE_WITHIN: Duration = Duration::from_secs(15);
/// TCP tries again 0.2, 0.6, 1.4 and 3 s after what was lost: before the longest of these pauses there is a new connection.
const SILENCE: Duration = Duration::from_secs(2);
const ASK: Duration = Duration::from_secs(1);
const RESOLVE_WITHIN: Duration = Duration::from_secs(10);
const MOST_TOKEN_BYTES: u64 = 64 << 10;
/// Of one name.
const MOST_ADDRESSES: usize = 64;

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub struct Connector {
    tls: Option<tls::Client>,
    token: Option<PathBuf>,
    resolver: Resolver,
    link: Arc<Link>,
    /// Ends the watch of the certificates.
    _watch: DropGuard,
}

impl Connector {
    /// For servers that speak one of `protocols`.
    ///
    /// # Errors
    /// A file with certificates cannot be used.
    pub fn new(
        config: &Metadata,
        protocols: &'static [&'static [u8]],
        link: &Arc<Link>,
    ) -> Result<Self, Error> {
        let watch = CancellationToken::new();
        let own = config.certificate.clone();
        let own = own.map(|(certificate, key)| tls::Files { certificate, key });
        let tls = match config.ca.clone() {
            Some(authority) => Some(tls::Client::new(authority, own, protocols)?),
            None => None,
        };
        if let Some(tls) = &tls {
            link.certificates(tls);
            tokio::spawn(Arc::clone(tls).watch(watch.clone()));
        }
        Ok(Self {
            tls,
            token: config.token.clone(),
            resolver: Resolver::default(),
            link: link.clone(),
            _watch: watch.drop_guard(),
        })
    }

    /// All addresses of `server`, in no order.
    pub async fn addresses(&self, server: &Hub) -> Result<Vec<SocketAddr>, Error> {
        let no_name = |reason| Error::Name { server: server.clone(), reason };
        let mut ips = match server.host.parse::<IpAddr>() {
            Ok(ip) => vec![ip],
            Err(_) => timeout(RESOLVE_WITHIN, self.resolver.addresses(&server.host))
                .await
                .map_err(|_| no_name(format!("no answer within {RESOLVE_WITHIN:?}")))?
                .map_err(no_name)?,
        };
        fastrand::shuffle(&mut ips);
        ips.truncate(MOST_ADDRESSES);
        Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, server.port)).collect())
    }

    pub async fn open(&self, peer: &Peer) -> Result<Box<dyn Stream>, Error> {
        let late = |after| move |_| Error::Silent { peer: peer.clone(), after };
        let unreachable =
            |error: io::Error| Error::Unreachable { peer: peer.clone(), reason: error.to_string() };
        let tcp = timeout(CONNECT_WITHIN, TcpStream::connect(peer.address)).await;
        let tcp = tcp.map_err(late(CONNECT_WITHIN))?.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        daemon::keepalive(&tcp, ASK, SILENCE).map_err(unreachable)?;
        let counted = Counted { tcp, link: self.link.clone() };
        if !peer.server.tls {
            return Ok(Box::new(counted));
        }
        let failed = |reason: String| Error::Tls { peer: peer.clone(), reason };
        let no_authority = || failed("metadata.ca names no authority".to_owned());
        let tls = self.tls.as_ref().ok_or_else(no_authority)?;
        let name = ServerName::try_from(peer.server.host.clone());
        let name = name.map_err(|error| failed(error.to_string()))?;
        let shake = timeout(SHAKE_WITHIN, TlsConnector::from(tls.config()).connect(name, counted));
        let stream = shake.await.map_err(late(SHAKE_WITHIN))?;
        // What TLS itself takes issue with is invalid; the rest is the network's.
        let stream = stream.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => failed(causes(&error)),
            _ => unreachable(error),
        })?;
        Ok(Box::new(stream))
    }

    /// The value of `authorization`, read anew: tokens are replaced before they expire.
    pub async fn authorization(&self) -> Result<Option<HeaderValue>, Error> {
        let Some(path) = &self.token else { return Ok(None) };
        let failed = |reason: String| Error::Token { path: path.clone(), reason };
        let mut text = String::new();
        let file = tokio::fs::File::open(path).await.map_err(|error| failed(error.to_string()))?;
        let read = file.take(MOST_TOKEN_BYTES).read_to_string(&mut text).await;
        read.map_err(|error| failed(error.to_string()))?;
        let token = text.trim();
        if token.is_empty() {
            return Err(failed("it is empty".to_owned()));
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| failed("it is more than a token".to_owned()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// Tells the link what arrives.
struct Counted {
    tcp: TcpStream,
    link: Arc<Link>,
}

impl AsyncRead for Counted {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.tcp).poll_read(context, buffer);
        this.link.received((buffer.filled().len() - before) as u64);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(context)
    }
}
