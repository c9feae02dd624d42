//! Real receivers: the server that OpenTelemetry's definitions generate, and HTTP.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};
use prost::Message;
use std::io::Read;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::remote_write::WriteRequest;
use super::*;
use crate::config::parse;
use crate::export::facts::Fate;
use crate::metrics::{Distribution, Families, labels};
use crate::{sections, tls};

mod raw {
    pub(super) use super::{Otlp, RemoteWrite};
    super::sections! {
        /// a
        otlp: Otlp,
        /// b
        remote_write: RemoteWrite,
    }
}

const SOON: Duration = Duration::from_secs(20);

/// Counts how often it was asked.
#[derive(Debug)]
struct Seen(u64);

impl View for Seen {
    fn write(&self, out: &mut Families<'_>) -> fmt::Result {
        let of = |outcome| labels([("source_workload", "web"), ("outcome", outcome)]);
        out.counter(
            "amphipod_connections_total",
            "Connections.",
            [(of("established"), self.0), (of("failed"), 7)],
        )?;
        out.gauge("amphipod_ready", "Ready.", [(vec![], 1_u64)])?;
        let buckets = vec![(0.25, 1), (1.0, 0), (f64::INFINITY, 2)];
        let connect = Distribution { sum: 4.5, count: 3, buckets };
        out.histogram(
            "amphipod_connect_seconds",
            "Time.",
            [(labels([("protocol", "TCP")]), connect)],
        )
    }
}

fn config(text: &str) -> Result<Config, crate::config::Error> {
    let raw: raw::Raw = parse(text)?;
    Config::check(raw.otlp, raw.remote_write)
}

struct Running {
    exports: Exports,
    supervisor: Supervisor,
    _runtime: tokio::runtime::Handle,
}

fn start(text: &str) -> Running {
    let resolve: Resolve = Arc::new(|host| Box::pin(async move { Err(format!("who is {host}")) }));
    let exports = Exports::new(&config(text).unwrap(), &resolve).unwrap();
    let runtime = tokio::runtime::Handle::current();
    let mut supervisor = Supervisor::new(runtime.clone(), CancellationToken::new());
    let origin = Origin {
        service: "amphipod-agent",
        instance: "n1".to_owned(),
        version: "1",
        attributes: vec![("k8s.node.name", "n1".to_owned())],
    };
    let asked = AtomicU64::new(0);
    exports
        .start(&mut supervisor, &origin, move || Seen(1 + asked.fetch_add(1, Ordering::Relaxed)));
    Running { exports, supervisor, _runtime: runtime }
}

impl Running {
    /// Stops it, which sends what is left.
    async fn stop(self) -> Vec<Facts> {
        let Self { exports, supervisor, .. } = self;
        tokio::task::spawn_blocking(move || supervisor.drain(SOON)).await.unwrap().unwrap();
        exports.facts()
    }
}

type Reply = fn(u64) -> Result<ExportMetricsServiceResponse, Status>;

struct Receiver {
    reply: Reply,
    calls: AtomicU64,
    got: mpsc::UnboundedSender<(ExportMetricsServiceRequest, tonic::metadata::MetadataMap)>,
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let _ = self.got.send((message, metadata));
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        (self.reply)(call).map(tonic::Response::new)
    }
}

type Got = mpsc::UnboundedReceiver<(ExportMetricsServiceRequest, tonic::metadata::MetadataMap)>;

async fn grpc(reply: Reply) -> (SocketAddr, Got) {
    let (got, received) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let receiver = Receiver { reply, calls: AtomicU64::new(0), got };
    let service = MetricsServiceServer::new(receiver).accept_compressed(CompressionEncoding::Gzip);
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (address, received)
}

fn metrics(request: &ExportMetricsServiceRequest) -> &[Metric] {
    &request.resource_metrics[0].scope_metrics[0].metrics
}

/// Attributes of the resource, as `name=value`.
fn resource(request: &ExportMetricsServiceRequest) -> Vec<String> {
    let resource = request.resource_metrics[0].resource.as_ref().unwrap();
    let text = |it: &opentelemetry_proto::tonic::common::v1::KeyValue| {
        let value = it.value.clone().and_then(|it| it.value);
        match value {
            Some(opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue(value)) => {
                format!("{}={value}", it.key)
            }
            other => format!("{}: {other:?}", it.key),
        }
    };
    resource.attributes.iter().map(text).collect()
}

