//! Hubble's clients see what agents tell, as much of it as they ask for.

// A test fails where something is wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::{Duration, Instant};

use hub::{App, Config};
use model::Timestamp;
use prost::Message;
use proto::TelemetryClient;
use proto::hubble::flow::{EventTypeFilter, Flow, FlowFilter, Verdict, layer4, layer7};
use proto::hubble::health::HealthCheckRequest;
use proto::hubble::health::health_client::HealthClient;
use proto::hubble::observer::get_flows_response::ResponseTypes;
use proto::hubble::observer::observer_client::ObserverClient;
use proto::hubble::observer::{
    GetFlowsRequest, GetFlowsResponse, GetNamespacesRequest, GetNodesRequest, GetNodesResponse,
    ServerStatusRequest,
};
use proto::hubble::relay::NodeState;
use proto::telemetry::{self as wire, observed, question};
use serde_json::json;
use sim::apiserver::{ApiServer, Options};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};

const PATIENCE: Duration = Duration::from_secs(30);

struct Hub {
    app: App,
    server: ApiServer,
    _folder: TempDir,
}

fn hub() -> Hub {
    let folder = tempfile::tempdir().unwrap();
    let server = ApiServer::start(Options::default()).unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
    let config = format!(
        "[hub]\nlisten = \"127.0.0.1:0\"\n[kube]\nkubeconfig = {kubeconfig:?}\n\
         [inventory]\nlisten = \"127.0.0.1:0\"\n[hubble]\nlisten = \"127.0.0.1:0\"\n"
    );
    let app = App::start(Config::parse(&config).unwrap()).unwrap();
    Hub { app, server, _folder: folder }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

impl Hub {
    async fn client(&self) -> ObserverClient<Channel> {
        ObserverClient::new(connect(self.app.hubble_address().unwrap()).await)
    }

    async fn agent(&self, node: &str) -> Agent {
        let (out, answers) = mpsc::channel(16);
        let introduction = wire::Introduction {
            node: node.into(),
            agent_version: "9".into(),
            life: Timestamp::now().0,
        };
        let kind = Some(observed::Kind::Introduction(introduction));
        out.send(wire::Observed { kind }).await.unwrap();
        let mut client = TelemetryClient::new(connect(self.app.agents_address()).await);
        let questions = client.observe(ReceiverStream::new(answers)).await.unwrap().into_inner();
        Agent { out, questions }
    }
}

async fn connect(address: std::net::SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// One that says what the test wants.
struct Agent {
    out: mpsc::Sender<wire::Observed>,
    questions: Streaming<wire::Question>,
}

impl Agent {
    async fn next(&mut self) -> (u64, question::Kind) {
        let next = tokio::time::timeout(PATIENCE, self.questions.message()).await;
        let wire::Question { question, kind } = next.unwrap().unwrap().unwrap();
        (question, kind.unwrap())
    }

    /// The next question like this: those of before were cancelled.
    async fn asked(&mut self, like: impl Fn(&wire::Ask) -> bool) -> (u64, wire::Ask) {
        loop {
            match self.next().await {
                (question, question::Kind::Ask(ask)) if like(&ask) => return (question, ask),
                _ => {}
            }
        }
    }

    async fn say(&self, kind: observed::Kind) {
        self.out.send(wire::Observed { kind: Some(kind) }).await.unwrap();
    }

    async fn lines(&self, question: u64, lines: &[serde_json::Value], lost: u64) {
        let lines: String = lines.iter().map(|it| format!("{it}\n")).collect();
        self.say(observed::Kind::Lines(wire::Lines { question, lines: lines.into(), lost })).await;
    }

    async fn end(&self, question: u64) {
        let end = observed::End { question, error: String::new() };
        self.say(observed::Kind::End(end)).await;
    }
}

/// As the agent writes them.
fn records() -> [serde_json::Value; 4] {
    let cart = json!({
        "ip": "10.0.0.1", "port": 40000, "namespace": "shop", "pod": "cart-1",
        "workload": "cart", "workload_kind": "Deployment", "labels": {"app": "cart"},
    });
    let db = json!({
        "ip": "10.96.0.9", "port": 80, "backend": {"ip": "10.0.0.2", "port": 5432},
        "namespace": "shop", "pod": "db-0", "workload": "db", "workload_kind": "StatefulSet",
        "service": "db",
    });
    let world = json!({
        "ip": "203.0.113.1", "port": 443, "names": ["api.example.org"],
        "workload": "world", "workload_kind": "External",
    });
    let record = |second: u32, kind: &str, destination: &serde_json::Value| {
        json!({
            "time": format!("2026-01-01T00:00:{second:02}.000000001Z"), "node": "n1", "kind": kind,
            "protocol": "TCP", "direction": "egress", "source": cart, "destination": destination,
        })
    };
    let with = |mut record: serde_json::Value, more: serde_json::Value| {
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    [
        with(
            record(1, "connection", &db),
            json!({"event": "opened", "connect_us": 250, "cookie": 7}),
        ),
        with(
            record(2, "connection", &world),
            json!({"event": "failed", "error": "ECONNREFUSED", "duration_us": 1500}),
        ),
        with(record(3, "drop", &world), json!({"reason": "NETFILTER_DROP", "packets": 3})),
        with(
            record(4, "dns", &world),
            json!({"protocol": "UDP", "dns": {
                "query": "db.shop.svc", "type": "A", "code": "NOERROR", "answers": ["10.96.0.9"],
                "answer_count": 1, "duration_us": 900,
            }}),
        ),
    ]
}

fn flow(response: GetFlowsResponse) -> Option<Flow> {
    match response.response_types? {
        ResponseTypes::Flow(flow) => Some(flow),
        _ => None,
    }
}

fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(|it| (*it).to_owned()).collect()
}

/// All that comes until the stream ends, of [`records`].
async fn all(
    client: &mut ObserverClient<Channel>,
    agent: &mut Agent,
    request: GetFlowsRequest,
) -> (wire::Ask, Vec<GetFlowsResponse>) {
    answered(client, agent, request, &records()).await
}

async fn answered(
    client: &mut ObserverClient<Channel>,
    agent: &mut Agent,
    request: GetFlowsRequest,
    records: &[serde_json::Value],
) -> (wire::Ask, Vec<GetFlowsResponse>) {
    let responses = client.get_flows(request).await.unwrap().into_inner();
    let (question, ask) = agent.asked(|ask| !ask.follow).await;
    // The newest before the oldest: the hub puts them in order.
    let mut lines = records.to_vec();
    lines.reverse();
    agent.lines(question, &lines, 0).await;
    agent.end(question).await;
    let read = async {
        let mut responses = responses;
        let mut read = Vec::new();
        while let Some(response) = responses.message().await.unwrap() {
            read.push(response);
        }
        read
    };
    (ask, tokio::time::timeout(PATIENCE, read).await.unwrap())
}

/// A client of a hub that has an agent. It may not be known at once.
async fn ready(hub: &Hub) -> (ObserverClient<Channel>, Agent) {
    let agent = hub.agent("n1").await;
    let mut client = hub.client().await;
    let until = Instant::now() + PATIENCE;
    loop {
        let request = GetFlowsRequest { follow: true, number: 1, ..Default::default() };
        let mut responses = client.get_flows(request).await.unwrap().into_inner();
        let first = responses.message().await.unwrap().unwrap();
        match first.response_types {
            Some(ResponseTypes::NodeStatus(it)) if it.node_names == ["n1"] => {
                assert_eq!(it.state_change, i32::from(NodeState::NodeConnected));
                return (client, agent);
            }
            _ => assert!(Instant::now() < until, "no agent"),
        }
    }
}

#[test]
fn records_are_shown_as_flows() {
    let hub = hub();
    runtime().block_on(async {
        let (mut client, mut agent) = ready(&hub).await;
        let request = GetFlowsRequest { number: 20, ..Default::default() };
        let (ask, responses) = all(&mut client, &mut agent, request).await;
        assert_eq!((ask.follow, ask.last, ask.filters.len()), (false, Some(20), 0));
        let flows: Vec<Flow> = responses.into_iter().filter_map(flow).collect();
        let [opened, failed, dropped, dns] = &flows[..] else { panic!("{flows:?}") };

        assert_eq!(opened.time.as_ref().map(|it| (it.seconds, it.nanos)), Some((1_767_225_601, 1)));
        assert_eq!((opened.node_name.as_str(), opened.socket_cookie), ("n1", 7));
        let source = opened.source.as_ref().unwrap();
        assert_eq!((source.namespace.as_str(), source.pod_name.as_str()), ("shop", "cart-1"));
        assert_eq!(source.labels, ["k8s:app=cart", "k8s:io.kubernetes.pod.namespace=shop"]);
        assert_eq!(source.workloads[0].kind, "Deployment");
        // Behind the service's address is the pod.
        let ip = opened.ip.as_ref().unwrap();
        assert_eq!((ip.source.as_str(), ip.destination.as_str()), ("10.0.0.1", "10.0.0.2"));
        let protocol = opened.l4.as_ref().and_then(|it| it.protocol.as_ref());
        let Some(layer4::Protocol::Tcp(ports)) = protocol else { panic!("{opened:?}") };
        assert_eq!((ports.source_port, ports.destination_port), (40000, 5432));
        assert_eq!(opened.destination_service.as_ref().unwrap().name, "db");
        assert_eq!(opened.summary, "TCP opened in 250 µs");
        assert_eq!((opened.verdict(), opened.is_reply), (Verdict::Forwarded, Some(false)));

        assert_eq!(failed.verdict(), Verdict::Error);
        assert_eq!(failed.summary, "TCP failed: ECONNREFUSED after 1.500 ms");
        assert_eq!(failed.destination_names, ["api.example.org"]);
        let world = failed.destination.as_ref().unwrap();
        assert_eq!((world.identity, &world.labels[..]), (2, &["reserved:world".to_owned()][..]));

        assert_eq!((dropped.verdict(), dropped.drop_reason_desc), (Verdict::Dropped, 133));
        assert_eq!((dropped.event_type.as_ref().unwrap().r#type, dropped.is_reply), (1, None));
        assert_eq!(dropped.summary, "TCP dropped: NETFILTER_DROP, 3 packets");

        let l7 = dns.l7.as_ref().unwrap();
        let Some(layer7::Record::Dns(lookup)) = &l7.record else { panic!("{l7:?}") };
        assert_eq!((l7.latency_ns, lookup.query.as_str()), (900_000, "db.shop.svc."));
        assert_eq!(dns.summary, "DNS Answer \"10.96.0.9\" (db.shop.svc. A) in 900 µs");
        let mut uuids: Vec<&str> = flows.iter().map(|it| it.uuid.as_str()).collect();
        uuids.sort_unstable();
        uuids.dedup();
        assert_eq!(uuids.len(), 4);
    });
    hub.app.shutdown().unwrap();
}

#[test]
fn a_flow_reads_as_its_arrow_goes_and_has_no_holes() {
    let hub = hub();
    runtime().block_on(async {
        let (mut client, mut agent) = ready(&hub).await;
        let [mut closed, _, mut dropped, _] = records();
        closed["event"] = "closed".into();
        closed["direction"] = "ingress".into();
        closed["duration_us"] = 1500.into();
        closed["bytes_sent"] = 680.into();
        closed["bytes_received"] = 95.into();
        dropped["reason"] = "OTHERHOST".into();
        dropped["source"] = json!({});
        let mut frame = dropped.clone();
        frame["time"] = "2026-01-01T00:00:04Z".into();
        frame["destination"] = json!({"namespace": "shop", "pod": "cart-1"});
        let request = GetFlowsRequest { number: 9, ..Default::default() };
        let lines = [closed, dropped, frame];
        let (_, responses) = answered(&mut client, &mut agent, request, &lines).await;
        let flows: Vec<Flow> = responses.into_iter().filter_map(flow).collect();
        let [closed, dropped, frame] = &flows[..] else { panic!("{flows:?}") };
        assert_eq!(closed.summary, "TCP closed after 1.500 ms, 95 B sent, 680 B received");
        assert_eq!(dropped.drop_reason_desc, 131);
        let ends = |flow: &Flow| {
            let ip = flow.ip.as_ref().unwrap();
            (ip.source.clone(), ip.destination.clone(), ip.ip_version)
        };
        assert_eq!(ends(dropped), ("0.0.0.0".to_owned(), "203.0.113.1".to_owned(), 1));
        assert_eq!(ends(frame), (String::new(), String::new(), 0));
    });
    hub.app.shutdown().unwrap();
}

#[test]
fn a_node_without_an_agent_is_told_as_unavailable() {
    let hub = hub();
    for (name, uid) in [("n1", "1"), ("n2", "2")] {
        let node = json!({"kind": "Node", "metadata": {"name": name, "uid": uid}});
        hub.server.apply(&node).unwrap();
    }
    runtime().block_on(async {
        let (mut client, mut agent) = ready(&hub).await;
        let until = Instant::now() + PATIENCE;
        while client.get_nodes(GetNodesRequest {}).await.unwrap().into_inner().nodes.len() < 2 {
            assert!(Instant::now() < until, "the hub knows of no nodes");
        }
        let request = GetFlowsRequest { number: 9, ..Default::default() };
        let (_, responses) = all(&mut client, &mut agent, request).await;
        let told: Vec<_> = responses
            .into_iter()
            .filter_map(|it| match it.response_types? {
                ResponseTypes::NodeStatus(status) => Some((it.node_name, status)),
                _ => None,
            })
            .collect();
        let [connected, absent] = &told[..] else { panic!("{told:?}") };
        assert_eq!(connected.1.node_names, ["n1"]);
        assert_eq!(absent.1.state_change(), NodeState::NodeUnavailable);
        assert_eq!(absent.1.node_names, ["n2"]);
        // The hub's: clients show who said it.
        assert!(!absent.0.is_empty() && absent.0 == connected.0);
    });
    hub.app.shutdown().unwrap();
}

#[test]
fn what_is_not_served_is_told_in_words() {
    let hub = hub();
    runtime().block_on(async {
        let channel = connect(hub.app.hubble_address().unwrap()).await;
        let mut client = tonic::client::Grpc::new(channel);
        for path in ["/observer.Observer/GetAgentEvents", "/peer.Peer/Notify"] {
            client.ready().await.unwrap();
            let codec = proto::Codec::<GetNodesRequest, GetNodesResponse>::default();
            let request = tonic::Request::new(GetNodesRequest {});
            let answer = client.unary(request, PathAndQuery::from_static(path), codec).await;
            let error = answer.unwrap_err();
            assert_eq!(error.code(), Code::Unimplemented);
            assert!(error.message().contains("ask for flows"), "{path}: {error}");
        }
    });
    hub.app.shutdown().unwrap();
}

#[test]
fn filters_are_those_of_hubble() {
    let hub = hub();
    runtime().block_on(async {
        let (mut client, mut agent) = ready(&hub).await;
        let mut check = async |white: &[FlowFilter], black: &[FlowFilter], expected: &[u32]| {
            let bytes =
                |all: &[FlowFilter]| all.iter().map(|it| it.encode_to_vec().into()).collect();
            let (whitelist, blacklist) = (bytes(white), bytes(black));
            let request = GetFlowsRequest { whitelist, blacklist, number: 9, ..Default::default() };
            let (_, responses) = all(&mut client, &mut agent, request).await;
            let flows = responses.into_iter().filter_map(flow);
            let seconds: Vec<u32> =
                flows.map(|it| (it.time.unwrap().seconds - 1_767_225_600) as u32).collect();
            assert_eq!(seconds, expected, "{white:?} {black:?}");
        };
        let none = FlowFilter::default;
        check(&[none()], &[], &[1, 2, 3, 4]).await;
        let pod = |it: &str| FlowFilter { destination_pod: strings(&[it]), ..none() };
        check(&[pod("shop/db")], &[], &[1]).await;
        check(&[pod("shop/")], &[], &[1]).await;
        // In the namespace `default`.
        check(&[pod("db")], &[], &[]).await;
        let ip = |it: &str| FlowFilter { destination_ip: strings(&[it]), ..none() };
        check(&[ip("10.96.0.9")], &[], &[1]).await;
        check(&[ip("10.0.0.0/8"), ip("203.0.113.1")], &[], &[1, 2, 3, 4]).await;
        let port = |it: &str| FlowFilter { destination_port: strings(&[it]), ..none() };
        check(&[port("80")], &[], &[1]).await;
        check(&[port("5432")], &[port("80")], &[]).await;
        let label = |it: &str| FlowFilter { destination_label: strings(&[it]), ..none() };
        check(&[], &[label("reserved:world")], &[1]).await;
        let fqdn = FlowFilter { destination_fqdn: strings(&["*.example.org"]), ..none() };
        check(&[fqdn], &[], &[2, 3, 4]).await;
        check(&[FlowFilter { verdict: vec![2, 3], ..none() }], &[], &[2, 3]).await;
        check(&[FlowFilter { protocol: strings(&["dns"]), ..none() }], &[], &[4]).await;
        check(&[FlowFilter { protocol: strings(&["tcp"]), ..none() }], &[], &[1, 2, 3]).await;
        check(&[FlowFilter { dns_query: strings(&["^db"]), ..none() }], &[], &[4]).await;
        let trace = EventTypeFilter { r#type: 4, ..Default::default() };
        let kinds = FlowFilter { event_type: vec![trace], reply: vec![false], ..none() };
        check(&[kinds], &[], &[1, 2]).await;
        check(&[FlowFilter { reply: vec![true], ..none() }], &[], &[]).await;
        check(&[FlowFilter { node_name: strings(&["n*"]), ..none() }], &[], &[1, 2, 3, 4]).await;
        check(&[FlowFilter { ip_version: vec![2], ..none() }], &[], &[]).await;
        check(&[FlowFilter { traffic_direction: vec![2], ..none() }], &[], &[1, 2, 3, 4]).await;
        check(&[FlowFilter { source_service: strings(&["shop/"]), ..none() }], &[], &[]).await;
    });
    hub.app.shutdown().unwrap();
}

#[test]
fn nodes_are_asked_for_no_more_than_they_must_tell() {
    let hub = hub();
    runtime().block_on(async {
        let (mut client, mut agent) = ready(&hub).await;
        let filter = FlowFilter { source_pod: strings(&["shop/cart"]), ..Default::default() };
        let request = GetFlowsRequest {
            whitelist: vec![filter.encode_to_vec().into()],
            number: 2,
            since: Some(prost_types::Timestamp { seconds: 1_767_225_600, nanos: 0 }),
            ..Default::default()
        };
        let (ask, responses) = all(&mut client, &mut agent, request.clone()).await;
        let pairs: Vec<_> = ask.filters.iter().map(|it| (&*it.key, &*it.value)).collect();
        let since = ("since", "2026-01-01T00:00:00.000000000Z");
        assert_eq!((pairs, ask.last), (vec![("from_pod", "shop/cart"), since], Some(2)));
        let time = |it: Flow| it.time.unwrap().seconds - 1_767_225_600;
        let last: Vec<i64> = responses.into_iter().filter_map(flow).map(time).collect();
        assert_eq!(last, [3, 4]);
        let first = GetFlowsRequest { first: true, ..request };
        let (ask, responses) = all(&mut client, &mut agent, first).await;
        let first: Vec<i64> = responses.into_iter().filter_map(flow).map(time).collect();
        assert_eq!((first, ask.last), (vec![1, 2], Some(u64::MAX)));
    });
    hub.app.shutdown().unwrap();
}

#[test]
fn what_cannot_be_asked_is_refused_by_name() {
    let hub = hub();
    runtime().block_on(async {
        let mut client = hub.client().await;
        let mut check = async |request: GetFlowsRequest, expected: &str| {
            let error = client.get_flows(request).await.map(|_| ()).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{error}");
            assert!(error.message().contains(expected), "{error}");
        };
        let of = |bytes: &[u8]| GetFlowsRequest {
            whitelist: vec![bytes.to_vec().into()],
            ..Default::default()
        };
        // Of a newer flow.proto, or what only L7 records have: field 22 is http_path, 4000 is nothing.
        check(of(&[0xb2, 0x01, 0x01, b'/']), "filter http_path").await;
        check(of(&[0x82, 0xfa, 0x01, 0x00]), "filter field 4000 is not known").await;
        check(of(&[0xff]), "filters:").await;
        let wrong = |filter: FlowFilter| of(&filter.encode_to_vec());
        let ip = FlowFilter { source_ip: strings(&["ten"]), ..Default::default() };
        check(wrong(ip), "filter source_ip: \"ten\"").await;
        let port = FlowFilter { source_port: strings(&["http"]), ..Default::default() };
        check(wrong(port), "filter source_port").await;
        let query = FlowFilter { dns_query: strings(&["("]), ..Default::default() };
        check(wrong(query), "filter dns_query").await;
        let both = GetFlowsRequest { first: true, follow: true, ..Default::default() };
        check(both, "first").await;
    });
    hub.app.shutdown().unwrap();
}

#[test]
fn who_follows_is_told_at_once_also_of_losses() {
    let hub = hub();
    runtime().block_on(async {
        let (mut client, mut agent) = ready(&hub).await;
        let request = GetFlowsRequest { follow: true, ..Default::default() };
        let mut responses = client.get_flows(request).await.unwrap().into_inner();
        let (question, ask) = agent.asked(|ask| ask.last.is_none()).await;
        assert!(ask.follow);
        let mut next = async || {
            let next = tokio::time::timeout(PATIENCE, responses.message()).await;
            next.unwrap().unwrap().unwrap().response_types.unwrap()
        };
        assert!(matches!(next().await, ResponseTypes::NodeStatus(_)));
        agent.lines(question, &records()[..1], 5).await;
        let ResponseTypes::LostEvents(lost) = next().await else { panic!("nothing was lost") };
        assert_eq!(lost.num_events_lost, 5);
        assert!(matches!(next().await, ResponseTypes::Flow(_)));
        let mut spans: Vec<Duration> = Vec::new();
        for _ in 0..200 {
            let start = Instant::now();
            agent.lines(question, &records()[..1], 0).await;
            assert!(matches!(next().await, ResponseTypes::Flow(_)));
            spans.push(start.elapsed());
        }
        spans.sort();
        assert!(spans[100] < Duration::from_millis(100), "{:?}", spans[100]);
        drop(responses);
        // Nobody listens any more.
        while agent.next().await != (question, question::Kind::Cancel(question::Cancel {})) {}
    });
    hub.app.shutdown().unwrap();
}

#[test]
fn a_client_learns_who_is_there() {
    let hub = hub();
    runtime().block_on(async {
        let (mut client, _agent) = ready(&hub).await;
        let status = client.server_status(ServerStatusRequest {}).await.unwrap().into_inner();
        assert!(status.version.starts_with("amphipod v"), "{status:?}");
        assert_eq!(status.num_connected_nodes, Some(0), "it has not reported");
        client.get_nodes(GetNodesRequest {}).await.unwrap();
        client.get_namespaces(GetNamespacesRequest {}).await.unwrap();
        let mut health = HealthClient::new(connect(hub.app.hubble_address().unwrap()).await);
        let check = |service: &str| HealthCheckRequest { service: service.into() };
        for service in ["", "hubble.server.Observer", "observer.Observer"] {
            assert_eq!(health.check(check(service)).await.unwrap().into_inner().status, 1);
        }
        assert_eq!(health.check(check("x")).await.unwrap_err().code(), Code::NotFound);
    });
    hub.app.shutdown().unwrap();
}
