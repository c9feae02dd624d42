//! A hub that does what the test says, and the agent's side of the stream without an agent around it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use std::{fs, io};

use agent::Config;
use agent::identity::Wish;
use agent::kube::{self, Facts, Link, Wanted};
use daemon::Supervisor;
use daemon::tls::{self, Clients, Files, HTTP2};
use model::Change;
use prost::Message;
use proto::wire::{Batch, Hello, Interest, ToAgent, ToHub, to_agent, to_hub};
use proto::{Inventory, InventoryServer};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};

/// Longer than any patience of the agent.
const SOON: Duration = Duration::from_secs(40);

/// Encoded as a hub sends it.
pub fn batch(epoch: u64, sequence: u64, changes: &[Change]) -> Batch {
    let encoded = |change| proto::item(change).unwrap().encode_to_vec().into();
    Batch {
        epoch,
        sequence,
        begin: false,
        synced: false,
        items: changes.iter().map(encoded).collect(),
        ..Batch::default()
    }
}

pub fn config(hubs: &[Hub], more: &str) -> String {
    let urls: Vec<String> = hubs.iter().map(Hub::url).collect();
    format!("[metadata]\nsource = \"hub\"\nhubs = {urls:?}\n{more}")
}

/// The first visit to any of two, and which of them it is.
pub fn either(hubs: &mut [Hub; 2]) -> (Visit, usize) {
    let until = Instant::now() + SOON;
    while Instant::now() < until {
        for (number, hub) in hubs.iter_mut().enumerate() {
            if let Ok(visit) = hub.visits.try_recv() {
                return (visit, number);
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("nobody came");
}

/// One stream, as the hub sees it. Dropping it ends the stream.
pub struct Visit {
    /// Named by the certificate.
    pub node: Option<String>,
    pub authorization: Option<String>,
    runtime: tokio::runtime::Handle,
    messages: Streaming<ToHub>,
    out: mpsc::Sender<Result<ToAgent, Status>>,
}

impl Visit {
    fn next(&mut self) -> to_hub::Kind {
        let next = async { timeout(SOON, self.messages.message()).await };
        let message = self.runtime.block_on(next).expect("a message soon");
        message.unwrap().expect("a message").kind.unwrap()
    }

    pub fn hello(&mut self) -> Hello {
        match self.next() {
            to_hub::Kind::Hello(hello) => hello,
            other => panic!("{other:?}"),
        }
    }

    /// What is dropped and what is added, in order.
    pub fn interest(&mut self) -> (Vec<IpAddr>, Vec<IpAddr>) {
        match self.next() {
            to_hub::Kind::Interest(Interest { add, drop }) => (self.ips(&drop), self.ips(&add)),
            other => panic!("{other:?}"),
        }
    }

    pub fn ips(&self, all: &[impl AsRef<[u8]>]) -> Vec<IpAddr> {
        let mut ips: Vec<_> = all.iter().map(|ip| proto::ip(ip.as_ref()).unwrap()).collect();
        ips.sort_unstable();
        ips
    }

    pub fn tell(&self, batch: Batch) {
        self.send(ToAgent { kind: Some(to_agent::Kind::Batch(batch)) });
    }

    pub fn send(&self, message: ToAgent) {
        self.out.blocking_send(Ok(message)).unwrap();
    }

    pub fn fail(self) {
        self.out.blocking_send(Err(Status::unavailable("broken"))).unwrap();
    }

    pub fn refuse(self, reason: &str) {
        self.out.blocking_send(Err(Status::permission_denied(reason))).unwrap();
    }
}

/// On a runtime of its own: with it everything ends, connections included.
pub struct Hub {
    runtime: Option<Runtime>,
    address: SocketAddr,
    tls: bool,
    visits: mpsc::UnboundedReceiver<Visit>,
}

impl Hub {
    pub fn start() -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), None)
    }

    pub fn start_at(address: SocketAddr, tls: Option<tls::Server>) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
        let address = listener.local_addr().unwrap();
        let (visitors, visits) = mpsc::unbounded_channel();
        let has_tls = tls.is_some();
        let service =
            InventoryServer::new(Scripted { visitors }).send_compressed(CompressionEncoding::Zstd);
        let (out, incoming) = mpsc::channel::<io::Result<Line>>(8);
        runtime.spawn(accept(listener, tls, out));
        let incoming = ReceiverStream::new(incoming);
        runtime.spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        Self { runtime: Some(runtime), address, tls: has_tls, visits }
    }

    pub fn url(&self) -> String {
        format!("http{}://{}", if self.tls { "s" } else { "" }, self.address)
    }

    pub fn config(&self) -> String {
        config(std::slice::from_ref(self), "")
    }

    pub fn visit(&mut self) -> Visit {
        let runtime = self.runtime.as_ref().unwrap();
        let next = async { timeout(SOON, self.visits.recv()).await };
        runtime.block_on(next).expect("a visit soon").unwrap()
    }

    /// As a process that is killed.
    pub fn stop(&mut self) -> SocketAddr {
        self.runtime.take().unwrap().shutdown_timeout(SOON);
        self.address
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<tls::Server>,
    out: mpsc::Sender<io::Result<Line>>,
) {
    while let Ok((tcp, _)) = listener.accept().await {
        let line = match &tls {
            None => Line { stream: Box::new(tcp), node: None },
            Some(tls) => {
                let Ok(stream) = TlsAcceptor::from(tls.config()).accept(tcp).await else {
                    continue;
                };
                let node = stream.get_ref().1.peer_certificates().and_then(tls::node);
                Line { stream: Box::new(stream), node }
            }
        };
        let _ = out.send(Ok(line)).await;
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl Stream for TcpStream {}
impl Stream for tokio_rustls::server::TlsStream<TcpStream> {}

struct Line {
    stream: Box<dyn Stream>,
    node: Option<String>,
}

#[derive(Clone)]
struct Named(Option<String>);

impl Connected for Line {
    type ConnectInfo = Named;

    fn connect_info(&self) -> Named {
        Named(self.node.clone())
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

struct Scripted {
    visitors: mpsc::UnboundedSender<Visit>,
}

#[tonic::async_trait]
impl Inventory for Scripted {
    type FollowStream = ReceiverStream<Result<ToAgent, Status>>;

    async fn follow(
        &self,
        request: Request<Streaming<ToHub>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let (out, answers) = mpsc::channel(64);
        let named = request.extensions().get::<Named>();
        let authorization = request.metadata().get("authorization");
        let visit = Visit {
            node: named.and_then(|named| named.0.clone()),
            authorization: authorization.map(|value| value.to_str().unwrap().to_owned()),
            runtime: tokio::runtime::Handle::current(),
            messages: request.into_inner(),
            out,
        };
        let _ = self.visitors.send(visit);
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

/// What starts in an agent where names have a source.
pub struct Follower {
    changes: Receiver<Change>,
    pub link: Arc<Link>,
    wanted: Arc<Wanted>,
    _supervisor: Supervisor,
    _stop: DropGuard,
    _runtime: Runtime,
}

impl Follower {
    pub fn start(config: &str) -> Self {
        let config = Config::parse(config, Some("n1")).unwrap();
        let runtime = Runtime::new().unwrap();
        let cancel = CancellationToken::new();
        let mut supervisor = Supervisor::new(runtime.handle().clone(), cancel.clone());
        let link = Arc::new(Link::new(config.metadata.source));
        let wanted = Arc::new(Wanted::default());
        let (node, metadata) = (&config.node, &config.metadata);
        let changes = kube::start(&mut supervisor, node, metadata, &link, &wanted, None);
        Self {
            changes,
            link,
            wanted,
            _supervisor: supervisor,
            _stop: cancel.drop_guard(),
            _runtime: runtime,
        }
    }

    pub fn wish(&self, wishes: impl IntoIterator<Item = Wish>) {
        self.wanted.apply(wishes.into_iter());
    }

    pub fn next(&self) -> Change {
        match self.changes.recv_timeout(SOON) {
            Ok(change) => change,
            Err(RecvTimeoutError::Timeout) => panic!("nothing was told; {:?}", self.link.facts()),
            Err(RecvTimeoutError::Disconnected) => panic!("the source has ended"),
        }
    }

    pub fn hears<const N: usize>(&self, expected: [Change; N]) {
        for expected in expected {
            assert_eq!(self.next(), expected, "{:?}", self.link.facts());
        }
    }

    /// The same, where the source may have been out of reach before.
    pub fn hears_after_loss<const N: usize>(&self, expected: [Change; N]) {
        let mut lost = true;
        for expected in expected {
            let mut next = self.next();
            while lost && next == Change::Stale {
                next = self.next();
            }
            lost = false;
            assert_eq!(next, expected, "{:?}", self.link.facts());
        }
    }

    pub fn reaches(&self, wanted: impl Fn(&Facts) -> bool) {
        let until = Instant::now() + SOON;
        while !wanted(&self.link.facts()) {
            assert!(Instant::now() < until, "{:?}", self.link.facts());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Certificates by one authority, on disk.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let this = Self { issuer, directory: tempfile::tempdir().unwrap() };
        fs::write(this.path("ca.crt"), this.issuer.pem()).unwrap();
        this
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn issue(&self, name: &str, params: CertificateParams) -> Files {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = Files {
            certificate: self.path(&format!("{name}.crt")),
            key: self.path(&format!("{name}.key")),
        };
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    pub fn server(&self) -> tls::Server {
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let files = self.issue("hub", params);
        tls::Server::new(files, Clients::MustShow(self.path("ca.crt")), &[HTTP2]).unwrap()
    }

    /// Lines of configuration for the agent of `node`; the first one names the authority.
    pub fn client(&self, node: &str) -> String {
        let mut params = CertificateParams::default();
        let uri = format!("spiffe://cluster.local/node/{node}");
        params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        let Files { certificate, key } = self.issue("agent", params);
        format!("ca = {:?}\ncertificate = {certificate:?}\nkey = {key:?}", self.path("ca.crt"))
    }
}