fn accept(_: u64) -> Result<ExportMetricsServiceResponse, Status> {
    Ok(ExportMetricsServiceResponse::default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_takes_what_is_scraped() {
    let (address, mut got) = grpc(accept).await;
    let running = start(&format!(
        "[otlp]\nendpoint = \"http://{address}\"\ninterval = \"1s\"\n\
         attributes = [\"k8s.cluster.name=blue\"]\nheaders = [\"x-tenant: t\"]"
    ));
    let (request, metadata) = tokio::time::timeout(SOON, got.recv()).await.unwrap().unwrap();
    assert_eq!(metadata.get("x-tenant").unwrap(), "t");
    assert_eq!(
        resource(&request),
        [
            "service.name=amphipod-agent",
            "service.instance.id=n1",
            "service.version=1",
            "k8s.node.name=n1",
            "k8s.cluster.name=blue"
        ]
    );
    let names: Vec<_> = metrics(&request).iter().map(|it| (&*it.name, &*it.unit)).collect();
    let expected =
        [("amphipod.connections", ""), ("amphipod.ready", ""), ("amphipod.connect", "s")];
    assert_eq!(names, expected);
    let Some(Data::Sum(sum)) = &metrics(&request)[0].data else { unreachable!() };
    assert!(sum.is_monotonic && sum.aggregation_temporality == 2 && sum.data_points.len() == 2);
    let point = &sum.data_points[0];
    assert!(point.start_time_unix_nano > 0 && point.start_time_unix_nano < point.time_unix_nano);
    let Some(Data::Histogram(histogram)) = &metrics(&request)[2].data else { unreachable!() };
    let point = &histogram.data_points[0];
    assert_eq!(
        (&*point.explicit_bounds, &*point.bucket_counts),
        (&[0.25, 1.0][..], &[1, 0, 2][..])
    );
    assert_eq!((point.count, point.sum), (3, Some(4.5)));
    let second = tokio::time::timeout(SOON, got.recv()).await.unwrap().unwrap().0;
    let Some(Data::Sum(later)) = &metrics(&second)[0].data else { unreachable!() };
    assert_eq!(later.data_points[0].start_time_unix_nano, sum.data_points[0].start_time_unix_nano);
    let before = got.len();
    let facts = running.stop().await.remove(0);
    // The stop sent what had been counted since.
    assert!(got.len() > before);
    assert_eq!((facts.of(Fate::Sent) % 4, &*facts.error), (0, ""));
    assert!(facts.status().up && facts.of(Fate::Sent) >= 12, "{facts:?}");
}

/// The first is put off for a moment that the receiver names, the second is taken in part, the third never.
fn moody(call: u64) -> Result<ExportMetricsServiceResponse, Status> {
    match call {
        0 => {
            let mut details = ErrorDetails::new();
            details.set_retry_info(Some(Duration::from_secs(2)));
            Err(Status::with_error_details(Code::ResourceExhausted, "full", details))
        }
        1 => Ok(ExportMetricsServiceResponse {
            partial_success: Some(ExportMetricsPartialSuccess {
                rejected_data_points: 3,
                error_message: "too old".to_owned(),
            }),
        }),
        _ => Err(Status::invalid_argument("no")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_taken_is_counted() {
    let (address, mut got) = grpc(moody).await;
    let running = start(&format!("[otlp]\nendpoint = \"http://{address}\"\ninterval = \"1h\""));
    // Nothing is due within the hour: the stop sends, once.
    let facts = running.stop().await.remove(0);
    assert_eq!((facts.of(Fate::Sent), facts.queue_bytes > 0), (0, true));
    assert_eq!(facts.error, "ResourceExhausted: full");
    assert!(!facts.status().up);
    got.recv().await.unwrap();

    let (address, mut got) = grpc(moody).await;
    let running = start(&format!("[otlp]\nendpoint = \"http://{address}\"\ninterval = \"1s\""));
    let first = tokio::time::timeout(SOON, got.recv()).await.unwrap().unwrap().0;
    let asked = std::time::Instant::now();
    let again = tokio::time::timeout(SOON, got.recv()).await.unwrap().unwrap().0;
    assert!(asked.elapsed() >= Duration::from_millis(1900), "{:?}", asked.elapsed());
    assert_eq!(first, again);
    tokio::time::timeout(SOON, got.recv()).await.unwrap().unwrap();
    let facts = running.stop().await.remove(0);
    assert_eq!((facts.of(Fate::Sent), facts.of(Fate::Rejected)), (1, 3));
    assert!(facts.of(Fate::Refused) >= 4, "{facts:?}");
    assert_eq!(facts.error, "InvalidArgument: no");
}

type Heard = mpsc::UnboundedSender<(HeaderMap, Bytes)>;

async fn hear(State(heard): State<Heard>, headers: HeaderMap, body: Bytes) -> Response {
    let _ = heard.send((headers, body));
    StatusCode::NO_CONTENT.into_response()
}

/// Serves at `path`, with TLS if there is any.
async fn http(
    path: &'static str,
    tls: Option<tls::Server>,
) -> (SocketAddr, mpsc::UnboundedReceiver<(HeaderMap, Bytes)>) {
    let (heard, got) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().route(path, post(hear)).with_state(heard);
    let cancel = CancellationToken::new();
    match tls {
        Some(tls) => {
            let secure = crate::http::Secure::new(listener, tls).unwrap();
            tokio::spawn(crate::http::serve(secure, routes, cancel));
        }
        None => drop(tokio::spawn(crate::http::serve(listener, routes, cancel))),
    }
    (address, got)
}

/// A certificate of 127.0.0.1 that vouches for itself.
fn certificate(folder: &std::path::Path) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (certificate, key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_is_spoken_with_secrets_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(folder.path());
    let own = tls::Files { certificate: certificate.clone(), key };
    let server = tls::Server::new(own, tls::Clients::Any, &[tls::HTTP1]).unwrap();
    let (address, mut got) = http("/in/v1/metrics", Some(server)).await;
    let secret = folder.path().join("headers");
    std::fs::write(&secret, "authorization: Bearer s3cret\n\n").unwrap();
    let running = start(&format!(
        "[otlp]\nprotocol = \"http/protobuf\"\nendpoint = \"https://{address}/in/\"\ninterval = \"1s\"\n\
         ca = \"{}\"\nheaders_file = \"{}\"",
        certificate.display(),
        secret.display()
    ));
    let (headers, body) = tokio::time::timeout(SOON, got.recv()).await.unwrap().unwrap();
    assert_eq!(headers["authorization"], "Bearer s3cret");
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let mut plain = Vec::new();
    GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
    let request = ExportMetricsServiceRequest::decode(&*plain).unwrap();
    assert_eq!(metrics(&request).len(), 3);
    // A secret that cannot be read is no reason to send without it.
    std::fs::write(&secret, "no header").unwrap();
    while got.try_recv().is_ok() {}
    let facts = running.stop().await.remove(0);
    assert!(facts.error.contains("line 1 is no header"), "{facts:?}");
    assert!(!facts.error.contains("no header\n") && facts.of(Fate::Refused) == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remote_write_has_each_sample_of_a_scrape() {
    let (address, mut got) = http("/api/v1/write", None).await;
    let running = start(&format!(
        "[remote_write]\nurl = \"http://{address}/api/v1/write\"\ninterval = \"1s\"\nlabels = [\"cluster=blue\"]"
    ));
    let (headers, body) = tokio::time::timeout(SOON, got.recv()).await.unwrap().unwrap();
    assert_eq!(headers["content-encoding"], "snappy");
    assert_eq!(headers["x-prometheus-remote-write-version"], "0.1.0");
    let plain = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
    let request = WriteRequest::decode(&*plain).unwrap();
    let lines = request.timeseries.iter().map(|series| {
        let labels = series.labels.iter().map(|it| format!("{}={}", it.name, it.value));
        format!("{} {}", labels.collect::<Vec<_>>().join(","), series.samples[0].value)
    });
    let common = "cluster=blue,instance=n1,job=amphipod-agent";
    let connect = |name: &str, le: &str| {
        let le = if le.is_empty() { String::new() } else { format!(",le={le}") };
        format!("__name__=amphipod_connect_seconds_{name},{common}{le},protocol=TCP")
    };
    let connections = format!("__name__=amphipod_connections_total,{common}");
    let expected = [
        format!("{connections},outcome=established,source_workload=web 1"),
        format!("{connections},outcome=failed,source_workload=web 7"),
        format!("__name__=amphipod_ready,{common} 1"),
        format!("{} 1", connect("bucket", "0.25")),
        format!("{} 1", connect("bucket", "1")),
        format!("{} 3", connect("bucket", "+Inf")),
        format!("{} 4.5", connect("sum", "")),
        format!("{} 3", connect("count", "")),
    ];
    assert_eq!(lines.collect::<Vec<_>>(), expected);
    let kinds: Vec<_> = request.metadata.iter().map(|it| (&*it.family, it.kind)).collect();
    assert_eq!(
        kinds,
        [("amphipod_connections_total", 1), ("amphipod_ready", 2), ("amphipod_connect_seconds", 3)]
    );
    assert_eq!(running.stop().await[0].of(Fate::Refused), 0);
}

#[test]
fn what_cannot_be_is_named() {
    let check = |text: &str, expected: &str| {
        let error = config(text).map(|_| ()).expect_err(text).to_string();
        assert!(error.starts_with(&format!("configuration: {expected}")), "{text}: {error}");
    };
    check("[otlp]\nendpoint = \"collector\"", "otlp.endpoint = \"collector\": expected a URL such");
    check(
        "[otlp]\nendpoint = \"http://c:4317\"",
        "otlp.endpoint = \"http://c:4317\": expected https",
    );
    check("[otlp]\nendpoint = \"https://a:b@c\"", "otlp.endpoint");
    check("[otlp]\nprotocol = \"json\"", "otlp.protocol = \"json\": expected \"grpc\"");
    check("[otlp]\nheaders = [\"x\"]", "otlp.headers = \"x\": expected a header");
    check("[otlp]\nheaders = [\"Content-Length: 1\"]", "otlp.headers");
    check("[otlp]\nattributes = [\"a\"]", "otlp.attributes = \"a\": expected a name and a value");
    check("[otlp]\ncertificate = \"/c\"", "otlp.key = \"\": expected the certificate's key");
    check("[remote_write]\nqueue = \"1KiB\"", "remote_write.queue = \"1KiB\": expected a size");
    check("[remote_write]\nurl = \"ftp://c\"", "remote_write.url");
    check(
        "[remote_write]\nurl = \"https://c\"\nlabels = [\"a.b=c\"]",
        "remote_write.labels = \"a.b\": expected a name of letters",
    );
    let none = config("").unwrap();
    assert_eq!(none.targets().count(), 0);
    let both = "[otlp]\nendpoint = \"http://c:4317\"\ninsecure = true\n[remote_write]\nurl = \"https://p/w\"";
    let uris: Vec<_> = config(both).unwrap().targets().map(|it| it.uri.to_string()).collect();
    assert_eq!(uris, [&format!("http://c:4317{}", super::answer::EXPORT), "https://p/w"]);
}

#[test]
fn parcels_are_small() {
    #[derive(Debug)]
    struct Many;
    impl View for Many {
        fn write(&self, out: &mut Families<'_>) -> fmt::Result {
            let names: Vec<String> = (0..5000).map(|it| format!("w{it}")).collect();
            let samples = names.iter().map(|it| (labels([("source_workload", it)]), 1_u64));
            out.counter("amphipod_flow_bytes_total", "Bytes.", samples)
        }
    }
    let text =
        "[otlp]\nendpoint = \"http://localhost:1\"\n[remote_write]\nurl = \"http://localhost:1\"";
    for target in config(text).unwrap().targets() {
        let origin =
            Origin { service: "s", instance: "i".into(), version: "1", attributes: vec![] };
        let now = SystemTime::now();
        let mut parcels = Vec::new();
        let span = parcel::Span { since: now, now };
        parcel::pack(target, &origin, &Many, span, &mut |it| parcels.push(it));
        let samples: Vec<u64> = parcels.iter().map(|it| it.samples).collect();
        assert_eq!(samples, [2000, 2000, 1000]);
    }
}
